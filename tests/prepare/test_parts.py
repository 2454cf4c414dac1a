"""A large vote log, read in parts by several processes, becomes what it becomes in one."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vote_logs import filler, kto_rows, turns, vote

from kto_recipes.errors import UserError
from kto_recipes.prepare import rated
from kto_recipes.prepare.dataset import prepare
from kto_recipes.prepare.entries import load_entries
from kto_recipes.prepare.workers import Workers
from kto_recipes.settings import DatasetSettings
from kto_recipes.sources import line_parts, trl_unpaired

FILES = [f"{kind}.{split}.jsonl" for kind in ("kto", "sft") for split in ("eval", "train")]


@pytest.fixture
def in_parts(monkeypatch):
    """From now on 8 KiB are a large file, which is read 4 KiB at a time."""
    monkeypatch.setattr(line_parts, "PART_BYTES", 4096)


def log(count: int) -> list[dict[str, Any]]:
    """Votes of every kind: several raters and turns, repeated, empty, to be cleaned, without a time."""
    rng = random.Random(0)
    rows = []
    for n in range(count):
        asked = turns(f"q {rng.randrange(count // 3)}", "\n\na", "b <|eot_id|>")[: rng.choice((1, 3))]
        more = {"rater": rng.choice("abc"), "time": n} if n % 3 else {}
        rows.append(vote(asked, rng.choice(("yes", "no", "perche\u0301", " ")), n % 2 == 0, **more))
    return rows


def test_parts_and_processes_change_no_byte(make_votes, in_parts):
    rows = log(400)
    whole = make_votes(rows, name="whole")
    large = make_votes(rows, name="large")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_parts, "PART_BYTES", 1 << 30)
        one = prepare(whole).manifest
    parts: list[tuple[int, int]] = []
    several = prepare(large, on_part=lambda done, of: parts.append((done, of))).manifest
    assert parts[-1][0] == parts[-1][1] > 5
    assert [(whole / name).read_bytes() for name in FILES] == [(large / name).read_bytes() for name in FILES]
    for key in ("read", "left_out", "groups", "weights", "distance"):
        assert one[key] == several[key]


@pytest.mark.parametrize(("minus", "kept"), [(-1, 300), (1, 450)])
def test_what_a_label_of_0_means_is_decided_by_the_whole_file(make_votes, in_parts, minus, kept):
    # Zeros stand only in the first third, −1 only in the last.
    labels = [0] * 150 + [1] * 150 + [minus] * 150
    rows = [vote(f"q {n}", f"a {n}", labels[n]) for n in range(450)]
    folder = make_votes([*rows, *filler(10)])
    prepare(folder)
    assert len(kto_rows(folder)) - 10 == kept
    assert sum(not row["label"] for row in kto_rows(folder)) - 5 == (450 - kept if minus == -1 else 150)


def test_a_bad_line_in_a_later_part_is_told_with_its_number_in_the_file(make_votes, in_parts):
    folder = make_votes([*filler(300), vote("q", "a", "hm"), *filler(300)])
    with pytest.raises(UserError, match=r"votes\.jsonl:301: label is 'hm'"):
        prepare(folder)
    assert {path.name for path in folder.iterdir()} == {"dataset.yaml", "votes.jsonl"}


def test_a_column_of_which_a_part_has_none_is_no_mistake_and_one_that_no_part_has_is(make_votes, in_parts):
    rows = [vote(f"q {n}", f"a {n}", n % 2 == 0) | ({"who": "x"} if n > 350 else {}) for n in range(400)]
    prepare(make_votes(rows, fields={"rater": "who"}))
    with pytest.raises(UserError, match="no record has a column nobody"):
        prepare(make_votes(rows, fields={"rater": "nobody"}))


def test_a_torn_last_line_is_counted_in_the_last_part(make_votes, in_parts):
    folder = make_votes(filler(300))
    path = folder / "votes.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert prepare(folder).manifest["left_out"] == {"torn last line": 1}


# --- plain rows take a shorter way to the same --------------------------------------------------------------

VALUES = {
    "prompt": st.sampled_from(
        [
            turns("a"),
            turns("a", "b", "c"),
            turns("a", "\nb", "c", system="s"),
            turns("a", "b"),
            turns(" "),
            turns("", system="s"),
            turns("x|y <|eot_id|>"),
            turns("perche\u0301"),
            [{"role": "user", "content": "a", "name": "x"}],
            [{"role": "human", "content": "a"}],
            [{"role": "system", "content": "a"}],
            [*turns("a"), *turns("b")],
            "text",
            [],
            None,
        ]
    ),
    "completion": st.sampled_from(
        ["a", " a", "\n\na", "", " ", "è", "e\u0300", "<|im_end|>", "x" * 200, None, 3, turns("q", "a")]
    ),
    "label": st.sampled_from([True, False, 1, 0, "true", None]),
    "conversation": st.sampled_from(["c", "d", "", None, 7]),
    "rater": st.sampled_from(["r", "s", "", None, 7]),
    "time": st.sampled_from([0, 1.5, 1_736_676_000, 1_736_676_000_000, "2025-01-12", None, True, -1]),
    "system": st.just("s"),
    "metadata": st.just({"user_id": "u", "timestamp": 3}),
}
ROWS = st.lists(st.fixed_dictionaries({}, optional=VALUES), min_size=1, max_size=6)
CLEAN = st.sampled_from([{}, {"unicode": "NFKC"}, {"unicode": "none"}, {"redact": ["email"]}, {"max_chars": 100}])


@settings(max_examples=50)
@given(ROWS, CLEAN)
def test_a_plain_row_becomes_what_the_importer_makes_of_it(tmp_path_factory, rows, clean):
    folder = tmp_path_factory.mktemp("plain")
    source = folder / "votes.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in [vote("q", "a"), *rows]), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        short = taken(folder, source, clean)
        patch.setattr(trl_unpaired, "is_plain", lambda row: False)
        assert taken(folder, source, clean) == short


def taken(folder: Path, source: Path, clean: dict[str, Any]) -> list[Any]:
    """Every entry with its line and its reason."""
    wanted = DatasetSettings(source="votes.jsonl", on_error="skip", clean=clean)
    with Workers() as workers:
        parts = rated.take_records(source, trl_unpaired.NAME, wanted, folder, workers)
    entries = load_entries(folder, parts)
    lines = (folder / "part-0.rows").read_bytes().splitlines()
    reasons = [entries.reasons[n] for n in entries.of["reason"]]
    entries.of["reason"] = 0
    return [
        *zip(lines, reasons, entries.of.tolist(), strict=True),
        entries.earlier.tolist(),
        np.sum(entries.of["length"]),
    ]
