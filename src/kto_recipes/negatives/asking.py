"""Replies of a model, here or behind an endpoint, each asked for once and kept."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kto_recipes.batches import batches_by_length, token_budget
from kto_recipes.endpoint import Request, ask
from kto_recipes.files import model_sha256, sha256_text
from kto_recipes.generation import (
    Loaded,
    Reply,
    Sampling,
    generate_batch,
    load,
    prompt_ids,
    text_of,
)
from kto_recipes.kept import KeptReplies
from kto_recipes.negatives.context import Answer, Context, NotMade
from kto_recipes.rows import Message
from kto_recipes.settings import BaseSample, Endpoint, Paraphrase
from kto_recipes.templates import template_settings

# Rows of a batch at most. On a GPU its memory sets the limit; a core has nothing to gain from more.
ON_A_GPU, ON_A_CPU = 256, 64
# How many replies there are, and how the model is reached, which `_identity` tells from who it is.
_DECIDE_NO_REPLY = {"share", "samples_per_prompt", "endpoint", "model"}
_SENTENCE_END = re.compile(r"""[.!?…。！？]+["'”’»)\]]*(?=\s|$)|\n""")


@dataclass(frozen=True)
class LocalModel:
    """A folder or a Hub name, and a recipe whose chat template it is asked in; `{}` for its own."""

    name: str
    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """A reply to be had; the same one wanted twice is two samples."""

    messages: Sequence[Message]
    sampling: Sampling


def get_replies(
    wanted: Sequence[Wanted], model: LocalModel | Endpoint, settings: BaseSample | Paraphrase, context: Context
) -> list[Reply]:
    """A reply for each, in order: those kept in the run's folder, and the others asked for now.

    Raises:
        UserError: when the model cannot be loaded or the endpoint does not do. What came until then is kept.
    """
    common = _identity(model) | {"seed": context.seed, "settings": settings.model_dump(exclude=_DECIDE_NO_REPLY)}
    kept = KeptReplies(context.folder / f"answers-{settings.strategy}.jsonl", common)
    keys = _keys(wanted, kept)
    missing = [place for place, key in enumerate(keys) if key not in kept]
    context.on_done(len(keys) - len(missing))
    if missing and isinstance(model, Endpoint):
        _ask_endpoint(model, wanted, keys, missing, kept, context)
    elif missing:
        _ask_model(model, wanted, keys, kept, context)
    kept.finish(keys)
    return [kept[key] for key in keys]


def as_answer(reply: Reply, settings: dict[str, Any]) -> Answer | NotMade:
    """What `reply` says in whole sentences; `settings` and whether it was cut are recorded with it.

    An answer that ends in mid-sentence could be told from a good one by that alone. To leave it out would leave
    nothing of many base models, which do not know yet how to end a turn.
    """
    text = _whole_sentences(reply.text) if reply.cut else reply.text
    if not text:
        return NotMade("empty")
    return Answer(text, settings | {"cut": True} if reply.cut else settings)


def _whole_sentences(text: str) -> str:
    """Up to the last end of a sentence or line; without one, up to the last whole word."""
    text = text.rstrip("\N{REPLACEMENT CHARACTER}")  # half of a character
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    if ends:
        return text[: ends[-1]].rstrip()
    words, _, _ = text.rpartition(" ")
    return words.rstrip() or text


def _identity(model: LocalModel | Endpoint) -> dict[str, Any]:
    """Who answers; how an endpoint is reached, how often and how fast, does not decide what it says."""
    if isinstance(model, Endpoint):
        return {"url": model.url, "model": model.model}
    return {"model": model_sha256(model.name)} | template_settings(model.recipe)


def _keys(wanted: Sequence[Wanted], kept: KeptReplies) -> list[str]:
    asked: Counter[str] = Counter()
    keys = []
    for one in wanted:
        request = {"messages": one.messages, "sampling": asdict(one.sampling)}
        first = kept.key(request)
        keys.append(kept.key(request | {"repetition": asked[first]}))
        asked[first] += 1
    return keys


def _seed(text: str) -> int:
    """31 bits, which every server takes."""
    return int(sha256_text(text)[:8], 16) >> 1


def _ask_endpoint(
    endpoint: Endpoint,
    wanted: Sequence[Wanted],
    keys: Sequence[str],
    missing: Sequence[int],
    kept: KeptReplies,
    context: Context,
) -> None:
    requests = [Request(wanted[place].messages, wanted[place].sampling, _seed(keys[place])) for place in missing]

    def on_reply(number: int, reply: Reply) -> None:
        kept.add({keys[missing[number]]: reply})
        context.on_done(1)

    ask(endpoint, requests, on_reply)


def _ask_model(
    model: LocalModel, wanted: Sequence[Wanted], keys: Sequence[str], kept: KeptReplies, context: Context
) -> None:
    """Batches are made of all that is wanted, so that a run that goes on makes the same ones and skips what it has."""
    loaded = load(model.name, dict(model.recipe))
    import torch

    # A base model ends a text with a token of its own, whatever ends a turn in the recipe.
    own = loaded.model.config.eos_token_id
    ends = {loaded.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
    for sampling, batch in _batches(loaded, wanted):
        batch_keys = [keys[place] for place in batch]
        new = sum(key not in kept for key in batch_keys)
        if new:
            torch.manual_seed(_seed(" ".join(batch_keys)))
            replies = _sampled(loaded, [wanted[place] for place in batch], sampling, ends)
            kept.add(dict(zip(batch_keys, replies, strict=True)))
            context.on_done(new)


def _sampled(loaded: Loaded, batch: Sequence[Wanted], sampling: Sampling, ends: Collection[int]) -> list[Reply]:
    prompts = [prompt_ids(loaded, one.messages) for one in batch]
    answers = generate_batch(loaded, prompts, sampling, ends)
    return [Reply(text_of(loaded, answer), cut=answer[-1] not in ends) for answer in answers]


def _batches(loaded: Loaded, wanted: Sequence[Wanted]) -> Iterator[tuple[Sampling, list[int]]]:
    """Places in `wanted` that are sampled alike, of similar length, as many as memory has room for."""
    budget = token_budget(loaded.model)
    alike: dict[Sampling, list[int]] = defaultdict(list)
    for place, one in enumerate(wanted):
        alike[one.sampling].append(place)
    for sampling, places in alike.items():
        # The prompts' ids are made again for their batch: kept, they would be most of what a large set takes.
        lengths = [len(prompt_ids(loaded, wanted[place].messages)) + sampling.max_new_tokens for place in places]
        for batch in batches_by_length(lengths, ON_A_CPU if budget is None else ON_A_GPU, budget):
            yield sampling, [places[number] for number in batch]
