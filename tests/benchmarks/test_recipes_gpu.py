"""The benchmark of the recipes: rows of the lengths it says, figures from the steps after the first, and it runs."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import REPO

from kto_recipes.random_model import new_tokenizer
from kto_recipes.recipe import load_recipe
from kto_recipes.recipe.results import read_results
from kto_recipes.templates import set_template

sys.path.insert(0, str(REPO / "benchmarks"))  # as a script there finds its neighbours

import recipe_steps
import recipes_gpu
from synthetic_rows import RowMaker, row_lengths

KINDS = ("llama-3.1-8b-lora", "llama-3.1-8b-instruct-lora", "qwen2.5-3b-lora")


def steps(*seconds_and_tokens: tuple[float, float]) -> dict[str, float]:
    seconds, tokens = zip(*seconds_and_tokens, strict=True)
    return recipe_steps.figures(list(tokens), list(seconds))


# --- rows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["sft", "kto"])
@pytest.mark.parametrize("name", KINDS)
def test_a_row_has_exactly_the_length_that_was_asked_for(name: str, stage: str, tmp_path: Path) -> None:
    recipe = load_recipe(REPO / "recipes" / name / "kto.yaml")
    tokenizer = new_tokenizer(recipe)
    set_template(tokenizer, recipe)
    lengths = [96, 97, 500, 2046]
    RowMaker(tokenizer).write(tmp_path / "rows.jsonl", stage, lengths, halves=True)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").open()]
    chats = [row["messages"] if stage == "sft" else row["prompt"] + row["completion"] for row in rows]
    assert [len(tokenizer.apply_chat_template(chat, return_dict=False)) for chat in chats] == lengths
    prompts = [tokenizer.apply_chat_template(c[:1], add_generation_prompt=True, return_dict=False) for c in chats]
    if stage == "sft":
        assert len({len(prompt) for prompt in prompts}) == 1  # or `untrained` would not be one number
    assert len({str(chat) for chat in chats}) == len(chats)


def test_full_rows_fill_the_recipes_length_but_for_what_axolotl_counts_twice() -> None:
    assert row_lengths("full", 3, 2048) == [2046] * 3


def test_mixed_rows_are_as_the_set_they_are_modelled_on_and_none_is_dropped() -> None:
    lengths = sorted(row_lengths("mixed", 10_000, 1_000_000))
    # Log-normal around 400 with σ 1, without the 7.7 % below 96 that the template alone would fill: by the normal
    # distribution's table half of the rest are below 440 and nine tenths below 1508.
    assert lengths[5_000] == pytest.approx(440, rel=0.05)
    assert lengths[9_000] == pytest.approx(1508, rel=0.08)
    short = row_lengths("mixed", 1_000, 256)
    assert len(short) == 1_000
    assert max(short) <= 254
    assert min(short) >= 96


# --- figures ------------------------------------------------------------------------------------------------


def test_the_first_step_does_not_count() -> None:
    assert steps((100.0, 5000), (102.0, 6000), (104.0, 7000)) == {"tokens_per_s": 500.0, "step_s": 2.0}


def test_the_time_of_a_step_is_the_median_and_the_speed_is_over_all() -> None:
    found = steps((0.0, 0), (1.0, 100), (2.0, 200), (8.0, 400))
    assert found == {"tokens_per_s": 50.0, "step_s": 1.0}


def test_tokens_of_kto_are_trls_own_count() -> None:
    assert recipe_steps.tokens_so_far({"num_tokens": 77.0, "step": 2}, 8, 30) == 77.0


def test_tokens_of_sft_are_those_trained_on_and_the_prompts_beside_them() -> None:
    assert recipe_steps.tokens_so_far({"tokens/trainable": 1000, "step": 2}, 8, 30) == 1000 + 2 * 8 * 30


@pytest.mark.parametrize(
    ("log", "is_so"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of", True),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory.", True),
        ("RuntimeError: CUDA error: out of memory", True),
        ("RuntimeError: CUDA error: an illegal memory access was encountered", False),
        ("ValueError: the file is out of date", False),
    ],
)
def test_out_of_memory_is_told_from_other_failures(log: str, is_so: bool) -> None:
    assert recipe_steps.is_out_of_memory(log) is is_so


def test_a_line_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"loss": 1}\n{"eval_loss": 2}\n{"loss": 3')
    assert recipe_steps.step_logs(tmp_path / "m.jsonl") == [{"loss": 1}]
    assert recipe_steps.step_logs(tmp_path / "none.jsonl") == []


# --- the command --------------------------------------------------------------------------------------------


def run_benchmark(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/recipes_gpu.py", *arguments]
    return subprocess.run(command, cwd=REPO, capture_output=True, encoding="utf-8", timeout=timeout)


def test_names_are_those_of_recipes_for_a_gpu(refused: Callable[..., str]) -> None:
    message = refused(run_benchmark("--recipes", "qwen2.5-3b-lora", "tiny-llama-lora"))
    assert message.startswith('"tiny-llama-lora" is not a recipe for a GPU; these are: ')
    assert "qwen2.5-3b-lora-nosft" in message


def test_a_trial_on_a_cpu_cannot_be_written_among_the_figures(refused: Callable[..., str]) -> None:
    assert "name another folder with --out" in refused(run_benchmark("--quick"))


def test_all_recipes_for_a_gpu_are_measured_unless_some_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPO)
    every = [path.parent.name for path in sorted(REPO.glob("recipes/*/kto.yaml"))]
    assert set(every) - set(recipes_gpu._names([])) == {name for name in every if name.startswith("tiny-")}
    assert recipes_gpu._names(["qwen2.5-3b-lora"]) == ["qwen2.5-3b-lora"]


def job(name: str, stage: str) -> Any:
    return recipe_steps.Job(REPO / "recipes" / name / f"{stage}.yaml", "mixed")


def bench(work: Path, *, quick: bool = True, seconds: float = 300.0) -> Any:
    machine = recipe_steps.Machine("cpu", 0 if quick else 1)
    return recipe_steps.Bench(work, machine, 3, quick, None, time.monotonic() + seconds)


def test_a_recipe_for_more_gpus_than_there_are_and_one_too_late_are_left_out(tmp_path: Path) -> None:
    full = job("llama-3.1-8b-full", "kto")
    assert bench(tmp_path, quick=False).obstacle(full) == "needs 8 GPUs, here are 1"
    assert bench(tmp_path).obstacle(full) is None
    assert bench(tmp_path, seconds=-1).obstacle(full) == "no time left"


@pytest.mark.slow
def test_the_benchmark_runs_a_recipe_in_miniature_and_writes_its_results(tmp_path: Path) -> None:
    name = "qwen2.5-3b-lora-nosft"
    done = run_benchmark("--quick", "--recipes", name, "--steps", "2", "--out", str(tmp_path), timeout=600)
    assert done.returncode == 0, done.stderr
    results = read_results(tmp_path / f"{name}.json")
    assert [(r.stage, r.lengths, r.outcome) for r in results] == [("kto", "full", "ok"), ("kto", "mixed", "ok")]
    recipe = load_recipe(REPO / "recipes" / name / "kto.yaml")
    for result in results:
        assert (result.gpu, result.peak_gib, result.sequence_len) == ("cpu", None, recipe_steps.QUICK_LENGTH)
        assert result.micro_batch_size == recipe["micro_batch_size"]
    full = results[0]
    per_step = full.tokens_per_s * full.step_s  # one counted step: every row of it at its full length
    longest = recipe_steps.QUICK_LENGTH - 2
    assert per_step == pytest.approx(recipe["micro_batch_size"] * longest, rel=0.02)
    last = done.stdout.splitlines()[-1]
    assert last.endswith(f": python benchmarks/recipes_gpu.py --steps 2 --quick --recipes {name}")
    assert " tokens/s " in last
    assert not (REPO / "recipes/results" / f"{name}.json").exists()


@pytest.mark.slow
def test_an_sft_stage_is_measured_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[int] = []
    found = bench(tmp_path).measure(recipe_steps.Job(job("llama-3.1-8b-lora", "sft").path, "full"), seen.append)
    assert found["outcome"] == "ok"
    assert seen[-1] == 3
    rows = found["micro_batch_size"]
    assert found["tokens_per_s"] * found["step_s"] == pytest.approx(rows * 254, rel=0.02)
