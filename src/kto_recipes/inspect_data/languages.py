"""Which languages the answers are in, guessed from a sample."""

import random
from collections import Counter

from kto_recipes.rows import KtoRow, completion_text

ANSWERS_READ = 300  # of each class: the guess takes milliseconds
LEAST_LETTERS = 20  # in fewer the guess is wrong too often to be of use
TOO_SHORT = "too short to tell"


def languages(rows: list[KtoRow], seed: int) -> dict[bool, Counter[str]]:
    """By label, how many answers of a sample are in each language (ISO 639-1, as "it"), or too short to tell."""
    found: dict[bool, Counter[str]] = {}
    for label in (True, False):
        texts = [completion_text(row) for row in rows if row["label"] is label]
        if len(texts) > ANSWERS_READ:
            texts = random.Random(seed).sample(texts, ANSWERS_READ)
        found[label] = Counter(_language(text, seed) for text in texts)
    return found


def _language(text: str, seed: int) -> str:
    from langdetect import DetectorFactory, LangDetectException, detect

    DetectorFactory.seed = seed  # the library guesses by random sampling
    if sum(map(str.isalpha, text)) < LEAST_LETTERS:
        return TOO_SHORT
    try:
        return detect(text)
    except LangDetectException:
        return TOO_SHORT
