"""Batched generation and scoring with Transformers, on a GPU or a CPU; the one place that loads models."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kto_recipes.errors import UserError
from kto_recipes.rows import Message
from kto_recipes.templates import set_template

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class Loaded:
    """A model ready for inference with the tokenizer and template of the run's recipe."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"


@dataclass(frozen=True)
class Sampling:
    """How to continue a prompt; temperature 0 is greedy, top_k 0 and top_p 1 leave the distribution whole."""

    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


def load(model: str, recipe: dict[str, Any], tokenizer: str | None = None) -> Loaded:
    """Load `model` (a folder or a Hub name) for inference as `recipe` uses it.

    On a GPU in the precision of the recipe, on a CPU in float32. The tokenizer is the model's own, or that of
    the folder `tokenizer`.

    Raises:
        UserError: when the model cannot be found.
    """
    quiet()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    on_gpu = torch.cuda.is_available()
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            model, dtype=torch.bfloat16 if on_gpu else torch.float32, device_map="cuda" if on_gpu else None
        )
        tok = AutoTokenizer.from_pretrained(tokenizer or model)
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: cannot be loaded as a model: {str(error).splitlines()[0]}") from None
    # A model's own settings would bias every sample: Qwen2.5 Instruct ships a repetition penalty.
    loaded.generation_config = GenerationConfig()
    set_template(tok, recipe)
    tok.padding_side = "left"
    if tok.pad_token is None:
        tok.pad_token = tok.eos_token
    return Loaded(loaded.eval(), tok)


def quiet() -> None:
    """Keep libraries' notices, import-time ones above all, off a person's screen; errors still show."""
    logging.disable(logging.WARNING)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def prompt_ids(loaded: Loaded, messages: Sequence[Message]) -> list[int]:
    """Token ids of a prompt up to where the answer begins."""
    return loaded.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_dict=False)


def completion_ids(loaded: Loaded, messages: Sequence[Message], completion: str) -> list[int]:
    """Token ids of an answer as the trainer scores it: up to and including the end-of-turn token."""
    start = len(prompt_ids(loaded, messages))
    whole = loaded.tokenizer.apply_chat_template(
        [*messages, Message(role="assistant", content=completion)], return_dict=False
    )
    ids = whole[start:]
    end = len(ids) - 1 - ids[::-1].index(loaded.tokenizer.eos_token_id)
    return ids[: end + 1]


def generate(
    loaded: Loaded,
    prompts: Sequence[list[int]],
    sampling: Sampling,
    *,
    seed: int,
    batch_size: int = 64,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[list[int]]:
    """Continue every prompt once; the answer holds the new token ids, the end-of-turn token included if reached.

    Prompts of similar length share a batch, padded on the left. The same seed, prompts and batch size give the
    same answers. `on_done(n)` is called after each batch with its size.
    """
    import torch

    torch.manual_seed(seed)
    answers: list[list[int]] = [[] for _ in prompts]
    eos, pad = loaded.tokenizer.eos_token_id, loaded.tokenizer.pad_token_id
    how: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if sampling.temperature > 0:
        how = {
            "do_sample": True,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
        }
    for indices in batches_by_length([len(prompt) for prompt in prompts], batch_size):
        ids, mask = _padded([prompts[i] for i in indices], pad, loaded.model.device)
        with torch.inference_mode():
            out = loaded.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=sampling.max_new_tokens,
                eos_token_id=eos,
                pad_token_id=pad,
                **how,
            )
        for index, row in zip(indices, out[:, ids.shape[1] :].tolist(), strict=True):
            answers[index] = row[: row.index(eos) + 1] if eos in row else row
        on_done(len(indices))
    return answers


def text_of(loaded: Loaded, ids: list[int]) -> str:
    return loaded.tokenizer.decode(ids, skip_special_tokens=True).strip()


def completion_logps(
    loaded: Loaded,
    pairs: Sequence[tuple[list[int], list[int]]],
    *,
    batch_size: int = 32,
    on_done: Callable[[int], None] = lambda count: None,
) -> "torch.Tensor":
    """log π(completion | prompt) in nats, summed over the completion's tokens, for (prompt, completion) ids.

    Returns:
        float64 tensor of shape (len(pairs),), in the order given.
    """
    import torch

    result = torch.zeros(len(pairs), dtype=torch.float64)
    pad = loaded.tokenizer.pad_token_id
    for indices in batches_by_length([len(p) + len(c) for p, c in pairs], batch_size):
        ids, mask = _padded([pairs[i][0] + pairs[i][1] for i in indices], pad, loaded.model.device)
        longest = max(len(pairs[i][1]) for i in indices)
        with torch.inference_mode():
            # The completions stand at the right end, so the head need not run on the prompts.
            logits = loaded.model(input_ids=ids, attention_mask=mask, logits_to_keep=longest + 1).logits[:, :-1]
            logps = logits.float().log_softmax(-1).gather(2, ids[:, -longest:, None]).squeeze(2)
        for row, index in enumerate(indices):
            result[index] = logps[row, longest - len(pairs[index][1]) :].double().sum()
        on_done(len(indices))
    return result


def batches_by_length(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices in batches of at most `size`, longest first, so that memory runs out at once or not at all."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _padded(rows: Iterable[list[int]], pad: int, device: Any) -> tuple["torch.Tensor", "torch.Tensor"]:
    import torch

    rows = list(rows)
    width = max(len(row) for row in rows)
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask
