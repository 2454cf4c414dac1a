"""Any table: columns named by a person, and what is said where the naming does not fit."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from training_rows import answers, counts, records, stop, turns

from kto_recipes.errors import UserError
from kto_recipes.sources import llama_factory, table
from kto_recipes.sources.records import ReadOptions

VOTES = [("2+2?", "4", "up", "u1", "c1"), ("3+3?", "7", "down", "u2", "c2"), ("4+4?", "8", "", "u1", "c1")]
FIELDS = {"prompt": "question", "completion": "answer", "label": "vote", "rater": "who", "conversation": "chat"}
COLUMNS = list(FIELDS.values())


def options(**more) -> ReadOptions:
    return ReadOptions(**{"on_trouble": stop} | more)


def write(path: Path) -> Path:
    rows = [dict(zip(COLUMNS, vote, strict=True)) for vote in VOTES]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        path.write_text("".join(separator.join(line) + "\n" for line in [COLUMNS, *VOTES]), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_columns_of_any_name_are_votes_once_a_person_says_which_is_which(tmp_path, name):
    path = write(tmp_path / name)
    assert table.looks_like(b"", path)
    good, bad, none = table.read(path, options(fields=FIELDS))
    assert answers([good, bad]) == [(turns("2+2?"), "4", True), (turns("3+3?"), "7", False)]
    assert [(it.rater, it.conversation) for it in (good, bad)] == [("u1", "c1"), ("u2", "c2")]
    assert none.reason == "no vote"


def test_columns_that_are_called_as_ours_need_no_name(tmp_path):
    row = {"prompt": "2+2?", "completion": "4", "stars": 5, "system": "s", "time": "2025-01-12T10:00:00Z", "rater": "u"}
    (found,) = records(table, tmp_path, row, fields={"label": "stars"}, threshold=4)
    assert answers([found]) == [(turns("2+2?", system="s"), "4", True)]
    assert (found.rater, found.time) == ("u", 1736676000)


def test_a_field_of_an_object_is_named_with_a_dot(tmp_path):
    row = {"prompt": "2+2?", "completion": "4", "feedback": {"thumb": "down", "by": {"id": 7}}}
    fields = {"label": "feedback.thumb", "rater": "feedback.by.id"}
    (found,) = records(table, tmp_path, row, fields=fields)
    assert (found.label, found.rater) == (False, "7")


def test_a_mapped_column_goes_before_one_that_is_called_as_ours(tmp_path):
    row = {"prompt": "2+2?", "completion": "4", "label": "arithmetic", "ok": False}
    assert counts(records(table, tmp_path, row, fields={"label": "ok"})) == {"bad": 1}


def test_pairs_are_mapped_as_votes_are(tmp_path):
    row = {"question": "2+2?", "better": "4", "worse": "5"}
    fields = {"prompt": "question", "chosen": "better", "rejected": "worse"}
    expected = [(turns("2+2?"), "4", True), (turns("2+2?"), "5", False)]
    assert answers(records(table, tmp_path, row, fields=fields)) == expected


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, r"rows\.jsonl:1: found the columns q, a, ok; expected columns prompt, completion and label, or .*--map"),
        (
            {"prompt": "question", "completion": "a", "label": "ok"},
            r"rows\.jsonl:1: no column question, to which prompt is mapped; found .* q, a, ok; .*--map prompt=COLUMN",
        ),
        (
            {"prompt": "q", "completion": "q", "label": "ok"},
            r"prompt and completion are both mapped to the column q; found the columns q, a, ok; .*--map prompt=COLUMN",
        ),
        ({"prompt": "q", "completion": "a", "label": "ok", "rater": "who"}, "no record has a column who.*--map"),
        ({"promt": "q"}, "promt is not a field that can be mapped; these are: system, prompt, completion, label"),
        ({"prompt": "q", "completion": "a"}, r"expected columns prompt, completion and label"),
    ],
)
def test_a_mapping_that_does_not_fit_says_what_was_found_and_how_to_map(tmp_path, fields, sentence):
    with pytest.raises(UserError, match=sentence):
        records(table, tmp_path, {"q": "2+2?", "a": "4", "ok": True}, fields=fields)


def test_an_optional_column_may_be_missing_in_some_records_of_a_log(tmp_path):
    row = {"prompt": "2+2?", "completion": "4", "label": True}
    found = records(table, tmp_path, row, row | {"persona": "s"}, fields={"system": "persona"})
    assert [record.prompt for record in found] == [turns("2+2?"), turns("2+2?", system="s")]


def test_a_needed_column_that_is_missing_in_a_later_record_is_reported_there(tmp_path):
    rows = [{"q": "2+2?", "completion": "4", "label": True}, {"completion": "4", "label": True}]
    with pytest.raises(UserError, match=r"rows\.jsonl:2: a row of another shape: found the columns completion, label"):
        records(table, tmp_path, *rows, fields={"prompt": "q"})
    found = records(table, tmp_path, *rows, fields={"prompt": "q"}, on_trouble=lambda _: None)
    assert counts(found) == {"good": 1, "unreadable": 1}


def test_votes_and_pairs_mixed_in_one_file_are_both_read_and_other_rows_are_reported(tmp_path):
    rows = [
        {"prompt": "2+2?", "completion": "4", "label": True},
        {"prompt": "2+2?", "chosen": "4", "rejected": "5"},
        {"messages": turns("2+2?", "4")},
    ]
    with pytest.raises(
        UserError, match=r"rows\.jsonl:3: a row of another shape: found the columns messages; .* a file of its own"
    ):
        records(table, tmp_path, *rows)
    assert counts(records(table, tmp_path, *rows, on_trouble=lambda _: None)) == {"good": 2, "bad": 1, "unreadable": 1}


def test_names_are_mapped_for_a_format_as_well(tmp_path):
    row = {"conversations": turns("a", "b"), "verdict": "no"}
    found = records(llama_factory, tmp_path, row, fields={"label": "verdict"})
    assert answers(found) == [(turns("a"), "b", False)]


def test_a_table_without_known_columns_is_recognised_so_that_they_can_be_told(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("x,y\n1,2\n", encoding="utf-8")
    assert table.looks_like(b"", tmp_path / "a.csv")
    assert not table.looks_like(b"", tmp_path / "a.txt")
    with pytest.raises(UserError, match=r"a\.csv:2: found the columns x, y; expected .*--map"):
        list(table.read(tmp_path / "a.csv", options()))
