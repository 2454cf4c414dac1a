"""Which rows are held out: whole groups, chosen by a hash, so that a split is stable when rows are added."""

import hashlib

import numpy as np


def draw(group: str, seed: int) -> int:
    """A number in [0, 2⁶⁴) that is the group's own: the same in every run and on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{group}".encode()).digest()[:8])


def held_out(groups: np.ndarray, fraction: float, counted: np.ndarray, at_most: int | None) -> np.ndarray:
    """Which rows are held out: those of about `fraction` of all groups, as long as there are no more than `at_most`.

    Args:
        groups: each row's group, as `draw` gives it, shape [n].
        counted: which rows count, shape [n], bool.
        at_most: rows that count; none is no limit. One group is held out whole, however many it has.
    """
    is_held_out = groups / 2.0**64 < fraction
    numbers = np.sort(groups[is_held_out & counted])
    if at_most is not None and len(numbers) > at_most:
        # of the lowest numbers, so that nothing is held out newly when rows are added
        is_held_out &= groups < max(numbers[at_most], numbers[0] + 1)
    return is_held_out


def joined_groups(groups: np.ndarray, prompts: np.ndarray) -> np.ndarray:
    """Each row's group after groups that share a prompt, directly or through others, are joined.

    Two conversations that open with the same words must not end up on both sides of a split. The first of those
    joined represents them, so that rows added at the end change no earlier one's.

    Args:
        groups: each row's group, as any number that tells groups apart, shape [n].
        prompts: each row's prompt, likewise.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(groups):
        return groups
    group_numbers, prompt_numbers = (np.unique(values, return_inverse=True)[1] for values in (groups, prompts))
    first_prompt = group_numbers.max() + 1
    size = first_prompt + prompt_numbers.max() + 1
    edges = (group_numbers, first_prompt + prompt_numbers)
    graph = coo_matrix((np.ones(len(groups), dtype=bool), edges), shape=(size, size))
    count, components = connected_components(graph, directed=False)
    component = components[group_numbers]
    first_row = np.empty(count, dtype=np.int64)
    first_row[component[::-1]] = np.arange(len(groups))[::-1]  # of several, the last that is written stays
    return groups[first_row[component]]
