"""Stock formal answers with a slot filled from the prompt. Easy to tell from a person's replies, and said so."""

import random
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from kto_recipes.negatives.context import Context
from kto_recipes.rows import KtoRow
from kto_recipes.settings import Template

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SHORTEST_TOPIC = 4


def make(positives: Sequence[KtoRow], settings: Template, context: Context) -> list[str | None]:
    """One filled scheme for each prompt, in the language of its last message."""
    rng = random.Random(f"{context.seed}:template")
    answers: list[str | None] = []
    for row in positives:
        message = row["prompt"][-1]["content"]
        language = language_of(message)
        topic = topic_of(message)
        schemes = _schemes()[language if topic else f"{language}_plain"]
        answers.append(rng.choice(schemes).replace("{topic}", topic or ""))
        context.on_done(1)
    return answers


def language_of(text: str) -> str:
    """ "it" or "en", by which language's function words the text has more of; "en" when it has none."""
    words = [word.lower() for word in _WORD.findall(text)]
    counts = {language: sum(word in known for word in words) for language, known in _function_words().items()}
    return "it" if counts["it"] > counts["en"] else "en"


def topic_of(text: str) -> str | None:
    """The longest word that is not a function word, in lower case; None where there is none of four letters."""
    words = [word.lower() for word in _WORD.findall(text)]
    function_words = set().union(*_function_words().values())
    content = [word for word in words if len(word) >= _SHORTEST_TOPIC and word not in function_words]
    return max(content, key=len) if content else None


@cache
def _function_words() -> dict[str, frozenset[str]]:
    """The most frequent ones of each language: enough to tell the two apart in a chat message."""
    return {language: frozenset(_schemes()[f"{language}_function_words"].split()) for language in ("it", "en")}


@cache
def _schemes() -> dict[str, Any]:
    return yaml.safe_load((files("kto_recipes.negatives") / "templates.yaml").read_text(encoding="utf-8"))
