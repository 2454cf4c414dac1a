"""What the trainer can be told, each with what it does and what it costs."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_REF_CACHE = Path("outputs/ref-cache")


class TrainerSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    precompute_ref: bool = Field(
        default=True,
        description="Reference log-probabilities are computed once before training and cached on disk. Saves two of "
        "four passes of every step and, with full weights, the reference model; costs one pass over the data, once.",
    )
    ref_cache_dir: Path | None = Field(
        default=DEFAULT_REF_CACHE,
        description="Folder of that cache, 8 bytes a row; null keeps nothing. The key is the base weights, the "
        "tokens and the batch size, so that another β, learning rate or LoRA rank hits it.",
    )
    length_buckets: bool = Field(
        default=True,
        description="Rows of similar length and of both classes share a micro-batch, and whole micro-batches are "
        "shuffled each epoch. Saves padding; which rows meet, and with it a batch's z0, differs from the file's order.",
    )
    fused_logps: bool = Field(
        default=True,
        description="The language-model head runs on completion tokens alone, by blocks of the vocabulary: no tensor "
        "of tokens by vocabulary is kept; and the model gets no attention mask, which rows padded on the right do not "
        "need. Costs a second head product in the backward pass where the head itself is trained.",
    )
    fused_lora: bool = Field(
        default=True,
        description="A LoRA layer adds its part to the frozen layer's output within its second product, in place of "
        "a product, a scaling and a sum. Costs nothing; adapters that are more than that (DoRA, a bias) keep peft's "
        "layers.",
    )
    prefix_kl: bool = Field(
        default=False,
        description="The mismatched pass runs on the keys and values that the matched one made of the prompt. Saves "
        "the prompts of one pass; with gradient checkpointing costs the memory of those keys and values until that "
        "pass is over, before the backward pass (2 GB for Llama 3.1 8B and 16,384 tokens). Not with ZeRO-3.",
    )
    auto_weights: bool = Field(
        default=False,
        description="Class weights from the labels' counts when the data are loaded, in place of "
        "kto_desirable_weight and kto_undesirable_weight.",
    )
    log_entropy: bool = Field(
        default=False,
        description="Log the policy's entropy on completions; one more reading of each block of logits.",
    )
