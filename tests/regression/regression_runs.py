"""A run of three random models, and tasks as a person would bring them: a folder of YAML files with their rows."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from tiny_models import LLAMA_RECIPE

QUIZ = [
    {"ask": "Which animal barks?", "options": ["dog", "cat"], "right": 0},
    {"ask": "Which animal meows?", "options": ["dog", "cat"], "right": 1},
    {"ask": "Which animal flies?", "options": ["cow", "eagle"], "right": 1},
    {"ask": "Which animal swims?", "options": ["fish", "hen"], "right": 0},
]


def task_folder(folder: Path, **tasks: dict[str, Any]) -> Path:
    """`folder` with a task `quiz` of four rows, and of `tasks` each by its name with what it says else than quiz."""
    folder.mkdir()
    rows = folder / "quiz.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in QUIZ), encoding="utf-8")
    quiz = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows)}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "Q: {{ask}}\nA:",
        "doc_to_choice": "options",
        "doc_to_target": "right",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    for name, other in ({"quiz": {}} | tasks).items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name} | quiz | other), encoding="utf-8")
    return folder


WRITTEN = {  # the model is to write an answer
    "output_type": "generate_until",
    "doc_to_choice": None,
    "doc_to_target": "{{options[right]}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
TEXT = {  # of whole texts the likelihood
    "output_type": "loglikelihood_rolling",
    "doc_to_choice": None,
    "doc_to_text": "",
    "doc_to_target": "{{ask}}",
    "metric_list": [{"metric": "word_perplexity", "aggregation": "weighted_perplexity", "higher_is_better": False}],
}
BROKEN = {"doc_to_text": "{{ask if right == 0 else nothing.at_all}}"}  # at its second row, with nothing wrong before


def make_run(run: Path, models: Path) -> Path:
    """A run's folder as the chain leaves it, with `models` in the places that its YAML files name."""
    for name in ("sft", "kto"):
        shutil.copytree(models / name, run / name / "merged")
    sft = {"base_model": str(models / "base"), "adapter": "lora", "output_dir": str(run / "sft")}
    kto = {"base_model": str(run / "sft/merged"), "adapter": "lora", "output_dir": str(run / "kto")}
    for name, recipe in (("sft", sft), ("kto", kto)):
        (run / f"{name}.yaml").write_text(yaml.safe_dump(LLAMA_RECIPE | recipe))
    return run


class Watched:
    """What a check announced and did: requests by the title of each task."""

    def __init__(self) -> None:
        self.announced: dict[str, int] = {}
        self.done: dict[str, int] = {}

    def __call__(self, title: str, total: int) -> Callable[[int], None]:
        self.announced[title], self.done[title] = total, 0

        def on_done(count: int) -> None:
            self.done[title] += count

        return on_done
