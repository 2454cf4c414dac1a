"""Redaction: values are found where their check digits are right, and have one placeholder in a conversation."""

import pytest

from kto_recipes.prepare.redact import Redactor

ALL = ("email", "phone", "card", "iban")


def redacted(text: str, *kinds: str, region: str | None = None) -> str:
    return Redactor(kinds or ALL, region).redact(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to anna.b+x@example.co.uk.", "write to [email 1]."),
        ("ANNA@example.com and anna@example.com", "[email 1] and [email 1]"),
        ("a@b.com, c@d.org", "[email 1], [email 2]"),
        ("@anna wrote at 10@5", "@anna wrote at 10@5"),
        ("call +39 335 1234567 or +44 20 7946 0958", "call [phone 1] or [phone 2]"),
        ("+39 3351234567, again +39 335 123 4567", "[phone 1], again [phone 1]"),
        ("order 1234567", "order 1234567"),
        # Test numbers that card issuers publish; the last digit of the second is wrong
        ("card 4111 1111 1111 1111 ok", "card [card 1] ok"),
        ("card 4111-1111-1111-1112 ok", "card 4111-1111-1111-1112 ok"),
        ("378282246310005 12/27", "[card 1] 12/27"),
        ("5555555555554444 123", "[card 1] 123"),
        # The registry's examples for Great Britain, Germany and Italy
        ("GB82 WEST 1234 5698 7654 32 please", "[iban 1] please"),
        ("de89370400440532013000", "[iban 1]"),
        ("IT60 X054 2811 1010 0000 0123 456 and then", "[iban 1] and then"),
        ("GB83 WEST 1234 5698 7654 32", "GB83 WEST 1234 5698 7654 32"),
    ],
)
def test_a_value_that_is_one_becomes_a_placeholder_and_nothing_else_does(text, expected):
    assert redacted(text) == expected


def test_only_what_is_asked_for_is_taken_out():
    assert redacted("a@b.com +39 335 1234567", "phone") == "a@b.com [phone 1]"
    assert redacted("a@b.com +39 335 1234567", "email") == "[email 1] +39 335 1234567"


def test_local_numbers_are_found_where_the_region_is_said():
    assert redacted("call 335 1234567") == "call 335 1234567"
    assert redacted("call 335 1234567 or +39 335 1234567", region="IT") == "call [phone 1] or [phone 1]"


def test_a_value_keeps_its_placeholder_through_a_conversation_and_a_new_one_begins_at_one():
    redactor = Redactor(ALL)
    assert redactor.redact("a@b.com") == "[email 1]"
    assert redactor.redact("x@y.com, a@b.com") == "[email 2], [email 1]"
    redactor.start_conversation()
    assert redactor.redact("x@y.com") == "[email 1]"
    assert redactor.counts == {"email": 4}


@pytest.mark.parametrize("text", ["a" * 100_000 + "@", "1 " * 50_000, "GB82" * 20_000, "x" * 50_000 + "@y.z"])
def test_a_long_text_of_almost_values_takes_no_long_time(text):
    redacted(text, "email", "card", "iban")  # quadratic search would take minutes
