"""Batched generation with Transformers, on a GPU or a CPU; the one place that loads models."""

import gc
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kto_recipes.batches import batches_by_length, padded, token_budget
from kto_recipes.cpu_attention import use_shared_heads
from kto_recipes.errors import UserError
from kto_recipes.rows import Message
from kto_recipes.templates import set_template

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_NEW_AT_ONCE = 8  # tokens, after which those that have ended leave the batch


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


@dataclass(frozen=True)
class Reply:
    """What a model said; `cut` where it was still speaking at max_new_tokens."""

    text: str
    cut: bool = False
    tokens: tuple[int, int] | None = field(default=None, compare=False)  # read and written, where a server counts them


def load(model: str, recipe: dict[str, Any], tokenizer: str | None = None) -> Loaded:
    """Load `model` (a folder or a Hub name) for inference as `recipe` uses it.

    On a GPU in the precision of the recipe, on a CPU in float32. The tokenizer is the model's own, or that of
    the folder `tokenizer`.

    Raises:
        UserError: when the model cannot be found, or there is no chat template for it.
    """
    quiet()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    on_gpu = torch.cuda.is_available()
    try:
        tok = AutoTokenizer.from_pretrained(tokenizer or model)
        set_template(tok, recipe)  # before the weights, which take minutes
        loaded = AutoModelForCausalLM.from_pretrained(
            model, dtype=torch.bfloat16 if on_gpu else torch.float32, device_map="cuda" if on_gpu else None
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: cannot be loaded as a model: {str(error).splitlines()[0]}") from None
    # A model's own settings would bias every sample: Qwen2.5 Instruct ships a repetition penalty.
    loaded.generation_config = GenerationConfig()
    if not on_gpu:
        use_shared_heads(loaded)
    tok.padding_side = "left"
    if tok.pad_token is None:
        tok.pad_token = tok.eos_token
    return Loaded(loaded.eval(), tok)


def free_memory() -> None:
    """Give back what models held that nobody refers to any more."""
    import torch

    gc.collect()  # of those that hold each other, as lm-evaluation-harness's model and its batch-size search do
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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

    Prompts of similar length share a batch. The same seed, prompts and batches give the same answers.
    `on_done(n)` is called after each batch with its size.
    """
    import torch

    torch.manual_seed(seed)
    answers: list[list[int]] = [[] for _ in prompts]
    lengths = [len(prompt) + sampling.max_new_tokens for prompt in prompts]
    for indices in batches_by_length(lengths, batch_size, token_budget(loaded.model)):
        batch = generate_batch(loaded, [prompts[i] for i in indices], sampling)
        for index, answer in zip(indices, batch, strict=True):
            answers[index] = answer
        on_done(len(indices))
    return answers


def generate_batch(
    loaded: Loaded, prompts: Sequence[list[int]], sampling: Sampling, stop: Collection[int] = ()
) -> list[list[int]]:
    """Continue prompts together, padded on the left, by torch's generator as it stands.

    An answer ends with the end-of-turn token or one of `stop`, or without any after max_new_tokens. Every few tokens
    the answers that have ended leave the batch.
    """
    import torch

    ends = sorted({loaded.tokenizer.eos_token_id, *stop})
    answers: list[list[int]] = [[] for _ in prompts]
    speaking, left = list(range(len(prompts))), sampling.max_new_tokens
    with torch.inference_mode():
        ids, mask, cache = _started(loaded, prompts)
        while speaking and left:
            new = min(left, _NEW_AT_ONCE) if len(speaking) > 1 else left
            out = loaded.model.generate(
                input_ids=ids,
                attention_mask=mask,
                past_key_values=cache,
                max_new_tokens=new,
                eos_token_id=ends,
                pad_token_id=loaded.tokenizer.pad_token_id,
                **_how(sampling),
            )
            for row, said in zip(speaking, out[:, ids.shape[1] :].tolist(), strict=True):
                answers[row] += _up_to_its_end(said, ends)
            left -= new
            go_on = [place for place, row in enumerate(speaking) if answers[row][-1] not in ends]
            speaking = [speaking[place] for place in go_on]
            mask = torch.nn.functional.pad(mask[go_on], (0, out.shape[1] - ids.shape[1]), value=1)
            ids = out[go_on]
            cache.batch_select_indices(torch.tensor(go_on, dtype=torch.long, device=ids.device))
    return answers


def _started(loaded: Loaded, prompts: Sequence[list[int]]) -> tuple["torch.Tensor", "torch.Tensor", Any]:
    """Ids and mask [prompts, length], and a cache in which what all begin with, a system prompt say, is read once."""
    import torch
    from transformers import DynamicCache

    same = 0
    if len(prompts) > 1:
        # Of each prompt a token must be left, whose logits the first new one is drawn from.
        columns = zip(*(prompt[:-1] for prompt in prompts), strict=False)
        same = next((place for place, column in enumerate(columns) if len(set(column)) > 1), min(map(len, prompts)) - 1)
    ids, mask = padded(prompts, loaded.tokenizer.pad_token_id, loaded.model.device, same)
    cache = DynamicCache(config=loaded.model.config)
    if same:
        begin = torch.tensor([prompts[0][:same]], device=ids.device)
        loaded.model(input_ids=begin, past_key_values=cache, logits_to_keep=1)
        cache.batch_repeat_interleave(len(prompts))
    return ids, mask, cache


def _how(sampling: Sampling) -> dict[str, Any]:
    if sampling.temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {
        "do_sample": True,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
    }


def _up_to_its_end(ids: list[int], ends: Collection[int]) -> list[int]:
    end = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[: end + 1]


def text_of(loaded: Loaded, ids: list[int]) -> str:
    return loaded.tokenizer.decode(ids, skip_special_tokens=True).strip()
