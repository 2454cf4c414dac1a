"""Files of votes as tests write them, and the ways in which files break."""

import gzip
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

from kto_recipes.errors import UserError
from kto_recipes.sources.records import LeftOut, Rated, ReadOptions, Record

# Texts without what a row cannot hold, which other tests are about: blanks alone, and halves of characters.
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).map(lambda text: f"a{text}")


def write(folder: Path, value: Any, name: str = "export.json") -> Path:
    """`value` as JSON, or as JSON Lines where the name says so."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row) for row in value] if ".jsonl" in name else [json.dumps(value)]
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def refuse(sentence: str) -> None:
    raise UserError(sentence)


def read(source: ModuleType, path: Path, **options: Any) -> list[Record]:
    """The records of a file; what cannot be read is refused unless `on_trouble` says otherwise."""
    return list(source.read(path, ReadOptions(**({"on_trouble": refuse} | options))))


def rated(records: list[Record]) -> list[Rated]:
    return [record for record in records if isinstance(record, Rated)]


def reasons(records: list[Record]) -> list[str]:
    return [record.reason for record in records if isinstance(record, LeftOut)]


def said(record: Rated) -> list[tuple[str, str]]:
    """The prompt as (role, content)."""
    return [(message["role"], message["content"]) for message in record.prompt]


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([[]]),
    st.just([{"role": [], "content": {}}]),
    st.just({"messages": [None]}),
    st.recursive(st.none(), lambda inner: st.lists(inner, min_size=1, max_size=1), max_leaves=3),
)


@st.composite
def damaged_values(draw: st.DrawFn, value: Any) -> Any:
    """`value` with one thing in it replaced by something that does not belong there."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        return value | {key: draw(damaged_values(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], draw(damaged_values(value[place])), *value[place + 1 :]]
    return draw(JUNK)


@st.composite
def damaged_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` cut short, or with some bytes replaced."""
    data = data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data)))
        data = data[:place] + draw(st.binary(max_size=4)) + data[place + draw(st.integers(0, 4)) :]
    return data


def raises_only_user_errors(source: ModuleType, path: Path, **options: Any) -> None:
    """Read a broken file, first as a person who wants to know, then as one who wants the rest."""
    head = path.read_bytes()[: 64 * 1024]
    assert source.looks_like(head, path) in (True, False)
    told: list[str] = []
    for on_trouble in (refuse, told.append):
        try:
            read(source, path, on_trouble=on_trouble, **options)
        except UserError as error:
            assert str(error)
