"""The checks together: their order, what stops them, what is accepted; and the real smoke run on a tiny model."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from plans import fake_nvidia_smi, make_runnable_plan, result_of

from kto_recipes.doctor import disk, smoke
from kto_recipes.doctor.finding import Finding
from kto_recipes.doctor.plan import Plan, stand_ins
from kto_recipes.doctor.run import examine
from kto_recipes.doctor.table import print_findings, verdict
from kto_recipes.errors import UserError
from kto_recipes.recipe.results import add_result, results_file
from kto_recipes.rows import completion_text, prompt_key, read_kto, write_jsonl
from kto_recipes.stages.run_files import Run, write_run_files


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    return make_runnable_plan(tmp_path, monkeypatch)


def edit(plan: Plan, stage: str, **changes: Any) -> Plan:
    """The plan with a recipe's file changed."""
    path = plan.recipe / f"{stage}.yaml"
    head, rule, rest = path.read_text().partition("# --- method ---\n")
    path.write_text(head + rule + yaml.safe_dump(yaml.safe_load(rest) | changes))
    return Plan(plan.recipe, plan.dataset, plan.run, plan.gpus)


def statuses(findings: list[Finding]) -> dict[str, set[str]]:
    return {check: {f.status for f in findings if f.check == check} for check in {f.check for f in findings}}


def quick(plan: Plan, seen: list[str] | None = None) -> list[Finding]:
    return examine(plan, (seen if seen is not None else []).append, smoke=False)


# --- all together -------------------------------------------------------------------------------------------


def test_a_good_plan_has_no_error_and_every_part_speaks(plan: Plan) -> None:
    found = statuses(quick(plan))
    assert not any("error" in each for each in found.values()), found
    assert {"recipe", "data", "gpu", "versions", "memory", "disk", "access", "cost"} <= set(found)
    assert found["learning_rate"] == {"warning"}  # accepted in kto.yaml


def test_an_error_of_the_first_pass_ends_it_before_the_machine_is_asked(plan: Plan) -> None:
    seen: list[str] = []
    findings = quick(edit(plan, "kto", dataset_num_proc=4), seen)
    assert seen == ["recipe and data"]
    (error,) = [finding for finding in findings if finding.status == "error"]
    assert error.check == "dataset_num_proc"
    assert error.message.startswith("recipes/small/kto.yaml: ")  # the file to edit, not the doctor's copy


def test_what_kto_yaml_allows_is_a_warning_wherever_it_is_found(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "run_bytes", lambda *_: 10**18)
    assert statuses(quick(plan))["disk"] == {"error"}
    found = quick(edit(plan, "kto", kto={"allow": ["learning_rate", "disk"]}))
    (allowed,) = [finding for finding in found if finding.check == "disk"]
    assert allowed.status == "warning"
    assert allowed.message.startswith("accepted by kto.allow: ")


def test_a_check_that_stops_is_an_error_with_its_name_and_the_others_still_speak(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: Any) -> int:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(disk, "run_bytes", stops)
    findings = quick(plan)
    (error,) = [finding for finding in findings if finding.status == "error"]
    assert (error.check, "ZeroDivisionError: by zero" in error.message) == ("disk", True)
    assert {"access", "cost"} <= statuses(findings).keys()


def test_a_driver_that_does_not_answer_is_an_error_of_the_gpu(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvidia_smi(Path("bin").absolute(), monkeypatch, "No devices were found", code=6)
    (error,) = [finding for finding in quick(plan) if finding.status == "error"]
    assert (error.check, "No devices were found" in error.message) == ("gpu", True)


def test_the_smoke_run_is_left_out_where_an_error_stands(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "run_bytes", lambda *_: 10**18)
    monkeypatch.setattr(smoke, "train_stage", lambda *_: pytest.fail("it was run"))
    last = examine(plan, lambda what: None)[-1]
    assert (last.check, last.status) == ("smoke", "warning")
    assert "skipped" in last.message


def test_kto_rows_that_are_not_made_yet_are_a_warning(plan: Plan) -> None:
    assert statuses(quick(plan))["not_prepared"] == {"warning"}


# --- the plan -----------------------------------------------------------------------------------------------


def test_kto_starts_from_the_sft_model_once_it_is_made(plan: Plan) -> None:
    assert plan.start_model("kto") == plan.base_model
    merged = plan.run / "sft/merged"
    merged.mkdir(parents=True)
    assert plan.start_model("kto") == plan.base_model  # not complete
    (merged / "done").touch()
    assert plan.start_model("kto") == str(merged)
    assert plan.start_model("sft") == plan.base_model


def test_the_runs_rows_go_before_the_datasets_and_these_before_stand_ins(plan: Plan) -> None:
    positives = read_kto(plan.dataset / "positives.train.jsonl")
    assert plan.data_folder("kto") is None
    assert len(plan.kto_rows()) == 2 * len(positives)
    for folder, count in ((plan.dataset, 5), (plan.run / "data", 3)):
        write_jsonl(folder / "kto.train.jsonl", positives[:count])
        assert plan.data_folder("kto") == folder
        assert plan.kto_rows() == positives[:count]


def test_the_doctors_copy_has_the_weights_of_the_manifest_and_is_else_the_runs_file(plan: Plan) -> None:
    for folder in (plan.dataset, plan.run / "data"):
        files = {f"{kind}.{split}.jsonl": {"sha256": ""} for kind in ("sft", "kto") for split in ("train", "eval")}
        folder.mkdir(parents=True, exist_ok=True)
        weights = {"desirable": 1.25, "undesirable": 1.0}
        (folder / "manifest.json").write_text(json.dumps({"written": files, "weights": weights}))
    write_run_files(Run(plan.recipe, plan.dataset, plan.run))
    copy = yaml.safe_load(plan.write_filled("kto", plan.run / "data").read_text())
    runs = yaml.safe_load((plan.run / "kto.yaml").read_text())
    assert copy["kto_desirable_weight"] == 1.25
    differ = {key for key in runs if runs[key] != copy[key]}
    assert differ == {"base_model", "dataset_prepared_path", "output_dir"}
    assert all(copy[key].startswith("outputs/run/doctor/") for key in ("dataset_prepared_path", "output_dir"))


def test_stand_ins_are_the_next_prompts_answers(plan: Plan) -> None:
    positives = read_kto(plan.dataset / "positives.train.jsonl")[:3]
    made = stand_ins(positives)[3:]
    assert [prompt_key(row) for row in made] == [prompt_key(row) for row in positives]
    assert [completion_text(row) for row in made] == [completion_text(positives[n]) for n in (1, 2, 0)]
    assert not any(row["label"] for row in made)
    with pytest.raises(UserError, match="fewer than two prompts"):
        stand_ins(positives[:1])


def test_measured_results_of_the_recipe_are_read(plan: Plan) -> None:
    assert plan.results() == []
    path = results_file(plan.recipe.parent, plan.recipe.name)
    result = result_of("kto", plan.stages["kto"])
    add_result(path, result)
    assert plan.results() == [result]
    path.write_text("{}")
    assert statuses(quick(plan))["memory"] == {"error"}


# --- the table ----------------------------------------------------------------------------------------------


def printed(findings: list[Finding], width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", str(width))
    print_findings(findings)
    return stream.getvalue()


FINDINGS = [
    Finding("gpu", "ok", "1 × NVIDIA L4 [Lovelace]"),
    Finding("learning_rate", "warning", "a rate " * 20, "keep it [or not]"),
    Finding("access", "error", f"outputs/{'very-long-name-' * 8}/kto.yaml is not there", "make it"),
    Finding("cost", "warning", "time and cost are unknown: nothing was measured"),
]


def test_the_table_marks_each_finding_and_cuts_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(FINDINGS, 100, monkeypatch)
    marks = [line[0] for line in text.splitlines() if line[:1] in "✓!✗" and line]
    assert marks == ["✓", "!", "✗", "!"]
    for whole in ("[Lovelace]", "→ keep it [or not]", f"outputs/{'very-long-name-' * 8}/kto.yaml", "→ make it"):
        assert whole in text
    assert "…" not in text


def test_at_100_columns_ordinary_findings_stay_within_them(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed([FINDINGS[0], FINDINGS[1], FINDINGS[3]], 100, monkeypatch)
    assert max(map(len, text.splitlines())) <= 100


def test_the_verdict_counts_and_tells_time_and_cost() -> None:
    assert verdict(FINDINGS) == "not ready: 1 check passed, 2 warnings, 1 error; time and cost are unknown"
    assert verdict([FINDINGS[0]]).startswith("ready: 1 check passed, 0 warnings, 0 errors;")
