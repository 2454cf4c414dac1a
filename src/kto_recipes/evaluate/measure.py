"""Run a model over the held-out rows: the numbers that figures are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kto_recipes.generation import (
    Loaded,
    Sampling,
    completion_ids,
    completion_logps,
    generate,
    prompt_ids,
    text_of,
)
from kto_recipes.rows import KtoRow, Message, completion_text


@dataclass(frozen=True)
class EvalSettings:
    """`samples_per_prompt` replies at temperature 1 from the whole distribution, and one greedy reply."""

    samples_per_prompt: int = 2
    max_new_tokens: int = 64
    style_train_prompts: int = 200
    seed: int = 1  # not the seed of the negatives


@dataclass
class Replies:
    """Replies to P prompts: greedy (P), and sampled with their token ids, S for each prompt (P·S, by prompt)."""

    greedy: list[str]
    sampled: list[str]
    sampled_ids: list[list[int]]


@dataclass
class Held:
    """The held-out rows as token ids. `mismatched[i]` pairs prompt i with another prompt's answer."""

    matched: list[tuple[list[int], list[int]]]
    mismatched: list[tuple[list[int], list[int]]]
    prompts: list[list[int]]


def tokenize_held(loaded: Loaded, rows: Sequence[KtoRow], prompts: Sequence[Sequence[Message]]) -> Held:
    """Answers are rotated by one row, as the trainer pairs them; the file keeps siblings far apart."""
    row_prompts = [prompt_ids(loaded, row["prompt"]) for row in rows]
    answers = [completion_ids(loaded, row["prompt"], completion_text(row)) for row in rows]
    rotated = answers[-1:] + answers[:-1]
    return Held(
        matched=list(zip(row_prompts, answers, strict=True)),
        mismatched=list(zip(row_prompts, rotated, strict=True)),
        prompts=[prompt_ids(loaded, prompt) for prompt in prompts],
    )


def reply_to_all(
    loaded: Loaded, prompts: Sequence[list[int]], settings: EvalSettings, on_done: Callable[[int], None]
) -> Replies:
    """One greedy reply and `samples_per_prompt` sampled ones to each prompt."""
    greedy = generate(
        loaded, prompts, Sampling(settings.max_new_tokens, temperature=0), seed=settings.seed, on_done=on_done
    )
    repeated = [prompt for prompt in prompts for _ in range(settings.samples_per_prompt)]
    sampled = generate(loaded, repeated, Sampling(settings.max_new_tokens), seed=settings.seed, on_done=on_done)
    return Replies(
        greedy=[text_of(loaded, ids) for ids in greedy],
        sampled=[text_of(loaded, ids) for ids in sampled],
        sampled_ids=sampled,
    )


def logps(
    loaded: Loaded, pairs: Sequence[tuple[list[int], list[int]]], on_done: Callable[[int], None]
) -> NDArray[np.float64]:
    """log π(answer | prompt) in nats for each pair, shape (len(pairs),)."""
    return completion_logps(loaded, pairs, on_done=on_done).numpy()
