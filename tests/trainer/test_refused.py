"""What the trainer refuses: data and settings that would train on something else than was meant, each in a sentence."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, IterableDataset
from small_trainers import new_ours, small_lora, text_rows
from trl import KTOTrainer
from trl.experimental.bco import BCOTrainer

from kto_recipes.trainer import FastKTOTrainer
from kto_recipes.trainer.fast import check_signatures

Row = dict[str, Any]


def changed(change: Callable[[int, Row], Row], n: int = 8) -> Dataset:
    return Dataset.from_list([{**row, **change(number, row)} for number, row in enumerate(text_rows(n).to_list())])


def stream() -> IterableDataset:
    rows = text_rows(8).to_list()

    def generate() -> Iterator[Row]:
        yield from rows

    return IterableDataset.from_generator(generate)


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


BAD_ROWS = {
    "one class": (lambda i, row: {"label": True}, "train: every row is desirable; KTO needs both classes"),
    "the other class": (lambda i, row: {"label": False}, "train: every row is undesirable; KTO needs both classes"),
    "label 2": (
        lambda i, row: {"label": 2 if i == 3 else int(row["label"])},
        "train: the label of row 3 is 2; labels must be true or false",
    ),
    "label -1": (
        lambda i, row: {"label": 2 * (i % 2) - 1},
        "train: the label of row 0 is -1; labels must be true or false",
    ),
    "label yes": (lambda i, row: {"label": "yes"}, "train: the label of row 0 is 'yes'; labels must be true or false"),
    "label 1 in quotes": (
        lambda i, row: {"label": str(i % 2)},
        "train: the label of row 0 is '0'; labels must be true or false",
    ),
    "no label": (
        lambda i, row: {"label": row["label"] if i else None},
        "train: the label of row 0 is None; labels must be true or false",
    ),
    "empty completion": (
        lambda i, row: {"completion": row["completion"] if i != 5 else ""},
        "train: row 5 has an empty completion",
    ),
    "empty message": (
        lambda i, row: {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "completion": answer(row["completion"] if i != 5 else ""),
        },
        "train: row 5 has an empty completion",
    ),
    "one prompt": (
        lambda i, row: {"prompt": "The same question?"},
        "every row has the same prompt; KTO's reference point needs answers to other prompts",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_rows_that_cannot_be_learned_from_are_refused(tmp_path: Path, change: Callable, sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        new_ours(tmp_path, train_dataset=changed(change))
    assert str(error.value) == sentence


@pytest.mark.parametrize("label", [lambda yes: yes, int, float], ids=["true and false", "1 and 0", "1.0 and 0.0"])
def test_labels_that_say_true_and_false_are_taken(tmp_path: Path, label: Callable[[bool], Any]) -> None:
    ours = new_ours(tmp_path, train_dataset=changed(lambda i, row: {"label": label(row["label"])}))
    assert [bool(x) for x in ours.train_dataset["label"]].count(True) == sum(text_rows(8)["label"])


def test_one_class_is_enough_to_evaluate(tmp_path: Path) -> None:
    ours = new_ours(tmp_path, eval_dataset=changed(lambda i, row: {"label": True}))
    assert ours.evaluate()["eval_rewards/chosen"] != 0


def test_pairs_of_a_chosen_and_a_rejected_answer_are_taken_apart_by_trl(tmp_path: Path) -> None:
    rows = text_rows(16).to_list()
    pairs = [
        {"prompt": a["prompt"], "chosen": a["completion"], "rejected": b["completion"]}
        for a, b in zip(rows[:8], rows[8:], strict=True)
    ]
    ours = new_ours(tmp_path, train_dataset=Dataset.from_list(pairs))
    assert sorted(ours.train_dataset["label"]) == [False] * 8 + [True] * 8


def test_rows_that_come_as_tokens_are_left_out_where_their_prompt_alone_is_too_long(tmp_path: Path) -> None:
    """TRL leaves them out only where it makes the tokens; here they would be answers without a token."""
    rows = [
        {"prompt_ids": [5 + i] * length, "completion_ids": [7, 8, i], "label": i % 2 == 0}
        for i, length in enumerate([3, 4, 5, 70, 64, 63])
    ]
    ours = new_ours(tmp_path, train_dataset=Dataset.from_list(rows))
    assert sorted(map(len, ours.train_dataset["prompt_ids"])) == [3, 4, 5, 63]
    assert all((inputs["completion_mask"].sum(1) > 0).all() for inputs in ours.get_train_dataloader())


BAD_SETTINGS = {
    "liger": (
        lambda: text_rows(8),
        {},
        {"use_liger_kernel": True},
        "use_liger_kernel: TRL 1.9.0 drops both class weights there and, with an adapter, the reference; "
        "leave it off, fused_logps does what it is for",
    ),
    "a stream with precomputed values": (
        stream,
        {},
        {},
        "precompute_ref: a stream has no rows to keep values for; set precompute_ref: false",
    ),
    "a stream with counted weights": (
        stream,
        {"precompute_ref": False, "auto_weights": True},
        {},
        "auto_weights: the labels of a stream cannot be counted; set both weights yourself",
    ),
}


@pytest.mark.parametrize(("data", "settings", "changes", "sentence"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_settings_that_do_not_go_together_are_refused(
    tmp_path: Path, data: Callable, settings: dict, changes: dict, sentence: str
) -> None:
    with pytest.raises(ValueError) as error:
        new_ours(tmp_path, settings, train_dataset=data(), changes=changes)
    assert str(error.value) == sentence


@pytest.mark.parametrize("how", ["pissa", "pissa_niter_4", "olora"])
def test_an_adapter_that_takes_its_part_out_of_the_base_weights_is_refused(tmp_path: Path, how: str) -> None:
    """Without the adapter the model is not the one that was named, and rewards at step 0 are not 0."""
    with pytest.raises(ValueError, match=f"^init_lora_weights: {how} changes the base weights, which without"):
        new_ours(tmp_path, peft_config=small_lora(init_lora_weights=how))


def test_a_micro_batch_of_one_has_nothing_to_be_paired_with(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch size must be > 1"):
        new_ours(tmp_path, changes={"per_device_train_batch_size": 1})


# --- another TRL --------------------------------------------------------------------------------------------


def test_the_installed_trl_is_the_one_that_this_is_written_for() -> None:
    check_signatures(KTOTrainer)


class Renamed(KTOTrainer):
    compute_ref_log_probs = None


class OneMore(KTOTrainer):
    def _compute_loss(self, model: Any, inputs: Any, return_outputs: Any, num_items: int) -> None: ...


class Otherwise(KTOTrainer):
    def _precompute_ref_logps(self, data: Dataset, name: str, batch_size: int) -> None: ...


@pytest.mark.parametrize("trainer", [Renamed, OneMore, Otherwise, BCOTrainer])
def test_a_trainer_whose_private_methods_differ_is_refused_naming_the_version_to_install(trainer: type) -> None:
    with pytest.raises(ImportError, match=r"written for trl 1\.9\.0.*Install trl==1\.9\.0"):
        check_signatures(trainer)


def test_whatever_is_overridden_is_checked() -> None:
    """A method that both define, and that nobody compares, could change under us."""
    from kto_recipes.trainer.fast import _OVERRIDDEN, FastKTO

    ours = {name for name, member in vars(FastKTO).items() if inspect.isfunction(member)} - {"__init__"}
    assert ours & set(dir(KTOTrainer)) == set(_OVERRIDDEN)
    assert issubclass(FastKTOTrainer, KTOTrainer)
