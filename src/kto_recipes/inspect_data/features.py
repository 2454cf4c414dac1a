"""What can be seen of an answer without reading it: its length, its marks and capitals, its letter sequences.

None of these look at the labels, so computing them on all answers before cross-validation leaks nothing.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHARACTERS_READ = 1000  # of one answer: half of them from its start, half from its end
_LENGTH_BINS = 10
_ROWS_IN_A_BIN = 50  # at least, or the bins are noise
_MOST_MARKS = 40
_LEAST_ANSWERS = 5  # that hold a letter sequence for it to be looked at
_LENGTHENED = 3  # the same letter so often in a row: "sooo"


@dataclass(frozen=True)
class Surface:
    """Marks, capitals and emoji: `values` is (answers, features), each in [0, 1]; `names` says what a column is.

    A column is a share of the answer's characters, or 0 or 1 for what is true of an answer as a whole.
    """

    names: list[str]
    values: NDArray[np.float64]


def shortened(text: str) -> str:
    half = CHARACTERS_READ // 2
    return text if len(text) <= CHARACTERS_READ else text[:half] + text[-half:]


def length_features(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """(answers, features): the logarithm of the length, and which quantile it lies in.

    The quantiles find what is no matter of longer or shorter, such as samples that all end at the same limit.
    """
    bins = min(_LENGTH_BINS, len(lengths) // _ROWS_IN_A_BIN)
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, bins + 1)[1:-1])) if bins > 1 else np.empty(0)
    which = np.eye(len(edges) + 1)[np.searchsorted(edges, lengths)]
    return np.column_stack([np.log1p(lengths), which])


def surface_features(texts: Sequence[str]) -> Surface:
    """The marks that most answers have, and how capitals, digits, lines and emoji are used; no length."""
    counts = [Counter(text) for text in texts]
    answers_with = Counter(character for count in counts for character in count if _is_mark(character))
    marks = [mark for mark, _ in answers_with.most_common(_MOST_MARKS)]
    names = [*_WHOLE, *(f"the mark {mark}" for mark in marks), *_SHARES]  # of what tells as much, the first is told
    rows = [
        [
            *(is_so(text) for is_so in _WHOLE.values()),
            *(_share(count[mark], text) for mark in marks),
            *(_share(sum(count[c] for c in count if is_so(c)), text) for is_so in _SHARES.values()),
        ]
        for text, count in zip(texts, counts, strict=True)
    ]
    return Surface(names, np.array(rows, dtype=np.float64).reshape(len(texts), len(names)))


def character_features(texts: Sequence[str]) -> Any:
    """TF-IDF of one to three characters in a row, sparse (answers, sequences); None where there are none."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        analyzer="char",
        ngram_range=(1, 3),
        lowercase=False,
        sublinear_tf=True,
        min_df=_LEAST_ANSWERS,
        dtype=np.float32,
    )
    try:
        return vectorizer.fit_transform(texts)
    except ValueError:  # no sequence in so many answers
        return None


def phrases(texts: Sequence[str]) -> tuple[NDArray[np.str_], Any]:
    """The phrases of one to four words in several answers, and which answer has which: sparse, 0 or 1."""
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(
        token_pattern=r"\w+", ngram_range=(1, 4), binary=True, min_df=_LEAST_ANSWERS, dtype=np.float32
    )
    try:
        found = vectorizer.fit_transform(texts)
    except ValueError:  # no word in so many answers
        return np.empty(0, dtype=np.str_), None
    return vectorizer.get_feature_names_out(), found


def is_emoji(character: str) -> bool:
    return character > "\u2190" and unicodedata.category(character) in ("So", "Sk")


def _is_mark(character: str) -> bool:
    """Whether it is punctuation or a symbol of any script."""
    return not character.isalnum() and unicodedata.category(character)[0] in "PS"


def _is_lengthened(text: str) -> bool:
    run, before = 0, ""
    for character in text:
        run = run + 1 if character == before and character.isalpha() else 1
        if run == _LENGTHENED:
            return True
        before = character
    return False


def _share(count: int, text: str) -> float:
    return count / max(len(text), 1)


_WHOLE = {
    "a capital letter at the start": lambda text: text[:1].isupper(),
    "no capital letter at all": lambda text: text == text.lower(),
    "a full stop at the end": lambda text: text.rstrip()[-1:] == ".",
    "a question mark at the end": lambda text: text.rstrip()[-1:] == "?",
    "an exclamation mark at the end": lambda text: text.rstrip()[-1:] == "!",
    "a letter or digit at the end": lambda text: text.rstrip()[-1:].isalnum(),
    "more than one line": lambda text: "\n" in text.strip(),
    "a lengthened word (sooo)": _is_lengthened,
}
_SHARES = {
    "capital letters": str.isupper,
    "digits": str.isdigit,
    "white space": str.isspace,
    "emoji": is_emoji,
    "letters beyond ASCII": lambda character: character > "\x7f" and character.isalpha(),
    "punctuation and symbols": _is_mark,
}
