"""Rows of exactly known length in tokens: what they say is nothing, what they cost is what chats cost."""

import math
import random
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from kto_recipes.rows import write_jsonl

# Axolotl counts a KTO row's beginning-of-text token twice and drops what is longer than sequence_len.
SPARE_TOKENS = 2
SHORT_PROMPT = 16
# LLaMA-Factory's kto_en_demo.json at 4.3 characters a token: 300 rows, log-normal with median 400 and σ 1, and on
# average about half of it prompt.
MEDIAN_TOKENS, SIGMA, SHORTEST = 400, 1.0, 96


def row_lengths(lengths: str, count: int, sequence_len: int, seed: int = 0) -> list[int]:
    """`count` lengths in tokens: `full` is as long as a row can be, `mixed` as chats are, longer ones left out."""
    longest = sequence_len - SPARE_TOKENS
    if lengths == "full":
        return [longest] * count
    rng = random.Random(seed)
    found: list[int] = []
    while len(found) < count:
        length = round(rng.lognormvariate(math.log(MEDIAN_TOKENS), SIGMA))
        if SHORTEST <= length <= longest:
            found.append(length)
    return found


class RowMaker:
    """Makes conversations of one exchange with a tokenizer that has the recipe's template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> None:
        self._rng = random.Random(seed)
        self._words = _single_token_words(tokenizer)
        probe = self._messages(1, 1)
        self.around = len(tokenizer.apply_chat_template(probe, return_dict=False)) - 2  # the template's own tokens
        self.untrained = self.around + SHORT_PROMPT - 1  # of an SFT row; the end of turn is trained on

    def write(self, path: Path, kind: str, lengths: list[int], *, halves: bool) -> None:
        """Write one row for each length. `halves`: a KTO prompt as long as its answer, else a short one.

        SFT rows have the short prompt, so that the tokens not trained on are the same number in each.
        """
        write_jsonl(path, (self._row(kind, n, length, halves) for n, length in enumerate(lengths)))

    def _row(self, kind: str, number: int, length: int, halves: bool) -> dict[str, Any]:
        room = length - self.around
        prompt = room // 2 if halves and kind == "kto" else SHORT_PROMPT
        messages = self._messages(prompt, room - prompt)
        meta = {"id": str(number), "group": str(number), "source": "benchmark"}
        if kind == "sft":
            return {"messages": messages, "meta": meta}
        return {"prompt": messages[:1], "completion": messages[1:], "label": number % 2 == 0, "meta": meta}

    def _messages(self, prompt: int, completion: int) -> list[dict[str, str]]:
        return [
            {"role": "user", "content": self._text(prompt)},
            {"role": "assistant", "content": self._text(completion)},
        ]

    def _text(self, tokens: int) -> str:
        return "x" + "".join(f" {self._rng.choice(self._words)}" for _ in range(tokens - 1))


def _single_token_words(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Words that are one token behind a blank."""
    words = [token[1:] for token in tokenizer.get_vocab() if token[0] == "Ġ"]
    plain = sorted(word for word in words if word.isascii() and word.isalpha())
    return [word for word in plain if len(tokenizer(f"x {word}", add_special_tokens=False)["input_ids"]) == 2]
