"""The split: whole groups, decided by a hash, stable, and never a prompt on both sides."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kto_recipes.prepare.split import draw, held_out
from kto_recipes.prepare.split import joined_groups as joined_numbers

GROUPS = st.text("abc019:", min_size=1, max_size=4)
PAIRS = st.lists(st.tuples(GROUPS, st.integers(0, 12)), max_size=40)
FRACTIONS = st.floats(0.01, 0.99)


def joined_groups(pairs: list[tuple[str, int]]) -> dict[str, str]:
    """Each group's representative, by name."""
    names = sorted({group for group, _ in pairs})
    groups = np.array([names.index(group) for group, _ in pairs], dtype=np.uint64)
    prompts = np.array([prompt for _, prompt in pairs], dtype=np.uint64)
    joined = joined_numbers(groups, prompts).tolist()
    return {group: names[number] for (group, _), number in zip(pairs, joined, strict=True)}


def is_eval(group: str, fraction: float, seed: int) -> bool:
    number = np.array([draw(group, seed)], dtype=np.uint64)
    return bool(held_out(number, fraction, np.array([True]), None)[0])


def connected(pairs: list[tuple[str, int]]) -> dict[str, frozenset[str]]:
    """Each group's set of groups that are joined through shared prompts, found by walking."""
    groups_with, prompts_of = defaultdict(set), defaultdict(set)
    for group, prompt in pairs:
        groups_with[prompt].add(group)
        prompts_of[group].add(prompt)
    found = {}
    for start in prompts_of:
        reached, todo = set(), [start]
        while todo:
            group = todo.pop()
            if group not in reached:
                reached.add(group)
                todo += [near for prompt in prompts_of[group] for near in groups_with[prompt]]
        found[start] = frozenset(reached)
    return found


@given(PAIRS)
def test_groups_are_joined_exactly_if_shared_prompts_lead_from_one_to_the_other(pairs):
    joined = joined_groups(pairs)
    expected = connected(pairs)
    assert set(joined) == set(expected)
    for a in joined:
        assert joined[a] in expected[a]
        for b in joined:
            assert (joined[a] == joined[b]) == (b in expected[a])


@given(PAIRS, FRACTIONS, st.integers(0, 99))
def test_no_prompt_is_ever_on_both_sides(pairs, fraction, seed):
    joined = joined_groups(pairs)
    sides = defaultdict(set)
    for group, prompt in pairs:
        sides[prompt].add(is_eval(joined[group], fraction, seed))
    assert all(len(side) == 1 for side in sides.values())


@given(PAIRS, PAIRS)
def test_rows_added_later_leave_earlier_groups_where_they_are_unless_they_join_two_of_them(earlier, later):
    old = {group for group, _ in earlier}
    later = [(f"0{group}", prompt) for group, prompt in later]  # also a name that sorts before the old ones
    assume(not old & {group for group, _ in later})
    before, after = joined_groups(earlier), joined_groups(earlier + later)
    for component in set(connected(earlier + later).values()):
        representatives = {before[group] for group in component & old}
        assert len({after[group] for group in component}) == 1
        if len(representatives) == 1:
            assert {after[group] for group in component} == representatives


@given(GROUPS, FRACTIONS, FRACTIONS, st.integers(0, 99))
def test_a_larger_fraction_only_adds_to_what_is_held_out(group, one, other, seed):
    low, high = sorted((one, other))
    assert is_eval(group, low, seed) <= is_eval(group, high, seed)


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_about_the_asked_fraction_is_held_out(fraction, seed):
    held_out = sum(is_eval(f"chat:{number}", fraction, seed) for number in range(20_000))
    deviation = (20_000 * fraction * (1 - fraction)) ** 0.5  # of a binomial
    assert abs(held_out - 20_000 * fraction) < 4 * deviation


def test_another_seed_holds_out_others():
    names = [f"chat:{number}" for number in range(1000)]
    first, second = ({name for name in names if is_eval(name, 0.5, seed)} for seed in (0, 1))
    assert 150 < len(first & second) < 350  # 250 if independent


def test_the_draw_is_the_same_on_every_machine():
    # printf '7:chat:1' | sha256sum: its first eight bytes
    assert draw("chat:1", 7) == 0xC0292B936F420C04


ROWS = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.booleans()), min_size=1, max_size=40)


def capped(rows: list[tuple[int, bool]], fraction: float, at_most: int | None) -> list[bool]:
    groups, counted = zip(*rows, strict=True)
    return held_out(np.array(groups, dtype=np.uint64), fraction, np.array(counted), at_most).tolist()


@given(ROWS, FRACTIONS, st.integers(1, 20))
def test_no_more_are_held_out_than_asked_unless_one_group_has_more(rows, fraction, at_most):
    rows = [(group % 2**61, counts) for group, counts in rows for _ in range(1 + group % 3)]
    count = [
        group for (group, counts), is_in in zip(rows, capped(rows, fraction, at_most), strict=True) if is_in & counts
    ]
    assert len(count) <= at_most or len(set(count)) == 1


@given(ROWS, FRACTIONS, st.integers(1, 20))
def test_a_limit_only_takes_away_and_never_all_nor_a_part_of_a_group(rows, fraction, at_most):
    free, limited = capped(rows, fraction, None), capped(rows, fraction, at_most)
    assert all(with_limit <= without for with_limit, without in zip(limited, free, strict=True))
    assert any(is_in and counts for is_in, (_, counts) in zip(free, rows, strict=True)) <= any(limited)
    sides = defaultdict(set)
    for (group, _), is_in in zip(rows, limited, strict=True):
        sides[group].add(is_in)
    assert all(len(side) == 1 for side in sides.values())


@given(ROWS, ROWS, FRACTIONS, st.integers(1, 20))
def test_with_a_limit_rows_added_later_move_none_from_training_to_evaluation(earlier, later, fraction, at_most):
    before, after = capped(earlier, fraction, at_most), capped(earlier + later, fraction, at_most)
    held = [now <= then for then, now, (_, counts) in zip(before, after, earlier, strict=False) if counts]
    assert all(held)
