"""Which rows share a micro-batch, which answers are mismatched, and in which order micro-batches come."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kto_recipes.trainer.order import BlockShuffle, bucketed, mismatched, without_single


class Rows:
    """Lengths, labels and prompts of rows, and the micro-batch they are cut into."""

    def __init__(self, prompts: list[int], labels: list[bool], completions: list[int], batch_size: int) -> None:
        self.batch_size = batch_size
        self.prompts, self.labels = np.array(prompts), np.array(labels, dtype=bool)
        self.completions = np.array(completions)
        self.prompt_tokens = 3 + 7 * self.prompts % 41
        self.lengths = self.prompt_tokens + self.completions

    def __repr__(self) -> str:
        return f"Rows({self.prompts.tolist()}, {self.labels.tolist()}, {self.completions.tolist()}, {self.batch_size})"

    def blocks(self) -> list[np.ndarray]:
        starts = range(0, len(self.labels), self.batch_size)
        return [np.arange(start, min(start + self.batch_size, len(self.labels))) for start in starts]

    def bucketed(self) -> np.ndarray:
        return bucketed(self.lengths, self.completions, self.labels, self.batch_size)

    def mismatched(self) -> np.ndarray:
        return mismatched(self.prompts.tolist(), self.prompt_tokens, self.completions, self.batch_size)


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """Few prompts or many, one length or a long tail, one label or both, sorted or not."""
    n = draw(st.integers(2, 60))
    prompts = draw(st.lists(st.integers(0, draw(st.sampled_from([1, 3, 40]))), min_size=n, max_size=n))
    labels = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    completions = draw(st.lists(st.integers(1, draw(st.sampled_from([1, 5, 2000]))), min_size=n, max_size=n))
    if draw(st.booleans()):
        prompts, labels = sorted(prompts), sorted(labels)
    return Rows(prompts, labels, completions, draw(st.integers(2, 9)))


# --- buckets ------------------------------------------------------------------------------------------------


@given(rows())
def test_bucketing_loses_no_row_and_doubles_none(data: Rows) -> None:
    assert sorted(data.bucketed().tolist()) == list(range(len(data.labels)))


@given(rows())
def test_every_block_has_both_classes_where_both_have_a_row_for_each_block(data: Rows) -> None:
    assume(len(data.labels) % data.batch_size != 1)  # a block of one row cannot
    blocks = data.blocks()
    assume(min(data.labels.sum(), (~data.labels).sum()) >= len(blocks))
    labels = data.labels[data.bucketed()]
    assert all(len(set(labels[block])) == 2 for block in blocks)


def test_no_block_has_one_class_where_length_says_the_label() -> None:
    """Desirable answers short, undesirable ones long: blocks of one length would be blocks of one class."""
    n = 64
    data = Rows(list(range(n)), [i < n // 2 for i in range(n)], [5] * (n // 2) + [500] * (n // 2), 8)
    labels = data.labels[data.bucketed()].reshape(-1, 8)
    assert (labels.sum(1) == 4).all()


def test_the_smaller_class_is_spread_evenly() -> None:
    data = Rows(list(range(80)), [i < 20 for i in range(80)], list(range(1, 81)), 8)
    assert (data.labels[data.bucketed()].reshape(-1, 8).sum(1) == 2).all()


@given(rows())
def test_the_longest_completion_of_a_block_comes_first(data: Rows) -> None:
    completions = data.completions[data.bucketed()]
    assert all(a >= b for block in data.blocks() for a, b in pairwise(completions[block]))


def padding(lengths: np.ndarray, batch_size: int) -> float:
    """The part of positions that hold no token."""
    padded = sum(len(block) * block.max() for block in np.array_split(lengths, len(lengths) // batch_size))
    return 1 - lengths.sum() / padded


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tied", [False, True], ids=["any label", "the long ones are undesirable"])
def test_long_tailed_lengths_are_padded_far_less_than_in_random_order(seed: int, tied: bool) -> None:
    draw = np.random.default_rng(seed)
    n, batch_size = 800, 8
    completions = np.ceil(draw.lognormal(3.4, 0.9, n)).astype(int)
    prompts = np.ceil(draw.lognormal(4.5, 0.7, n)).astype(int)
    lengths = prompts + completions
    labels = lengths < np.median(lengths) if tied else draw.random(n) < 0.5
    order = bucketed(lengths, completions, labels, batch_size)
    assert padding(lengths, batch_size) > 0.4
    # Where length says the label, a block holds short and long rows, and half of what is short is padding.
    assert padding(lengths[order], batch_size) < (0.4 if tied else 0.1)
    partner = mismatched(list(range(n)), prompts[order], completions[order], batch_size)
    pairs = prompts[order] + completions[order][partner]
    rotated = prompts[order] + np.roll(completions[order].reshape(-1, batch_size), 1, axis=1).flatten()
    assert padding(pairs, batch_size) <= padding(rotated, batch_size)


@pytest.mark.parametrize("batch_size", [2, 4, 8])
def test_completions_of_a_block_are_alike_as_well(batch_size: int) -> None:
    """Ranked by length alone, half of what the blocks' completions are padded to would be padding."""
    draw = np.random.default_rng(0)
    n = 4000
    completions = np.ceil(draw.lognormal(3.4, 0.9, n)).astype(int)
    lengths = completions + np.ceil(draw.lognormal(4.5, 0.7, n)).astype(int)
    by_length = np.argsort(lengths, kind="stable")
    order = bucketed(lengths, completions, draw.random(n) < 0.5, batch_size)
    assert padding(completions[order], batch_size) < 0.6 * padding(completions[by_length], batch_size)
    assert padding(lengths[order], batch_size) < 0.06


def test_no_rows_are_no_rows() -> None:
    nothing = np.zeros(0, dtype=int)
    assert bucketed(nothing, nothing, nothing.astype(bool), 4).tolist() == []


# --- mismatched pairs ---------------------------------------------------------------------------------------


@given(rows())
def test_no_prompt_meets_an_answer_to_itself(data: Rows) -> None:
    assume(len(set(data.prompts)) > 1)
    partner = data.mismatched()
    assert partner.shape == data.prompts.shape
    assert (data.prompts[partner] != data.prompts).all()


@given(rows())
def test_a_blocks_partners_are_its_own_rows_wherever_a_rotation_can_do_it(data: Rows) -> None:
    assume(len(set(data.prompts)) > 1)
    partner = data.mismatched()
    for block in data.blocks():
        rotations = [np.roll(block, by) for by in range(1, len(block))]
        if any((data.prompts[other] != data.prompts[block]).all() for other in rotations):
            assert sorted(partner[block].tolist()) == block.tolist()


def test_of_the_rotations_that_do_it_the_shortest_is_taken() -> None:
    """Prompts of 100, 1, 1 tokens and answers of 1, 100, 1: only one of the two rotations makes a pair of 200."""
    partner = mismatched(list("abc"), np.array([100, 1, 1]), np.array([1, 100, 1]), 3)
    assert partner.tolist() == [2, 0, 1]
    partner = mismatched(list("abc"), np.array([100, 1, 1]), np.array([1, 1, 100]), 3)
    assert partner.tolist() == [1, 2, 0]


def test_a_block_of_one_prompt_takes_answers_of_the_nearest_other_block() -> None:
    four = np.ones(8, dtype=int)
    partner = mismatched(list("aaaabcde"), four, four, 4)
    assert partner[:4].tolist() == [4, 4, 4, 4]
    assert sorted(partner[4:].tolist()) == [4, 5, 6, 7]


@pytest.mark.parametrize("n", [1, 2, 9])
def test_one_prompt_for_all_rows_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="every row has the same prompt"):
        mismatched(["a"] * n, np.ones(n, dtype=int), np.ones(n, dtype=int), 4)


# --- a last block of one row --------------------------------------------------------------------------------


@given(rows())
def test_no_block_of_one_row_is_left_and_at_most_one_row_of_the_larger_class_goes(data: Rows) -> None:
    kept = without_single(data.labels, data.lengths, data.batch_size)
    assert len(kept) % data.batch_size != 1
    assert sorted(set(kept.tolist())) == kept.tolist()
    gone = sorted(set(range(len(data.labels))) - set(kept.tolist()))
    assert len(gone) == (1 if len(data.labels) % data.batch_size == 1 else 0)
    for row in gone:
        same = data.labels == data.labels[row]
        assert same.sum() >= (~same).sum()


def test_what_goes_is_of_median_length() -> None:
    kept = without_single(np.array([True] * 5), np.array([50, 10, 30, 20, 40]), 2)
    assert kept.tolist() == [0, 1, 3, 4]


# --- the order of an epoch ----------------------------------------------------------------------------------

shuffles = st.tuples(st.integers(0, 100), st.integers(1, 17), st.integers(0, 2**31))


def epochs(shuffle: BlockShuffle, count: int) -> Iterator[list[int]]:
    for epoch in range(count):
        shuffle.set_epoch(epoch)
        yield list(shuffle)


@given(shuffles)
def test_each_epoch_has_every_row_once_in_whole_blocks_and_the_short_one_last(sizes: tuple[int, int, int]) -> None:
    n, block, _ = sizes
    shuffle = BlockShuffle(*sizes)
    assert len(shuffle) == n
    for order in epochs(shuffle, 3):
        assert sorted(order) == list(range(n))
        for start in range(0, n, block):
            rows = order[start : start + block]
            assert rows[0] % block == 0
            assert rows == list(range(rows[0], rows[0] + len(rows)))
        assert order[n - n % block :] == list(range(n - n % block, n))


@given(shuffles)
def test_the_same_seed_and_epoch_give_the_same_order(sizes: tuple[int, int, int]) -> None:
    later = BlockShuffle(*sizes)
    later.set_epoch(2)
    assert list(epochs(BlockShuffle(*sizes), 3))[2] == list(later) == list(later)


def test_epochs_and_seeds_differ() -> None:
    orders = [tuple(order) for seed in range(5) for order in epochs(BlockShuffle(80, 4, seed), 5)]
    assert len(set(orders)) == 25
    assert tuple(range(80)) not in orders
