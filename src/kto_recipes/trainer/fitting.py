"""Which models and adapters the trainer's shortcuts fit: where one does not, the reason, in words for a log line."""

from collections.abc import Iterable
from typing import Any

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from kto_recipes.recipe.traps import moves_the_base

# What a model may do to its logits after the head, and what such a factor is where it does nothing.
_AFTER_THE_HEAD = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "lm_head_multiplier",
    "logits_soft_cap",
    "output_logit_soft_cap",
    "output_multiplier",
    "unpadded_vocab_size",
)
# False in the configuration of a model whose tokens see all others; of xlnet and, without a mask, doge none is.
_CAUSAL = ("is_causal", "is_decoder", "causal")
_LOOKS_AHEAD = ("doge", "xlnet")
# Models whose attention goes by a key's place in the cache, where short prompts leave gaps. Decoders that belong to an
# encoder count their positions by it as well, whatever positions they are given.
_COUNTS_PLACES = ("gpt_neo", "mpt")
# Models that give back no keys, not those of all layers, or in a cache of their own.
_KEEPS_NO_KEYS = ("cpmant", "minimax", "mllama_text_model", "openai-gpt", "rwkv")
NO_KEYS = "the model does not give back the keys of all its layers"
# Rotary embeddings whose angles depend on the longest row of a pass.
_ANGLES_BY_LENGTH = ("dynamic", "longrope")


def why_not_fused(head: Any, config: Any) -> str | None:
    """Why log-probabilities cannot be taken in the head's place, without a mask; none where they can."""
    if isinstance(head, BaseTunerLayer):
        return "the head has an adapter"
    if type(head) is not nn.Linear:
        return f"the head is a {type(head).__name__}"
    is_causal = all(getattr(config, name, True) for name in _CAUSAL) and config.model_type not in _LOOKS_AHEAD
    if not is_causal or getattr(config, "use_bidirectional_attention", False):
        return "the model's tokens look at those after them, padding as well"
    changed = next((key for key in _AFTER_THE_HEAD if getattr(config, key, None) not in (None, 1, 1.0)), None)
    return f"the model changes its logits after the head ({changed})" if changed else None


def why_no_prefix(config: Any, adapters: Iterable[Any] = ()) -> str | None:
    """Why the prompt's keys and values cannot be used again; none where they can."""
    if any(adapter.is_prompt_learning or getattr(adapter, "alora_invocation_tokens", None) for adapter in adapters):
        return "the adapter looks for its place in the prompt"
    if config.model_type in _KEEPS_NO_KEYS:
        return NO_KEYS
    if config.model_type in _COUNTS_PLACES or getattr(config, "is_decoder", False):
        return "the model counts the places of its cache"
    rope = getattr(config, "rope_parameters", None) or {}
    if any(each.get("rope_type") in _ANGLES_BY_LENGTH for each in (rope, *rope.values()) if isinstance(each, dict)):
        return "the model's rotary angles depend on the longest row"
    kinds = {type(layer).__name__ for layer in DynamicCache(config=config).layers}
    others = sorted(kinds - {DynamicLayer.__name__})  # a window's forgets, a recurrent layer's state has no places
    return f"the model's cache has layers of {', '.join(others)}" if others else None


def layers_with_keys(config: Any) -> int:
    """How many layers of a model have keys and values of their own."""
    return len(DynamicCache(config=config).layers)


def refuse_moved_base(adapters: Iterable[Any]) -> None:
    """Stop where the model without its adapter, KTO's reference, would not be the model that was named.

    Raises:
        ValueError: naming the initialisation.
    """
    for adapter in adapters:
        how = getattr(adapter, "init_lora_weights", None)
        if moves_the_base(how):
            raise ValueError(
                f"init_lora_weights: {how} changes the base weights, which without the adapter are KTO's reference; "
                "leave it out"
            )


def keep_trainable(model: nn.Module) -> None:
    """Stop bitsandbytes from packing 4-bit weights for inference.

    On a CPU with AVX512-BF16 its 0.50.2 does so in the first pass outside training, for good, and what is learned from
    then on has wrong gradients.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
