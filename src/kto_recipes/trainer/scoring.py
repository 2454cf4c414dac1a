"""Log-probabilities of a micro-batch's completions, matched and mismatched, through whatever wraps the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer
from transformers.modeling_layers import GradientCheckpointingLayer

from kto_recipes.trainer.logps import HeadCall, scoring_head

Batch = dict[str, Tensor]


def score(
    model: Any, head: nn.Linear, batch: Batch, prefix: str = "", *, with_entropy: bool = False
) -> tuple[Tensor, HeadCall]:
    """log π(y|x) for each row, [batch] float32 nats; with the prefix "KL_" that of the mismatched completions.

    Rows are padded on the right, where no token of theirs looks: so the model gets no mask. With one, PyTorch's
    attention computes the half that a causal model never sees and copies shared keys for each head, and
    FlashAttention 2 waits for the GPU at every layer to take the padding out.
    """
    ids = batch[f"{prefix}input_ids"]
    call = _call(ids, batch[f"{prefix}completion_mask"], with_figures=not prefix, with_entropy=with_entropy)
    with scoring_head(head, call):
        logps = model(input_ids=ids, use_cache=False).logits
    return _by_row(logps, call), call


def score_both(
    model: Any, head: nn.Linear, batch: Batch, layers: int, *, with_entropy: bool = False
) -> tuple[Tensor, Tensor | None, HeadCall]:
    """log π(y|x) and log π(y'|x), [batch] each, the prompts x run through the model once.

    The first pass leaves the prompt's keys and values, and the probability of y' first token; the second pass, without
    gradient, runs the mismatched completions y' on them. Where the model did not leave those of all its `layers`, there
    is no second pass and none in the place of log π(y'|x).
    """
    prompts = batch["attention_mask"].sum(1) - batch["completion_mask"].sum(1)
    others, is_other = _mismatched_completions(batch, prompts)
    call = _call(batch["input_ids"], batch["completion_mask"], with_figures=True, with_entropy=with_entropy)
    call.first_of_other = others[:, 0]
    first_pass = Cache(layer_class_to_replicate=_FirstPass)
    with _checkpoints_with_keys(model):
        with scoring_head(head, call):
            logps = model(input_ids=batch["input_ids"], past_key_values=first_pass, use_cache=False).logits
        logps = _by_row(logps, call)
        if [layer.is_initialized for layer in first_pass.layers] != [True] * layers:
            for layer in first_pass.layers:
                layer.let_go()
            return logps, None, call
        rest = _second_pass(model, head, others, is_other, prompts, first_pass)
    first = call.other_logps.masked_fill(prompts == 0, 0)  # nothing foretells a row's first token
    return logps, first + rest, call


@torch.no_grad()
def _second_pass(
    model: Any, head: nn.Linear, others: Tensor, is_other: Tensor, prompts: Tensor, first_pass: Cache
) -> Tensor:
    """log p of the completions `others` [batch, tokens] from their second token on, after `prompts` tokens; [batch]."""
    longest = int(prompts.max())
    columns = torch.arange(longest, device=prompts.device)
    call = _call(others, is_other.long(), with_figures=False, with_entropy=False)
    with scoring_head(head, call):
        logps = model(
            input_ids=others,
            attention_mask=torch.cat([columns < prompts[:, None], is_other], dim=1).long(),
            position_ids=prompts[:, None] + torch.arange(others.shape[1], device=prompts.device),
            past_key_values=Cache([layer.handed_on(longest) for layer in first_pass.layers]),
            use_cache=False,
        ).logits
    return _by_row(logps, call)


def _call(ids: Tensor, completion_mask: Tensor, *, with_figures: bool, with_entropy: bool) -> HeadCall:
    positions = completion_mask[:, 1:].bool()
    return HeadCall(positions, ids[:, 1:][positions], with_figures, with_entropy)


def _by_row(logps: Tensor, call: HeadCall) -> Tensor:
    # summed over a row's places, not added up one by one: rounding grows with the number of additions
    places = call.positions.nonzero(as_tuple=True)
    return logps.new_zeros(call.positions.shape).index_put(places, logps).sum(1)


def _mismatched_completions(batch: Batch, prompts: Tensor) -> tuple[Tensor, Tensor]:
    """The completions of the mismatched rows without their prompts: ids, padded on the right, and where they are."""
    lengths = batch["KL_completion_mask"].sum(1)
    columns = torch.arange(int(lengths.max()), device=prompts.device)
    at = (prompts[:, None] + columns).clamp(max=batch["KL_input_ids"].shape[1] - 1)
    return batch["KL_input_ids"].gather(1, at), columns < lengths[:, None]


class _FirstPass(DynamicLayer):
    """The keys and values of a layer's first call, without gradient and where the model made them.

    Each call gets its own back: those that a checkpoint makes again in the backward pass come here as well.
    """

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states.detach(), value_states.detach()
        return key_states, value_states

    def handed_on(self, length: int) -> DynamicLayer:
        """The first `length` positions, as a layer that grows; this one lets go of all."""
        layer = DynamicLayer()
        layer.lazy_initialization(self.keys, self.values)
        layer.keys, layer.values = self.keys[:, :, :length], self.values[:, :, :length]
        self.let_go()
        return layer

    def let_go(self) -> None:
        """Checkpoints hold the layer until the backward pass, and nothing with it."""
        self.keys = self.values = torch.empty(0)
        self.is_initialized = True


@contextmanager
def _checkpoints_with_keys(model: nn.Module) -> Iterator[None]:
    """Checkpointed layers take a cache; they leave it out otherwise, as running them again would fill it twice."""
    layers = [each for each in model.modules() if isinstance(each, GradientCheckpointingLayer)]
    for layer in layers:
        layer._can_checkpoint_with_cache = True
    try:
        yield
    finally:
        for layer in layers:
            del layer._can_checkpoint_with_cache
