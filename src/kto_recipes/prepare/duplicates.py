"""Rows that say what an earlier row says: word for word, or nearly."""

import re
from collections.abc import Iterator

import numpy as np
import orjson

from kto_recipes.prepare.entries import CONVERSATION, Entries, read_lines

REPEATED = "repeated"
NEAR = "near duplicate"

_PERMUTATIONS = 128
_SHINGLE = 3  # words
_WORD = re.compile(r"\w+|[^\w\s]")

Sides = tuple[set[str], set[str]]  # the prompt's and the answer's


def leave_out_repeated(entries: Entries, *, conversations: bool = False) -> None:
    """Leave out every kept answer, or conversation, after the first with the same words."""
    rows = entries.said_again(conversations=conversations)
    ids = entries.of["answer_id"][rows]
    order = np.argsort(ids, kind="stable")
    is_repeat = ids[order][1:] == ids[order][:-1]
    entries.leave_out(rows[order[1:][is_repeat]], REPEATED)


def leave_out_near(entries: Entries, threshold: float) -> None:
    """Leave out every kept answer that is nearly an earlier one: the same label, and alike in prompt and in answer.

    Alike is a Jaccard similarity of at least `threshold` between the sets of three words that follow each other.
    Prompt and answer are compared apart, so that two short answers to one long prompt are not taken for the same;
    answers of different labels teach the most where they are alike, and stay. Candidates are found by MinHash and
    compared exactly; a pair right at the threshold is found in about half the cases, a closer one nearly always.
    """
    from rensa import RMinHash, RMinHashLSH

    bands = _bands(threshold)
    found = {label: RMinHashLSH(threshold, _PERMUTATIONS, bands) for label in (False, True)}
    rows = np.flatnonzero((entries.of["kind"] != CONVERSATION) & (entries.of["reason"] == 0))
    near = []
    for row, sides in zip(rows.tolist(), _shingled(entries, rows), strict=True):
        index = found[bool(entries.of["label"][row])]
        sketch = RMinHash(_PERMUTATIONS, 0)
        sketch.update([f"{side}{shingle}" for side, shingles in enumerate(sides) for shingle in shingles])
        candidates = np.sort(np.array(index.query(sketch), dtype=np.int64))
        if any(_alike(sides, other, threshold) for other in _shingled(entries, candidates)):
            near.append(row)
        else:
            index.insert(row, sketch)
    entries.leave_out(np.array(near, dtype=np.int64), NEAR)


def _alike(one: Sides, other: Sides, threshold: float) -> bool:
    return all(len(a & b) >= threshold * len(a | b) for a, b in zip(one, other, strict=True))


def _shingled(entries: Entries, rows: np.ndarray) -> Iterator[Sides]:
    for lines in read_lines(entries.scratch, entries.of[rows]):
        for row in map(orjson.loads, lines):
            asked = " ".join(message["content"] for message in row["prompt"] if message["role"] != "system")
            yield _shingles(asked), _shingles(row["completion"][0]["content"])


def _shingles(text: str) -> set[str]:
    words = _WORD.findall(text.casefold())
    return {" ".join(words[start : start + _SHINGLE]) for start in range(max(1, len(words) - _SHINGLE + 1))}


def _bands(threshold: float) -> int:
    """How many bands the sketches are cut into, so that two that are `threshold` alike share one about half the time.

    With b bands of r numbers that is (1/b)^(1/r) ≈ threshold (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets,
    3.4.2); the next larger b finds more.
    """
    sizes = [bands for bands in (2, 4, 8, 16, 32, 64, 128) if (1 / bands) ** (bands / _PERMUTATIONS) <= threshold]
    return sizes[0] if sizes else _PERMUTATIONS
