"""Which rows are held out: whole groups, chosen by a hash, so that a split is stable when rows are added."""

import hashlib
from collections.abc import Hashable, Iterable


def is_eval(group: str, fraction: float, seed: int) -> bool:
    """Whether `group` is held out; true for about `fraction` of all groups."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < fraction


def joined_groups(pairs: Iterable[tuple[str, Hashable]]) -> dict[str, str]:
    """For (group, prompt) pairs: each group's representative after groups that share a prompt are joined.

    Two conversations that open with the same words must not end up on both sides of a split. The first of
    those joined represents them, so that pairs added at the end change no earlier one's.
    """
    parent: dict[str, str] = {}
    place: dict[str, int] = {}
    first_with: dict[Hashable, str] = {}

    def root(group: str) -> str:
        parent.setdefault(group, group)
        place.setdefault(group, len(place))
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for group, prompt in pairs:
        first, later = sorted((root(group), root(first_with.setdefault(prompt, group))), key=place.__getitem__)
        parent[later] = first
    return {group: root(group) for group in parent}
