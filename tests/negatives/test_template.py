"""Template negatives: the right language, a word of the prompt in the slot, no slot left open."""

import random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kto_recipes.negatives import template
from kto_recipes.negatives.context import Context
from kto_recipes.negatives.template import language_of, topic_of
from kto_recipes.rows import KtoRow
from kto_recipes.settings import Template

SETTINGS = Template(strategy="template", share=1)


def positive(*texts: str) -> KtoRow:
    """A row whose prompt's turns are `texts`, the last one the other's."""
    roles = ["user", "assistant"] * len(texts)
    prompt = [{"role": role, "content": text} for role, text in zip(roles[1 - len(texts) % 2 :], texts, strict=False)]
    return {
        "prompt": prompt,
        "completion": [{"role": "assistant", "content": "…"}],
        "label": True,
        "meta": {"id": "1", "group": "1", "source": "test"},
    }


def answers(*texts: str, seed: int = 0) -> list[str | None]:
    return template.make([positive(text) for text in texts], SETTINGS, Context({}, seed))


def schemes() -> dict[str, list[str]]:
    return yaml.safe_load((template.files("kto_recipes.negatives") / "templates.yaml").read_text(encoding="utf-8"))


# --- language and topic -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Che fai stasera, vieni al mare con noi?", "it"),
        ("Non ho capito dove sono le chiavi", "it"),
        ("PERCHÉ NON RISPONDI", "it"),
        ("Are you coming to the beach with us?", "en"),
        ("I don't know where they are", "en"),
        ("Ho visto il film about the whale di cui mi hai detto", "it"),  # more Italian than English in it
        ("I saw that film, la vita è bella, and you should have been there", "en"),
        ("ok", "en"),  # no function word of either
        ("😂😂", "en"),
        ("", "en"),
    ],
)
def test_the_language_is_the_one_of_which_a_message_has_more_function_words(text, language):
    assert language_of(text) == language


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("Che fai stasera, vieni al mare?", "stasera"),
        ("are you at the BEACH now", "beach"),
        ("perché non vieni?", "vieni"),  # perché is longer, but a function word
        ("l'appuntamento è domani", "l'appuntamento"),
        ("would there be a bus", None),  # only function words, and one of three letters
        ("ok 12345 :)", None),
        ("", None),
    ],
)
def test_the_topic_is_the_longest_word_that_means_something(text, topic):
    assert topic_of(text) == topic


# --- the schemes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["it", "en"])
def test_every_scheme_is_written_in_its_language_and_has_a_slot_exactly_where_it_should(language):
    with_topic, plain = schemes()[language], schemes()[f"{language}_plain"]
    assert all("{topic}" in scheme for scheme in with_topic)
    bare = [scheme.replace("{topic}", "") for scheme in with_topic] + plain
    assert not any("{" in text or "}" in text for text in bare)
    assert len(set(bare)) == len(bare) >= 20
    assert sum(language_of(text) == language for text in bare) > 0.9 * len(
        bare
    )  # a short one may have no function word


# --- answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "topic"),
    [
        ("Che fai stasera, vieni al mare?", "it", "stasera"),
        ("are you at the BEACH now", "en", "beach"),
        ("chi è?", "it_plain", ""),
        ("😂", "en_plain", ""),
    ],
)
def test_an_answer_is_a_scheme_of_the_prompts_language_with_its_topic_filled_in(text, kind, topic):
    possible = {scheme.replace("{topic}", topic) for scheme in schemes()[kind]}
    given_answers = {answers(text, seed=seed)[0] for seed in range(30)}
    assert given_answers <= possible
    assert len(given_answers) > 3  # not one phrase that would be all the model learns


def test_the_last_message_decides_not_the_conversation_before():
    row = positive("che fai stasera?", "niente di che, e tu dove sei?", "are you at the beach")
    (answer,) = template.make([row], SETTINGS, Context({}, 0))
    assert language_of(answer.replace("beach", "")) == "en"
    assert "beach" in answer


@given(st.text(max_size=60), st.integers(0, 1000))
def test_whatever_was_said_no_slot_stays_open_and_the_answer_is_not_empty(text, seed):
    (answer,) = answers(text, seed=seed)
    assert "{" not in answer
    assert "}" not in answer
    assert answer.strip() == answer != ""


def test_the_seed_decides_the_answers_and_every_row_is_reported_as_done():
    texts = [f"are you at the {random.Random(n).choice(['beach', 'station', 'office'])}" for n in range(20)]
    assert answers(*texts, seed=1) == answers(*texts, seed=1) != answers(*texts, seed=2)
    done: list[int] = []
    template.make([positive(text) for text in texts], SETTINGS, Context({}, 0, done.append))
    assert sum(done) == 20
