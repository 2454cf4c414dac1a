"""Rows of vote logs, and what was made of them."""

import json
from pathlib import Path
from typing import Any

from kto_recipes.rows import read_kto, read_sft

SPLITS = ("train", "eval")


def vote(prompt: str | list, answer: str, label: Any = True, **more: Any) -> dict[str, Any]:
    """A row of a vote log; `more` may hold conversation, rater and time."""
    return {"prompt": prompt, "completion": answer, "label": label, **more}


def filler(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Votes on questions of their own, good and bad in turn within a split, so that none is empty."""
    return [vote(f"question {n // 2}", f"answer {n}", n % 2 == 0) for n in range(first, first + count)]


def turns(*texts: str, system: str | None = None) -> list[dict[str, str]]:
    start = [] if system is None else [{"role": "system", "content": system}]
    return start + [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


def kto_rows(folder: Path) -> list[dict]:
    return [row for split in SPLITS for row in read_kto(folder / f"kto.{split}.jsonl")]


def sft_rows(folder: Path) -> list[dict]:
    return [row for split in SPLITS for row in read_sft(folder / f"sft.{split}.jsonl")]


def labels_of(folder: Path, answer: str) -> list[bool]:
    """The labels of the rows with this answer."""
    return [row["label"] for row in kto_rows(folder) if row["completion"][0]["content"] == answer]


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_bytes())
