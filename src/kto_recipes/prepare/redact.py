"""Take out what names a person to a machine: e-mail addresses, phone, card and account numbers.

A value becomes a placeholder such as `[email 1]`, the same one throughout a conversation, which no tokenizer
takes for a control token. Numbers are only taken for what they look like where their check digits are right.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

Kind = Literal["email", "phone", "card", "iban"]

# The look-behind and the limit keep the search linear in a long text without spaces.
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_CARD = re.compile(r"(?<![\w-])[2-6](?:[ -]?\d){12,18}(?![\w-])")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}", re.IGNORECASE)
_SEVEN_DIGITS = re.compile(r"(?:\d\D{0,3}){7}")  # a shorter number is nobody's; the library's own search is slow
_SHORTEST_CARD = 13
_SHORTEST_IBAN = 15  # Norway's

Found = tuple[int, int, str]  # from, to, and the value as it is told from others


class Redactor:
    """Replaces values in the texts of one conversation after another; `counts` is of replacements, by kind.

    Args:
        kinds: what is looked for.
        phone_region: two letters such as IT, whose local phone numbers are found beside those that begin with +.
    """

    def __init__(self, kinds: Sequence[Kind], phone_region: str | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._numbers: dict[tuple[str, str], int] = {}
        self._given: Counter[str] = Counter()
        finders: dict[Kind, Callable[[str], Iterator[Found]]] = {
            "email": _emails,
            "iban": _ibans,
            "card": _cards,
            "phone": lambda text: _phones(text, phone_region),
        }
        # In this order: an address may hold a phone number, and an account number may look like a card's.
        self._finders = {kind: find for kind, find in finders.items() if kind in kinds}

    def start_conversation(self) -> None:
        """Forget the values seen so far; placeholders begin at 1 again."""
        self._numbers.clear()
        self._given.clear()

    def redact(self, text: str) -> str:
        for kind, find in self._finders.items():
            parts, end = [], 0
            for start, stop, value in find(text):
                parts += [text[end:start], self._placeholder(kind, value)]
                end = stop
            if parts:
                text = "".join(parts) + text[end:]
        return text

    def _placeholder(self, kind: Kind, value: str) -> str:
        self.counts[kind] += 1
        if (kind, value) not in self._numbers:
            self._given[kind] += 1
            self._numbers[kind, value] = self._given[kind]
        return f"[{kind} {self._numbers[kind, value]}]"


def _emails(text: str) -> Iterator[Found]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield match.start(), match.end(), match[0].casefold()


def _cards(text: str) -> Iterator[Found]:
    from stdnum import luhn

    for match in _CARD.finditer(text):
        candidate = match[0]
        while len(digits := re.sub(r"\D", "", candidate)) >= _SHORTEST_CARD:
            if luhn.is_valid(digits):
                yield match.start(), match.start() + len(candidate), digits
                break
            candidate = re.sub(r"[ -]?\d+$", "", candidate)  # a date may stand behind the number


def _ibans(text: str) -> Iterator[Found]:
    from stdnum import iban

    for match in _IBAN.finditer(text):
        candidate = match[0]
        while len(candidate) >= _SHORTEST_IBAN:  # the words after a number may look like more of it
            if iban.is_valid(candidate) and not text[match.start() + len(candidate) :][:1].isalnum():
                yield match.start(), match.start() + len(candidate), iban.compact(candidate)
                break
            candidate = candidate[:-1].rstrip(" -")


def _phones(text: str, region: str | None) -> Iterator[Found]:
    if not _SEVEN_DIGITS.search(text):
        return
    from phonenumbers import PhoneNumberFormat, PhoneNumberMatcher, format_number

    for match in PhoneNumberMatcher(text, region):
        yield match.start, match.end, format_number(match.number, PhoneNumberFormat.E164)
