"""Whole training runs: TRL's weights and log lines at the end, another order each epoch, and the same after a kill."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from small_trainers import new_ours, new_stock, text_rows
from torch import Tensor
from transformers import TrainerCallback
from trl import KTOTrainer

from kto_recipes.trainer import FastKTOTrainer

WHOLE = {"max_steps": -1, "num_train_epochs": 1}
TIMES = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos"}


def trained_weights(trainer: KTOTrainer) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters() if value.requires_grad}


# --- beside TRL ---------------------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path: Path) -> Callable[..., tuple[FastKTOTrainer, KTOTrainer]]:
    """One epoch of ours, and of TRL's on the rows in the order in which ours took them, evaluation included."""

    def run(full: bool, settings: dict[str, Any], **changes: Any) -> tuple[FastKTOTrainer, KTOTrainer]:
        changes = {**WHOLE, "eval_strategy": "steps", "eval_steps": 3, **changes}
        ours = new_ours(tmp_path, settings, full, eval_dataset=text_rows(9, seed=3), changes=changes)
        order = list(ours.get_train_dataloader().batch_sampler.sampler)
        as_taken = ours.train_dataset.select(order)
        stock = new_stock(tmp_path, as_taken, full, eval_dataset=ours.eval_dataset, changes=changes)
        for trainer in (ours, stock):
            trainer.train()
        return ours, stock

    return run


@pytest.mark.parametrize(("full", "accumulated"), [(False, 1), (True, 2)], ids=["lora", "full, two a step"])
def test_an_epoch_ends_with_trls_weights_and_says_what_trl_says(runs: Callable, full: bool, accumulated: int) -> None:
    ours, stock = runs(full, {"log_entropy": True}, gradient_accumulation_steps=accumulated)
    before = new_ours(Path(ours.args.output_dir), {}, full)
    start, expected = trained_weights(before), trained_weights(stock)
    assert all((value - start[name]).abs().max() > 1e-3 for name, value in expected.items()), "nothing was learned"
    for name, value in trained_weights(ours).items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-3, msg=name)
    assert len(stock.state.log_history) == len(ours.state.log_history) >= 5
    for found, theirs in zip(ours.state.log_history, stock.state.log_history, strict=True):
        names = {name for name in theirs if name not in TIMES and not name.startswith("eval_")}
        names |= {
            name for name in theirs if name.startswith("eval_") and "per_second" not in name and "time" not in name
        }
        assert set(found) == set(theirs)
        for name in names:
            assert found[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-4), name


def test_entropy_alone_is_left_out_unless_it_is_asked_for(runs: Callable) -> None:
    ours, stock = runs(False, {}, max_steps=1, eval_steps=1)
    for found, theirs in zip(ours.state.log_history, stock.state.log_history, strict=True):
        assert set(theirs) - set(found) == {name for name in theirs if name.endswith("entropy")}
        assert set(found) <= set(theirs)
    assert any("eval_entropy" in log for log in stock.state.log_history)


def test_a_log_line_is_the_mean_of_the_micro_batches_since_the_last_one(tmp_path: Path) -> None:
    """With a learning rate of 0 each line of a run that logs every three steps is the mean of three lines."""
    still = {"learning_rate": 0.0, "max_steps": 6}
    each = new_ours(tmp_path, changes=still)
    thirds = new_ours(tmp_path, changes={**still, "logging_steps": 3})
    for trainer in (each, thirds):
        trainer.train()
    lines = [log for log in each.state.log_history if "loss" in log]
    seen = [log for log in thirds.state.log_history if "loss" in log]
    assert (len(lines), len(seen)) == (6, 2)
    for line, parts in zip(seen, (lines[:3], lines[3:]), strict=True):
        for name in ("loss", "kl", "rewards/chosen", "rewards/margins", "logits/rejected", "logps/chosen"):
            values = [part[name] for part in parts if name in part]
            assert line[name] == pytest.approx(sum(values) / len(values), rel=1e-3, abs=1e-4), name
        assert line["num_tokens"] == parts[-1]["num_tokens"]


# --- the order of epochs, and a kill ------------------------------------------------------------------------


class Kill(TrainerCallback):
    """Ends the process's training as a signal would: between two steps, without a word to the trainer."""

    def __init__(self, before_step: int) -> None:
        self.before_step = before_step

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.before_step:
            raise KeyboardInterrupt


@contextmanager
def recorded(trainer: KTOTrainer) -> Iterator[list[list]]:
    """Token ids, mismatched token ids and labels of each micro-batch whose loss was computed, in order."""
    seen: list[list] = []
    real = trainer.compute_loss

    def compute_loss(model: Any, inputs: dict[str, Tensor], *arguments: Any, **more: Any) -> Any:
        seen.append([inputs[name].tolist() for name in ("input_ids", "KL_input_ids", "label")])
        return real(model, inputs, *arguments, **more)

    trainer.compute_loss = compute_loss
    yield seen


TWO_EPOCHS = {"max_steps": -1, "num_train_epochs": 2, "save_strategy": "steps"}


def run(folder: Path, accumulated: int, resumed: str | None = None, **more: Any) -> tuple[list, dict[str, Tensor]]:
    """A run of two epochs of six micro-batches: what it saw, and its weights."""
    changes = {**TWO_EPOCHS, "save_steps": more.pop("save_steps", 100), "gradient_accumulation_steps": accumulated}
    trainer = new_ours(folder, changes=changes, **more)
    with recorded(trainer) as seen:
        try:
            trainer.train(resume_from_checkpoint=resumed)
        except KeyboardInterrupt:
            assert more["callbacks"]
    return seen, trained_weights(trainer)


@pytest.fixture(scope="module")
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list, dict]:
    """Micro-batches a step, as asked for, and what is seen and learned in a run that nobody interrupts."""
    return request.param, *run(tmp_path_factory.mktemp("whole"), request.param)


@pytest.mark.parametrize("whole", [1], indirect=True, ids=[""])
def test_every_epoch_sees_the_same_micro_batches_in_another_order(whole: tuple[int, list, dict]) -> None:
    _, seen, _ = whole
    first, second = seen[:6], seen[6:]
    assert len(second) == 6
    assert first != second
    assert sorted(first) == sorted(second)
    assert len({str(batch) for batch in first}) == 6
    assert sum(len(batch[0]) for batch in first) == 22


@pytest.mark.parametrize(
    ("whole", "kept"),
    [(1, 2), (1, 3), (1, 4), (2, 4)],
    indirect=["whole"],
    ids=["in the first epoch", "between the epochs", "in the second epoch", "with two micro-batches a step"],
)
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(
    whole: tuple[int, list, dict], tmp_path: Path, kept: int
) -> None:
    """From the checkpoint after `kept` sixths of the run; what came after it is done again."""
    accumulated, expected, weights = whole
    step = kept * 2 // accumulated
    each = {"callbacks": [Kill(step + 1)], "save_steps": step}
    before, _ = run(tmp_path, accumulated, **each)
    assert before == expected[: (step + 1) * accumulated]
    after, found = run(tmp_path, accumulated, str(tmp_path / "out" / f"checkpoint-{step}"))
    assert after == expected[step * accumulated :]
    for name, value in weights.items():
        assert torch.equal(found[name], value), name


def test_without_buckets_every_epoch_has_the_files_order(tmp_path: Path) -> None:
    trainer = new_ours(tmp_path, {"length_buckets": False}, changes=TWO_EPOCHS)
    with recorded(trainer) as seen:
        trainer.train()
    assert seen[:6] == seen[6:]
    data = trainer.train_dataset
    assert [label for batch in seen[:6] for label in batch[2]] == data["label"]
    assert data["prompt"] == text_rows(22)["prompt"]


def test_the_seed_of_the_data_decides_the_order(tmp_path: Path) -> None:
    def order(**changes: Any) -> list[int]:
        return list(new_ours(tmp_path, {"precompute_ref": False}, changes=changes)._get_train_sampler())

    assert order(seed=1) == order(seed=1) == order(seed=5, data_seed=1)
    assert order(seed=1) != order(seed=2)
