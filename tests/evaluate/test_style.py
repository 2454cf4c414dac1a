"""The style classifier tells two obvious styles apart, and takes silence for nobody's."""

import random

import pytest

from kto_recipes.evaluate.style import StyleClassifier, train_style_classifier

TOPICS = ["the ferry", "dinner", "a bicycle", "the exam", "rain", "my sister", "the garden", "football"]


def casual(rng: random.Random) -> str:
    return f"{rng.choice(['nooo', 'siii', 'haha'])} {rng.choice(TOPICS)} is {rng.choice(['greattt', 'badddd'])} ~"


def formal(rng: random.Random) -> str:
    opening = rng.choice(["Thank you for your message.", "I understand."])
    return f"{opening} Regarding {rng.choice(TOPICS)}, I would recommend further consideration."


@pytest.fixture(scope="module")
def style() -> StyleClassifier:
    rng = random.Random(0)
    return train_style_classifier([casual(rng) for _ in range(60)], [formal(rng) for _ in range(120)], seed=0)


def test_two_obvious_styles_are_told_apart_on_new_replies(style: StyleClassifier) -> None:
    rng = random.Random(1)
    assert style.is_persona([casual(rng) for _ in range(50)]).mean() >= 0.98
    assert style.is_persona([formal(rng) for _ in range(50)]).mean() <= 0.02


def test_answers_are_ones_and_zeros_in_the_order_of_the_replies(style: StyleClassifier) -> None:
    rng = random.Random(2)
    assert style.is_persona([formal(rng), casual(rng), formal(rng)]).tolist() == [0.0, 1.0, 0.0]


def test_an_empty_reply_is_not_the_personas(style: StyleClassifier) -> None:
    rng = random.Random(3)
    always = train_style_classifier(["ab"] * 20, ["zz"], seed=0)
    assert always.is_persona(["ab"]).tolist() == [1.0]
    assert always.is_persona(["", " \n"]).tolist() == [0.0, 0.0]
    assert style.is_persona(["", casual(rng)]).tolist() == [0.0, 1.0]


def test_the_number_of_training_replies_is_kept(style: StyleClassifier) -> None:
    assert style.n_train == 180


def test_training_is_repeatable(style: StyleClassifier) -> None:
    rng = random.Random(0)
    again = train_style_classifier([casual(rng) for _ in range(60)], [formal(rng) for _ in range(120)], seed=0)
    texts = ["nooo rain", "Thank you", "haha", "I would", "sì", "dinner"]
    assert again.pipeline.predict_proba(texts).tolist() == style.pipeline.predict_proba(texts).tolist()
