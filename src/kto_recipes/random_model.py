"""Random weights in the shape of a recipe's base model, with a small tokenizer of its special tokens.

What a recipe costs and whether it runs depends on the architecture, not on what the weights know: tests use
MINIATURE dimensions, benchmarks the REAL ones. Nothing is downloaded.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from kto_recipes.templates import recipe_template
from kto_recipes.tiny.corpus import conversations
from kto_recipes.tiny.tokenizer import EOT, train_tokenizer

VOCABULARY = 400  # of the tokenizer; a real model's embeddings are larger and stay so
MINIATURE: dict[str, int] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
# The config.json of Llama 3.1 8B and of Qwen2.5 3B.
REAL: dict[str, dict[str, int]] = {
    "llama": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "qwen": {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
    },
}
_LLAMA_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
_QWEN_ROPE = {"rope_type": "default", "rope_theta": 1000000.0}
_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def family(recipe: dict[str, Any]) -> str:
    """`llama` or `qwen`: whose special tokens the recipe names."""
    return "qwen" if (recipe.get("special_tokens") or {}).get("eos_token") == "<|im_end|>" else "llama"


def write_random_model(
    recipe: dict[str, Any], dimensions: dict[str, int], folder: Path, dtype: str = "float32", device: str = "cpu"
) -> Path:
    """Write a random base model for `recipe` to `folder`, with its tokenizer; the answer is `folder`.

    `dimensions` without vocab_size take the tokenizer's. The weights are made on `device`, in `dtype`.
    """
    tokenizer = new_tokenizer(recipe)
    torch.manual_seed(0)
    with torch.device(device):
        model = new_model(recipe, tokenizer, dimensions, getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def new_model(
    recipe: dict[str, Any], tokenizer: PreTrainedTokenizerBase, dimensions: dict[str, int], dtype: torch.dtype
) -> PreTrainedModel:
    """A model of the recipe's architecture on torch's current device, weights drawn from torch's generator."""
    tokens = {key: getattr(tokenizer, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    values = {"vocab_size": len(tokenizer), **tokens, **dimensions}
    return AutoModelForCausalLM.from_config(_config(family(recipe), values), dtype=dtype)


def new_tokenizer(recipe: dict[str, Any]) -> PreTrainedTokenizerFast:
    """A small tokenizer of the kind that the recipe's base model has."""
    if family(recipe) == "qwen":
        return qwen_tokenizer()
    return llama_tokenizer(instruct=recipe["chat_template"] == "tokenizer_default")


def _config(name: str, values: dict[str, int]) -> PreTrainedConfig:
    if name == "qwen":
        return Qwen2Config(
            tie_word_embeddings=True,
            rope_parameters=_QWEN_ROPE,
            rms_norm_eps=1e-6,
            max_position_embeddings=32768,
            **values,
        )
    return LlamaConfig(
        tie_word_embeddings=False,
        rope_parameters=_LLAMA_ROPE,
        rms_norm_eps=1e-5,
        max_position_embeddings=131072,
        **values,
    )


def llama_tokenizer(*, instruct: bool = False) -> PreTrainedTokenizerFast:
    """A fresh small tokenizer with Llama 3.1's special tokens, as Meta ships it: the base model has no template.

    The instruct model ends a turn with <|eot_id|> and has one. Meta's own is not shipped with this project;
    Axolotl's llama3 stands in for it.
    """
    trained = _trained_llama()
    return PreTrainedTokenizerFast(
        tokenizer_object=trained.backend_tokenizer,
        bos_token=trained.bos_token,
        eos_token=EOT if instruct else trained.eos_token,
        pad_token=trained.pad_token,
        chat_template=recipe_template({"chat_template": "llama3"}) if instruct else None,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    """A fresh small tokenizer built as Qwen2.5's base one is: NFC, its pre-tokenisation, no BOS, <|endoftext|> as eos.

    Its template is Qwen's own, which Axolotl ships byte for byte.
    """
    return PreTrainedTokenizerFast(
        tokenizer_object=_trained_qwen(),
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        chat_template=recipe_template({"chat_template": "qwen_25"}),
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


@cache
def _trained_llama() -> PreTrainedTokenizerFast:
    return train_tokenizer(_texts(), VOCABULARY)


@cache
def _trained_qwen() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Qwen's vocabulary has tokens of several line breaks; the corpus alone would not teach them.
    tokenizer.train_from_iterator([*_texts(), *["\n\n", "\n\n\n", " \n"] * 50], trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def _texts() -> list[str]:
    return [message["content"] for conversation in conversations(100, seed=0) for message in conversation]
