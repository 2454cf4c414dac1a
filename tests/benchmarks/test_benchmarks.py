"""The benchmarks of the KTO trainer run without Axolotl, compare what computes the same, and say what they found."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SIDES = ("stock", "ours")


@pytest.fixture
def quick(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], str]]:
    """quick("kto_step.py", "--ablation"): what it wrote and its last line, where Axolotl cannot be imported."""
    refusal = tmp_path / "without" / "axolotl" / "__init__.py"
    refusal.parent.mkdir(parents=True)
    refusal.write_text('raise ImportError("a benchmark of the trainer imports Axolotl")\n', encoding="utf-8")
    env = os.environ | {"PYTHONPATH": str(refusal.parents[1]), "HF_HUB_OFFLINE": "1"}

    def run(script: str, *options: str) -> tuple[dict[str, Any], str]:
        out = tmp_path / "found.json"
        command = [sys.executable, str(BENCHMARKS / script), "--quick", *options, "--out", str(out)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", env=env, cwd=tmp_path, timeout=600)
        assert done.returncode == 0, done.stderr + done.stdout
        found = json.loads(out.read_text(encoding="utf-8"))
        assert found["command"].startswith(f"python benchmarks/{script} --quick")
        assert found["versions"]["trl"] == "1.9.0"
        assert found["machine"]["cpu"]
        assert found["date"]
        last = done.stdout.splitlines()[-1]
        assert last.endswith(found["command"])
        return found, last

    return run


@pytest.mark.slow
def test_the_step_benchmark_times_stock_and_ours_on_batches_of_one_loss(quick: Callable) -> None:
    found, last = quick("kto_step.py", "--method", "lora", "--method", "full")
    assert [(one["model"], one["method"]) for one in found["configurations"]] == [("body", "lora"), ("body", "full")]
    for one in found["configurations"]:
        assert {"stock", "ours", "ours, pass", "sft"} <= set(one["samples"])
        assert all(len(samples) == 2 and min(samples) > 0 for samples in one["samples"].values())
        assert one["loss_difference"]["ours"] <= 8e-7
        for figure in one["speed_up"]["ours"].values():
            assert figure["low"] <= figure["median"] <= figure["high"]
        stock, ours, once = (one["samples"][name][0] for name in ("stock", "ours", "ours, pass"))
        three_epochs = 3 * stock / (3 * ours + once)  # the reference pass is made once
        figure = one["speed_up"]["ours"]["three_epochs"]
        assert pytest.approx(three_epochs) in (figure["low"], figure["high"])
    figure = found["configurations"][0]["speed_up"]["ours"]["three_epochs"]
    stated = f"{figure['median']:.2f} ({figure['low']:.2f}–{figure['high']:.2f}) times stock's tokens a CPU second"
    assert last.startswith(f"body lora, three epochs with the reference pass: {stated}")


@pytest.mark.slow
def test_the_ablation_times_each_setting_by_itself(quick: Callable) -> None:
    found, _ = quick("kto_step.py", "--ablation")
    (one,) = found["configurations"]
    alone = {"precompute_ref", "length_buckets", "fused_logps", "fused_logps, prefix_kl"}
    assert alone | {"ours"} <= set(one["speed_up"])
    assert max(one["loss_difference"].values()) <= 8e-7
    assert "precompute_ref, pass" in one["samples"]
    assert "length_buckets, pass" not in one["samples"]
    assert one["padding"]["length_buckets"]["policy"] < one["padding"]["fused_logps"]["policy"]


@pytest.mark.slow
def test_with_checkpoints_on_both_sides_the_losses_are_alike(quick: Callable) -> None:
    found, _ = quick("kto_step.py", "--checkpointing")
    (one,) = found["configurations"]
    assert (one["model"], one["method"], one["checkpointing"]) == ("body", "lora", True)
    assert max(one["loss_difference"].values()) <= 8e-7


@pytest.mark.slow
def test_the_memory_benchmark_measures_each_side_in_a_process_of_its_own(quick: Callable) -> None:
    found, last = quick("kto_memory.py", "--repeats", "1")
    for side in SIDES:
        (sizes,) = found["bytes"][side]
        assert sizes["step"] == sizes["highest"] - sizes["before"] > 0
    assert found["loss_difference"] <= 8e-7
    ratio = found["bytes"]["stock"][0]["step"] / found["bytes"]["ours"][0]["step"]
    assert found["times_less"]["median"] == pytest.approx(ratio)
    assert last.startswith(f"a step takes {ratio:.1f} times less memory than stock's")


@pytest.mark.slow
def test_the_gpu_benchmark_trains_every_cell_with_both_trainers(quick: Callable) -> None:
    found, last = quick("kto_gpu.py", "--lora", "4")
    assert {(cell["adapter"], cell["rows"]) for cell in found["cells"]} == {
        (adapter, rows) for adapter in ("lora", "qlora") for rows in ("hh", "full")
    }
    for cell in found["cells"]:
        assert {cell[side]["outcome"] for side in SIDES} == {"ok"}
        # policy and reference are one at the first step: the loss is half the mean weight
        assert all(cell[side]["first_loss"] == pytest.approx(0.5, abs=1e-3) for side in SIDES)
        # the first step does not count, and the rows of the others are the same
        assert cell["stock"]["tokens"] == cell["ours"]["tokens"]
    assert last.startswith("qwen2.5-3b lora, hh 64, 4 rows, three epochs with the reference pass: ")


@pytest.mark.slow
def test_the_gpu_benchmark_notes_what_its_minutes_did_not_suffice_for(quick: Callable) -> None:
    found, last = quick("kto_gpu.py", "--minutes", "0")
    assert {cell[side]["outcome"] for cell in found["cells"] for side in SIDES} == {"not run"}
    assert "stock not run, ours not run" in last


def test_a_quick_benchmark_does_not_overwrite_what_was_measured(tmp_path: Path) -> None:
    for script in ("kto_step.py", "kto_memory.py", "kto_gpu.py"):
        command = [sys.executable, str(BENCHMARKS / script), "--quick"]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path, timeout=120)
        assert done.returncode == 2
        assert done.stderr.startswith("error: --quick ")
        assert "--out" in done.stderr


def test_the_committed_lengths_are_those_of_the_public_data(real_data: Path, tmp_path: Path) -> None:
    pairs, out = real_data / "hh-rlhf" / "harmless-base.test.open.jsonl", tmp_path / "lengths.json"
    command = [sys.executable, str(BENCHMARKS / "hh_lengths.py"), str(pairs), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    committed = (BENCHMARKS / "hh_lengths.json").read_text(encoding="utf-8")
    assert out.read_text(encoding="utf-8") == committed
    counts = json.loads(committed)
    assert sum(sum(map(sum, counts[label])) for label in ("desirable", "undesirable")) == counts["rows"] == 1166
