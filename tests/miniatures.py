"""Miniatures of the recipes' base models: the real architecture, special tokens and template, small dimensions."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from kto_recipes.tiny.corpus import conversations
from kto_recipes.tiny.tokenizer import EOT, train_tokenizer

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
VOCABULARY = 800


def make_miniature(recipe: dict[str, Any], name: str, folder: Path) -> Path:
    """Write a random miniature of the model that the recipe folder `name` is for."""
    tokenizer = qwen_tokenizer() if name.startswith("qwen") else llama_tokenizer(instruct="instruct" in name)
    config_class: type[AutoConfig] = Qwen2Config if name.startswith("qwen") else LlamaConfig
    config = config_class(
        vocab_size=len(tokenizer),
        tie_word_embeddings=name.startswith("qwen"),  # as Qwen2.5 3B and Llama 3.1 8B do
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SMALL,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def llama_tokenizer(*, instruct: bool) -> PreTrainedTokenizerBase:
    """Llama 3.1's special tokens; the instruct model ends a turn with <|eot_id|> and has a template.

    Meta's own template is not shipped with this project; Axolotl's llama3 one stands in for it.
    """
    tokenizer = train_tokenizer(_texts(), VOCABULARY)
    if instruct:
        tokenizer.eos_token = EOT
        tokenizer.chat_template = axolotl_template("llama3")
    return tokenizer


def qwen_tokenizer() -> PreTrainedTokenizerBase:
    """Qwen2.5 Instruct's special tokens and official template, and no token at the beginning of a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    result = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=4096
    )
    result.chat_template = axolotl_template("qwen_25")  # byte for byte the official one
    return result


def axolotl_template(name: str) -> str:
    return (files("axolotl") / f"utils/chat_templates/templates/{name}.jinja").read_text(encoding="utf-8")


def _texts() -> list[str]:
    return [message["content"] for conversation in conversations(60, seed=0) for message in conversation]
