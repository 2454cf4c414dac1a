"""Log-probabilities of a micro-batch's completions, matched and mismatched, through whatever wraps the model."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

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
    model: Any, head: nn.Linear, batch: Batch, *, with_entropy: bool = False
) -> tuple[Tensor, Tensor, HeadCall]:
    """log π(y|x) and log π(y'|x), [batch] each, the prompts x run through the model once.

    The first pass leaves the prompt's keys and values, and the probability of y' first token; the second pass, without
    gradient, runs the mismatched completions y' on them.
    """
    prompts = batch["attention_mask"].sum(1) - batch["completion_mask"].sum(1)
    others, is_other = _mismatched_completions(batch, prompts)
    call = _call(batch["input_ids"], batch["completion_mask"], with_figures=True, with_entropy=with_entropy)
    call.first_of_other = others[:, 0]
    with scoring_head(head, call):
        output = model(input_ids=batch["input_ids"], past_key_values=_new_cache(), use_cache=True)
    logps = _by_row(output.logits, call)

    longest = int(prompts.max())
    columns = torch.arange(longest, device=prompts.device)
    rest = _call(others, is_other.long(), with_figures=False, with_entropy=False)
    with torch.no_grad(), scoring_head(head, rest):
        output = model(
            input_ids=others,
            attention_mask=torch.cat([columns < prompts[:, None], is_other], dim=1).long(),
            position_ids=prompts[:, None] + torch.arange(others.shape[1], device=prompts.device),
            past_key_values=_without_gradient(output.past_key_values, longest),
            use_cache=True,
        )
    first = call.other_logps.masked_fill(prompts == 0, 0)  # nothing foretells a row's first token
    return logps, first + _by_row(output.logits, rest), call


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


class _KeptLayer(DynamicLayer):
    """Its first keys and values stay where the model made them: transformers copies them behind an empty tensor."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if self.is_initialized:
            return super().update(key_states, value_states, *args, **kwargs)
        self.lazy_initialization(key_states, value_states)
        self.keys, self.values = key_states, value_states
        return key_states, value_states


def _new_cache() -> Cache:
    return Cache(layer_class_to_replicate=_KeptLayer)


def _without_gradient(cache: Cache, length: int) -> Cache:
    """The keys and values of the first `length` positions, apart from the graph that the loss goes back through."""
    prompts = _new_cache()
    for number, layer in enumerate(cache.layers):
        prompts.update(layer.keys[:, :, :length].detach(), layer.values[:, :, :length].detach(), number)
    return prompts
