"""Measured figures: valid, never lost, and told the same way by a recipe's header and by the README's table."""

from pathlib import Path
from typing import Any

import pytest
from tiny_models import REPO

from kto_recipes.errors import UserError
from kto_recipes.files import read_json, write_json
from kto_recipes.recipe import load_recipe, recipe_header
from kto_recipes.recipe.results import Result, add_result, measured_line, read_results, summary
from kto_recipes.recipe.table import recipe_table

RECIPES = REPO / "recipes"
FILES = sorted(RECIPES.glob("*/*.yaml"))
H200, RTX = "NVIDIA H200", "NVIDIA GeForce RTX 4090"
SETTINGS = {"sequence_len": 2048, "micro_batch_size": 4}
STAGES = {"sft": SETTINGS, "kto": SETTINGS}


def record(**changes: Any) -> dict[str, Any]:
    values = {
        "stage": "kto",
        "lengths": "mixed",
        "gpu": H200,
        "gpus": 1,
        "torch": "2.12.1",
        "axolotl": "0.19.0",
        "attn_implementation": "flash_attention_2",
        "peak_gib": 40.04,
        "tokens_per_s": 3450.4,
        "step_s": 5.0,
        "outcome": "ok",
        "date": "2026-01-31",
        "command": "python benchmarks/recipes_gpu.py --recipes a",
    }
    return values | SETTINGS | changes


def result(**changes: Any) -> Result:
    return Result(**record(**changes))


OOM = {"outcome": "oom", "tokens_per_s": None, "step_s": None, "peak_gib": None}


# --- the repository's own -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_header_says_where_the_figures_are_exactly_when_there_are_some(path: Path) -> None:
    assert recipe_header(path)["Measured"] == measured_line(RECIPES, path.parent.name)


def test_every_results_file_is_a_recipes_and_was_measured_with_its_settings() -> None:
    for path in (RECIPES / "results").glob("*"):
        files = list((RECIPES / path.stem).glob("*.yaml"))
        assert files, f"{path}: there is no such recipe"
        said = summary(read_results(path), {file.stem: load_recipe(file) for file in files})
        assert said != "not measured with these settings", f"{path}: measure again"


def test_the_line_changes_with_the_file(tmp_path: Path) -> None:
    assert measured_line(tmp_path, "a") == "not measured yet"
    add_result(tmp_path / "results" / "a.json", result())
    assert measured_line(tmp_path, "a") == "see recipes/results/a.json"
    assert measured_line(tmp_path, "b") == "not measured yet"


# --- the file -----------------------------------------------------------------------------------------------


def test_what_is_added_is_read_back(tmp_path: Path) -> None:
    add_result(tmp_path / "a.json", result())
    assert read_json(tmp_path / "a.json") == [record()]
    assert read_results(tmp_path / "a.json") == [result()]


def test_another_measurement_of_the_same_takes_its_place_and_all_others_stay(tmp_path: Path) -> None:
    others = [
        {"gpu": RTX},
        {"gpus": 2},
        {"stage": "sft"},
        {"lengths": "full"},
        {"sequence_len": 1024},
        {"micro_batch_size": 2},
        {"attn_implementation": "sdpa"},
    ]
    for change in [{}, *others]:
        add_result(tmp_path / "a.json", result(**change))
    add_result(tmp_path / "a.json", result(tokens_per_s=1.0, date="2026-02-01", torch="2.13.0", step_s=9.0))
    kept = read_results(tmp_path / "a.json")
    assert [r.tokens_per_s for r in kept] == [3450.4] * len(others) + [1.0]


def test_out_of_memory_is_kept_beside_what_fitted(tmp_path: Path) -> None:
    add_result(tmp_path / "a.json", result())
    add_result(tmp_path / "a.json", result(gpu=RTX, **OOM))
    assert [r.outcome for r in read_results(tmp_path / "a.json")] == ["ok", "oom"]


@pytest.mark.parametrize(
    ("damaged", "where"),
    [
        ([record(outcome="fine")], "0.outcome"),
        ([record(), record() | {"vram": 3}], "1.vram"),
        ([{key: value for key, value in record().items() if key != "gpu"}], "0.gpu"),
        ([record(tokens_per_s=None)], "outcome ok needs tokens_per_s and step_s"),
        ({"a": 1}, "list"),
    ],
)
def test_a_file_that_is_not_such_a_list_is_refused_with_its_place(damaged: Any, where: str, tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", damaged)
    with pytest.raises(UserError, match=rf"a\.json: .*{where}"):
        read_results(tmp_path / "a.json")


# --- the README's cell --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("results", "cell"),
    [
        ([result()], f"{H200}: 40.0 GiB, 3,450 tokens/s at KTO"),
        (
            [result(stage="sft", peak_gib=70.06), result(lengths="full", peak_gib=61.2, tokens_per_s=5000.0), result()],
            f"{H200}: 70.1 GiB, 3,450 tokens/s at KTO",
        ),
        ([result(lengths="full", tokens_per_s=5000.0)], f"{H200}: 40.0 GiB, 5,000 tokens/s at KTO"),
        ([result(stage="sft")], f"{H200}: 40.0 GiB"),
        (
            [result(), result(gpu=RTX, lengths="full", **OOM), result(gpu=RTX, stage="sft", peak_gib=20.0)],
            f"{H200}: 40.0 GiB, 3,450 tokens/s at KTO; {RTX}: 20.0 GiB, out of memory at KTO, full rows",
        ),
        ([result(gpus=8)], f"8 × {H200}: 40.0 GiB, 3,450 tokens/s at KTO"),
        ([result(sequence_len=1024), result(micro_batch_size=2)], "not measured with these settings"),
        ([result(sequence_len=1024, peak_gib=99.0), result()], f"{H200}: 40.0 GiB, 3,450 tokens/s at KTO"),
    ],
)
def test_the_cell_has_the_peak_the_speed_and_what_did_not_fit(results: list[Result], cell: str) -> None:
    assert summary(results, STAGES) == cell


def test_a_stage_that_the_recipe_does_not_have_does_not_count() -> None:
    assert summary([result(stage="sft")], {"kto": SETTINGS}) == "not measured with these settings"


def test_the_table_tells_the_figures_in_place_of_the_header(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        header = "# Goal:     one\n# Needs:    two\n# Data:     three\n# Run:      four\n# Measured: not measured yet\n"
        (tmp_path / name / "kto.yaml").write_text(f"{header}\nsequence_len: 2048\nmicro_batch_size: 4\n")
    add_result(tmp_path / "results" / "a.json", result())
    a, b = recipe_table(tmp_path).splitlines()[2:]
    assert a == f"| [`a`](recipes/a) | one | two | {H200}: 40.0 GiB, 3,450 tokens/s at KTO |"
    assert b == "| [`b`](recipes/b) | one | two | not measured yet |"
