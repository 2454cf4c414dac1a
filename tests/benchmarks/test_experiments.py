"""The experiments of docs/kto.md: what they compare is what they say, they go on after a stop, pictures are current."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain_copy import RUN, copy_of_the_repository, make
from scipy.stats import ttest_1samp
from tiny_models import REPO, random_llama, trained_tokenizer

from kto_recipes.files import read_json
from kto_recipes.rows import KtoRow

sys.path.insert(0, str(REPO / "benchmarks"))  # as a script there finds its neighbours

import experiment_cells
import experiment_pictures as pictures
import experiments
from experiment_grid import BETAS, DEFINITIONS, QUESTIONS, Cell, Condition, cells

BENCHMARKS = REPO / "benchmarks"
PAGE = (REPO / "docs" / "kto.md").read_text(encoding="utf-8")
RECORD: dict[str, Any] = read_json(BENCHMARKS / "results" / "experiments.json")


def row(number: int, label: bool) -> KtoRow:
    prompt, kind = [{"role": "user", "content": f"question {number}"}], "good" if label else "bad"
    meta = {"id": f"{number}{'' if label else '#made'}", "group": str(number), "source": "telegram"}
    meta |= {} if label else {"strategy": "template", "parent": str(number)}
    return {
        "prompt": prompt,
        "completion": [{"role": "assistant", "content": f"{kind} {number}"}],
        "label": label,
        "meta": meta,
    }


PAIRS = experiment_cells.pairs_of([row(n, label) for n in range(300) for label in (False, True)])


def said(rows: list[KtoRow]) -> list[tuple[str, bool]]:
    return [(it["completion"][0]["content"], it["label"]) for it in rows]


# --- what is compared -----------------------------------------------------------------------------------------


def test_a_run_that_is_stopped_has_fewer_seeds_and_not_fewer_questions() -> None:
    conditions = {condition for asked in QUESTIONS.values() for condition in asked.values()}
    todo = cells(3)
    assert [cell.seed for cell in todo] == sorted(cell.seed for cell in todo)
    for seed in range(3):
        assert {cell.condition for cell in todo if cell.seed == seed} == conditions
    assert len(todo) == len(set(todo)) == 3 * len(conditions)


def test_the_questions_are_those_that_the_page_asks() -> None:
    assert list(QUESTIONS) == ["beta", "imbalance", "noise", "sft", "z0"]
    counts = {(it.desirable / it.undesirable, it.weights) for it in QUESTIONS["imbalance"].values()}
    assert counts == {(0.1, "rule"), (0.1, "equal"), (1.0, "rule"), (10.0, "rule"), (10.0, "equal")}
    noise = QUESTIONS["noise"].values()
    for loss in ("kto", "dpo"):
        assert {it.flipped for it in noise if it.loss == loss} == {0.0, 0.1, 0.3}
    # but for what is asked, conditions are alike
    assert {replace(it, beta=0.1) for it in QUESTIONS["beta"].values()} == {Condition()}
    assert {replace(it, z0="mismatched", desirable=1, undesirable=1) for it in QUESTIONS["z0"].values()} == {
        Condition(start="base", desirable=1, undesirable=1)
    }


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_kto_and_dpo_see_the_same_pairs_with_the_same_labels_flipped(share: float) -> None:
    cell = Cell(Condition(flipped=share), seed=1)
    rows = said(experiment_cells.rows_of(PAIRS, cell))
    chosen, rejected = (said(side) for side in zip(*experiment_cells.pair_rows_of(PAIRS, cell), strict=True))
    assert sorted(text for text, label in rows if label) == sorted(text for text, _ in chosen)
    assert sorted(text for text, label in rows if not label) == sorted(text for text, _ in rejected)
    assert sum(text.startswith("bad") for text, _ in chosen) == share * len(chosen)
    assert [text.split()[1] for text, _ in chosen] == [text.split()[1] for text, _ in rejected]


def test_what_is_flipped_at_ten_per_cent_is_flipped_at_thirty() -> None:
    flipped = []
    for share in (0.1, 0.3):
        rows = said(experiment_cells.rows_of(PAIRS, Cell(Condition(flipped=share), seed=2)))
        flipped.append({text for text, label in rows if label != text.startswith("good")})
    assert 0 < len(flipped[0]) < len(flipped[1])
    assert flipped[0] < flipped[1]


def test_another_seed_draws_other_rows_in_another_order() -> None:
    first, again, other = (said(experiment_cells.rows_of(PAIRS, Cell(Condition(), seed))) for seed in (0, 0, 1))
    assert first == again
    assert set(first) != set(other)


def test_z0_is_taken_of_the_rows_own_answers_only_where_that_is_the_question(tmp_path: Path) -> None:
    from kto_recipes.generation import Loaded

    def dataset(z0: str) -> Any:
        cell = Cell(Condition(desirable=8, undesirable=8, z0=z0), 0)
        return experiment_cells._kto(cell, Loaded(random_llama(0), trained_tokenizer()), PAIRS, tmp_path)

    right, matched, zero = (dataset(z0) for z0 in ("mismatched", "matched", "zero"))
    own = right.train_dataset["completion_ids"]
    assert all(a != b for a, b in zip(right.train_dataset["KL_completion_ids"], own, strict=True))
    assert matched.train_dataset["KL_completion_ids"] == matched.train_dataset["completion_ids"]
    assert matched.train_dataset["completion_ids"] == own
    assert "KL_completion_ids" not in zero.train_dataset.column_names
    assert (right.args.loss_type, zero.args.loss_type) == ("kto", "apo_zero_unpaired")


# --- what is finished -----------------------------------------------------------------------------------------


def test_what_is_finished_is_kept_and_a_line_cut_short_spoils_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    first, second, third = cells(1)[:3]
    kept = experiments._Kept(path, "these inputs")
    kept.add(first, {"margin": 1.0})
    kept.add(second, {"margin": 2.0})
    path.write_bytes(path.read_bytes()[:-5])
    again = experiments._Kept(path, "these inputs")
    assert again.cells == {first: {"margin": 1.0}}
    again.add(third, {"margin": 3.0})
    assert experiments._Kept(path, "these inputs").cells == {first: {"margin": 1.0}, third: {"margin": 3.0}}
    assert experiments._Kept(path, "other inputs").cells == {}


def test_quick_does_not_overwrite_what_was_measured(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "experiments.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path, timeout=120)
    assert done.returncode == 2
    assert done.stderr == "error: --quick shows nothing of the method: name a file for its results with --out\n"


@pytest.mark.long
def test_every_cell_is_trained_and_measured_and_finished_ones_are_not_trained_again(tmp_path: Path) -> None:
    folder = copy_of_the_repository(tmp_path / "copy", steps=2)
    make(folder, "sft")
    command = [sys.executable, str(BENCHMARKS / "experiments.py"), "--quick", "--demo", RUN, "--out", "found.json"]
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=folder, env=env, timeout=900)
        assert done.returncode == 0, done.stderr + done.stdout
        found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
        assert done.stdout.splitlines()[-1].endswith(found["command"])
    lines = (folder / "outputs/experiments/cells.jsonl").read_text(encoding="utf-8").split()
    assert len(lines) == len(found["cells"]) == len(cells(2))
    for cell in found["cells"]:
        how, figures = cell["condition"], cell["figures"]
        assert set(figures) == set(DEFINITIONS)
        assert (figures["z0"] is None) == (how["loss"] != "kto")
        assert np.isfinite([value for value in figures.values() if value is not None]).all()
        if how["loss"] == "none":
            assert figures["margin"] == figures["kl"] == 0
        if how["z0"] == "zero":
            assert figures["z0"] == 0
    assert set(pictures.all_pictures(found)) == set(pictures.all_pictures(RECORD))


# --- what was found -------------------------------------------------------------------------------------------


def test_the_committed_results_have_every_condition_with_the_same_seeds() -> None:
    assert RECORD["definitions"] == DEFINITIONS
    assert RECORD["questions"] == {
        question: {name: it.record() for name, it in asked.items()} for question, asked in QUESTIONS.items()
    }
    seeds = len({cell["seed"] for cell in RECORD["cells"]})
    assert seeds >= 3
    for question, asked in QUESTIONS.items():
        for name in asked:
            assert len(pictures.values(RECORD, question, name, "margin")) == seeds


def test_all_of_it_takes_less_than_an_hour_on_two_cores() -> None:
    seconds = [cell["figures"]["train_s"] + cell["figures"]["measure_s"] for cell in RECORD["cells"]]
    assert sum(seconds) / 2 < 3600


def test_an_interval_is_student_s() -> None:
    found = [1.0, 2.0, 4.0, 7.0]
    interval = ttest_1samp(found, 0).confidence_interval(0.95)
    mean = pictures.mean_of(found)
    assert (mean.value - mean.half, mean.value + mean.half) == pytest.approx((interval.low, interval.high))


def test_differences_are_paired_by_seed() -> None:
    names = ("1:1", "1:10, by the rule")
    first, second = (pictures.values(RECORD, "imbalance", name, "margin") for name in names)
    found = pictures.difference(RECORD, "imbalance", *names, "margin")
    assert found == pytest.approx(pictures.mean_of([a - b for a, b in zip(first, second, strict=True)]))


# --- pictures -------------------------------------------------------------------------------------------------

DRAWN = pictures.all_pictures(RECORD)


@pytest.mark.parametrize("name", DRAWN)
def test_the_picture_in_the_repository_is_the_one_that_is_drawn(name: str) -> None:
    kept = (REPO / "docs" / "images" / name).read_text(encoding="utf-8")
    assert kept == DRAWN[name], "draw it again: python benchmarks/experiment_pictures.py"


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_every_axis_has_its_unit(name: str) -> None:
    units = ("nats", "per nat", "no unit", "share", "rows", "per cent", "stages")
    for axes in pictures.PICTURES[name](RECORD).axes:
        for label in (axes.get_xlabel(), axes.get_ylabel()):
            assert label.endswith(units), label


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_the_page_shows_it_with_its_figures_and_says_what_is_in_it(name: str) -> None:
    (description,) = re.findall(rf"!\[([^]]+)\]\(images/experiment-{name}\.svg\)", PAGE)
    assert len(description) > 60
    table = pictures.table(RECORD, name)
    assert f"\n\n{table}\n\n" in PAGE, f"the table should be:\n{table}"


# --- what the page says of them -------------------------------------------------------------------------------


def is_above(question: str, more: str, less: str, figure: str) -> bool:
    """Whether the difference, paired by seed, is above 0 with its whole 95 % interval."""
    found = pictures.difference(RECORD, question, more, less, figure)
    return found.value > found.half


def differs(question: str, one: str, other: str, figure: str) -> bool:
    return is_above(question, one, other, figure) or is_above(question, other, one, figure)


# z0: of the rows' own answers it is the same here; left out, desirable answers rise less
@pytest.mark.parametrize("balance", ["1:1", "10:1"])
def test_what_the_page_says_of_z0(balance: str) -> None:
    mismatched, matched, zero = (f"{balance}, {z0}" for z0 in ("mismatched", "matched", "zero"))
    assert not any(differs("z0", mismatched, matched, it) for it in ("z0", "r_desirable", "auc", "kl", "style"))
    assert is_above("z0", mismatched, zero, "r_desirable")


def test_what_the_page_says_of_beta() -> None:
    for less, more in pairwise(map(str, BETAS[1:])):  # the two smallest are alike
        assert is_above("beta", less, more, "margin")
        assert is_above("beta", less, more, "kl")
    assert is_above("beta", "0.3", "0.03", "auc")
    assert is_above("beta", "1.0", "0.01", "auc")
    style = [pictures.mean(RECORD, "beta", str(beta), "style").value for beta in BETAS]
    assert max(style) - min(style) < 0.06


def test_what_the_page_says_of_noise() -> None:
    for method in ("KTO", "DPO"):
        kept = pictures.mean(RECORD, "noise", f"{method}, 30%", "margin").value
        assert kept / pictures.mean(RECORD, "noise", f"{method}, 0%", "margin").value == pytest.approx(0.25, abs=0.05)
        lost = pictures.difference(RECORD, "noise", f"{method}, 0%", f"{method}, 30%", "auc").value
        assert lost < 0.05
        assert is_above("noise", f"{method}, 0%", f"{method}, 30%", "style")
    for share in ("10%", "30%"):
        assert not any(
            differs("noise", f"KTO, {share}", f"DPO, {share}", it) for it in ("margin", "auc", "style", "kl")
        )
    assert not differs("noise", "DPO, 0%", "KTO, 0%", "auc")
    kl = [pictures.mean(RECORD, "noise", f"{method}, 0%", "kl").value for method in ("KTO", "DPO")]
    assert is_above("noise", "DPO, 0%", "KTO, 0%", "kl")
    assert kl[0] / kl[1] == pytest.approx(2 / 3, abs=0.05)


def test_what_the_page_says_of_unequal_classes() -> None:
    by_rule, equal = "1:10, by the rule", "1:10, equal weights"
    good, bad, auc = (pictures.mean(RECORD, "imbalance", equal, it) for it in ("r_desirable", "r_undesirable", "auc"))
    assert good.value + good.half < -40
    assert abs(good.value - bad.value) < good.half
    assert abs(auc.value - 0.5) <= auc.half
    for figure in ("r_desirable", "auc", "style"):
        assert is_above("imbalance", by_rule, equal, figure)
    of_sft = pictures.mean(RECORD, "sft", "SFT", "style").value
    assert pictures.mean(RECORD, "imbalance", equal, "style").value / of_sft == pytest.approx(0.5, abs=0.1)
    assert is_above("imbalance", "10:1, equal weights", "10:1, by the rule", "r_undesirable")


def test_what_the_page_says_of_sft() -> None:
    assert is_above("sft", "base, then KTO", "SFT, then KTO", "auc")
    assert pictures.mean(RECORD, "sft", "base, then KTO", "style").value < 0.1
    assert pictures.mean(RECORD, "sft", "SFT", "style").value > 0.5
    assert is_above("sft", "SFT, then KTO", "SFT", "style")
    assert is_above("sft", "SFT", "SFT, then KTO", "logp_desirable")
