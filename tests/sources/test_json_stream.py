"""Walking through JSON of any size: values, what is mended, and where a mistake is."""

import io
import json
from typing import Any

import pytest
from damaged_files import TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st

from kto_recipes.errors import UserError
from kto_recipes.sources import json_stream
from kto_recipes.sources.json_stream import JsonStream


def value(data: bytes) -> Any:
    stream = JsonStream(io.BytesIO(data), "file")
    built = stream.value(*stream.next())
    stream.end()
    return built


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_a_value_is_the_one_that_was_written(written, ascii_only, indent):
    assert value(json.dumps(written, ensure_ascii=ascii_only, indent=indent).encode()) == written


@settings(deadline=None)
@given(st.lists(st.sampled_from(["\\ud83d", "\\ude00", "\\u00e8", "\\\\", "\\n", "u", "d83d", "è", "🐙"])))
def test_half_of_a_character_is_replaced_and_nothing_else_is(pieces):
    text = '"' + "".join(pieces) + '"'
    whole = json.loads(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert value(text.encode()) == whole


@pytest.mark.parametrize("block", [1, 7, 64])
def test_where_a_block_ends_makes_no_difference(monkeypatch, block):
    monkeypatch.setattr(json_stream, "_BLOCK", block)
    written = {"a": ["\U0001f419" * 5, "è\\x", "\n\n"], "b": 12345, "c": True}
    for text in (json.dumps(written), json.dumps(written, ensure_ascii=False, indent=1)):
        assert value(text.encode()) == written


def test_one_string_longer_than_many_blocks_is_read(monkeypatch):
    monkeypatch.setattr(json_stream, "_BLOCK", 64)
    assert value(b'"' + b"abcdef" * 1000 + b'"') == "abcdef" * 1000


def test_of_a_key_that_stands_twice_the_first_value_that_says_something_counts():
    assert value(b'{"text": "words", "text": "", "n": null, "n": 1}') == {"text": "words", "n": 1}


def test_a_skipped_value_is_passed_over_whole_and_one_key_can_be_left_out():
    stream = JsonStream(io.BytesIO(b'{"a": [1, {"b": [2]}], "c": {"d": [3, 3], "e": 4}}'), "file")
    stream.next()
    members = stream.members()
    key, event, _ = next(members)
    assert (key, event) == ("a", "start_array")
    stream.skip(event)
    key, event, scalar = next(members)
    assert (key, stream.value(event, scalar, without="d")) == ("c", {"e": 4})
    assert list(members) == []


def test_brackets_without_end_are_refused_before_they_fill_the_stack():
    with pytest.raises(UserError, match=r"file: nested more than 100 deep"):
        value(b"[" * 100_000)
    assert value(b"[" * 100 + b"]" * 100) is not None


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", r"not valid JSON at byte 0 \(line 1, column 1\)"),
        (b'{"a": 1,\n "b": }', r"not valid JSON at byte 15 \(line 2, column 7\)"),
        ('{"più": "🐙"\n "b": 1}'.encode(), r"not valid JSON at byte 17 \(line 2, column 2\)"),
        (b'\xef\xbb\xbf{"a": 1 2}', r"not valid JSON at byte 11 \(line 1, column 9\)"),
        (b'{"a": 1} x', r"not valid JSON at byte 9 "),
        (b'{"a": "\xe8"}', r"not valid UTF-8 at byte 7"),
        (b'{"a": "\xed\xa0\x80"}', r"not valid UTF-8 at byte 7"),  # half of a character in UTF-8's own dress
        ('{"a": 1}'.encode("utf-16"), r"not valid UTF-8 at byte 0"),
        (b'{"a": NaN}', r"not valid JSON between bytes 0 and 10: lexical error: invalid char in json text"),
        (b"[" + b"9" * 5000 + b"]", r"not valid JSON between bytes 0 and 5002: a number that is too long"),
    ],
)
def test_a_mistake_is_told_with_its_place(data, place):
    with pytest.raises(UserError, match=rf"file: {place}"):
        value(data)


def test_in_a_file_too_large_to_read_twice_a_mistake_is_told_with_the_block_it_is_in(monkeypatch):
    monkeypatch.setattr(json_stream, "_BLOCK", 8)
    monkeypatch.setattr(json_stream, "_EXACT", 20)
    # A block of 8 bytes ends after its last line: they are bytes 0 to 7, 7 to 16, 16 to 24.
    with pytest.raises(
        UserError, match=r"not valid JSON between bytes 16 and 24: parse error: .* I expect ',' or ']'; "
    ):
        value(b"[1,\n2,\n3,\n4,\n5,\n6\n7,\n8,\n9]")
    with pytest.raises(UserError, match=r"not valid UTF-8 between bytes 16 and 21"):
        value(b'[1,\n2,\n3,\n4,\n5,\n"\xe8",\n7]')
