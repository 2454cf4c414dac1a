"""One pass over the data of one side of the split. No row is kept, only counts and fingerprints."""

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from kto_recipes.doctor.micro_batches import Answer, Count, MicroBatches
from kto_recipes.doctor.tokens import KNOWN_SPECIAL_TOKENS, LocalTokenizer, RenderError, least_tokens
from kto_recipes.errors import UserError
from kto_recipes.rows import (
    KtoRow,
    Message,
    SftRow,
    check_kto_row,
    check_sft_row,
    completion_text,
    prompt_key,
    read_jsonl,
)

# A copied recipe's rows may have no `meta`, which training does not read.
_ANY_META = {"meta": {"id": "", "group": "", "source": ""}}
# Every row is rendered up to here; later ones where they could be too long.
_RENDERED_AT_LEAST = 50
# A byte-level tokenizer makes no more tokens than there are bytes, and this many at most are the template's around
# one message; Llama 3's and Qwen2.5's write fewer than 10, and once some 40 in a system turn of their own.
_FRAME_TOKENS = 64


@dataclass
class Lengths:
    """Rows longer than `limit` tokens; of a row that fits, the length need not be known."""

    limit: int
    tokenizer: LocalTokenizer | None
    too_long: Count = field(default_factory=Count)
    longest: int = 0
    longest_at: str = ""
    rendered: int = 0

    def is_too_long(self, messages: list[Message], count: Callable[[LocalTokenizer], int], where: str) -> bool:
        """Whether a row is dropped for its length; counted with the tokenizer where one is here.

        Raises:
            RenderError: when the template does not render the row.
        """
        texts = [message["content"] for message in messages]
        at_most = sum(len(text.encode()) for text in texts) + _FRAME_TOKENS * (len(texts) + 1)
        if at_most <= self.limit and (self.tokenizer is None or self.rendered >= _RENDERED_AT_LEAST):
            return False
        self.rendered += 1
        tokens = count(self.tokenizer) if self.tokenizer else least_tokens(texts)
        if tokens <= self.limit:
            return False
        self.too_long.add(where)
        if tokens > self.longest:
            self.longest, self.longest_at = tokens, where
        return True


@dataclass
class SideSeen:
    """What is known of one side of the split, `train` or `eval`, after its rows have gone by.

    `trouble` is by check: how many rows have it and where the first is, as a sentence. `labels` counts all rows that
    are whole, `trained` those of them that are not dropped for their length; of these are the fingerprints. `answers`
    is by label, and for SFT all conversations are under true.
    """

    name: str
    files: list[Path]
    lengths: Lengths
    batches: MicroBatches | None
    rows: int = 0
    trouble: dict[str, Count] = field(default_factory=dict)
    labels: Counter[bool] = field(default_factory=Counter)
    trained: Counter[bool] = field(default_factory=Counter)
    prompts: array = field(default_factory=lambda: array("q"))
    answers: dict[bool, array] = field(default_factory=lambda: {True: array("q"), False: array("q")})

    def read(self, *, is_kto: bool) -> None:
        """Take in every row.

        Raises:
            UserError: for a line that is no JSON.
        """
        add = self._add_answer if is_kto else self._add_conversation
        for path in self.files:
            for where, value in read_jsonl(path):
                self.rows += 1
                add(value, where)
        if self.batches is not None:
            self.batches.finish()

    def _note(self, check: str, sentence: str) -> None:
        self.trouble.setdefault(check, Count()).add(sentence)

    def _add_answer(self, value: Any, where: str) -> None:
        try:
            row: KtoRow = check_kto_row(_without_meta(value), where)
        except UserError as error:
            self._note(_answer_trouble(value), str(error))
            return
        prompt, completion = row["prompt"], row["completion"]
        self.labels[row["label"]] += 1
        if self._is_dropped([*prompt, *completion], lambda it: it.answer_tokens(prompt, completion), where):
            return
        key, text = prompt_key(row), completion_text(row).strip()
        self.trained[row["label"]] += 1
        self.prompts.append(hash(key))
        self.answers[row["label"]].append(hash((key, text)))
        if self.batches is not None:
            self.batches.add(Answer(row["label"], hash(key), hash(text), where))

    def _add_conversation(self, value: Any, where: str) -> None:
        try:
            row: SftRow = check_sft_row(_without_meta(value), where)
        except UserError as error:
            self._note("rows", str(error))
            return
        messages = row["messages"]
        if any(message["role"] == "assistant" and not message["content"].strip() for message in messages):
            self._note("empty_completion", f"{where}: an assistant message is empty")
            return
        self.labels[True] += 1
        if self._is_dropped(messages, lambda it: it.conversation_tokens(messages), where):
            return
        self.trained[True] += 1
        fingerprint = hash(orjson.dumps(messages))
        self.prompts.append(fingerprint)
        self.answers[True].append(fingerprint)

    def _is_dropped(self, messages: list[Message], count: Callable[[LocalTokenizer], int], where: str) -> bool:
        special = self.lengths.tokenizer.special_tokens if self.lengths.tokenizer else KNOWN_SPECIAL_TOKENS
        for message in messages:
            if found := special.search(message["content"]):
                self._note("special_tokens", f"{where}: the {message['role']}'s text holds {found[0]}")
                return False
        try:
            return self.lengths.is_too_long(messages, count, where)
        except RenderError as error:
            self._note("template", f"{where}: {error}")
            return False


def _without_meta(value: Any) -> Any:
    return value | _ANY_META if isinstance(value, dict) else value


def _answer_trouble(value: Any) -> str:
    if not isinstance(value, dict):
        return "rows"
    if "label" in value and not isinstance(value["label"], bool):
        return "labels"
    match value.get("completion"):
        case [{"role": "assistant", "content": str(text)}] if not text.strip():
            return "empty_completion"
    return "rows"
