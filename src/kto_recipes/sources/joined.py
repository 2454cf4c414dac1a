"""Votes that lie beside what they are about, as tracing tools export them: the votes are kept, the texts go by."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kto_recipes.sources.records import LeftOut, Rated, ReadOptions, Record
from kto_recipes.sources.shapes import LeaveOut, rated, seconds_of
from kto_recipes.sources.tracing import exchange
from kto_recipes.sources.votes import or_left_out

_ENDINGS = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz", ".parquet")


@dataclass(slots=True)
class Vote:
    """A vote whose answer lies elsewhere; `target` is that answer's id, or that of something above it."""

    target: str
    where: str
    label: bool
    rater: str | None = None
    time: float | None = None
    better: str | None = None  # what a person wrote instead of the answer


@dataclass(slots=True)
class Text:
    """An exchange as a tracing tool keeps it; `above` are the ids of what it was part of."""

    id: str
    above: set[str]
    is_call: bool  # a call of a model, not a step around one
    time: float
    inputs: Any
    outputs: Any
    conversation: str | None
    user: str | None = None


def join(votes: Iterable[Vote], texts: Callable[[], Iterator[Text]]) -> Iterator[tuple[Vote, Text | None]]:
    """Each vote with the exchange it is about, in the order of the exchanges; then those whose exchange is not there.

    That is the target itself if it is a call of a model, else the last call within it, else the target. Of an
    exchange that was written several times the last version counts. `texts` is read twice; only ids are kept.
    """
    wanted: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        wanted[vote.target].append(vote)
    itself: dict[str, tuple[bool, int]] = {}
    last_call: dict[str, tuple[float, int]] = {}
    for number, text in enumerate(texts()):
        if text.id in wanted:
            itself[text.id] = (text.is_call, number)
        for above in text.above if text.is_call else ():
            if above in wanted:
                last_call[above] = max(last_call.get(above, (-math.inf, -1)), (text.time, number))
    chosen: dict[int, list[str]] = defaultdict(list)
    for target in wanted:
        is_call, number = itself.get(target, (False, None))
        if not is_call and target in last_call:
            number = last_call[target][1]
        if number is not None:
            chosen[number].append(target)
    for number, text in enumerate(texts()):
        for target in chosen.get(number, ()):
            yield from ((vote, text) for vote in wanted.pop(target))
    yield from ((vote, None) for votes in wanted.values() for vote in votes)


def joined(votes: Iterable[Vote], texts: Callable[[], Iterator[Text]], options: ReadOptions) -> Iterator[Record]:
    """The records of votes; `texts` as for `join`."""
    for vote, text in join(votes, texts):
        if text is None:
            yield LeftOut("answer not found", vote.where)
            continue
        made = or_left_out(partial(_records, vote, text, options), vote.where, options)
        yield from [made] if isinstance(made, LeftOut) else made


def _records(vote: Vote, text: Text, options: ReadOptions) -> list[Rated]:
    prompt, answer = exchange(text.inputs, text.outputs, options)
    if vote.better == answer:
        raise LeaveOut("same answer twice")
    answers = [(answer, vote.label)] + ([(vote.better, True)] if vote.better is not None else [])
    more = {"conversation": text.conversation, "rater": vote.rater or text.user, "time": vote.time}
    return [rated(prompt, said, label, vote.where, **more) for said, label in answers]


def moment(value: Any) -> float:
    """When a call was made, for putting calls in order; 0 where that is not known."""
    try:
        return seconds_of(value) or 0.0
    except ValueError:
        return 0.0


def files_in(folder: Path, *starts: str) -> list[Path]:
    """The exports in a folder whose names begin with one of `starts`, in order; none where there is no folder."""
    if not folder.is_dir():
        return []
    names = sorted(path for path in folder.iterdir() if path.name.lower().endswith(_ENDINGS))
    return [path for path in names if path.name.lower().startswith(starts) and path.is_file()]
