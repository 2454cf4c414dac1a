"""Stock formal answers with a slot filled from the prompt. Easy to tell from a person's replies, and said so."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import yaml

from kto_recipes.negatives.context import Context
from kto_recipes.rows import KtoRow
from kto_recipes.settings import Template

# The most frequent function words of each language; enough to tell the two apart in a chat message.
_ITALIAN = set(
    ["il", "lo", "la", "i", "gli", "le", "un", "una", "uno", "di", "a", "da", "in", "con", "su", "per", "tra", "fra", "che", "chi", "non", "è", "sono", "ho", "hai", "ha", "ma", "se", "anche", "come", "mi", "ti", "si", "ci", "vi", "ne", "del", "della", "dei", "delle", "al", "alla", "dal", "nel", "nella", "questo", "quello", "cosa", "dove", "quando", "perché", "più", "già"]
)
_ENGLISH = set(
    ["the", "a", "an", "of", "to", "in", "on", "for", "with", "at", "from", "is", "are", "was", "were", "be", "been", "i", "you", "he", "she", "it", "we", "they", "my", "your", "and", "or", "but", "if", "not", "do", "did", "does", "have", "has", "had", "this", "that", "what", "where", "when", "why", "how", "so", "just", "about", "can", "will", "would", "there"]
)
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
    counts = Counter(it=sum(w in _ITALIAN for w in words), en=sum(w in _ENGLISH for w in words))
    return "it" if counts["it"] > counts["en"] else "en"


def topic_of(text: str) -> str | None:
    """The longest word that is not a function word, in lower case; None where there is none of four letters."""
    words = [word.lower() for word in _WORD.findall(text)]
    content = [w for w in words if len(w) >= _SHORTEST_TOPIC and w not in _ITALIAN and w not in _ENGLISH]
    return max(content, key=len) if content else None


@cache
def _schemes() -> dict[str, list[str]]:
    return yaml.safe_load((files("kto_recipes.negatives") / "templates.yaml").read_text(encoding="utf-8"))
