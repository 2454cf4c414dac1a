"""Log-probabilities of completion tokens without a tensor of tokens by vocabulary.

Stock TRL runs the head on every position, keeps its logits for the backward pass and takes their log-softmax: for
Llama 3.1 8B, micro-batch 8 and 2,048 tokens that is 27 GiB. Here the head sees the completion's tokens alone, some
hundreds at a time; what is kept for the backward pass has the size of the hidden states.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Elements of one chunk of float32 logits: 256 MB on a GPU; what stays near a CPU core's cache otherwise.
CHUNK_ELEMENTS = {"cuda": 2**26, "cpu": 2**21}
MIN_CHUNK_ROWS = 64  # fewer leave a matrix product waiting for the head's weights


@dataclass
class HeadCall:
    """One use of the head: what to score, and what was found on the way.

    Attributes:
        positions: [batch, tokens − 1], true where the next token belongs to a completion.
        targets: [scored], those next tokens in row order.
        with_figures: whether `mean_logits` is wanted.
        with_entropy: whether `entropy` is wanted.
        mean_logits: [scored], the mean over the vocabulary; without gradient.
        entropy: [scored], nats; without gradient.
        last_of_prompt, first_of_other: [batch], where each prompt ends and the token that another completion would
            begin with there, where that is wanted.
        other_logps: [batch], that token's log-probability; without gradient.
    """

    positions: Tensor
    targets: Tensor
    with_figures: bool = True
    with_entropy: bool = False
    mean_logits: Tensor | None = None
    entropy: Tensor | None = None
    last_of_prompt: Tensor | None = None
    first_of_other: Tensor | None = None
    other_logps: Tensor | None = None


@contextmanager
def scoring_head(head: nn.Linear, call: HeadCall) -> Iterator[None]:
    """Inside, the model's `logits` are log-probabilities: [scored], float32, nats.

    The head's own forward is exchanged, not its caller, so that whatever wraps the model (adapters, DDP, ZeRO,
    autocast, checkpointing) works as with the real one.
    """
    own = head.__dict__.get("forward")

    def forward(hidden: Tensor) -> Tensor:
        selected = hidden[:, :-1][call.positions]
        call.mean_logits = _mean_logits(head, selected) if call.with_figures else None
        if call.last_of_prompt is not None:
            ends = hidden.detach()[torch.arange(len(hidden), device=hidden.device), call.last_of_prompt]
            with torch.no_grad():
                call.other_logps = head_logps(ends, head.weight, head.bias, call.first_of_other)[0]
        logps, call.entropy = head_logps(selected, head.weight, head.bias, call.targets, call.with_entropy)
        return logps

    head.forward = forward
    try:
        yield
    finally:
        del head.forward
        if own is not None:
            head.forward = own


def head_logps(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, with_entropy: bool = False
) -> tuple[Tensor, Tensor | None]:
    """log softmax(hidden · weightᵀ + bias)[target] for each token, in chunks; and the entropy.

    Args:
        hidden: [tokens, hidden].
        weight: [vocabulary, hidden].
        bias: [vocabulary] or none.
        targets: [tokens], int64.

    Returns:
        [tokens] float32 nats, and [tokens] or none. Products run in autocast's dtype, or else in hidden's; the rest in
        float32. The gradient is exact; it is made in the forward pass while the head is frozen.
    """
    dtype = torch.get_autocast_dtype(hidden.device.type) if torch.is_autocast_enabled(hidden.device.type) else None
    dtype = dtype or hidden.dtype
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        return _TrainedHead.apply(hidden, weight, bias, targets, with_entropy, dtype)
    return _FrozenHead.apply(hidden, weight, bias, targets, with_entropy, dtype)


class _FrozenHead(torch.autograd.Function):
    """∂ log p_t / ∂h = W_t − Σ_v p_v W_v needs the logits once more: so it is made while they are there."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, entropy: bool, dtype):
        cast, cast_bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        logps, entropies = [], []
        for rows in _chunks(hidden, weight):
            logits = _widened(functional.linear(hidden[rows].to(dtype), cast, cast_bias))
            chunk = _scores(logits, targets[rows], entropy)
            logps.append(chunk.logps)
            entropies.append(chunk.entropy)
            if gradient is not None:
                mean = (chunk.exp.to(dtype) @ cast) / chunk.total[:, None]
                gradient[rows] = (cast[targets[rows]] - mean).to(gradient.dtype)
        ctx.save_for_backward(gradient)
        return _joined(ctx, hidden, logps, entropies if entropy else None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Any = None):
        (gradient,) = ctx.saved_tensors
        # multiplied in grad's float32: a row's factor rounded to bf16 would tilt the whole row
        scaled = None if gradient is None else (gradient * grad[:, None]).to(gradient.dtype)
        return scaled, None, None, None, None, None


class _TrainedHead(torch.autograd.Function):
    """The weights need the logits in the backward pass, where each chunk is made again."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, entropy: bool, dtype):
        cast, cast_bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        logps, entropies, lse = [], [], []
        for rows in _chunks(hidden, weight):
            logits = _widened(functional.linear(hidden[rows].to(dtype), cast, cast_bias))
            chunk = _scores(logits, targets[rows], entropy)
            logps.append(chunk.logps)
            entropies.append(chunk.entropy)
            lse.append(chunk.lse)
        ctx.save_for_backward(hidden, weight, bias, targets, torch.cat([_empty(hidden), *lse]))
        ctx.dtype = dtype
        return _joined(ctx, hidden, logps, entropies if entropy else None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Any = None):
        hidden, weight, bias, targets, lse = ctx.saved_tensors
        cast, cast_bias = weight.to(ctx.dtype), None if bias is None else bias.to(ctx.dtype)
        # Summed over chunks in float32: bf16 sums would lose what later chunks add.
        wide = torch.promote_types(weight.dtype, torch.float32)
        to_weight = torch.zeros_like(weight, dtype=wide)
        to_bias = None if bias is None else torch.zeros_like(bias, dtype=wide)
        to_hidden = torch.empty_like(hidden)
        for rows in _chunks(hidden, weight):
            inputs = hidden[rows].to(ctx.dtype)
            logits = _widened(functional.linear(inputs, cast, cast_bias))
            error = _error(logits, lse[rows], targets[rows]).mul_(grad[rows, None])
            to_hidden[rows] = (error.to(ctx.dtype) @ cast).to(hidden.dtype)
            to_weight += error.to(ctx.dtype).T @ inputs
            if to_bias is not None:
                to_bias += error.sum(0)
        to_bias = None if to_bias is None else to_bias.to(bias.dtype)
        return to_hidden, to_weight.to(weight.dtype), to_bias, None, None, None


@dataclass
class _Scores:
    """Of a chunk: [rows], but `exp`, e^(logits − their highest), which is [rows, vocabulary] and sums to `total`."""

    logps: Tensor
    lse: Tensor
    entropy: Tensor | None
    exp: Tensor
    total: Tensor


def _scores(logits: Tensor, targets: Tensor, with_entropy: bool) -> _Scores:
    """In place of `logits`, with one exponential: on a CPU these passes cost as much as the product."""
    target = logits.gather(1, targets[:, None])[:, 0]
    highest = logits.amax(1, keepdim=True)
    shifted = logits.sub_(highest)
    kept = shifted.clone() if with_entropy else None
    exp = shifted.exp_()
    total = exp.sum(1)
    # H = log Σ e^l − Σ p·l, the same for logits shifted by a constant
    entropy = None if kept is None else total.log() - (exp * kept).sum(1) / total
    lse = highest[:, 0] + total.log()
    return _Scores(target - lse, lse, entropy, exp, total)


def _error(logits: Tensor, lse: Tensor, targets: Tensor) -> Tensor:
    """onehot(target) − softmax, in place of `logits`."""
    error = logits.sub_(lse[:, None]).exp_().neg_()
    error[torch.arange(len(targets), device=targets.device), targets] += 1
    return error


def _widened(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _chunks(hidden: Tensor, weight: Tensor) -> Iterator[slice]:
    size = max(CHUNK_ELEMENTS.get(hidden.device.type, CHUNK_ELEMENTS["cuda"]) // len(weight), MIN_CHUNK_ROWS)
    return (slice(start, start + size) for start in range(0, len(hidden), size))


def _joined(ctx: Any, hidden: Tensor, logps: list[Tensor], entropies: list | None) -> tuple[Tensor, Tensor | None]:
    result = torch.cat([_empty(hidden), *logps])
    if entropies is None:
        return result, None
    entropy = torch.cat([_empty(hidden), *entropies])
    ctx.mark_non_differentiable(entropy)
    return result, entropy


def _empty(hidden: Tensor) -> Tensor:
    return hidden.new_zeros(0, dtype=torch.promote_types(hidden.dtype, torch.float32))


def _mean_logits(head: nn.Linear, hidden: Tensor) -> Tensor:
    """Σ_v (h·W_v + b_v) / |V| = h · mean(W) + mean(b): what TRL logs, without the logits."""
    with torch.no_grad():
        mean = head.weight.mean(0, dtype=torch.float32)
        logits = hidden.detach().float() @ mean
        return logits if head.bias is None else logits + head.bias.float().mean()
