"""The order of rows in a KTO file, which is the order of training and decides the mismatched pairs.

TRL pairs each prompt with the completion of the row before it inside a micro-batch (stock KTOTrainer), so
answers to one prompt must not stand near each other, and a stretch of one class makes one-class batches.
"""

import numpy as np
from xxhash import xxh3_64_intdigest

from kto_recipes.rows import KtoRow, completion_text, prompt_key

_NEAR = 9  # siblings come that much nearer at most


def training_order(prompts: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """The rows' places in the order of training: prompts shuffled, siblings far apart, the classes mixed.

    The prompts with k answers are laid out k times, one answer each time, evenly over the whole file, and so for
    every k. Between two answers to one prompt with k of n rows there are then n/k rows, less at most as many as
    there are different k. Which answer comes first changes from prompt to prompt, so that both classes run through
    the file at their own rate.

    Args:
        prompts: what tells prompts apart, one number a row, shape [n].
        labels: booleans, shape [n].
        seed: decides the shuffle.

    Returns:
        A permutation of range(n), int64.
    """
    numbers, answers = np.unique(prompts, return_inverse=True, return_counts=True)[1:]
    shuffled = np.random.default_rng(seed).permutation(len(answers))
    rank = np.empty(len(answers), dtype=np.int64)
    rank[shuffled] = _place_among_equals(answers[shuffled])
    prompts_with = np.bincount(answers)
    k = answers[numbers]
    # Desirable answers first, in the order they came in; then turned round by the prompt's rank.
    by_prompt = stable_order(2 * numbers + ~labels)
    turn = np.empty(len(prompts), dtype=np.int64)
    turn[by_prompt] = _runs(numbers[by_prompt])
    turn = (turn - rank[numbers]) % k
    return np.argsort((rank[numbers] / prompts_with[k] + turn) / k, kind="stable")


def stable_order(numbers: np.ndarray) -> np.ndarray:
    """What `np.argsort(kind="stable")` gives, for numbers from 0 to 2³² and up to 2³² of them, ten times as fast."""
    return (np.sort(numbers.astype(np.uint64) << 32 | np.arange(len(numbers), dtype=np.uint64)) & 0xFFFFFFFF).astype(
        np.int64
    )


def interleave(rows: list[KtoRow], seed: int) -> list[KtoRow]:
    """`rows` in their `training_order`, but for equal answers to different prompts, which are moved apart."""
    labels = np.array([row["label"] for row in rows], dtype=bool)
    ordered = [rows[index] for index in training_order(_prompts(rows), labels, seed)]
    _part_equal_answers(ordered)
    return ordered


def _part_equal_answers(rows: list[KtoRow]) -> None:
    """Exchange a row whose answer is that of the row before it with one of its class among the next few, in place.

    A mismatched pair of the two would be a matched one. Where none of those next few will do, the row stays.
    """
    answers = [completion_text(row) for row in rows]
    for place in range(1, len(rows)):
        if answers[place] != answers[place - 1]:
            continue
        for other in range(place + 1, min(place + _NEAR, len(rows))):
            if rows[other]["label"] != rows[place]["label"]:
                continue
            _exchange(answers, place, other)
            if not _repeats_a_neighbour(answers, place) and not _repeats_a_neighbour(answers, other):
                _exchange(rows, place, other)
                break
            _exchange(answers, place, other)


def _exchange(values: list, one: int, other: int) -> None:
    values[one], values[other] = values[other], values[one]


def _repeats_a_neighbour(answers: list[str], place: int) -> bool:
    """Whether the answer before or after `place`, which is not the first, is the same."""
    return answers[place] in (answers[place - 1], *answers[place + 1 : place + 2])


def sibling_distance(prompts: np.ndarray) -> int | None:
    """The fewest rows from one answer to the next of its prompt; None where every prompt has one answer."""
    numbers = np.unique(prompts, return_inverse=True)[1]
    order = stable_order(numbers)
    is_sibling = numbers[order][1:] == numbers[order][:-1]
    return int(np.diff(order)[is_sibling].min()) if is_sibling.any() else None


def smallest_distance(rows: list[KtoRow]) -> int | None:
    """The `sibling_distance` of rows."""
    return sibling_distance(_prompts(rows))


def _prompts(rows: list[KtoRow]) -> np.ndarray:
    return np.array([xxh3_64_intdigest(prompt_key(row)) for row in rows], dtype=np.uint64)


def _place_among_equals(numbers: np.ndarray) -> np.ndarray:
    """For each number, how many equal ones stand before it."""
    order = stable_order(numbers)
    place = np.empty(len(numbers), dtype=np.int64)
    place[order] = _runs(numbers[order])
    return place


def _runs(ordered: np.ndarray) -> np.ndarray:
    """For each value of an ordered array, how many equal ones stand before it."""
    if not len(ordered):
        return np.array([], dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    return np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
