"""Files as they arrive after a bad download or a bad edit, for property tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from kto_recipes.errors import UserError

# What a person can write: any character but halves of one, which no file can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """`data` cut short, or with a stretch of it replaced by other bytes."""
    places = st.integers(0, len(data))
    bad = st.one_of(
        st.binary(max_size=8),
        st.sampled_from(
            [b"", b"\xff\xfe", b"\x00", b"[" * 2000, b'"', b"\\ud83d", b"NaN", b"9" * 5000, b"{}", b"null"]
        ),
    )

    def spoilt(start: int, length: int, instead: bytes) -> bytes:
        return data[:start] + instead + data[start + length :]

    return st.one_of(places.map(lambda end: data[:end]), st.builds(spoilt, places, st.integers(0, 40), bad))


def nothing_but_a_user_error(read: Callable[[Path], Any], path: Path, data: bytes) -> None:
    """Read a file of `data` to its end: it works, or it is a mistake that a person is told about."""
    path.write_bytes(data)
    try:
        list(read(path))
    except UserError as error:
        assert str(path) in str(error)
