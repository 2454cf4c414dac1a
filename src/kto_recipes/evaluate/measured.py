"""What each model of a run says of the held-out rows and to their prompts: measured part by part, and kept.

A model is loaded when the first of its parts is not there yet, and never twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from kto_recipes.errors import UserError
from kto_recipes.evaluate.measure import (
    IN_ONE_BATCH,
    EvalSettings,
    Held,
    Pairs,
    Replies,
    logps,
    repeated,
    reply_greedily,
    sample_replies,
    tokenize_held,
)
from kto_recipes.evaluate.models import RunModels
from kto_recipes.files import model_sha256, sha256_text
from kto_recipes.generation import Loaded, Sampling, generate, load, prompt_ids, text_of
from kto_recipes.kept import KeptParts
from kto_recipes.progress import OnDone, StartTask
from kto_recipes.rows import KtoRow, Message, prompt_key
from kto_recipes.tokenizer_files import tokenizer_identity


@dataclass
class Measured:
    """One model's numbers on the held-out rows (n,) and its replies; log-probabilities in nats, NaN if not finite.

    None stands for what a model cannot be asked whose log-probabilities are not all finite: to reply.
    """

    matched: NDArray[np.float64]
    mismatched: NDArray[np.float64]
    tokens: list[int]  # of each held-out answer, the end of turn included
    replies: Replies | None = None
    own_logps: NDArray[np.float64] | None = None  # of its sampled replies, under itself
    reference_logps: NDArray[np.float64] | None = None  # of its sampled replies, under the reference


@dataclass
class Asked:
    """What the models of a run are asked; `style_prompts` are of the training split, for the base model alone."""

    models: RunModels
    rows: list[KtoRow]
    style_prompts: list[list[Message]]
    settings: EvalSettings

    @cached_property
    def prompts(self) -> list[list[Message]]:
        return list({prompt_key(row): row["prompt"] for row in self.rows}.values())

    @property
    def n_samples(self) -> int:
        return len(self.prompts) * self.settings.samples_per_prompt

    @cached_property
    def of(self) -> dict[str, Any]:
        """What every answer depends on beside its model: tokens, and how numbers are computed."""
        import torch

        return {
            "rows": sha256_text(orjson.dumps(self.rows).decode()),
            **tokenizer_identity(Path(self.models.paths["kto"]), self.models.recipe),
            "on_gpu": torch.cuda.is_available(),
            "torch": torch.__version__,
        }


@dataclass
class Found:
    """What the models answered by name, in the order they came to be, and what could not be measured and why."""

    measured: dict[str, Measured] = field(default_factory=dict)
    style_replies: list[str] | None = None  # the base model's, to `style_prompts`
    missing: dict[str, str] = field(default_factory=dict)


def measure(asked: Asked, kept: KeptParts, start_task: StartTask) -> Found:
    """Ask each model of the run once; the reference last, when everybody's replies are there to be scored by it."""
    models, found = asked.models, Found()
    shared = _Shared(asked, kept)
    measured: dict[str, Measured] = {}
    for name in [*(name for name in models.paths if name != models.reference), models.reference]:
        others = {other: m.replies for other, m in measured.items() if m.replies} if name == models.reference else {}
        on_done = start_task(f"eval {name}", _work(asked, name, len(others)))
        model = _Model(name, shared, on_done)
        try:
            measured[name] = model.measured()
            if name == "base" and asked.style_prompts:
                found.style_replies = model.style_replies(measured[name])
        except UserError as error:
            if name != "base" or name == models.reference:
                raise
            found.missing["base"] = f"The model before SFT was not measured: {error}"
            continue
        for other, replies in others.items():
            measured[other].reference_logps = model.scored_replies(f"of-{other}", replies)
        del model  # and its weights, before the next one's are loaded
    found.measured = {name: measured[name] for name in models.paths if name in measured}
    return found


def _work(asked: Asked, name: str, others: int) -> int:
    own = 2 * len(asked.rows) + len(asked.prompts) + 2 * asked.n_samples
    return own + others * asked.n_samples + (len(asked.style_prompts) if name == "base" else 0)


@dataclass
class _Shared:
    """What the models of one evaluation share."""

    asked: Asked
    kept: KeptParts
    held: Held | None = None


class _Model:
    """One model at work. What it answered before is read; `on_done` is told of it all the same."""

    def __init__(self, name: str, shared: _Shared, on_done: OnDone) -> None:
        self.name, self.shared, self.on_done = name, shared, on_done
        self.asked = shared.asked
        self.of = {**shared.asked.of, "model": model_sha256(shared.asked.models.paths[name])}

    @cached_property
    def loaded(self) -> Loaded:
        models = self.asked.models
        return load(models.paths[self.name], models.recipe, tokenizer=models.paths["kto"])

    @property
    def held(self) -> Held:
        """The rows as tokens, which all models share with their tokenizer."""
        if self.shared.held is None:
            self.shared.held = tokenize_held(self.loaded, self.asked.rows, self.asked.prompts)
        return self.shared.held

    def measured(self) -> Measured:
        # What is scored comes first: it tells whether the model can be sampled from.
        matched = self._part("matched", {}, len(self.asked.rows), self._matched)
        mismatched = self._scored("mismatched", {}, len(self.asked.rows), lambda: self.held.mismatched)
        result = Measured(_floats(matched["logps"]), mismatched, matched["tokens"])
        if not np.isfinite([result.matched, result.mismatched]).all():
            self.on_done(len(self.asked.prompts) + 2 * self.asked.n_samples)
            return result
        result.replies = self._replies()
        result.own_logps = result.reference_logps = self.scored_replies("own", result.replies)
        return result

    def style_replies(self, measured: Measured) -> list[str] | None:
        """Sampled replies to prompts of the training split; None where the model cannot be sampled from."""
        prompts, settings = self.asked.style_prompts, self.asked.settings
        if measured.replies is None:
            self.on_done(len(prompts))
            return None

        of = {"prompts": prompts, "max_new_tokens": settings.max_new_tokens, "seed": settings.seed}
        return self._part(
            "style", of, len(prompts), lambda: replies_for_style(self.loaded, prompts, settings, self.on_done)
        )

    def scored_replies(self, what: str, replies: Replies) -> NDArray[np.float64]:
        """log π of sampled replies, its own or another model's, under this model."""
        of = {"replies": replies.sampled_ids}
        return self._scored(what, of, self.asked.n_samples, lambda: self._pairs(replies))

    def _pairs(self, replies: Replies) -> Pairs:
        return list(zip(repeated(self.held.prompts, self.asked.settings), replies.sampled_ids, strict=True))

    def _matched(self) -> dict[str, list]:
        found = logps(self.loaded, self.held.matched, self.on_done)
        return {"logps": found.tolist(), "tokens": [len(answer) for _, answer in self.held.matched]}

    def _replies(self) -> Replies:
        settings, asked = self.asked.settings, self.asked

        def greedy() -> list[str]:
            return reply_greedily(self.loaded, self.held.prompts, settings, self.on_done)

        def sampled() -> dict[str, Any]:
            ids = sample_replies(self.loaded, self.held.prompts, settings, self.on_done)
            texts = [text_of(self.loaded, reply) for reply in ids]
            return {"sampled": texts, "sampled_ids": ids, "end": self.loaded.tokenizer.eos_token_id}

        of_greedy = {"max_new_tokens": settings.max_new_tokens}
        of_sampled = {**of_greedy, "samples_per_prompt": settings.samples_per_prompt, "seed": settings.seed}
        first = self._part("greedy", of_greedy, len(asked.prompts), greedy)
        return Replies(greedy=first, **self._part("sampled", of_sampled, asked.n_samples, sampled))

    def _scored(self, what: str, of: Mapping[str, Any], count: int, pairs: Callable[[], Pairs]) -> NDArray[np.float64]:
        return _floats(self._part(what, of, count, lambda: logps(self.loaded, pairs(), self.on_done).tolist()))

    def _part(self, what: str, of: Mapping[str, Any], count: int, make: Callable[[], Any]) -> Any:
        """A part of the measurement as it was kept, or made now; `count` is the work that it takes."""
        name, of = f"{self.name}-{what}", {**self.of, **of}
        found = self.shared.kept.find(name, of)
        if found is None:
            return self.shared.kept.keep(name, of, make())
        self.on_done(count)
        return found


def replies_for_style(
    loaded: Loaded, prompts: Sequence[Sequence[Message]], settings: EvalSettings, on_done: OnDone
) -> list[str]:
    """What the base model says to prompts of the training split, for the style classifier to tell the persona from."""
    ids = [prompt_ids(loaded, prompt) for prompt in prompts]
    sampling = Sampling(settings.max_new_tokens)
    replies = generate(loaded, ids, sampling, seed=settings.seed + 1, batch_size=IN_ONE_BATCH, on_done=on_done)
    return [text_of(loaded, reply) for reply in replies]


def _floats(values: list[float | None]) -> NDArray[np.float64]:
    """Numbers as they were kept, None (what JSON has for NaN and infinity) as NaN."""
    return np.array(values, dtype=np.float64)
