"""Small models and recipes that several test modules build on; nothing here is trained or downloaded."""

from functools import cache
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from kto_recipes.generation import Loaded
from kto_recipes.templates import set_template
from kto_recipes.tiny.corpus import conversations
from kto_recipes.tiny.model import TinySettings, new_model
from kto_recipes.tiny.tokenizer import train_tokenizer

REPO = Path(__file__).parents[1]
LLAMA_RECIPE = {
    "chat_template": "llama3",
    "special_tokens": {"eos_token": "<|eot_id|>", "pad_token": "<|finetune_right_pad_id|>"},
}
torch.set_num_threads(1)  # matrices this small lose more by waiting for a second thread than it adds
SMALL = TinySettings(vocab_size=400, hidden_size=48, layers=2)


@cache
def _tokenizer_json() -> PreTrainedTokenizerFast:
    corpus = conversations(100, seed=0)
    return train_tokenizer((m["content"] for c in corpus for m in c), SMALL.vocab_size)


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """A fresh tokenizer with Llama 3's special tokens; the base model's eos and no template, as Meta ships it."""
    trained = _tokenizer_json()
    return PreTrainedTokenizerFast(
        tokenizer_object=trained.backend_tokenizer,
        bos_token=trained.bos_token,
        eos_token=trained.eos_token,
        pad_token=trained.pad_token,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def random_llama(seed: int) -> LlamaForCausalLM:
    """A Llama with random float32 weights, large enough that no two tokens are equally likely."""
    torch.manual_seed(seed)
    model = new_model(llama_tokenizer(), SMALL).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model


def loaded_llama(seed: int) -> Loaded:
    """A random model with its tokenizer, ready for inference as `kto_recipes.generation.load` makes it."""
    tokenizer = llama_tokenizer()
    set_template(tokenizer, LLAMA_RECIPE)
    tokenizer.padding_side = "left"
    return Loaded(random_llama(seed), tokenizer)
