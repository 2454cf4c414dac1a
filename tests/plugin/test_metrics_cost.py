"""metrics.jsonl says what each step cost."""

import json
import time
from pathlib import Path

import pytest
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from kto_recipes.plugin.callbacks import MetricsFile


@pytest.fixture
def arguments(tmp_path: Path) -> TrainingArguments:
    return TrainingArguments(output_dir=str(tmp_path), use_cpu=True)


def costs(arguments: TrainingArguments, *logs: dict[str, float], pause: float = 0.0) -> list[dict[str, float]]:
    callback = MetricsFile()
    callback.on_train_begin(arguments, TrainerState(), TrainerControl())
    for log in logs:
        time.sleep(pause)
        callback.on_log(arguments, TrainerState(is_world_process_zero=True), TrainerControl(), logs=log)
    lines = (Path(arguments.output_dir) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_line_says_how_long_the_training_has_run(arguments: TrainingArguments) -> None:
    first, second = costs(arguments, {"loss": 1.0}, {"loss": 0.5}, pause=0.05)
    assert first["seconds"] >= 0.05
    assert second["seconds"] - first["seconds"] >= 0.05
    assert second["seconds"] < 5


def test_without_a_gpu_there_is_no_peak(arguments: TrainingArguments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "peak_gib" not in costs(arguments, {"loss": 1.0})[0]


def test_the_peak_is_the_highest_so_far_also_where_axolotl_sets_the_counter_back(
    arguments: TrainingArguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = iter([3 * 2**30, 1 * 2**30, 2 * 2**30])  # bytes, as PyTorch says them at the three logs
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: next(counter))
    axolotls = {"loss": 1.0, "memory/max_allocated (GiB)": 5.5}  # logged just before it was set back
    found = costs(arguments, {"loss": 1.0}, axolotls, {"loss": 1.0})
    assert [line["peak_gib"] for line in found] == [3.0, 5.5, 5.5]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
def test_the_peak_is_in_gib(arguments: TrainingArguments) -> None:
    del_me = torch.zeros(2**28, device="cuda")  # 1 GiB of float32
    del del_me
    assert costs(arguments, {"loss": 1.0})[0]["peak_gib"] >= 1.0
