"""What the benchmarks of the KTO trainer share: rows, models, and both trainers on them. No Axolotl."""

from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars
from environment import environment as record
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from trl import KTOConfig, KTOTrainer

from kto_recipes.files import read_json
from kto_recipes.trainer import FastKTOTrainer, TrainerSettings

HH_LENGTHS = Path(__file__).with_name("hh_lengths.json")
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "numpy")
TOKENS = 2048  # rows use so many of a vocabulary: which tokens they are costs nothing
PAD, EOS = 0, 1
TOKEN_IDS = {"pad_token_id": PAD, "bos_token_id": None, "eos_token_id": EOS}
# Llama with hidden 256: with 2,048 tokens the head makes 10 % of the matrix products, as in models of 3 to 8B.
SMALL = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6, "num_attention_heads": 4}
VOCABULARY = {"body": 2048, "v32k": 32_000, "v128k": 128_256}
disable_progress_bars()

# --- rows -----------------------------------------------------------------------------------------------------


def hh_lengths(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens of prompts and of completions, and labels, [count] each, as HH-RLHF has them together."""
    table = read_json(HH_LENGTHS)
    draw = np.random.default_rng(seed)
    counts = np.array([table["undesirable"], table["desirable"]])  # [label, prompt's bucket, completion's bucket]
    cells = draw.choice(counts.size, count, p=counts.ravel() / counts.sum())
    label, prompt, completion = np.unravel_index(cells, counts.shape)
    lengths = []
    for name, bucket in (("prompt", prompt), ("completion", completion)):
        edges = np.array(table[f"{name}_edges"])
        lengths.append(draw.integers(edges[bucket], edges[bucket + 1]))
    return lengths[0], np.maximum(lengths[1], 2), label.astype(bool)  # an answer is a token and EOS at least


def text_rows(prompts: np.ndarray, completions: np.ndarray, labels: np.ndarray, seed: int) -> Dataset:
    """Rows of random tokens; a completion's last token is the EOS that TRL adds."""
    draw = np.random.default_rng(seed)

    def text(length: int) -> str:
        return " ".join(map(str, draw.integers(EOS + 1, TOKENS, length)))

    rows = zip(prompts, completions, labels, strict=True)
    return Dataset.from_list(
        [{"prompt": text(p), "completion": f" {text(c - 1)}", "label": bool(y)} for p, c, y in rows]
    )


def number_tokenizer() -> PreTrainedTokenizerFast:
    """A token is its number, and a space divides: text of exactly so many tokens for TRL to tokenize."""
    tokenizer = Tokenizer(models.WordLevel({"<pad>": PAD, "</s>": EOS} | {str(i): i for i in range(EOS + 1, TOKENS)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<pad>")


def blocks_of(dataset: Dataset, batch: int) -> list[Dataset]:
    """A prepared dataset cut into whole micro-batches."""
    return [dataset.select(range(start, start + batch)) for start in range(0, len(dataset) // batch * batch, batch)]


# --- models and trainers --------------------------------------------------------------------------------------


def small_llama(name: str, seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY[name], tie_word_embeddings=False, pad_token_id=PAD, eos_token_id=EOS, **SMALL
    )
    return LlamaForCausalLM(config)


def arguments(batch: int, **changes: Any) -> KTOConfig:
    """Float32 on one CPU, nothing saved, unless `changes` say otherwise."""
    values = {
        "output_dir": str(Path(gettempdir(), "kto-bench")),
        "per_device_train_batch_size": batch,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "max_length": 1024,
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
    }
    return KTOConfig(**{**values, **changes})


def new_trainer(
    kind: type[KTOTrainer],
    model: PreTrainedModel,
    rows: Dataset,
    args: KTOConfig,
    lora: int | None,
    settings: TrainerSettings | None = None,
    ref_model: PreTrainedModel | None = None,
) -> KTOTrainer:
    """`kind` as a person makes it; `lora` is the rank of an adapter on all linear layers, none trains all weights."""
    more: dict[str, Any] = {} if settings is None else {"settings": settings}
    if lora is not None:
        more["peft_config"] = LoraConfig(
            r=lora, lora_alpha=2 * lora, target_modules="all-linear", task_type="CAUSAL_LM"
        )
    torch.manual_seed(0)  # TRL does not seed the adapter's initialisation
    trainer = kind(model, ref_model, args, train_dataset=rows, processing_class=number_tokenizer(), **more)
    trainer.current_gradient_accumulation_steps = 1  # what train() sets, for training_step by itself
    return trainer


def arranged(rows: Dataset, args: KTOConfig, settings: TrainerSettings | None = None) -> Dataset:
    """`rows` tokenized, ordered and paired by our trainer. Taken in part, its blocks are kept as they are."""
    settings = (settings or as_in_recipes()).model_copy(update={"precompute_ref": False})
    tiny = LlamaForCausalLM(LlamaConfig(vocab_size=TOKENS, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    return new_trainer(FastKTOTrainer, tiny, rows, args, 1, settings).train_dataset


def as_in_recipes(**changes: bool) -> TrainerSettings:
    """What the recipes train with, changed; nothing is kept for a second run."""
    return TrainerSettings(**{"ref_cache_dir": None, "prefix_kl": True, **changes})


def perturb(trainer: KTOTrainer, scale: float) -> None:
    """Move the weights in training, alike for alike models, so that policy and reference differ."""
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for _, weight in sorted(trainer.model.named_parameters()):
            if weight.requires_grad:
                weight.add_(scale * torch.randn(weight.shape, generator=draw).to(weight))


# --- the record -----------------------------------------------------------------------------------------------


def environment() -> dict[str, Any]:
    """The record of a run, with torch's threads and GPU."""
    found = record(PACKAGES)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {**found, "machine": {**found["machine"], "threads": torch.get_num_threads(), "gpu": gpu}}


def over(values: list[float]) -> dict[str, float]:
    """Median, lowest and highest. Five independent values have their true median in that range 15 times in 16."""
    return {"median": float(np.median(values)), "low": min(values), "high": max(values)}
