"""The pairs of replies that are to be judged, from a run's samples.jsonl."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from kto_recipes.errors import UserError
from kto_recipes.files import sha256_text
from kto_recipes.report.inputs import refuse_no_run
from kto_recipes.rows import Message, read_jsonl

SAMPLES = "samples.jsonl"
OPPONENTS = ("sft", "base")
Replies = Literal["greedy", "sampled"]


@with_config(ConfigDict(extra="allow"))
class _Said(TypedDict):
    greedy: str
    sampled: list[str]


@with_config(ConfigDict(extra="allow"))
class _Sample(TypedDict):
    prompt: list[Message]
    reference: str | None
    models: dict[str, _Said]


_SAMPLE = TypeAdapter(_Sample)


@dataclass(frozen=True)
class Pair:
    """KTO's reply and another model's to one prompt; `reference` is the liked answer in the data, if it has one."""

    opponent: str
    prompt: Sequence[Message]
    kto: str
    other: str
    reference: str | None = None

    @property
    def compared(self) -> str:
        return f"kto-{self.opponent}"

    @property
    def identical(self) -> bool:
        return self.kto.strip() == self.other.strip()


def read_pairs(
    run: Path, against: Sequence[str] | None = None, replies: Replies = "greedy", limit: int | None = None
) -> list[Pair]:
    """A pair for each prompt and opponent, prompt by prompt in an order that means nothing.

    The order is that of a hash of the prompt, so that the first pairs are a fair sample of all, `limit` prompts are
    among the first of a larger limit, and what a run that died half way has judged can be taken for the rest.

    Args:
        run: the run's folder.
        against: names of models; None for SFT and base, as far as the run has them.
        replies: the greedy ones, or the first of those sampled at temperature 1.
        limit: so many prompts at most.

    Raises:
        UserError: when there are no samples, or not of these models.
    """
    samples = _read(run)
    opponents = _opponents(run / SAMPLES, samples, against)
    samples.sort(key=lambda sample: sha256_text(orjson.dumps(sample["prompt"]).decode()))
    return [
        Pair(
            opponent,
            sample["prompt"],
            _reply(sample["models"]["kto"], replies),
            _reply(sample["models"][opponent], replies),
            sample["reference"],
        )
        for sample in samples[:limit]
        for opponent in opponents
    ]


def _read(run: Path) -> list[_Sample]:
    refuse_no_run(run)
    path = run / SAMPLES
    if not path.is_file():
        raise UserError(f"{path}: no such file; evaluate the run first (python scripts/evaluate.py {run})")
    samples = [_checked(value, where) for where, value in read_jsonl(path)]
    if not samples:
        raise UserError(f"{path}: holds no replies; the run has no held-out prompts to judge")
    return samples


def _checked(value: Any, where: str) -> _Sample:
    try:
        sample = _SAMPLE.validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the line"
        raise UserError(f"{where}: {place}: {first['msg'].lower()}; evaluate the run again") from None
    if any(not said["sampled"] for said in sample["models"].values()):
        raise UserError(f"{where}: a model without sampled replies; evaluate the run again")
    return sample


def _opponents(path: Path, samples: Sequence[_Sample], against: Sequence[str] | None) -> list[str]:
    """Those asked for, once each.

    Raises:
        UserError: when some prompt has no reply of one of them, or of KTO.
    """
    present = set.intersection(*(set(sample["models"]) for sample in samples))
    others = sorted(present - {"kto"})
    if "kto" not in present:
        raise UserError(f"{path}: has no replies of the KTO model; it has those of: {', '.join(others) or 'none'}")
    wanted = [name for name in OPPONENTS if name in present] if against is None else list(dict.fromkeys(against))
    for name in wanted:
        if name not in others:
            raise UserError(
                f"{path}: has no replies of {name or 'a model without a name'} to compare KTO with; it has those of: "
                f"{', '.join(others) or 'none'}"
            )
    if not wanted:
        raise UserError(f"{path}: has no replies to compare KTO with")
    return wanted


def _reply(said: _Said, replies: Replies) -> str:
    return said["greedy"] if replies == "greedy" else said["sampled"][0]
