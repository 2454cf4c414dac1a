"""What may stand in for what when a recipe is tried on a machine without a GPU: in tests, in benchmarks that say so.

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
# One process has nobody to share with: ZeRO-3 stops there. The file is validated with the recipe.
NOT_IN_ONE_PROCESS = ("deepspeed",)
# Only where the model's projections have a bias (Qwen2.5): bitsandbytes 0.50.2 repacks 4-bit weights on CPUs with
# AVX512-BF16 and then adds the bias in place, which autograd refuses.
BIASED_4BIT_SUBSTITUTIONS: dict[str, Any] = {"adapter": "lora", "load_in_4bit": False}
_SFT_ONLY = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel")


def for_cpu(recipe: dict[str, Any], *, biased: bool) -> dict[str, Any]:
    """A copy of `recipe` with the substitutions applied and nothing else changed.

    `biased` says whether the model's projections have a bias.
    """
    result = {key: value for key, value in recipe.items() if key not in NOT_IN_ONE_PROCESS}
    if biased and recipe.get("load_in_4bit"):
        result |= BIASED_4BIT_SUBSTITUTIONS
    for key, replacement in CPU_SUBSTITUTIONS.items():
        if key in _SFT_ONLY and ("rl" in recipe or "adapter" not in recipe):
            continue
        if isinstance(replacement, dict):
            result[key] = replacement.get(recipe.get(key), recipe.get(key))
        else:
            result[key] = replacement
    return result
