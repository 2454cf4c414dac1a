"""One pass over a file of answers: exact counts, fingerprints, and a sample of rows to look at more closely.

No more rows than the sample are kept, so memory grows with the file by some thirty bytes a row.
"""

import random
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kto_recipes.rows import KtoRow, check_kto_row, completion_text, prompt_key, read_jsonl

SAMPLE_ROWS = 10_000


@dataclass
class Side:
    """The rows of one side of the split, `train` or `eval`.

    `turns` counts, by label and number of user turns, the prompts; the fingerprints are in the order of the file and
    hold for this process only.
    """

    name: str
    path: Path
    rows: int = 0
    labels: Counter[bool] = field(default_factory=Counter)
    strategies: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    turns: dict[bool, Counter[int]] = field(default_factory=lambda: {True: Counter(), False: Counter()})
    with_system: int = 0
    sample: list[KtoRow] = field(default_factory=list)
    _is_desirable: array = field(default_factory=lambda: array("b"))
    _prompts: array = field(default_factory=lambda: array("q"))
    _completions: array = field(default_factory=lambda: array("q"))
    _answers: array = field(default_factory=lambda: array("q"))

    @property
    def is_desirable(self) -> NDArray[np.bool_]:
        return np.array(self._is_desirable, dtype=bool)

    @property
    def prompts(self) -> NDArray[np.int64]:
        """(rows): equal for rows that answer the same prompt."""
        return np.array(self._prompts, dtype=np.int64)

    @property
    def completions(self) -> NDArray[np.int64]:
        return np.array(self._completions, dtype=np.int64)

    @property
    def answers(self) -> NDArray[np.int64]:
        """(rows): equal for rows with the same prompt and the same completion."""
        return np.array(self._answers, dtype=np.int64)

    def add(self, row: KtoRow) -> None:
        label, key, text = row["label"], prompt_key(row), completion_text(row).strip()
        self.rows += 1
        self.labels[label] += 1
        self.sources[row["meta"]["source"]] += 1
        if not label and "strategy" in row["meta"]:
            self.strategies[row["meta"]["strategy"]] += 1
        self.turns[label][sum(message["role"] == "user" for message in row["prompt"])] += 1
        self.with_system += row["prompt"][0]["role"] == "system"
        self._is_desirable.append(label)
        self._prompts.append(hash(key))
        self._completions.append(hash(text))
        self._answers.append(hash((key, text)))


def scan(name: str, path: Path, seed: int) -> Side:
    """Read a file of KTO rows.

    Raises:
        UserError: for a line that is no KTO row.
    """
    side, chance = Side(name, path), random.Random(seed)
    for where, value in read_jsonl(path):
        row = check_kto_row(value, where)
        side.add(row)
        if len(side.sample) < SAMPLE_ROWS:
            side.sample.append(row)
        elif (place := chance.randrange(side.rows)) < SAMPLE_ROWS:  # every row is as likely to be in the sample
            side.sample[place] = row
    return side


def texts_at(path: Path, places: Iterable[int]) -> dict[int, str]:
    """The completions of the rows at `places`, which count from 0."""
    wanted = set(places)
    found = {}
    for place, (_, value) in enumerate(read_jsonl(path)):
        if place in wanted:
            found[place] = completion_text(value).strip()
            if len(found) == len(wanted):
                break
    return found
