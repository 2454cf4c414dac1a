"""JSON as people's tools write it: NaN, halves of surrogate pairs, and arrays too large for memory.

An array of records is read by the standard library's decoder over a window of text: `ijson.items` keeps the path to
each open bracket, so that a damaged file of a hundred thousand of them takes all memory, and it refuses NaN. Exports
that are one object with the records somewhere inside are walked through with json_stream.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

import orjson

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LONGEST_TOKEN = 16  # at the window's end -Infinity, a \u escape or 1e+9 may be cut


def loads(data: bytes) -> Any:
    """One JSON value; NaN is read, half of a surrogate pair becomes U+FFFD.

    Raises:
        ValueError: with what is wrong, where it is not JSON, not UTF-8 or nested too deeply.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data.decode("utf-8")
        value, end = _decoded(text, _SPACE.match(text).end())
        if text[end:].strip(" \t\n\r"):
            raise json.JSONDecodeError("more follows the value", text, end) from None
        return value


def array_elements(text: TextIO, window: int = 1 << 20) -> Iterator[Any]:
    """The elements of a JSON array, one at a time; memory holds `window` characters or one element.

    Raises:
        ValueError: as `loads`, where the array is broken; everything before that was yielded.
    """
    buffer, at, is_end, after_value, is_first = text.read(window).lstrip()[1:], 0, False, False, True
    while True:
        at = _SPACE.match(buffer, at).end()
        found = buffer[at : at + 1]
        if found == "]" and (after_value or is_first):
            if (buffer[at + 1 :] + text.read(window)).strip():
                raise ValueError("more follows the array's closing bracket")
            return
        if found == "," and after_value:
            at, after_value = at + 1, False
            continue
        if found and after_value:
            raise ValueError(f"a comma is expected, found {found!r}")
        value, end = _decoded_or_cut(buffer, at, is_end) if found else (None, None)
        if end is not None:
            yield value
            at, after_value, is_first = end, True, False
            continue
        if is_end:
            raise ValueError("the array has no closing bracket")
        more = text.read(max(window, len(buffer) - at))
        buffer, at, is_end = buffer[at:] + more, 0, not more


def _decoded_or_cut(buffer: str, at: int, is_end: bool) -> tuple[Any, int | None]:
    """The value at `at` and its end; no end where the window may end before the value does."""
    try:
        value, end = _decoded(buffer, at)
    except json.JSONDecodeError as error:
        if is_end or not (error.msg.startswith("Unterminated string") or error.pos >= len(buffer) - _LONGEST_TOKEN):
            raise
        return None, None
    return value, end if is_end or end <= len(buffer) - _LONGEST_TOKEN else None


def _decoded(text: str, at: int) -> tuple[Any, int]:
    try:
        value, end = _DECODER.raw_decode(text, at)
        if _ESCAPED_SURROGATE.search(text, at, end):
            whole = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            value = json.loads(whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value, end
