"""How likely a model finds an answer, in batches."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kto_recipes.batches import padded, room_beside, scoring_batches
from kto_recipes.generation import Loaded

if TYPE_CHECKING:
    import torch


def completion_logps(
    loaded: Loaded,
    pairs: Sequence[tuple[list[int], list[int]]],
    *,
    batch_size: int = 32,
    on_done: Callable[[int], None] = lambda count: None,
) -> "torch.Tensor":
    """log π(completion | prompt) in nats, summed over the completion's tokens, for (prompt, completion) ids.

    Pairs of similar length share a batch of at most `batch_size`, on a GPU of fewer where its memory asks for it.

    Returns:
        float64 tensor of shape (len(pairs),), in the order given.
    """
    import torch

    result = torch.zeros(len(pairs), dtype=torch.float64)
    pad = loaded.tokenizer.pad_token_id
    lengths = [(len(prompt), len(completion)) for prompt, completion in pairs]
    for indices in scoring_batches(lengths, batch_size, room_beside(loaded.model)):
        ids, mask = padded([pairs[i][0] + pairs[i][1] for i in indices], pad, loaded.model.device)
        longest = max(len(pairs[i][1]) for i in indices)
        with torch.inference_mode():
            # The completions stand at the right end, so the head need not run on the prompts.
            logits = loaded.model(input_ids=ids, attention_mask=mask, logits_to_keep=longest + 1).logits[:, :-1]
            logps = logits.float().log_softmax(-1).gather(2, ids[:, -longest:, None]).squeeze(2)
        for row, index in enumerate(indices):
            result[index] = logps[row, longest - len(pairs[index][1]) :].double().sum()
        on_done(len(indices))
    return result
