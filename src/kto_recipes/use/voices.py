"""The models of a run, ready to answer: loaded when first asked, and a reply as it comes."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kto_recipes.errors import UserError
from kto_recipes.evaluate.models import RunModels
from kto_recipes.generation import Loaded, Sampling, free_memory, load, prompt_ids
from kto_recipes.rows import Message

if TYPE_CHECKING:
    import torch

_BESIDE = 1.5  # of a model's weights: for the next one's, and for what it is loaded and generates with


class Voices:
    """The models of a run by name. Another one takes the place of those in memory, unless it fits beside them."""

    def __init__(self, models: RunModels, say: Callable[[str], None]):
        """`say` is told in a sentence when a model is loaded, which may take minutes."""
        self.names = list(models.paths)
        self._models = models
        self._say = say
        self._loaded: dict[str, Loaded] = {}

    def get(self, name: str) -> Loaded:
        if name not in self._loaded:
            if self._loaded and not self._fits():
                self._say(f"making room: {', '.join(self._loaded)} leaves the memory")
                self._loaded.clear()
                free_memory()
            self._say(f"loading {name} ({self._models.paths[name]}) …")
            self._loaded[name] = load(
                self._models.paths[name], self._models.recipe, tokenizer=self._models.paths["kto"]
            )
        return self._loaded[name]

    def _fits(self) -> bool:
        # The models of a run have one architecture, so that one tells what the next one takes.
        model = next(iter(self._loaded.values())).model
        return free_bytes(model.device) > _BESIDE * model.get_memory_footprint()


def free_bytes(device: "torch.device") -> int:
    """The memory in bytes that is free where a model lies."""
    import psutil
    import torch

    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def reply(loaded: Loaded, messages: Sequence[Message], sampling: Sampling, on_text: Callable[[str], None]) -> None:
    """Answer a conversation; `on_text` is given the reply in pieces, as it comes.

    Raises:
        UserError: when the conversation leaves no room for a reply.
    """
    import torch
    from transformers import TextStreamer

    ids = prompt_ids(loaded, messages)
    room = loaded.model.config.get_text_config().max_position_embeddings - len(ids)
    if room < 1:
        raise UserError(f"the conversation has grown to {len(ids):,} tokens, more than the model can read; begin anew")
    streamer = TextStreamer(loaded.tokenizer, skip_prompt=True, skip_special_tokens=True)
    streamer.on_finalized_text = lambda text, stream_end=False: on_text(text)
    drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
    prompt = torch.tensor([ids], device=loaded.model.device)
    with torch.inference_mode():
        loaded.model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=min(room, sampling.max_new_tokens),
            eos_token_id=loaded.tokenizer.eos_token_id,
            pad_token_id=loaded.tokenizer.pad_token_id,
            streamer=streamer,
            **({"do_sample": True, **drawn} if sampling.temperature else {"do_sample": False}),
        )
