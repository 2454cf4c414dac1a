"""`scripts/doctor.py` as a person starts it: table on stdout, one last line on stderr, exit code 2 for an error."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from plans import REPO, make_plan, recipe_of, write_recipe
from tiny_models import random_llama, write_base

SCRIPT = REPO / "scripts" / "doctor.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_plan(tmp_path, str(write_base(tmp_path / "base", random_llama(0))))
    return tmp_path


def doctor(folder: Path, *arguments: str, recipe: str = "recipes/small") -> subprocess.CompletedProcess[str]:
    """Run it without a GPU, a network or a token."""
    command = [sys.executable, str(SCRIPT), "--recipe", recipe, "--dataset", "datasets/mine", "--run", "outputs/run"]
    env = {key: value for key, value in os.environ.items() if key not in ("HF_TOKEN", "GPUS")}
    env |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "COLUMNS": "100", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [*command, *arguments], capture_output=True, encoding="utf-8", env=env, cwd=folder, timeout=120
    )


def test_a_good_plan_ends_with_ready_and_exit_code_0(folder: Path) -> None:
    done = doctor(folder, "--no-smoke", "--price", "2.5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("ready: ")
    assert done.stderr.strip() == ""


def test_a_gated_model_on_a_machine_without_a_gpu_is_refused_with_sentences(folder: Path) -> None:
    for stage in ("sft", "kto"):
        write_recipe(folder / "recipes/llama", stage, recipe_of("llama-3.1-8b-lora", stage), "one 80 GB GPU with bf16")
    done = doctor(folder, recipe="recipes/llama")
    assert done.returncode == 2
    assert "no GPU was found" in done.stdout
    assert "one 80 GB GPU with bf16" in done.stdout
    assert "meta-llama/Llama-3.1-8B is gated and HF_TOKEN is not set" in done.stdout
    assert "export HF_TOKEN=" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.strip() == "error: llama is not ready to run: gpu, access"


def test_a_trap_in_the_recipe_ends_it_within_two_seconds(folder: Path) -> None:
    path = folder / "recipes/small/kto.yaml"
    path.write_text(path.read_text().replace("dataset_num_proc: 1", "dataset_num_proc: 4"))
    seconds = []
    for _ in range(2):  # the machine may be busy once
        start = time.monotonic()
        done = doctor(folder)
        seconds.append(time.monotonic() - start)
    assert min(seconds) < 2
    assert done.returncode == 2
    assert "dataset_num_proc" in done.stdout
    assert "memory" not in done.stdout  # it stopped there
    assert done.stderr.strip() == "error: small is not ready to run: dataset_num_proc"


def test_more_gpus_asked_for_than_there_are_is_told_to_the_checks(folder: Path) -> None:
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '0, NVIDIA L4, 23034, 580.65.06, 8.9'\n")
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{program.parent}:/usr/bin:/bin", "GPUS": "3", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(SCRIPT), "--recipe", "recipes/small", "--dataset", "datasets/mine"]
    done = subprocess.run(
        [*command, "--run", "outputs/run", "--no-smoke"], capture_output=True, encoding="utf-8", env=env, cwd=folder
    )
    assert done.returncode == 2
    assert "GPUS=3, but 1 found" in done.stdout


def test_a_recipe_that_is_not_there_is_one_message(folder: Path) -> None:
    done = doctor(folder, recipe="recipes/absent")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: recipes/absent/kto.yaml: no such file\n"


def test_the_quick_checks_import_neither_torch_nor_axolotl(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from kto_recipes.doctor.plan import Plan; from kto_recipes.doctor.run import examine\n"
        "plan = Plan(Path('recipes/small'), Path('datasets/mine'), Path('outputs/run'))\n"
        "found = examine(plan, lambda what: None, smoke=False); assert len(found) > 8, found\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=folder)
    assert {"torch", "axolotl", "transformers", "trl", "datasets"}.isdisjoint(done.stdout.split())


def test_help_answers_at_once() -> None:
    start = time.monotonic()
    subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, check=True)
    assert time.monotonic() - start < 1
