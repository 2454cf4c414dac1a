"""Log-probabilities of completion tokens without a tensor of tokens by vocabulary.

Stock TRL runs the head on every position, keeps its logits for the backward pass and takes their log-softmax: for
Llama 3.1 8B, micro-batch 8 and 2,048 tokens that is 27 GiB. Here the head sees the completion's tokens alone, and makes
their logits for a block of the vocabulary at a time; what is kept for the backward pass has the size of the hidden
states.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Elements of one block of float32 logits: 256 MB on a GPU; what stays near a CPU core's cache otherwise.
BLOCK_ELEMENTS = {"cuda": 2**26, "cpu": 2**20}
MIN_BLOCK = 1024  # tokens of the vocabulary; fewer leave a matrix product waiting for the hidden states


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
        first_of_other: [batch], the token that another completion would begin with, where that is wanted.
        other_logps: [batch], its log-probability; without gradient.
    """

    positions: Tensor
    targets: Tensor
    with_figures: bool = True
    with_entropy: bool = False
    mean_logits: Tensor | None = None
    entropy: Tensor | None = None
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
        logps, call.entropy = head_logps(selected, head.weight, head.bias, call.targets, call.with_entropy)
        if call.first_of_other is not None:
            call.other_logps = _other_logps(head, selected, logps, call)
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
    """log softmax(hidden · weightᵀ + bias)[target] for each token, in blocks of the vocabulary; and the entropy.

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
        seen = _Softmax.of_nothing(hidden, targets, dtype, entropy)
        mean = torch.zeros_like(hidden, dtype=seen.total.dtype) if ctx.needs_input_grad[0] else None
        for start, part, logits in _blocks(hidden, weight, bias, dtype):
            exp, shrink = seen.add(logits, start)
            if mean is not None:
                mean.mul_(shrink[:, None]).add_(exp.to(dtype) @ part)
        if mean is not None:
            chosen = weight[targets].to(dtype)
            ctx.save_for_backward((chosen - mean.div_(seen.total[:, None])).to(hidden.dtype))
        return _found(ctx, seen)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Any = None):
        (gradient,) = ctx.saved_tensors
        # multiplied in grad's float32: a row's factor rounded to bf16 would tilt the whole row
        return (gradient * grad[:, None]).to(gradient.dtype), None, None, None, None, None


class _TrainedHead(torch.autograd.Function):
    """The weights need the logits in the backward pass, where each block is made again."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, entropy: bool, dtype):
        seen = _Softmax.of_nothing(hidden, targets, dtype, entropy)
        for start, _, logits in _blocks(hidden, weight, bias, dtype):
            seen.add(logits, start)
        ctx.save_for_backward(hidden, weight, bias, targets, seen.lse)
        ctx.dtype = dtype
        return _found(ctx, seen)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Any = None):
        hidden, weight, bias, targets, lse = ctx.saved_tensors
        inputs = hidden.to(ctx.dtype)
        # Summed over blocks in float32: bf16 sums would lose what later blocks add.
        to_hidden = torch.zeros_like(hidden, dtype=lse.dtype)
        to_weight, to_bias = torch.empty_like(weight), None if bias is None else torch.empty_like(bias)
        for start, part, logits in _blocks(hidden, weight, bias, ctx.dtype):
            at, is_here = _place(targets, start, len(part))
            error = logits.sub_(lse[:, None]).exp_().neg_()  # onehot(target) − softmax
            error.scatter_add_(1, at, is_here[:, None].to(error.dtype)).mul_(grad[:, None])
            narrow = error.to(ctx.dtype)
            to_hidden += narrow @ part
            to_weight[start : start + len(part)] = narrow.T @ inputs
            if to_bias is not None:
                to_bias[start : start + len(part)] = error.sum(0)
        return to_hidden.to(hidden.dtype), to_weight, to_bias, None, None, None


@dataclass
class _Softmax:
    """What is known of each token's softmax when a part of the vocabulary has been seen; [tokens] each.

    Sums are of e^(logit − highest), `highest` being the highest logit so far: where a later block has a higher one,
    they shrink (Milakov and Gimelshein, arXiv 1805.02867).

    Attributes:
        total: Σ e^(logit − highest).
        weighted: Σ e^(logit − highest) · (logit − highest), where the entropy is wanted.
        target: the target's logit, once it has been seen.
    """

    targets: Tensor
    highest: Tensor
    total: Tensor
    weighted: Tensor | None
    target: Tensor

    @classmethod
    def of_nothing(cls, hidden: Tensor, targets: Tensor, dtype: torch.dtype, with_entropy: bool) -> "_Softmax":
        nothing = hidden.new_zeros(len(hidden), dtype=torch.promote_types(dtype, torch.float32))
        lowest = torch.full_like(nothing, torch.finfo(nothing.dtype).min)
        return cls(targets, lowest, nothing, nothing if with_entropy else None, nothing)

    def add(self, logits: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Take in the logits [tokens, block] from token `start` of the vocabulary on, which are overwritten.

        Returns:
            e^(logit − highest), [tokens, block], and what sums over earlier blocks shrink by, [tokens].
        """
        at, is_here = _place(self.targets, start, logits.shape[1])
        self.target = torch.where(is_here, logits.gather(1, at)[:, 0], self.target)
        highest = torch.maximum(self.highest, logits.amax(1))
        shift, self.highest = self.highest - highest, highest
        shrink = shift.exp()
        shifted = logits.sub_(highest[:, None])
        kept = None if self.weighted is None else shifted.clone()
        exp = shifted.exp_()
        if kept is not None:
            self.weighted = shrink * (self.weighted + shift * self.total) + (exp * kept).sum(1)
        self.total = shrink * self.total + exp.sum(1)
        return exp, shrink

    @property
    def lse(self) -> Tensor:
        return self.highest + self.total.log()

    @property
    def entropy(self) -> Tensor | None:
        """H = log Σ e^l − Σ p·l, the same for logits shifted by a constant."""
        return None if self.weighted is None else self.total.log() - self.weighted / self.total


def _blocks(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Of each block of the vocabulary its first token, its weights in `dtype`, and its logits, at least float32.

    Blocks of the vocabulary, not of rows: so the weights are read once, and a block's gradient is whole at once.
    """
    inputs = hidden.to(dtype)
    wide = torch.promote_types(dtype, torch.float32)
    most = BLOCK_ELEMENTS.get(hidden.device.type, BLOCK_ELEMENTS["cuda"])
    size = max(most // max(len(hidden), 1), MIN_BLOCK)
    for start in range(0, len(weight), size):
        part = weight[start : start + size].to(dtype)
        shift = None if bias is None else bias[start : start + size].to(dtype)
        yield start, part, functional.linear(inputs, part, shift).to(wide)


def _place(targets: Tensor, start: int, size: int) -> tuple[Tensor, Tensor]:
    """Where targets are in a block, [tokens, 1], and whether they are in it, [tokens]; without waiting for a GPU."""
    at = targets - start
    return at.clamp(0, size - 1)[:, None], (at >= 0) & (at < size)


def _found(ctx: Any, seen: _Softmax) -> tuple[Tensor, Tensor | None]:
    entropy = seen.entropy
    if entropy is not None:
        ctx.mark_non_differentiable(entropy)
    return seen.target - seen.lse, entropy


@torch.no_grad()
def _other_logps(head: nn.Linear, hidden: Tensor, logps: Tensor, call: HeadCall) -> Tensor:
    """log p(o) = log p(t) + h·(W_o − W_t) + b_o − b_t, where t is the first token of a row's completion; [batch]."""
    scored = call.positions.sum(1)
    first = (scored.cumsum(0) - scored).clamp(max=len(logps) - 1)  # of a row without any it means nothing
    others, targets = call.first_of_other, call.targets[first]
    wide = torch.promote_types(hidden.dtype, torch.float32)
    apart = head.weight[others].to(wide) - head.weight[targets].to(wide)
    difference = (hidden[first].to(wide) * apart).sum(1)
    return logps[first] + (difference if head.bias is None else difference + head.bias[others] - head.bias[targets])


def _mean_logits(head: nn.Linear, hidden: Tensor) -> Tensor:
    """Σ_v (h·W_v + b_v) / |V| = h · mean(W) + mean(b): what TRL logs, without the logits."""
    with torch.no_grad():
        mean = head.weight.mean(0, dtype=torch.float32)
        logits = hidden.detach().float() @ mean
        return logits if head.bias is None else logits + head.bias.float().mean()
