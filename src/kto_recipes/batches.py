"""What goes through a model together: rows of similar length, as many as its memory has room for, padded alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

# The cache grows by concatenation, so that a layer's is there twice for a moment and what it leaves is in pieces;
# a step's logits over the whole vocabulary, sorted for top-p, take some megabytes a row.
_SHARE_OF_FREE = 0.6


@dataclass(frozen=True)
class Room:
    """Bytes that one batch may take, and those that it takes for each token and for each token that is scored."""

    total: int
    per_token: int
    per_logits: int

    def holds(self, rows: int, tokens: int, scored: int) -> bool:
        """Whether so many rows find room, padded to `tokens`, the last `scored` of which are scored."""
        return rows * (tokens * self.per_token + scored * self.per_logits) <= self.total


def room_beside(model: "PreTrainedModel") -> Room | None:
    """What a batch may take beside `model`: a share of the GPU's free memory; None on a CPU."""
    import torch

    device = model.device
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    config, itemsize = model.config.get_text_config(), model.dtype.itemsize
    total = int(_SHARE_OF_FREE * (free + unused))
    return Room(total, bytes_per_token(config, itemsize), bytes_per_logits(config, itemsize))


def token_budget(model: "PreTrainedModel") -> int | None:
    """Tokens of one batch, answers and padding included, that the GPU's free memory has room for; None on a CPU."""
    room = room_beside(model)
    return None if room is None else room.total // room.per_token


def bytes_per_token(config: Any, itemsize: int) -> int:
    """What generation holds for each token: its keys and values in every layer, and one layer's activations.

    Keys and values: layers × key-value heads × head size × 2; 131,072 bytes for Llama 3.1 8B in bfloat16. While a
    prompt is read, a layer also holds three vectors of the feed-forward's width and some of the hidden one.
    """
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cache = config.num_hidden_layers * config.num_key_value_heads * head * 2
    return (cache + 3 * config.intermediate_size + 6 * config.hidden_size) * itemsize


def bytes_per_logits(config: Any, itemsize: int) -> int:
    """What scoring holds for each token of a completion: its logits, those in float32, and their log-softmax.

    10 bytes for each token of the vocabulary in bfloat16: 1.3 MB for Llama 3.1's 128,256.
    """
    return config.vocab_size * (itemsize + 4 + 4)


def batches_by_length(lengths: Sequence[int], size: int, tokens: int | None = None) -> Iterator[list[int]]:
    """Indices in batches of at most `size`, longest first, so that memory runs out at once or not at all.

    With `tokens` a batch also holds at most so many, padding included, but one row at least.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    start = 0
    while start < len(order):
        room = size if tokens is None else min(size, tokens // max(1, lengths[order[start]]))
        yield order[start : start + max(1, room)]
        start += max(1, room)


def scoring_batches(lengths: Sequence[tuple[int, int]], size: int, room: Room | None) -> Iterator[list[int]]:
    """Indices of (prompt, completion) lengths in batches as of `batches_by_length`, which find `room` if there is one.

    The longest completion of a batch decides how many tokens are scored in every row, and one before it.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-sum(lengths[i]), i))
    batch: list[int] = []
    for index in order:
        scored = 1 + max(lengths[i][1] for i in [*batch, index])
        tokens = sum(lengths[(batch or [index])[0]])
        if batch and (len(batch) == size or (room and not room.holds(len(batch) + 1, tokens, scored))):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def padded(rows: Sequence[list[int]], pad: int, device: Any, same: int = 0) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Ids and mask, padded on the left, but after the first `same` tokens."""
    import torch

    width = max(len(row) for row in rows)
    ids = torch.tensor([row[:same] + [pad] * (width - len(row)) + row[same:] for row in rows], device=device)
    mask = torch.tensor(
        [[1] * same + [0] * (width - len(row)) + [1] * (len(row) - same) for row in rows], device=device
    )
    return ids, mask
