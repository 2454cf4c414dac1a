"""Which checkpoints a resume may trust: whole ones; a torn one is never taken, and never left in its way."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from checkpoint_files import cut_short, write_checkpoint
from safetensors.torch import save_file

from kto_recipes.stages.checkpoints import checkpoints, is_whole, last_whole, state_of


def test_a_checkpoint_as_the_trainer_writes_it_is_whole(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, 3)
    assert is_whole(checkpoint)
    assert state_of(checkpoint)["global_step"] == 3


def test_full_weights_in_shards_are_whole(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, 3)
    (checkpoint / "adapter_model.safetensors").unlink()
    for number in (1, 2):
        save_file({"w": torch.zeros(8)}, checkpoint / f"model-0000{number}-of-00002.safetensors")
    assert is_whole(checkpoint)
    cut_short(checkpoint / "model-00002-of-00002.safetensors")
    assert not is_whole(checkpoint)


@pytest.mark.parametrize("name", ["trainer_state.json", "adapter_model.safetensors", "optimizer.pt", "scheduler.pt"])
def test_a_checkpoint_without_a_file_a_resume_reads_is_torn(tmp_path: Path, name: str) -> None:
    checkpoint = write_checkpoint(tmp_path, 3)
    (checkpoint / name).unlink()
    assert not is_whole(checkpoint)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
@pytest.mark.parametrize(
    "name", ["trainer_state.json", "adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"]
)
def test_a_checkpoint_with_a_file_cut_short_is_torn(tmp_path: Path, name: str, share: float) -> None:
    checkpoint = write_checkpoint(tmp_path, 3)
    cut_short(checkpoint / name, share)
    assert not is_whole(checkpoint)


def test_a_checkpoint_whose_state_is_of_another_step_is_torn(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, 3)
    state = state_of(checkpoint)
    (checkpoint / "trainer_state.json").write_text(json.dumps({**state, "global_step": 2}))
    assert not is_whole(checkpoint)


def test_deepspeeds_folder_stands_for_the_optimizer(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, 3)
    (checkpoint / "optimizer.pt").unlink()
    (checkpoint / "global_step3").mkdir()
    assert is_whole(checkpoint)


def test_checkpoints_are_listed_by_step_and_nothing_else_is(tmp_path: Path) -> None:
    for step in (10, 9, 100):
        write_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "merged").mkdir()
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-10", "checkpoint-100"]


def test_the_last_whole_checkpoint_is_taken_and_torn_ones_after_it_are_deleted(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        write_checkpoint(tmp_path, step)
    cut_short(tmp_path / "checkpoint-1" / "optimizer.pt")
    cut_short(tmp_path / "checkpoint-3" / "adapter_model.safetensors")
    (tmp_path / "checkpoint-10" / "trainer_state.json").unlink()
    (tmp_path / "checkpoint-11").mkdir()
    assert last_whole(tmp_path) == tmp_path / "checkpoint-2"
    # What came before the whole one is nobody's business.
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-1", "checkpoint-2"]


def test_without_a_whole_checkpoint_there_is_none_and_the_torn_ones_are_gone(tmp_path: Path) -> None:
    assert last_whole(tmp_path) is None
    assert last_whole(tmp_path / "missing") is None
    cut_short(write_checkpoint(tmp_path, 1) / "optimizer.pt")
    assert last_whole(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_whole_checkpoint_is_left_as_it_is(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "stage", 4)
    shutil.copytree(checkpoint, tmp_path / "copy")
    assert last_whole(tmp_path / "stage") == checkpoint
    for path in (tmp_path / "copy").iterdir():
        assert (checkpoint / path.name).read_bytes() == path.read_bytes()
