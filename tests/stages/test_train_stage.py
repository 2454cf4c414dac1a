"""A training stage is done once, by content. Axolotl's place is taken by a program that ends at once.

The real thing, killed and resumed, is in test_chain.py.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
import yaml
from checkpoint_files import cut_short, write_checkpoint
from safetensors.torch import save_file

from kto_recipes.errors import UserError
from kto_recipes.files import read_json
from kto_recipes.stages.train import train_stage

LONG_AGO = 1_000_000_000
# What the program in Axolotl's place does: two logs, the second with a loss that is no number, and the end state.
TRAINS = """
import json, sys
from pathlib import Path
stage, loss = Path(sys.argv[1]), float(sys.argv[2])
first = {"step": 1, "max_steps": 2, "loss": loss, "rewards/margins": 0.0}
with (stage / "metrics.jsonl").open("a") as file:
    file.write(json.dumps(first) + "\\n" + '{"step": 2, "max_steps": 2, "loss": null}' + "\\n" + '{"step": 3')
state = {"global_step": 2, "max_steps": 2, "log_history": [first]}
(stage / "trainer_state.json").write_text(json.dumps(state))
print("trained")
"""
ANSWER = {"role": "assistant", "content": "fine"}
FAILS = "import sys; print('out of memory'); sys.exit(1)"


class Axolotl:
    """Starts a small program instead of Axolotl and counts."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.program = TRAINS
        self.first_loss = 0.5

    def start(self, arguments: list[str], recipe: dict[str, Any], log: BinaryIO) -> subprocess.Popen:
        self.calls.append(arguments)
        command = [sys.executable, "-c", self.program, recipe["output_dir"], str(self.first_loss)]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


@pytest.fixture
def axolotl(monkeypatch: pytest.MonkeyPatch) -> Axolotl:
    program = Axolotl()
    monkeypatch.setattr("kto_recipes.stages.train.start_axolotl", program.start)
    monkeypatch.delenv("GPUS", raising=False)
    return program


def conversations(*questions: str) -> str:
    """The lines of a file with one conversation for each question."""
    rows = ([{"role": "user", "content": question}, ANSWER] for question in questions)
    return "".join(json.dumps({"messages": messages}) + "\n" for messages in rows)


def answers(name: str) -> str:
    """The lines of a file with eight labelled answers, no two alike."""
    rows = (
        {
            "prompt": [{"role": "user", "content": f"{name} {number}"}],
            "completion": [{"role": "assistant", "content": f"answer {number}"}],
            "label": number % 2 == 0,
        }
        for number in range(8)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def sft(tmp_path: Path) -> Path:
    """A run's sft.yaml with the files it names."""
    (tmp_path / "base").mkdir()
    save_file({"w": torch.zeros(4)}, tmp_path / "base" / "model.safetensors")
    recipe: dict[str, Any] = {"base_model": str(tmp_path / "base"), "output_dir": str(tmp_path / "run" / "sft")}
    for key, name in (("datasets", "train"), ("test_datasets", "eval")):
        (tmp_path / f"{name}.jsonl").write_text(conversations(name))
        recipe[key] = [{"path": str(tmp_path / f"{name}.jsonl"), "type": "chat_template"}]
    path = tmp_path / "run" / "sft.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture
def kto(sft: Path) -> Path:
    recipe = yaml.safe_load(sft.read_text())
    traps = {"micro_batch_size": 8, "eval_batch_size": 8, "dataset_num_proc": 1, "shuffle_merged_datasets": False}
    traps |= {"rl": "kto", "adapter": "lora", "remove_unused_columns": False, "output_dir": str(sft.parent / "kto")}
    for key, name in (("datasets", "train"), ("test_datasets", "eval")):
        file = sft.parent.parent / f"answers.{name}.jsonl"
        file.write_text(answers(name))
        recipe[key] = [{"path": str(file), "type": "kto_recipes.chat_template"}]
    path = sft.with_name("kto.yaml")
    path.write_text(yaml.safe_dump(recipe | traps))
    return path


def train(yaml_path: Path) -> tuple[str, list[dict[str, Any]]]:
    logs: list[dict[str, Any]] = []
    return train_stage(yaml_path, logs.append), logs


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- once ---------------------------------------------------------------------------------------------------


def test_a_stage_is_trained_and_stamped_with_what_it_was_made_from(sft: Path, axolotl: Axolotl) -> None:
    how, logs = train(sft)
    stage = sft.parent / "sft"
    assert how == "trained"
    assert axolotl.calls == [["train", str(sft), "--launcher", "python"]]
    assert (stage / "done").read_text() == "2 steps\n"
    assert (stage / "train.log").read_text() == "trained\n"
    assert set(read_json(stage / "inputs.json")) == {"yaml", "data", "base_model"}
    assert logs == [
        {"step": 1, "max_steps": 2, "loss": 0.5, "rewards/margins": 0.0},
        {"step": 2, "max_steps": 2},  # a loss that is no number is left out; the unfinished line is not read
    ]


def test_the_same_inputs_are_not_trained_twice_and_only_the_stamps_time_changes(sft: Path, axolotl: Axolotl) -> None:
    train(sft)
    stage = sft.parent / "sft"
    before = files_of(stage)
    for path in stage.iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert train(sft) == ("was done already", [])
    assert len(axolotl.calls) == 1
    assert files_of(stage) == before
    assert [path.name for path in stage.iterdir() if path.stat().st_mtime != LONG_AGO] == ["done"]


def test_inputs_touched_or_copied_elsewhere_are_the_same_by_content(sft: Path, axolotl: Axolotl) -> None:
    train(sft)
    for path in sft.parent.parent.rglob("*"):
        os.utime(path)
    assert train(sft)[0] == "was done already"


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


CHANGES: dict[str, Callable[[Path], object]] = {
    "the recipe": lambda root: append(root / "run" / "sft.yaml", "learning_rate: 0.001\n"),
    "the training data": lambda root: append(root / "train.jsonl", conversations("more")),
    "the eval data": lambda root: append(root / "eval.jsonl", conversations("more")),
    "the base model's weights": lambda root: save_file({"w": torch.ones(4)}, root / "base" / "model.safetensors"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_inputs_move_the_stage_aside_and_start_anew(
    sft: Path, axolotl: Axolotl, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object]
) -> None:
    train(sft)
    stage = sft.parent / "sft"
    write_checkpoint(stage, 1)
    before = files_of(stage)
    change(sft.parent.parent)
    assert train(sft)[0] == "trained"  # and not resumed from the old checkpoint
    assert files_of(sft.parent / "sft.old-1") == before
    assert not (stage / "checkpoint-1").exists()
    assert read_json(stage / "inputs.json") != read_json(sft.parent / "sft.old-1" / "inputs.json")
    assert "sft.old-1" in capsys.readouterr().out


def test_what_was_moved_aside_before_stays(sft: Path, axolotl: Axolotl) -> None:
    for questions in (["a"], ["a", "b"], ["a", "b", "c"]):
        (sft.parent.parent / "train.jsonl").write_text(conversations(*questions))
        train(sft)
    assert sorted(path.name for path in sft.parent.glob("sft*")) == ["sft", "sft.old-1", "sft.old-2", "sft.yaml"]
    assert len(axolotl.calls) == 3


def test_a_stage_that_does_not_say_what_it_was_made_from_is_not_resumed_into(sft: Path, axolotl: Axolotl) -> None:
    write_checkpoint(sft.parent / "sft", 3)  # as `axolotl train` by hand leaves it, perhaps from an older recipe
    assert train(sft)[0] == "trained"
    assert (sft.parent / "sft.old-1" / "checkpoint-3").is_dir()


# --- interrupted --------------------------------------------------------------------------------------------


def interrupted(sft: Path, axolotl: Axolotl) -> Path:
    """A stage with its inputs recorded and Axolotl dead before the end."""
    axolotl.program = FAILS
    with pytest.raises(UserError):
        train(sft)
    axolotl.program = TRAINS
    axolotl.calls.clear()
    stage = sft.parent / "sft"
    (stage / "train.log").unlink()
    return stage


def test_a_failed_training_leaves_no_stamp_and_shows_its_last_words(sft: Path, axolotl: Axolotl) -> None:
    axolotl.program = FAILS
    with pytest.raises(UserError, match=r"exit code 1(?s:.*)out of memory"):
        train(sft)
    assert not (sft.parent / "sft" / "done").exists()


def test_a_training_that_ends_well_but_without_its_state_is_a_failure(sft: Path, axolotl: Axolotl) -> None:
    axolotl.program = "print('nothing to do')"
    with pytest.raises(UserError, match="nothing to do"):
        train(sft)
    assert not (sft.parent / "sft" / "done").exists()


def test_a_whole_checkpoint_is_resumed_from_and_a_torn_one_after_it_is_gone(sft: Path, axolotl: Axolotl) -> None:
    stage = interrupted(sft, axolotl)
    write_checkpoint(stage, 1)
    cut_short(write_checkpoint(stage, 2) / "optimizer.pt")
    assert train(sft)[0] == "resumed from checkpoint-1"
    assert len(axolotl.calls) == 1
    assert [path.name for path in stage.glob("checkpoint-*")] == ["checkpoint-1"]
    assert not stage.with_name("sft.old-1").exists()


def test_a_complete_final_checkpoint_is_the_result_without_training(sft: Path, axolotl: Axolotl) -> None:
    stage = interrupted(sft, axolotl)
    write_checkpoint(stage, 2, fill=1.0)
    final = write_checkpoint(stage, 4, max_steps=4, fill=2.0)
    assert train(sft) == ("taken from checkpoint-4, its last step", [])
    assert axolotl.calls == []
    assert not (stage / "train.log").exists()
    assert (stage / "done").read_text() == "4 steps\n"
    result = {path.name for path in stage.iterdir() if path.is_file()} - {"done", "inputs.json"}
    assert result == {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "trainer_state.json"}
    for name in result:
        assert (stage / name).read_bytes() == (final / name).read_bytes()


def test_a_torn_final_checkpoint_is_no_result(sft: Path, axolotl: Axolotl) -> None:
    stage = interrupted(sft, axolotl)
    write_checkpoint(stage, 2)
    cut_short(write_checkpoint(stage, 4) / "adapter_model.safetensors")
    assert train(sft)[0] == "resumed from checkpoint-2"


def test_interrupting_the_wrapper_ends_the_training_it_started(
    sft: Path, axolotl: Axolotl, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen] = []

    def start(*arguments: Any) -> subprocess.Popen:
        started.append(axolotl.start(*arguments))
        return started[-1]

    def interrupt(log: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kto_recipes.stages.train.start_axolotl", start)
    axolotl.program = TRAINS + "import time; time.sleep(20)"
    with pytest.raises(KeyboardInterrupt):
        train_stage(sft, interrupt)
    assert started[0].returncode == -signal.SIGTERM
    assert not (sft.parent / "sft" / "done").exists()


# --- refused ------------------------------------------------------------------------------------------------


def test_kto_that_did_not_start_at_its_reference_is_not_stamped(kto: Path, axolotl: Axolotl) -> None:
    axolotl.first_loss = 0.3
    with pytest.raises(UserError, match="did not start at its reference"):
        train(kto)
    assert not (kto.parent / "kto" / "done").exists()


def test_kto_that_started_at_its_reference_is_stamped_and_sft_has_no_such_start(
    kto: Path, sft: Path, axolotl: Axolotl
) -> None:
    assert train(kto)[0] == "trained"
    axolotl.first_loss = 3.0
    assert train(sft)[0] == "trained"


def test_the_invariant_holds_for_a_result_taken_from_a_checkpoint_too(kto: Path, axolotl: Axolotl) -> None:
    axolotl.program = FAILS
    with pytest.raises(UserError):
        train(kto)
    write_checkpoint(kto.parent / "kto", 4, first_loss=0.1)
    with pytest.raises(UserError, match="did not start at its reference"):
        train(kto)
    assert not (kto.parent / "kto" / "done").exists()


@pytest.mark.parametrize(
    ("remove", "says"),
    [
        ("train.jsonl", "prepare the data first"),
        ("eval.jsonl", "prepare the data first"),
        ("base", "run the stage before this one first"),
    ],
)
def test_a_missing_input_is_named_before_anything_is_written(
    sft: Path, axolotl: Axolotl, remove: str, says: str
) -> None:
    path = sft.parent.parent / remove
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=f"(?i){remove}.*{says}"):
        train(sft)
    assert not (sft.parent / "sft").exists()
    assert axolotl.calls == []


def test_a_recipe_with_a_problem_is_not_trained(kto: Path, axolotl: Axolotl) -> None:
    kto.write_text(kto.read_text() + "kto_desireable_weight: 0.3\n")
    with pytest.raises(UserError, match="did you mean kto_desirable_weight"):
        train(kto)
    assert axolotl.calls == []


def test_a_recipe_with_bad_data_is_not_trained_and_nothing_is_written(kto: Path, axolotl: Axolotl) -> None:
    data = kto.parent.parent / "answers.train.jsonl"
    data.write_text(data.read_text().replace("true", "1").replace("false", "-1"))
    with pytest.raises(UserError, match="label is 1; KTO needs true or false"):
        train(kto)
    assert axolotl.calls == []
    assert not (kto.parent / "kto").exists()


def test_several_gpus_go_through_accelerate(sft: Path, axolotl: Axolotl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUS", "4")
    train(sft)
    assert axolotl.calls == [["train", str(sft), "--launcher", "accelerate", "--", "--num_processes=4"]]


def test_the_recorded_inputs_are_hashes_of_content(sft: Path, axolotl: Axolotl) -> None:
    from hashlib import sha256

    train(sft)
    recorded = json.loads((sft.parent / "sft" / "inputs.json").read_text())
    assert recorded["yaml"] == sha256(sft.read_bytes()).hexdigest()
    data = sft.parent.parent / "train.jsonl"
    assert recorded["data"][str(data)] == sha256(data.read_bytes()).hexdigest()
