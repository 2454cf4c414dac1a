"""What stands in the data more than once: rows, prompts, completions, and answers with both labels."""

from dataclasses import dataclass

import numpy as np

from kto_recipes.inspect_data.scan import Side, texts_at

SHOWN = 5  # of the most repeated completions


@dataclass(frozen=True)
class Repeated:
    text: str
    n_desirable: int
    n_undesirable: int

    @property
    def rows(self) -> int:
        return self.n_desirable + self.n_undesirable


@dataclass(frozen=True)
class Repeats:
    """What one file has more than once.

    Attributes:
        duplicates: rows that are equal to an earlier one in prompt, completion and label.
        contradictions: pairs of a prompt and a completion that stand there with both labels.
        contradictory_rows: the rows that these are in.
        prompts: different prompts.
        paired_prompts: prompts that have a desirable and an undesirable answer.
        completions: the texts that most rows have, the most frequent first, each in two rows at least.
    """

    duplicates: int
    contradictions: int
    contradictory_rows: int
    prompts: int
    paired_prompts: int
    completions: list[Repeated]


def repeats(side: Side) -> Repeats:
    good, answers, prompts = side.is_desirable, side.answers, side.prompts
    desirable, undesirable = np.unique(answers[good]), np.unique(answers[~good])
    both = np.intersect1d(desirable, undesirable, assume_unique=True)
    return Repeats(
        duplicates=side.rows - len(desirable) - len(undesirable),
        contradictions=len(both),
        contradictory_rows=int(np.isin(answers, both).sum()),
        prompts=len(np.unique(prompts)),
        paired_prompts=len(np.intersect1d(prompts[good], prompts[~good])),
        completions=_most_repeated(side),
    )


def shared_prompts(train: Side, held_out: Side) -> tuple[int, int]:
    """How many different held-out prompts are trained on, too, and how many held-out prompts there are."""
    prompts = np.unique(held_out.prompts)
    return int(np.isin(prompts, train.prompts).sum()), len(prompts)


def _most_repeated(side: Side) -> list[Repeated]:
    texts, first, counts = np.unique(side.completions, return_index=True, return_counts=True)
    top = [i for i in np.lexsort((first, -counts))[:SHOWN] if counts[i] > 1]
    found = texts_at(side.path, first[top].tolist()) if top else {}
    good = side.is_desirable
    result = []
    for i in top:
        labels = good[side.completions == texts[i]]
        result.append(Repeated(found[int(first[i])], int(labels.sum()), int((~labels).sum())))
    return result
