"""The order of rows in a KTO file, which is the order of training and decides the mismatched pairs.

TRL pairs each prompt with the completion of the row before it inside a micro-batch (stock KTOTrainer), so
answers to one prompt must not stand near each other, and a stretch of one class makes one-class batches.
"""

import random
from collections import defaultdict

from kto_recipes.rows import KtoRow, prompt_key


def interleave(rows: list[KtoRow], seed: int) -> list[KtoRow]:
    """Shuffle the prompts by `seed`, then lay their answers out so that siblings and classes are spread.

    A prompt's k answers stand about len(rows)/k apart. Which of them comes first changes from prompt to
    prompt, so that both classes run through the whole file at their own rate.
    """
    answers: dict[bytes, list[KtoRow]] = defaultdict(list)
    for row in rows:
        answers[prompt_key(row)].append(row)
    prompts = list(answers)
    random.Random(seed).shuffle(prompts)
    placed: list[tuple[float, int, KtoRow]] = []
    for rank, prompt in enumerate(prompts):
        mine = sorted(answers[prompt], key=lambda row: row["label"], reverse=True)
        first = rank % len(mine)
        for turn, row in enumerate(mine[first:] + mine[:first]):
            placed.append(((rank / len(prompts) + turn) / len(mine), len(placed), row))
    return [row for _, _, row in sorted(placed, key=lambda item: item[:2])]


def smallest_distance(rows: list[KtoRow]) -> int | None:
    """The fewest rows between two answers to one prompt; None where every prompt has one answer."""
    last: dict[bytes, int] = {}
    smallest = None
    for index, row in enumerate(rows):
        key = prompt_key(row)
        if key in last and (smallest is None or index - last[key] < smallest):
            smallest = index - last[key]
        last[key] = index
    return smallest
