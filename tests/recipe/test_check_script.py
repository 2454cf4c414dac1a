"""scripts/check_recipe.py and `make check`: a short list, exit code 2 at an error, in under two seconds."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_inputs import ELEVEN, Case

from kto_recipes.doctor.first_pass import first_pass

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]
every_bad_input = pytest.mark.parametrize(("check", "status", "says", "spoil"), ELEVEN.values(), ids=ELEVEN)
MARK = {"error": "✗", "warning": "!"}


@every_bad_input
def test_a_bad_input_is_answered_with_one_sentence_in_under_two_seconds(
    tmp_path: Path, run_script: Run, check: str, status: str, says: str, spoil: Callable[[Case], None]
) -> None:
    case = Case()
    spoil(case)
    path = case.write(tmp_path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_script("check_recipe.py", path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == (2 if status == "error" else 0)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(("  ✗", "  !"))]
    assert line.split()[:2] == [MARK[status], check]
    assert says in line
    assert done.stderr == ""
    assert "nothing wrong" not in done.stdout
    # processor time, which other programs on the machine do not lengthen
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 2


def test_a_good_recipe_ends_with_one_line_that_says_so(tmp_path: Path, run_script: Run) -> None:
    path = Case().write(tmp_path)
    done = run_script("check_recipe.py", path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == f"nothing wrong with {path}"
    assert [line[:3] for line in done.stdout.splitlines()] == [str(path)[:3], "  ✓", "  ✓", "not"]


def test_a_folder_is_checked_file_by_file(tmp_path: Path, run_script: Run) -> None:
    Case().write(tmp_path)
    (tmp_path / "sft.yaml").write_text("base_model: x\nlearning_rat: 1\n")
    done = run_script("check_recipe.py", tmp_path)
    assert done.returncode == 2
    assert "did you mean learning_rate?" in done.stdout
    assert done.stdout.splitlines()[-1] == f"nothing wrong with {tmp_path}/kto.yaml"


@pytest.mark.parametrize(("given", "says"), [("nowhere", "no YAML file"), ("empty", "no YAML file")])
def test_what_is_no_recipe_is_refused_with_those_there_are(
    tmp_path: Path, run_script: Run, refused: Callable[..., str], given: str, says: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "recipes" / "mine").mkdir(parents=True)
    (tmp_path / "recipes" / "mine" / "kto.yaml").write_text("rl: kto\n")
    message = refused(run_script("check_recipe.py", given))
    assert says in message
    assert message.endswith("the recipes here are: mine")


def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path, run_script: Run, refused: Callable[..., str]) -> None:
    (tmp_path / "x.yaml").write_text("a: [")
    assert "not valid YAML" in refused(run_script("check_recipe.py", "x.yaml"))


# --- make check ---------------------------------------------------------------------------------------------


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "VENV=", *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, encoding="utf-8")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as it is cloned: nothing is prepared."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("recipes", "scripts"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copytree(ROOT / "datasets", folder / "datasets", ignore=shutil.ignore_patterns("*.jsonl", "manifest.json"))
    return folder


def test_make_check_of_a_recipe_in_a_fresh_clone_has_no_error_and_says_what_is_not_prepared(clone: Path) -> None:
    done = make(clone, "check", "RECIPE=llama-3.1-8b-lora")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("not prepared yet") == 4  # train and eval file, at SFT and at KTO
    assert "✗" not in done.stdout


def test_no_recipe_of_a_fresh_clone_has_an_error(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)
    errors = [
        finding
        for path in sorted(Path("recipes").glob("*/*.yaml"))
        for finding in first_pass(path)
        if finding.status == "error"
    ]
    assert errors == []


def test_make_check_takes_a_file_anywhere_and_no_other_goal_does(clone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    folder.mkdir()
    case = Case()
    case.recipe["micro_batch_size"] = case.recipe["eval_batch_size"] = 1
    path = case.write(folder)
    done = make(clone, "check", f"RECIPE={path}")
    assert done.returncode == 2
    assert "micro_batch_size is 1" in done.stdout
    for goals in (["kto"], ["check", "kto"], []):
        assert "there is no recipe" in make(clone, *goals, "RECIPE=nowhere").stderr
    assert "the recipes here are: " in make(clone, "check", "RECIPE=nowhere").stderr
