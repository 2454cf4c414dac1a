"""What is asked of one model over the held-out rows: the numbers that figures are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kto_recipes.generation import (
    Loaded,
    Sampling,
    completion_ids,
    generate,
    prompt_ids,
    text_of,
)
from kto_recipes.progress import OnDone
from kto_recipes.rows import KtoRow, Message, completion_text
from kto_recipes.scoring import completion_logps

Pairs = Sequence[tuple[list[int], list[int]]]
IN_ONE_BATCH = 64  # replies
SCORED_IN_ONE_BATCH = 32


@dataclass(frozen=True)
class EvalSettings:
    """`samples_per_prompt` replies at temperature 1 from the whole distribution, and one greedy reply."""

    samples_per_prompt: int = 2
    max_new_tokens: int = 64
    style_train_prompts: int = 200
    seed: int = 1  # not the seed of the negatives


@dataclass
class Replies:
    """Replies to P prompts: greedy (P), and sampled with their token ids, S for each prompt (P·S, by prompt).

    `end` is the end of turn, with which the ids of a reply end unless it was cut off.
    """

    greedy: list[str]
    sampled: list[str]
    sampled_ids: list[list[int]]
    end: int


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


def reply_greedily(
    loaded: Loaded,
    prompts: Sequence[list[int]],
    settings: EvalSettings,
    on_done: OnDone,
    batch_size: int = IN_ONE_BATCH,
) -> list[str]:
    """The greedy reply to each prompt."""
    sampling = Sampling(settings.max_new_tokens, temperature=0)
    replies = generate(loaded, prompts, sampling, seed=settings.seed, batch_size=batch_size, on_done=on_done)
    return [text_of(loaded, ids) for ids in replies]


def sample_replies(
    loaded: Loaded,
    prompts: Sequence[list[int]],
    settings: EvalSettings,
    on_done: OnDone,
    batch_size: int = IN_ONE_BATCH,
) -> list[list[int]]:
    """`samples_per_prompt` replies to each prompt as token ids, those of one prompt together."""
    return generate(
        loaded,
        repeated(prompts, settings),
        Sampling(settings.max_new_tokens),
        seed=settings.seed,
        batch_size=batch_size,
        on_done=on_done,
    )


def repeated(prompts: Sequence[list[int]], settings: EvalSettings) -> list[list[int]]:
    """Each prompt as often as it is answered: what `sample_replies` answers, in its order."""
    return [prompt for prompt in prompts for _ in range(settings.samples_per_prompt)]


def logps(loaded: Loaded, pairs: Pairs, on_done: OnDone, batch_size: int = SCORED_IN_ONE_BATCH) -> NDArray[np.float64]:
    """log π(answer | prompt) in nats for each pair, shape (len(pairs),)."""
    return completion_logps(loaded, pairs, batch_size=batch_size, on_done=on_done).numpy()
