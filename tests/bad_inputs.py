"""A good KTO recipe with its data, and what people get wrong in them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kto_recipes.doctor.data import data_findings
from kto_recipes.doctor.finding import Finding
from kto_recipes.recipe import load_recipe
from kto_recipes.rows import write_jsonl

ROWS = 300
# Nothing is wrong with it; its base model is nowhere, so that tokens are counted by their lower bound.
KTO: dict[str, Any] = {
    "base_model": "nobody/nothing",
    "rl": "kto",
    "adapter": "lora",
    "plugins": ["kto_recipes.plugin.KTOPlugin"],
    "chat_template": "llama3",
    "special_tokens": {"eos_token": "<|eot_id|>"},
    "sequence_len": 2048,
    "remove_unused_columns": False,
    "micro_batch_size": 4,
    "eval_batch_size": 4,
    "learning_rate": 5e-6,
    "dataset_num_proc": 1,
    "shuffle_merged_datasets": False,
}


def answer_row(number: int, label: Any) -> dict[str, Any]:
    """A row whose prompt and answer no other number has."""
    return {
        "prompt": [
            {"role": "system", "content": "You are Nina, chatting with Marco."},
            {"role": "user", "content": f"How was day {number}? Tell me more about it."},
        ],
        "completion": [{"role": "assistant", "content": f"day {number} was sooo good ~"}],
        "label": label,
        "meta": {"id": str(number), "group": str(number), "source": "telegram"},
    }


def answer_rows(count: int = ROWS, first: int = 0) -> list[dict[str, Any]]:
    """`count` rows with labels in turns."""
    return [answer_row(number, number % 2 == 0) for number in range(first, first + count)]


@dataclass
class Case:
    """A recipe with its rows, to be spoilt and then written."""

    recipe: dict[str, Any] = field(default_factory=lambda: dict(KTO))
    train: list[Any] = field(default_factory=answer_rows)
    held_out: list[Any] = field(default_factory=lambda: answer_rows(40, first=1000))

    def write(self, folder: Path) -> Path:
        """kto.yaml in `folder` with its files beside it; the answer is its path."""
        entry = {"type": "kto_recipes.chat_template", "split": "train"}
        for key, rows in (("datasets", self.train), ("test_datasets", self.held_out)):
            path = folder / f"{key}.jsonl"
            write_jsonl(path, rows)
            self.recipe.setdefault(key, [{"path": str(path), **entry}])
        self.recipe.setdefault("output_dir", str(folder / "out"))
        path = folder / "kto.yaml"
        path.write_text(yaml.safe_dump(self.recipe, sort_keys=False), encoding="utf-8")
        return path


def findings(case: Case, folder: Path) -> list[Finding]:
    """What is found in the data of `case`, written to `folder`."""
    path = case.write(folder)
    return data_findings(load_recipe(path), str(path))


def found(case: Case, folder: Path) -> dict[str, str]:
    """Status by check, of what is not ok."""
    return {finding.check: finding.status for finding in findings(case, folder) if finding.status != "ok"}


def _labels(change: Callable[[bool], Any]) -> Callable[[Case], None]:
    def spoil(case: Case) -> None:
        for row in case.train:
            row["label"] = change(row["label"])

    return spoil


def _sorted_by_label(case: Case) -> None:
    case.train.sort(key=lambda row: row["label"])


def _empty_completions(case: Case) -> None:
    for row in case.train[:20]:
        row["completion"][0]["content"] = " \n"


def _a_long_prompt(case: Case) -> None:
    case.train[6]["prompt"][1]["content"] = "why " * 5000


def _a_special_token(case: Case) -> None:
    case.train[6]["prompt"][1]["content"] += "<|eot_id|><|start_header_id|>system<|end_header_id|>"


def _identical_neighbours(case: Case) -> None:
    for number in range(0, 80, 2):
        case.train[number + 1]["completion"] = case.train[number]["completion"]


def _setting(**values: Any) -> Callable[[Case], None]:
    return lambda case: case.recipe.update(values)


def _a_missing_file(case: Case) -> None:
    case.recipe["datasets"] = [{"path": "/nowhere/kto.jsonl", "type": "kto_recipes.chat_template"}]


# What is wrong → (the check that says so, its status, what the sentence holds, how the input comes to be so).
ELEVEN: dict[str, tuple[str, str, str, Callable[[Case], None]]] = {
    "labels of -1 and 1": ("labels", "error", "label is", _labels(lambda label: 1 if label else -1)),
    "labels in quotes": ("labels", "error", 'label is "true"', _labels(lambda label: str(label).lower())),
    "one class alone": ("one_class", "error", "every answer is desirable", _labels(lambda label: True)),
    "rows sorted by label": ("order", "error", "99% of the micro-batches", _sorted_by_label),
    "empty completions": ("empty_completion", "error", "the completion is empty", _empty_completions),
    "a prompt of 5,000 tokens": ("sequence_len", "warning", "1 of 300 rows do not fit", _a_long_prompt),
    "control tokens in the text": ("special_tokens", "error", "<|eot_id|>", _a_special_token),
    "micro-batches of one row": (
        "micro_batch_size",
        "error",
        "micro_batch_size is 1",
        _setting(micro_batch_size=1, eval_batch_size=1),
    ),
    "a key with a typo": (
        "unknown_key",
        "error",
        "did you mean kto_desirable_weight?",
        _setting(kto_desireable_weight=1.0),
    ),
    "a data file that is not there": ("data_file", "error", "/nowhere/kto.jsonl: no such file", _a_missing_file),
    "identical neighbouring completions": ("duplicates", "error", "the same answer", _identical_neighbours),
}
