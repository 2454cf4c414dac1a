"""Disk space: what the run still has to write, against what is free where it writes."""

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from plans import make_plan, recipe_of, write_recipe

from kto_recipes.doctor import disk, hub
from kto_recipes.doctor.disk import disk_findings
from kto_recipes.doctor.plan import Plan

Usage = namedtuple("Usage", "total used free")
LLAMA_WEIGHTS = 8_030_261_248 * 2
# rank 16 for SFT and 64 for KTO, on all linear layers, with float32 weights and two float32 states
SFT_CHECKPOINT, KTO_CHECKPOINT = 41_943_040 * 12, 167_772_160 * 12


@pytest.fixture
def llama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan with the repository's recipe, an empty Hub cache and an own run folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "cache_folder", lambda: tmp_path / "hub")
    monkeypatch.setattr(hub, "is_cached", lambda model: False)
    for stage in ("sft", "kto"):
        write_recipe(tmp_path / "recipes/llama", stage, recipe_of("llama-3.1-8b-lora", stage))
    return Plan(Path("recipes/llama"), Path("datasets/mine"), Path("outputs/run"))


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**15, 0, free))


# base, merged SFT, merged KTO; two checkpoints a stage, and one more of the larger while it is written
EVERYTHING = 3 * LLAMA_WEIGHTS + 2 * SFT_CHECKPOINT + 3 * KTO_CHECKPOINT


def test_the_run_needs_the_base_both_merged_models_and_the_checkpoints(
    llama: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, EVERYTHING)
    (finding,) = disk_findings(llama)
    assert finding.status == "ok"
    with_free(monkeypatch, EVERYTHING - 1)
    (finding,) = disk_findings(llama)
    assert finding.status == "error"


def test_a_full_disk_is_an_error_that_says_how_much_to_free(llama: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, 5 * 10**9)
    (finding,) = disk_findings(llama)
    assert finding.status == "error"
    assert finding.message == "needs about 55 GB at outputs/run, 5 GB are free"
    assert finding.advice.startswith("Free 50 GB")


def test_a_real_file_system_that_is_too_small_is_seen(llama: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Path("/dev/shm")
    if not small.is_dir() or shutil.disk_usage(small).free > EVERYTHING:
        pytest.skip("no small file system here")
    plan = Plan(llama.recipe, llama.dataset, small / "kto-recipes-doctor-test")
    found = list(disk_findings(plan))
    assert [finding.status for finding in found if "/dev/shm" in finding.message] == ["error"]


def test_what_is_there_already_is_not_counted_again(llama: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "is_cached", lambda model: True)
    merged = llama.run / "sft" / "merged"
    merged.mkdir(parents=True)
    (merged / "done").touch()
    with_free(monkeypatch, LLAMA_WEIGHTS + 3 * KTO_CHECKPOINT)
    (finding,) = disk_findings(llama)
    assert finding.status == "ok"
    with_free(monkeypatch, LLAMA_WEIGHTS + 3 * KTO_CHECKPOINT - 1)
    (finding,) = disk_findings(llama)
    assert finding.status == "error"


def test_without_the_plugin_the_full_size_model_beside_the_adapter_stays(
    llama: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recipe(llama.recipe, "kto", recipe_of("llama-3.1-8b-lora", plugins=None))
    with_free(monkeypatch, EVERYTHING + LLAMA_WEIGHTS - 1)
    assert [finding.status for finding in disk_findings(llama)] == ["error"]
    with_free(monkeypatch, EVERYTHING + LLAMA_WEIGHTS)
    assert [finding.status for finding in disk_findings(llama)] == ["ok"]


def test_full_weights_are_saved_with_their_states_in_each_checkpoint(
    llama: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    (llama.recipe / "sft.yaml").unlink()
    full: dict[str, Any] = {"adapter": None, "save_total_limit": 1, "base_model": "meta-llama/Llama-3.1-8B"}
    write_recipe(llama.recipe, "kto", recipe_of("llama-3.1-8b-lora", **full))
    checkpoint = 8_030_261_248 * (2 + 8)
    needed = 2 * LLAMA_WEIGHTS + 2 * checkpoint  # base and result; one kept and one being written
    with_free(monkeypatch, needed)
    assert [finding.status for finding in disk_findings(Plan(llama.recipe, llama.dataset, llama.run))] == ["ok"]
    with_free(monkeypatch, needed - 1)
    assert [finding.status for finding in disk_findings(Plan(llama.recipe, llama.dataset, llama.run))] == ["error"]


def test_two_file_systems_are_two_findings(llama: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, LLAMA_WEIGHTS)
    monkeypatch.setattr(disk, "_device", lambda folder: hash(folder.parts[-1]))
    found = {finding.message.split(" at ")[1].split(",")[0]: finding.status for finding in disk_findings(llama)}
    assert found == {str(hub.cache_folder()): "ok", "outputs/run": "error"}


def test_a_model_of_unknown_shape_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = make_plan(tmp_path, "somebody/some-model")
    (finding,) = disk_findings(plan)
    assert (finding.status, "unknown" in finding.message) == ("warning", True)
