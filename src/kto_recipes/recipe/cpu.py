"""What may stand in for what when a recipe is tried on a machine without a GPU. Tests alone use this.

Model dimensions may shrink besides; the architecture, the special tokens and the template may not change.
"""

from typing import Any

# Key → what it becomes on a CPU, for any value but the one given as its own replacement.
CPU_SUBSTITUTIONS: dict[str, Any] = {
    "bf16": False,  # refused on a CPU
    "tf32": False,  # a GPU's matrix units
    "attn_implementation": "sdpa",  # FlashAttention 2 has no CPU kernel
    "optimizer": {"adamw_torch_fused": "adamw_torch"},  # paged 8-bit AdamW does run on a CPU
    "lora_mlp_kernel": False,  # Axolotl's Triton kernels, which it turns on by itself where they fit
    "lora_qkv_kernel": False,
    "lora_o_kernel": False,
}
_SFT_ONLY = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel")


def for_cpu(recipe: dict[str, Any]) -> dict[str, Any]:
    """A copy of `recipe` with CPU_SUBSTITUTIONS applied and nothing else changed."""
    result = dict(recipe)
    for key, replacement in CPU_SUBSTITUTIONS.items():
        if key in _SFT_ONLY and ("rl" in recipe or "adapter" not in recipe):
            continue
        if isinstance(replacement, dict):
            result[key] = replacement.get(recipe.get(key), recipe.get(key))
        else:
            result[key] = replacement
    return result
