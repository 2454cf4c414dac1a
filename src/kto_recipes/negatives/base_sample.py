"""Replies sampled from the model before SFT: what it says of itself, and KTO should teach it not to."""

from collections.abc import Sequence

from kto_recipes.negatives.context import Context
from kto_recipes.rows import KtoRow
from kto_recipes.settings import BaseSample


def make(positives: Sequence[KtoRow], settings: BaseSample, context: Context) -> list[str | None]:
    """One sampled reply for each prompt; None where the model said nothing."""
    from kto_recipes.generation import Sampling, generate, load, prompt_ids, text_of

    loaded = load(context.recipe["base_model"], context.recipe)
    sampling = Sampling(settings.max_new_tokens, settings.temperature, settings.top_p, settings.top_k)
    prompts = [prompt_ids(loaded, row["prompt"]) for row in positives]
    answers = generate(loaded, prompts, sampling, seed=context.seed, on_done=context.on_done)
    return [text_of(loaded, ids) or None for ids in answers]
