"""A LoRA layer's y = xWᵀ + s·(xAᵀ)Bᵀ, the sum and the factor s taken in the product with B.

peft makes the product, s times it and the sum one after the other, each a tensor of tokens by output features, and the
gradient takes the same way back. One `addmm` reads xWᵀ and writes y; in bfloat16 it also rounds once in place of three
times.
"""

import logging
from functools import cache
from typing import Any

import torch
from peft.import_utils import is_bnb_4bit_available
from peft.tuners import lora
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def fuse_lora(model: nn.Module) -> None:
    """Let the LoRA layers of `model`, on linear layers in full precision or 4 bits, add their part in one product.

    A layer stays what it is to peft, which saves, merges and turns it off as before. Called again, it takes in layers
    that came since. Selective checkpointing that keeps what `mm` made would find it changed, and stops.
    """
    for module in model.modules():
        if type(module) in _FUSED:
            module.__class__ = _FUSED[type(module)]


class _OneProduct:
    """What is put before peft's layer, which is asked for all that is not plain LoRA."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        adapters = [name for name in self.active_adapters if name in self.lora_B]
        is_base_alone = self.disable_adapters or self.merged or not adapters
        if args or kwargs or is_base_alone or x.dim() < 2:
            return super().forward(x, *args, **kwargs)
        if reason := _why_not(self, adapters):
            if not torch.compiler.is_compiling():
                _say(reason)
            return super().forward(x)
        return self._added(x, adapters[0])

    def _added(self, x: Tensor, name: str) -> Tensor:
        to_rank, from_rank, factor = self.lora_A[name], self.lora_B[name], self.scaling[name]
        rows, is_plain = x.flatten(0, -2), _is_plain(self.base_layer)
        base = self.base_layer(rows) if is_plain else self.base_layer(x).flatten(0, -2)
        if not torch.is_autocast_enabled(x.device.type):  # which would narrow what is widened here
            rows = self._cast_input_dtype(rows, to_rank.weight.dtype)
        low = to_rank(self.lora_dropout[name](rows))
        if low.dtype == base.dtype:
            # In place where nobody else can hold the frozen layer's output: otherwise it is copied first. Rows without
            # a batch dimension, as changing a view would copy the gradient.
            add = Tensor.addmm_ if is_plain else Tensor.addmm
            out = add(base, low, from_rank.weight.to(low.dtype).t(), alpha=factor)
        else:  # a float32 adapter on bfloat16 weights without autocast, 4-bit weights after a float32 norm
            out = (base + from_rank(low) * factor).to(base.dtype)
        return out.view(*x.shape[:-1], out.shape[-1])


class _Linear(_OneProduct, lora.Linear):
    pass


_FUSED: dict[type, type] = {lora.Linear: _Linear}

if is_bnb_4bit_available():

    class _Linear4bit(_OneProduct, lora.Linear4bit):
        pass

    _FUSED[lora.Linear4bit] = _Linear4bit

# Where a module keeps what others have it call: ZeRO-3 gathers a layer's weights in such a call.
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def _why_not(layer: Any, adapters: list[str]) -> str | None:
    """Why a layer's second factor cannot be read past its own forward; none where it can."""
    if len(adapters) > 1:
        return "several adapters are active"
    (name,) = adapters
    if name in layer.lora_variant:
        return f"the adapter is a {type(layer.lora_variant[name]).__name__}"
    factor = layer.lora_B[name]
    if not _is_plain(factor):
        return "something else looks after the adapter's weights, as ZeRO-3 and FSDP do"
    return None if factor.bias is None else "the adapter has a bias"


def _is_plain(module: nn.Module) -> bool:
    """Whether it is a linear layer and no more: nobody exchanged its forward or is called with it."""
    own = vars(module)
    is_watched = any(own[hooks] for hooks in _HOOKS) or nn.modules.module._has_any_global_hook()
    return type(module) is nn.Linear and "forward" not in own and not is_watched


@cache
def _say(reason: str) -> None:
    logger.warning("fused_lora is not used: %s; peft's own layers are", reason)
