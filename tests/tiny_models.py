"""Small models and recipes that several test modules build on; nothing here is trained or downloaded."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from kto_recipes.generation import Loaded
from kto_recipes.random_model import MINIATURE, VOCABULARY, llama_tokenizer, qwen_tokenizer, write_random_model
from kto_recipes.templates import set_template
from kto_recipes.tiny.model import TinySettings, new_model

__all__ = [
    "LLAMA_RECIPE",
    "REPO",
    "SMALL",
    "llama_tokenizer",
    "loaded_llama",
    "make_miniature",
    "qwen_tokenizer",
    "random_llama",
    "trained_tokenizer",
    "write_base",
    "write_models",
]
REPO = Path(__file__).parents[1]
LLAMA_RECIPE = {
    "chat_template": "llama3",
    "special_tokens": {"eos_token": "<|eot_id|>", "pad_token": "<|finetune_right_pad_id|>"},
}
torch.set_num_threads(1)  # matrices this small lose more by waiting for a second thread than it adds
SMALL = TinySettings(vocab_size=VOCABULARY, hidden_size=48, layers=2)


def random_llama(seed: int) -> LlamaForCausalLM:
    """A Llama with random float32 weights, large enough that no two tokens are equally likely."""
    torch.manual_seed(seed)
    model = new_model(llama_tokenizer(), SMALL).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model


def trained_tokenizer() -> PreTrainedTokenizerBase:
    """A Llama's as a stage leaves it, with the recipe's special tokens and template."""
    tokenizer = llama_tokenizer()
    set_template(tokenizer, LLAMA_RECIPE)
    return tokenizer


def loaded_llama(seed: int) -> Loaded:
    """A random model with its tokenizer, ready for inference as `kto_recipes.generation.load` makes it."""
    tokenizer = trained_tokenizer()
    tokenizer.padding_side = "left"
    return Loaded(random_llama(seed), tokenizer)


def write_base(folder: Path, model: PreTrainedModel) -> Path:
    """A base model as its maker ships it: its tokenizer has no chat template."""
    model.save_pretrained(folder)
    llama_tokenizer().save_pretrained(folder)
    return folder


def write_models(root: Path) -> Path:
    """Three models in folders base, sft and kto; like a merged run's, each with its tokenizer."""
    for seed, name in enumerate(("base", "sft", "kto")):
        random_llama(seed).save_pretrained(root / name)
        trained_tokenizer().save_pretrained(root / name)
    return root


def make_miniature(recipe: dict[str, Any], folder: Path) -> Path:
    """Write a random miniature of the base model that `recipe` is for: its architecture, special tokens, template."""
    return write_random_model(recipe, MINIATURE, folder)
