"""Train the demo's base model: a Llama of two million parameters, from random weights, in about a minute."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kto_recipes.rows import Message
from kto_recipes.templates import set_template

TEMPLATE_OF = {"chat_template": "llama3"}  # the recipes for Llama base models say the same


@dataclass(frozen=True)
class TinySettings:
    """Everything that decides the weights besides the corpus and the library versions."""

    seed: int = 0
    vocab_size: int = 1024
    hidden_size: int = 192
    layers: int = 4
    conversations: int = 1600
    batch_size: int = 8
    learning_rate: float = 4e-3
    warmup: float = 0.1
    threads: int = 2  # the sum of a matrix product depends on how it is cut


def new_model(tokenizer: PreTrainedTokenizerFast, settings: TinySettings) -> LlamaForCausalLM:
    """Llama 3.1's architecture in miniature: grouped-query attention, untied head, its RoPE base."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.hidden_size * 8 // 3,
        num_hidden_layers=settings.layers,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def train(
    tokenizer: PreTrainedTokenizerFast,
    corpus: list[list[Message]],
    settings: TinySettings,
    on_step: Callable[[int, int, float], None],
) -> LlamaForCausalLM:
    """One pass over `corpus`; `on_step(step, steps, loss)` is called after each step."""
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    model = new_model(tokenizer, settings)
    batches = _batches(tokenizer, corpus, settings)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=len(batches), pct_start=settings.warmup
    )
    for step, (ids, labels) in enumerate(batches, 1):
        loss = model(input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long(), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        on_step(step, len(batches), loss.item())
    return model.eval()


def _batches(
    tokenizer: PreTrainedTokenizerFast, corpus: list[list[Message]], settings: TinySettings
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(ids, labels) of shape (batch, length): conversations of similar length together, batches shuffled."""
    template = tokenizer.chat_template
    set_template(tokenizer, TEMPLATE_OF)
    ids = [torch.tensor(tokenizer.apply_chat_template(c, return_dict=False)) for c in corpus]
    tokenizer.chat_template = template
    ids.sort(key=len)
    size = settings.batch_size
    batches = [
        (
            pad_sequence(part, batch_first=True, padding_value=tokenizer.pad_token_id),
            pad_sequence(part, batch_first=True, padding_value=-100),
        )
        for part in (ids[start : start + size] for start in range(0, len(ids), size))
    ]
    order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(settings.seed))
    return [batches[index] for index in order.tolist()]
