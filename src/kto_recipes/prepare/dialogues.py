"""Conversations without votes: where a long one is cut, and what each reply in it answers."""

from collections.abc import Iterator

from kto_recipes.rows import Message


def cut(turns: list[Message], max_turns: int) -> Iterator[tuple[int, list[Message]]]:
    """Parts of at most `max_turns` turns that begin with a user's and end with a reply, each with its first place.

    What nobody replied to at the end is not in them, nor what the assistant said before anybody spoke. A part
    without a reply in so many turns goes on to the first one.
    """
    start = 0
    while True:
        while start < len(turns) and turns[start]["role"] == "assistant":
            start += 1
        ends = [n for n in range(start + 1, len(turns)) if _may_end(turns, n)]
        if not ends:
            return
        end = max((n for n in ends if n < start + max_turns), default=ends[0]) + 1
        yield start, turns[start:end]
        start = end


def replies(turns: list[Message], max_history: int) -> Iterator[tuple[int, list[Message]]]:
    """Each reply's place with its prompt: up to `max_history` turns before it, beginning and ending with a user's."""
    for index, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        start = max(0, index - max_history)
        while start < index and turns[start]["role"] == "assistant":
            start += 1
        history = turns[start:index]
        if history and history[-1]["role"] == "user":
            yield index, history


def _may_end(turns: list[Message], index: int) -> bool:
    """Whether the turn is a reply, the last one before somebody else speaks."""
    return turns[index]["role"] == "assistant" and (index + 1 == len(turns) or turns[index + 1]["role"] != "assistant")
