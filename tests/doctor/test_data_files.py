"""Which of a recipe's files are looked at, which may come later, and which must be there."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from bad_inputs import Case, answer_rows

from kto_recipes.doctor.data import data_findings
from kto_recipes.rows import write_jsonl

# --- which files --------------------------------------------------------------------------------------------


def file_finding(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **entry: Any) -> tuple[str, str]:
    monkeypatch.chdir(folder)
    recipe = {"rl": "kto", "datasets": [{"path": path, **entry}]}
    (finding,) = data_findings(recipe, "kto.yaml")
    assert path in finding.message
    return finding.check, finding.status


@pytest.mark.parametrize("path", ["/data/kto.jsonl", "./kto.jsonl", "kto.jsonl", "mine/kto.parquet", "~/kto", "../kto"])
def test_a_file_that_a_person_names_must_be_there(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert file_finding(path, tmp_path, monkeypatch) == ("data_file", "error")


@pytest.mark.parametrize("path", ["outputs/run/data/kto.train.jsonl", "datasets/mine/kto.train.jsonl"])
def test_a_file_that_the_chain_writes_may_come_later_until_its_folder_is_finished(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert file_finding(path, tmp_path, monkeypatch) == ("not_prepared", "warning")
    manifest = (tmp_path / path).with_name("manifest.json")
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    assert file_finding(path, tmp_path, monkeypatch) == ("data_file", "error")


@pytest.mark.parametrize("path", ["argilla/kto-mix-15k", "s3://bucket/kto", "gsm8k"])
def test_what_is_not_on_this_machine_is_not_looked_at_and_that_is_said(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert file_finding(path, tmp_path, monkeypatch) == ("not_looked_at", "warning")


def test_a_file_of_another_form_is_not_looked_at_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kto.json").write_text("[]")
    (tmp_path / "kto.jsonl").write_text("{}\n")
    (tmp_path / "folder").mkdir()
    looked_away = ("not_looked_at", "warning")
    assert file_finding("kto.json", tmp_path, monkeypatch) == looked_away
    assert file_finding("folder", tmp_path, monkeypatch) == looked_away
    assert file_finding("kto.jsonl", tmp_path, monkeypatch, type="llama3.argilla_chat") == looked_away
    assert file_finding("kto.jsonl", tmp_path, monkeypatch) == ("rows", "error")


def test_several_files_are_one_set_of_rows(tmp_path: Path) -> None:
    path = Case(train=answer_rows(150)).write(tmp_path)
    write_jsonl(tmp_path / "more.jsonl", answer_rows(151, first=150))
    recipe = yaml.safe_load(path.read_text())
    recipe["datasets"].append({"path": str(tmp_path / "more.jsonl"), "type": "kto_recipes.chat_template"})
    messages = [finding.message for finding in data_findings(recipe, "kto.yaml")]
    assert any("301 rows, 151 desirable" in message for message in messages)
    assert any("the last micro-batch of 4 holds one row" in message for message in messages)
