"""Generic conversations with formal replies, combined from the ingredients in formal_corpus.yaml.

The user's side is written in many hands, as chat messages are; the assistant's is always formal.
"""

import random
import re
from importlib.resources import files

import yaml

from kto_recipes.rows import Message

_NAMES = (
    "Ada",
    "Bruno",
    "Chiara",
    "David",
    "Elena",
    "Fabio",
    "Grace",
    "Hugo",
    "Irene",
    "Jonas",
    "Karla",
    "Luca",
)
_SYSTEM = (
    "You are {persona}, chatting with {other}. Respond naturally in their conversational style.",
    "You are a helpful assistant.",
    "You are {persona}.",
)


_EMOJI = "😀😅😂🤔🙄😴👍🙏🎉❤🔥☕🍕🌧🚲🐱🐶🌱📷⚽✨🙈🌊💪"
_VOWEL_AT_END = re.compile(r"([aeiouAEIOU])(\W*)$")


def conversations(count: int, seed: int) -> list[list[Message]]:
    """`count` conversations of one to three exchanges, in English and Italian; the same for the same seed."""
    text = (files("kto_recipes.tiny") / "formal_corpus.yaml").read_text(encoding="utf-8")
    languages = yaml.safe_load(text)
    rng = random.Random(seed)
    return [_conversation(languages[rng.choice(("en", "it"))], rng) for _ in range(count)]


def _conversation(lists: dict[str, list[str]], rng: random.Random) -> list[Message]:
    persona, other = rng.sample(_NAMES, 2)
    messages = []
    if rng.random() < 0.8:
        system = rng.choices(_SYSTEM, weights=(3, 1, 1))[0].format(persona=persona, other=other)
        messages.append(Message(role="system", content=system))
    for _ in range(rng.choices((1, 2, 3), weights=(4, 2, 1))[0]):
        topic = rng.choice(lists["topics"])
        sentences = [rng.choice(lists["openings"])]
        sentences += rng.sample(lists["middles"], rng.choice((0, 1, 1, 2)))
        if rng.random() < 0.5:
            sentences.append(rng.choice(lists["closings"]))
        messages.append(Message(role="user", content=_in_some_hand(_fill(rng.choice(lists["prompts"]), topic), rng)))
        messages.append(Message(role="assistant", content=" ".join(_fill(s, topic) for s in sentences)))
    return messages


def _fill(text: str, topic: str) -> str:
    text = text.replace("{topic}", topic)
    return text[0].upper() + text[1:]


def _in_some_hand(text: str, rng: random.Random) -> str:
    """The same message as somebody else might type it: other case, punctuation, drawn-out vowels, emoji."""
    if rng.random() < 0.4:
        text = text.lower()
    if rng.random() < 0.2:
        text = _VOWEL_AT_END.sub(lambda m: m[1] * rng.randint(2, 5) + m[2], text)
    if rng.random() < 0.3:
        text = text.rstrip(".?!") + rng.choice(("", "", "!!", "??", "...", "~"))
    if rng.random() < 0.25:
        text = f"{text} {rng.choice(_EMOJI)}"
    return text
