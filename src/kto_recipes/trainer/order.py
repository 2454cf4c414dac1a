"""Which rows share a micro-batch, in which order micro-batches come, and which answers are mismatched.

Rows of one length padded together cost nothing; a micro-batch of one class, or a mismatched pair that matches after
all, costs what is learned.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Sampler
from transformers import TrainerCallback

# How many neighbouring blocks may have their rows ranked by completion.
WINDOWS = (1, 2, 4, 8, 16, 32)


def bucketed(lengths: np.ndarray, completions: np.ndarray, labels: np.ndarray, batch_size: int) -> np.ndarray:
    """An order whose consecutive blocks of `batch_size` rows are alike in length and hold both classes.

    Each class is ranked by itself and dealt to the blocks in that order: where length and label go together, ranking
    all rows at once would make blocks of one class. Rows are ranked by length, and those of some neighbouring blocks,
    which are alike in that anyway, by their completion's: so mismatched pairs (a prompt and its neighbour's completion)
    are alike as well. How many blocks is tried; the least padding wins. Within a block the longest completion comes
    first, which keeps mismatched pairs short.

    Args:
        lengths: [rows], tokens of prompt and completion.
        completions: [rows], tokens of the completion.
        labels: [rows], true for desirable.

    Returns:
        [rows], a permutation. Every block has a row of both classes if both have as many rows as there are blocks.
    """
    starts = np.arange(0, len(labels), batch_size)
    if not len(starts):
        return np.zeros(0, dtype=np.int64)
    sizes = np.diff(starts, append=len(labels))
    classes = (rows[np.argsort(lengths[rows], kind="stable")] for rows in _classes(labels))
    minority, majority = sorted(classes, key=len)
    shares = np.array(_dealt(len(minority), sizes.tolist()))

    def in_windows(window: int) -> np.ndarray:
        """The order where rows of `window` blocks are ranked by completion; of one, where all are by length."""
        windows = max(len(labels) // (batch_size * window), 1) if window > 1 else len(labels)
        few, many = (_by_completion(rows, completions, windows) for rows in (minority, majority))
        parts = zip(np.split(few, np.cumsum(shares)[:-1]), np.split(many, np.cumsum(sizes - shares)[:-1]), strict=True)
        blocks = map(np.concatenate, parts)
        return np.concatenate([block[np.argsort(-completions[block], kind="stable")] for block in blocks])

    def padded(order: np.ndarray) -> int:
        """Positions to compute: a pass with a gradient costs as much as three of the mismatched completions."""
        longest = (np.maximum.reduceat(values[order], starts) for values in (lengths, completions))
        return sum(factor * int((sizes * each).sum()) for factor, each in zip((3, 1), longest, strict=True))

    return min((in_windows(window) for window in WINDOWS), key=padded)


def _classes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.flatnonzero(labels), np.flatnonzero(~labels.astype(bool))


def _by_completion(rows: np.ndarray, completions: np.ndarray, windows: int) -> np.ndarray:
    """`rows` cut into so many windows, each ranked by completion."""
    window = np.arange(len(rows)) * windows // max(len(rows), 1)
    return rows[np.lexsort((completions[rows], window))]


def _dealt(count: int, sizes: Sequence[int]) -> list[int]:
    """`count` rows dealt to blocks of `sizes` in proportion, at least one each where there are enough."""
    ends = np.cumsum(sizes)
    dealt = np.diff(np.floor(count * ends / ends[-1] + 0.5).astype(int), prepend=0).tolist() if len(ends) else []
    if count < len(sizes):
        return dealt
    for block in (block for block, size in enumerate(sizes) if dealt[block] == 0 and size > 1):
        richest = max(range(len(sizes)), key=dealt.__getitem__)
        dealt[richest] -= 1
        dealt[block] += 1
    return dealt


def mismatched(
    prompts: Sequence, prompt_tokens: np.ndarray, completion_tokens: np.ndarray, batch_size: int
) -> np.ndarray:
    """For each row the row whose completion its prompt is paired with to estimate z0.

    Inside a block completions are rotated, as in TRL, by the step that gives the shortest pairs among those in which no
    prompt meets an answer to itself. Where no step does, the rows concerned take an answer of the nearest other block.

    Args:
        prompts: [rows], equal where the prompt is the same.
        prompt_tokens, completion_tokens: [rows].
        batch_size: the micro-batch of this split.

    Raises:
        ValueError: when all rows have one prompt: then no pair is mismatched.
    """
    ids = np.unique(np.asarray(prompts), return_inverse=True)[1]
    if len(ids) and ids.max() == 0:
        raise ValueError("every row has the same prompt; KTO's reference point needs answers to other prompts")
    partner = np.arange(len(ids))
    for start in range(0, len(ids), batch_size):
        block = np.arange(start, min(start + batch_size, len(ids)))
        partner[block] = _rotated(block, ids, prompt_tokens, completion_tokens)
    for row in np.flatnonzero(ids[partner] == ids):
        others = np.flatnonzero(ids != ids[row])
        partner[row] = others[np.argmin(np.abs(others - row))]
    return partner


def _rotated(block: np.ndarray, ids: np.ndarray, prompts: np.ndarray, completions: np.ndarray) -> np.ndarray:
    """The best rotation of a block: fewest pairs of one prompt, then the shortest longest pair."""
    rotations = (np.roll(block, step) for step in range(1, max(len(block), 2)))
    return min(
        rotations,
        key=lambda other: (int((ids[other] == ids[block]).sum()), int((prompts[block] + completions[other]).max())),
    )


def without_single(labels: np.ndarray, lengths: np.ndarray, batch_size: int) -> np.ndarray:
    """The rows to train on: all, but for one where a single row would be left as the last micro-batch.

    It would be paired with itself and weigh as much as a whole micro-batch. What is left out is the row of median
    length of the larger class.
    """
    rows = np.arange(len(labels))
    if batch_size < 2 or len(rows) < 2 or len(rows) % batch_size != 1:
        return rows
    larger = max(_classes(labels), key=len)
    ranked = larger[np.argsort(lengths[larger], kind="stable")]
    return np.delete(rows, ranked[len(ranked) // 2])


class BlockShuffle(Sampler[int]):
    """Row numbers with whole blocks shuffled: pairs and their precomputed values stay what they are.

    A block that is shorter comes last, so that the loader cuts the others where they were made. `set_epoch` gives each
    epoch its own order, the same for the same seed.
    """

    def __init__(self, rows: int, block: int, seed: int) -> None:
        self.rows, self.block, self.seed, self.epoch = rows, block, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        whole = self.rows // self.block
        for block in np.random.default_rng((self.seed, self.epoch)).permutation(whole):
            yield from range(int(block) * self.block, (int(block) + 1) * self.block)
        yield from range(whole * self.block, self.rows)


class EpochOfShuffle(TrainerCallback):
    """Tells a shuffle its epoch: Accelerate does not when several processes resume in the middle of one."""

    def __init__(self, shuffle: BlockShuffle) -> None:
        self.shuffle = shuffle

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.shuffle.set_epoch(int(state.epoch or 0))
