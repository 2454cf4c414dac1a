"""How much memory a stage needs on each GPU: a formula, and measured results, which win over it.

The formula is unchecked against real runs: no GPU was at hand when it was written. Its parts, in bytes:

- weights: parameters × 2 in bf16, × 4 in float32. In 4-bit the blocks' linear layers take 0.516 (NF4: half a byte,
  and with double quantization one 8-bit scale for 64 weights and one float32 for 256 scales; QLoRA, arXiv
  2305.14314), embedding, head, norms and biases 2.
- reference: none with an adapter, which is switched off to get it, and none where the plugin computes it once before
  training (precompute_ref). Otherwise full-weight KTO holds TRL's own in float32 (4), and in stock Axolotl one more,
  which KTO never receives (2 in bf16).
- trained parameters: all of them, or LoRA's r × (inputs + outputs) for each linear layer it is put on. A LoRA keeps
  its weights (4), gradients (4) and Adam's two states (8, 8-bit Adam: 2) in float32. Full weights have gradients in
  the weights' type and the same states; under DeepSpeed a float32 master copy (4) besides.
- activations: for each token and layer the backward pass keeps about 10·hidden + 4·keys + 4·ffn numbers (after
  Korthikanti et al., arXiv 2205.05198, with a gated MLP and without the attention matrix, which neither sdpa nor
  FlashAttention stores), and with LoRA's dropout a copy of each layer's input, 6·hidden + ffn. With gradient
  checkpointing a layer's input alone is kept, and one layer's numbers while it is computed again.
- logits: stock Transformers and TRL keep vocabulary-sized tensors: micro batch × sequence length × vocabulary ×
  4 bytes × 3.5 in bf16 (the logits, 2, and in float32 their upcast, log-softmax and gradient, 12), × 4 in float32.
  With the plugin's fused_logps KTO keeps a chunk of 0.3 GiB.
- 1 GiB for CUDA's context, kernels and what the allocator cannot use.

DeepSpeed shares the optimizer states (ZeRO 1), the gradients too (2) and the weights too (3) among the GPUs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kto_recipes.doctor.finding import Finding
from kto_recipes.doctor.machine import Gpu, card_gb
from kto_recipes.doctor.shapes import Shape
from kto_recipes.files import read_json
from kto_recipes.recipe.checks import PLUGIN
from kto_recipes.recipe.results import Result, is_of
from kto_recipes.trainer.settings import TrainerSettings

GIB = 2**30
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
LOGITS_FLOAT32_BYTES = 12
FUSED_LOGITS_GIB = 0.3
CONTEXT_GIB = 1.0
TIGHT = 0.9  # above this share of the memory the estimate's error decides
LESS = (
    "Halve micro_batch_size and double gradient_accumulation_steps (KTO needs a micro batch of 2), shorten "
    "sequence_len, or take the qlora recipe or a larger GPU."
)


@dataclass(frozen=True)
class Memory:
    """What one GPU holds at the peak of a step, in GiB."""

    parts: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())


def estimate(recipe: dict[str, Any], shape: Shape, gpus: int = 1) -> Memory:
    """The module's formula for one stage of a recipe on each of `gpus` GPUs."""
    zero = zero_stage(recipe)
    trained = trained_parameters(recipe, shape)
    number = 4 if recipe.get("adapter") else weight_bytes(recipe)
    parts = {
        "weights": _weights(recipe, shape) / (gpus if zero >= 3 else 1),
        "reference": _reference(recipe, shape),
        "adapter": trained * number if recipe.get("adapter") else 0,
        "gradients": trained * number / (gpus if zero >= 2 else 1),
        "optimizer": trained * optimizer_bytes(recipe) / (gpus if zero >= 1 else 1),
        "activations": _activations(recipe, shape),
        "logits": _logits(recipe, shape),
    }
    return Memory({name: size / GIB for name, size in parts.items() if size} | {"context": CONTEXT_GIB})


def weight_bytes(recipe: dict[str, Any]) -> int:
    """Bytes of a weight that is not quantized, in memory and in a saved model."""
    return 2 if recipe.get("bf16") or recipe.get("fp16") else 4


def trained_parameters(recipe: dict[str, Any], shape: Shape) -> int:
    """All parameters, or the adapter's."""
    if not recipe.get("adapter"):
        return shape.parameters
    linears = shape.linears
    targets = recipe.get("lora_target_modules")
    names = targets if isinstance(targets, list) and not recipe.get("lora_target_linear") else linears
    return int(recipe.get("lora_r") or 8) * shape.layers * sum(sum(linears[name]) for name in names if name in linears)


def zero_stage(recipe: dict[str, Any]) -> int:
    """The ZeRO stage of the recipe's DeepSpeed file, 0 without one."""
    path = recipe.get("deepspeed")
    if not path or not Path(path).is_file():
        return 0
    return read_json(Path(path)).get("zero_optimization", {}).get("stage", 0)


def _weights(recipe: dict[str, Any], shape: Shape) -> float:
    if recipe.get("load_in_4bit"):
        return shape.linear_parameters * NF4_BYTES + shape.other_parameters * weight_bytes(recipe)
    return shape.parameters * weight_bytes(recipe)


def _reference(recipe: dict[str, Any], shape: Shape) -> float:
    if recipe.get("rl") != "kto" or recipe.get("adapter") or _has(recipe, "precompute_ref"):
        return 0
    return shape.parameters * (4 if _has_plugin(recipe) else 4 + weight_bytes(recipe))


def _has(recipe: dict[str, Any], setting: str) -> bool:
    """Whether a setting of the plugin is on in a KTO recipe, by its own word or by default."""
    if recipe.get("rl") != "kto" or not _has_plugin(recipe):
        return False
    return (recipe.get("kto") or {}).get(setting, TrainerSettings.model_fields[setting].default)


def _has_plugin(recipe: dict[str, Any]) -> bool:
    return PLUGIN in (recipe.get("plugins") or [])


def optimizer_bytes(recipe: dict[str, Any]) -> int:
    """Bytes of Adam's states, and of DeepSpeed's master copy, for each trained parameter."""
    states = 2 if "8bit" in str(recipe.get("optimizer")) else 8
    master = 4 if recipe.get("deepspeed") and not recipe.get("adapter") and weight_bytes(recipe) == 2 else 0
    return states + master


def _activations(recipe: dict[str, Any], shape: Shape) -> float:
    numbers = 10 * shape.hidden + 4 * shape.linears["k_proj"][1] + 4 * shape.ffn
    if recipe.get("adapter") and recipe.get("lora_dropout"):
        numbers += 6 * shape.hidden + shape.ffn
    per_token = (
        numbers + shape.layers * shape.hidden if recipe.get("gradient_checkpointing") else numbers * shape.layers
    )
    return _tokens(recipe) * per_token * weight_bytes(recipe)


def _logits(recipe: dict[str, Any], shape: Shape) -> float:
    stock = _tokens(recipe) * shape.vocab * (weight_bytes(recipe) + LOGITS_FLOAT32_BYTES)
    return min(stock, FUSED_LOGITS_GIB * GIB) if _has(recipe, "fused_logps") else stock


def _tokens(recipe: dict[str, Any]) -> int:
    """Tokens of a micro batch whose rows are as long as the recipe allows."""
    return int(recipe.get("micro_batch_size") or 1) * sequence_len(recipe)


def sequence_len(recipe: dict[str, Any]) -> int:
    """The longest row that is trained on, in tokens; 512 is Axolotl's default."""
    return int(recipe.get("sequence_len") or 512)


def memory_finding(
    stage: str,
    recipe: dict[str, Any],
    shape: Shape | None,
    gpu: Gpu | None,
    results: list[Result],
    *,
    gpus: int = 1,
    main_memory: float | None = None,
) -> Finding:
    """Whether a stage fits, by what was measured with its sequence length and micro batch, else by the estimate.

    A measured peak is of rows as long as the recipe allows, and what PyTorch allocated: the context comes on top.

    Args:
        gpu: the smallest GPU; None where the stage runs on the CPU or there is no GPU.
        main_memory: GiB of main memory where the stage runs on the CPU.
    """
    same = [r for r in results if r.stage == stage and r.gpus == gpus and is_of(r, recipe)]
    have = gpu.gib if gpu else main_memory
    where = f"on {gpu.name}" if gpu else "of main memory"
    size = f"micro batch {recipe.get('micro_batch_size', 1)} of {sequence_len(recipe)} tokens"
    failed = [result for result in same if gpu and result.outcome == "oom" and _as_large(result.gpu, gpu)]
    if failed:
        message = f"{stage.upper()} ran out of memory on {failed[-1].gpu} ({failed[-1].date}), {size}"
        return Finding("memory", "error", message, LESS)
    peaks = [result.peak_gib for result in same if result.lengths == "full" and result.peak_gib]
    if peaks:
        needed, how = max(peaks) + CONTEXT_GIB, "measured"
    elif shape is None:
        message = f"{stage.upper()}: the shape of {recipe['base_model']} is unknown, and so is the memory it needs"
        return Finding("memory", "warning", message, "Trust the smoke run.")
    else:
        needed, how = estimate(recipe, shape, gpus).total, "estimated, not checked against real runs"
    about = f"{stage.upper()} needs about {needed:.1f}"
    if have is None:
        return Finding("memory", "warning", f"{about} GiB ({size}; {how}); there is no GPU to compare with")
    message = f"{about} of {have:.1f} GiB {where} ({size}; {how})"
    if needed > have:
        return Finding("memory", "error", message, LESS)
    if needed > TIGHT * have:
        return Finding("memory", "warning", message, f"Little is left. {LESS}")
    return Finding("memory", "ok", message)


def _as_large(measured_on: str, gpu: Gpu) -> bool:
    size, ours = card_gb(measured_on), card_gb(gpu.name) or (gpu.gib or 0) * GIB / 1e9
    return measured_on == gpu.name or (size is not None and size >= ours)
