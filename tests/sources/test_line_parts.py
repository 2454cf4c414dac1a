"""A JSON Lines file in parts: every line in one of them, with its number."""

import gzip
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_recipes.sources import line_parts
from kto_recipes.sources.line_parts import can_be_parted
from kto_recipes.sources.records import Part

LINES = st.lists(st.sampled_from([b"{}", b"", b"x" * 30, b'{"a": "\xc3\xa8"}\r', b"y" * 9]), max_size=20)


def parts(path, size: int) -> list[Part]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_parts, "PART_BYTES", size)
        return list(line_parts.line_parts(path))


@given(LINES, st.integers(1, 60), st.booleans())
def test_the_parts_hold_every_line_once_and_number_them_as_the_file_does(tmp_path_factory, lines, size, has_end):
    path = tmp_path_factory.mktemp("parts") / "rows.jsonl"
    path.write_bytes(b"\n".join(lines) + (b"\n" if has_end else b""))
    found = []
    for part in parts(path, size):
        with path.open("rb") as file:
            file.seek(part.start)
            mine = list(itertools.islice(file, part.lines))
        assert len(mine) == part.lines > 0
        found += zip(itertools.count(part.first_line), mine)
    with path.open("rb") as file:
        assert found == list(enumerate(file, 1))


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.jsonl", b'{"a": 1}\n' * 100, True),
        ("a.txt", b'\xef\xbb\xbf {"a": 1}\n' + b"{}\n" * 300, True),
        ("a.jsonl", b'{"a": 1}\n', False),  # small
        ("a.json", b'[{"a": 1}]' + b" " * 800, False),  # an array
        ("a.csv", b'{"a": 1}\n' * 100, False),
        ("a.jsonl.gz", gzip.compress(bytes(range(256)) * 8, mtime=0), False),
    ],
)
def test_only_a_large_plain_file_of_json_lines_is_cut(monkeypatch, tmp_path, name, data, expected):
    monkeypatch.setattr(line_parts, "PART_BYTES", 100)
    (tmp_path / name).write_bytes(data)
    assert can_be_parted(tmp_path / name) is expected
