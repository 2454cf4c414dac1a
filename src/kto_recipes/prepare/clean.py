"""What every text goes through once: whole characters, one unicode form, no control tokens, no leading breaks."""

import re
import unicodedata
from typing import Literal

UnicodeForm = Literal["NFC", "NFKC", "none"]

# A string such as <|eot_id|> in somebody's text would be read as a control token and forge a turn.
_SPECIAL_TOKEN = re.compile(r"<\|(?=[^\s|]+\|>)")
_LEADING_BREAKS = re.compile(r"(?:[^\S\n]*\n)+")


def neutralise_special_tokens(text: str) -> str:
    """Break strings of the form <|…|> with a space, so that no tokenizer takes them for control tokens."""
    return _SPECIAL_TOKEN.sub("< |", text)


def whole(text: str) -> str:
    """`text` with each half of a character (a lone surrogate), which no file can hold, replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean_text(text: str, form: UnicodeForm) -> str:
    """`text` of anybody: whole characters in the unicode `form`, and no control tokens."""
    if not text.isascii():
        if _is_broken(text):
            text = whole(text)
        if form != "none":
            text = unicodedata.normalize(form, text)
    return neutralise_special_tokens(text)


def clean_reply(text: str, form: UnicodeForm) -> str:
    """`clean_text` for what is learned: leading line breaks, which a template would put before every answer, go."""
    breaks = _LEADING_BREAKS.match(text)
    return clean_text(text[breaks.end() :] if breaks else text, form)


def needs_cleaning(text: str, form: UnicodeForm) -> bool:
    """False where `clean_reply` would change nothing in `text`, which most often is so; true where it might."""
    if "|" in text or text[:1].isspace():
        return True
    if text.isascii():
        return False
    return _is_broken(text) or (form != "none" and unicodedata.normalize(form, text) != text)


def _is_broken(text: str) -> bool:
    """Whether half of a character stands in `text`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
