"""The first pass over a recipe and its data: one sentence for each of what people get wrong, in seconds."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_inputs import ELEVEN, Case
from tiny_models import llama_tokenizer

from kto_recipes.doctor.first_pass import first_pass, one_line, refuse_errors
from kto_recipes.errors import UserError

every_bad_input = pytest.mark.parametrize(("check", "status", "says", "spoil"), ELEVEN.values(), ids=ELEVEN)
HEAVY = {"torch", "transformers", "axolotl", "trl", "datasets", "pandas", "huggingface_hub"}


def test_nothing_is_wrong_with_the_input_that_the_others_spoil(tmp_path: Path) -> None:
    assert {finding.status for finding in first_pass(Case().write(tmp_path))} == {"ok"}


@every_bad_input
def test_a_bad_input_is_one_finding(
    tmp_path: Path, check: str, status: str, says: str, spoil: Callable[[Case], None]
) -> None:
    case = Case()
    spoil(case)
    (finding,) = [found for found in first_pass(case.write(tmp_path)) if found.status != "ok"]
    assert (finding.check, finding.status) == (check, status)
    assert says in finding.message
    assert "\n" not in one_line(finding)


@every_bad_input
def test_a_finding_is_accepted_by_its_name_where_it_can_be(
    tmp_path: Path, check: str, status: str, says: str, spoil: Callable[[Case], None]
) -> None:
    case = Case()
    spoil(case)
    case.recipe["kto"] = {"allow": [check]}
    findings = [found for found in first_pass(case.write(tmp_path)) if found.status != "ok"]
    cannot = check in ("unknown_key", "data_file")  # Axolotl would drop the one, and stop at the other
    assert [found.status for found in findings] == ["error" if cannot else "warning"]
    assert findings[0].message.startswith("accepted by kto.allow: ") == (status == "error" and not cannot)


@every_bad_input
def test_training_is_refused_at_an_error_and_told_a_warning(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    check: str,
    status: str,
    says: str,
    spoil: Callable[[Case], None],
) -> None:
    case = Case()
    spoil(case)
    path = case.write(tmp_path)
    if status == "error":
        with pytest.raises(UserError) as caught:
            refuse_errors(path)
        (line,) = str(caught.value).splitlines()
        assert says in line
    else:
        refuse_errors(path)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("warning: ") and says in line


def test_a_good_input_is_not_refused_and_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refuse_errors(Case().write(tmp_path))
    assert capsys.readouterr() == ("", "")


def test_two_errors_are_two_lines(tmp_path: Path) -> None:
    case = Case()
    case.recipe["dataset_num_proc"] = 4
    case.train[3]["label"] = "yes"
    with pytest.raises(UserError) as caught:
        refuse_errors(case.write(tmp_path))
    assert len(str(caught.value).splitlines()) == 2


def test_data_still_to_be_prepared_are_a_warning_until_training_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    case = Case()
    case.recipe["datasets"] = [{"path": "outputs/run/data/kto.train.jsonl", "type": "kto_recipes.chat_template"}]
    path = case.write(tmp_path)
    assert next((found.check, found.status) for found in first_pass(path)) == ("not_prepared", "warning")
    with pytest.raises(UserError, match="not prepared yet"):
        refuse_errors(path)


def test_a_recipe_that_is_no_yaml_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "kto.yaml").write_text("rl: [kto")
    with pytest.raises(UserError, match="not valid YAML"):
        first_pass(tmp_path / "kto.yaml")


@pytest.mark.parametrize("changes", [{"datasets": "x.jsonl"}, {"datasets": [3]}, {"kto": 3}, {"test_datasets": [{}]}])
def test_a_value_of_the_wrong_shape_is_a_finding_and_no_traceback(tmp_path: Path, changes: dict) -> None:
    case = Case()
    case.recipe |= changes
    assert "shape" in [found.check for found in first_pass(case.write(tmp_path)) if found.status == "error"]


def test_the_first_pass_loads_no_heavy_library_even_where_tokens_are_counted(tmp_path: Path) -> None:
    case = Case()
    llama_tokenizer().save_pretrained(tmp_path / "model")
    case.recipe["base_model"] = str(tmp_path / "model")
    program = (
        "import sys; from pathlib import Path; from kto_recipes.doctor.first_pass import first_pass\n"
        "assert {found.status for found in first_pass(Path(sys.argv[1]))} == {'ok'}\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", program, str(case.write(tmp_path))]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert {"kto_recipes", "tokenizers"} <= loaded
    assert HEAVY.isdisjoint(loaded)
