"""KTO rows and prepared folders for the tests of the inspection."""

import json
import random
from pathlib import Path
from typing import Any

from kto_recipes.rows import KtoRow

# Words of five letters each, so that a text's length says nothing of which words it has.
_TEXT = """
about above actor again agent angle apple beach bench birds blank board bread brick bring cabin cable chain chair chalk
chart child clean clear climb clock cloth cloud coast count cover craft cream cross crowd dance depth dress drink drive
earth eight empty enter entry equal event extra faith field final first fixed floor focus force frame
"""
WORDS = _TEXT.split()


def row(prompt: str | list[Any], text: str, label: bool, strategy: str | None = None) -> KtoRow:
    """`prompt` is one user turn, or all messages."""
    meta = {"id": f"{prompt}/{text}", "group": "g", "source": "votes"} | ({"strategy": strategy} if strategy else {})
    return {
        "prompt": prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}],
        "completion": [{"role": "assistant", "content": text}],
        "label": label,
        "meta": meta,
    }


def words(chance: random.Random, number: int = 10) -> str:
    return " ".join(chance.choices(WORDS, k=number))


def write_rows(path: Path, rows: list[KtoRow]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(it) + "\n" for it in rows), encoding="utf-8")
