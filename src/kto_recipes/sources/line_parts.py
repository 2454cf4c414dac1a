"""A large JSON Lines file cut into parts that processes can read beside each other."""

from collections.abc import Iterator
from pathlib import Path

from kto_recipes.sources.records import Part

PART_BYTES = 32 * 1024 * 1024
_MOST_PARTS = 256  # each has files of its own, and a process may open about a thousand


def can_be_parted(path: Path) -> bool:
    """Whether a file is large and JSON Lines, plain: a packed one can only be read from its beginning."""
    if path.stat().st_size < 2 * PART_BYTES or {".csv", ".tsv"} & {ending.lower() for ending in path.suffixes}:
        return False
    with path.open("rb") as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def line_parts(path: Path) -> Iterator[Part]:
    """The file's lines in parts of about PART_BYTES, or larger ones where there would be too many."""
    size = max(PART_BYTES, path.stat().st_size // _MOST_PARTS)
    start, first_line = 0, 1
    with path.open("rb") as file:
        while block := file.read(size):
            rest = file.readline()
            lines = block.count(b"\n") + bool(rest or not block.endswith(b"\n"))
            yield Part(start, lines, first_line)
            start, first_line = start + len(block) + len(rest), first_line + lines
