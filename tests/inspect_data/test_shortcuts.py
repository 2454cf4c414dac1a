"""The shortcut audit finds what was planted, names whose it is, and finds nothing where nothing is."""

import random
import time
from collections.abc import Callable

import pytest
from answer_rows import row, words

from kto_recipes.inspect_data.shortcuts import GIVEN, Separation, at_fault, audit, sentence
from kto_recipes.rows import KtoRow

Make = Callable[[random.Random], str]
# Without a difference the AUC of 1,000 against 1,000 answers has a standard deviation of √2·√(2001 / 12,000,000) =
# 0.0183; this is 3.5 of them.
NO_DIFFERENCE = pytest.approx(0.5, abs=0.064)


def rows_of(desirable: Make, undesirable: dict[str | None, Make], number: int = 400) -> list[KtoRow]:
    """For each strategy `number` prompts, each with a desirable answer and one of the strategy's."""
    chance = random.Random(7)
    found = []
    for strategy, make in undesirable.items():
        for i in range(number):
            prompt = f"{strategy} {i}"
            found += [row(prompt, desirable(chance), True), row(prompt, make(chance), False, strategy)]
    return found


def aucs(separations: list[Separation], strategy: str | None = None) -> dict[str, float | None]:
    return {it.features: it.auc for it in separations if it.strategy == strategy}


def test_rows_without_a_difference_have_an_auc_of_about_one_half_by_every_feature() -> None:
    found = audit(rows_of(words, {None: words}, 1000), seed=0)
    assert aucs(found) == {"length": NO_DIFFERENCE, "surface": NO_DIFFERENCE, "characters": NO_DIFFERENCE}
    assert at_fault(found) == {}
    # that 0.5 is not what a model gives that learned nothing
    assert aucs(found)["characters"] != 0.5


def test_a_planted_length_is_found_and_laid_to_the_strategy_that_has_it() -> None:
    rows = rows_of(words, {"plain": words, "padded": lambda chance: words(chance, chance.randint(12, 30))})
    found = audit(rows, seed=0)
    assert aucs(found, "padded")["length"] > 0.95
    assert aucs(found, "plain")["length"] < 0.6
    faults = at_fault(found)
    assert list(faults) == ["padded"]
    said = sentence("padded", faults["padded"])
    assert said.startswith("the answers of padded can be told from the desirable ones by length alone (AUC ")
    assert said.endswith("the model will learn that shortcut")
    assert "against 59 characters" in said  # ten words of five letters, and nine spaces


def test_a_length_that_is_neither_longer_nor_shorter_is_found_too() -> None:
    found = audit(rows_of(lambda chance: words(chance, chance.choice([5, 6, 14, 15])), {None: words}), seed=0)
    assert aucs(found)["length"] > 0.95


@pytest.mark.parametrize(
    ("change", "tell"),
    [
        (lambda text: text[:-1] + "!", "an exclamation mark at the end: in 100 % of them against 0 %"),
        (lambda text: text.capitalize(), "a capital letter at the start: in 100 % of them against 0 %"),
        (lambda text: text[:20] + "🐙" + text[21:], "the mark 🐙: in 100 % of them against 0 %"),
        (
            lambda text: text[:20] + random.Random(text).choice("🐙🎉🔥😀") + text[21:],
            "emoji: in 100 % of them against 0 %",
        ),
        (lambda text: text[:20] + "\n" + text[21:], "more than one line: in 100 % of them against 0 %"),
        (lambda text: text[:20] + "ooo" + text[23:], "a lengthened word (sooo): in 100 % of them against 0 %"),
        (lambda text: text[:20] + "»" + text[21:], "the mark »: in 100 % of them against 0 %"),
        (lambda text: text[:20] + "71" + text[22:], "digits: in 100 % of them against 0 %"),
    ],
)
def test_planted_punctuation_casing_and_emoji_are_found_and_told(change: Callable[[str], str], tell: str) -> None:
    found = audit(rows_of(words, {"marked": lambda chance: change(words(chance))}, 200), seed=0)
    surface = next(it for it in found if it.features == "surface" and it.strategy == "marked")
    assert surface.auc > 0.99
    assert surface.tell.replace("\N{NO-BREAK SPACE}", " ") == tell
    assert aucs(found)["length"] == 0.5  # all texts have 59 characters


def test_a_planted_phrase_is_found_by_letter_sequences_alone_and_quoted() -> None:
    def stock(chance: random.Random) -> str:
        return f"{words(chance, 4)} quite frank today {words(chance, 3)}"

    found = audit(rows_of(words, {"stock": stock, "plain": words}), seed=0)
    assert aucs(found, "stock")["characters"] > 0.99
    assert aucs(found, "stock")["length"] == 0.5
    assert aucs(found, "stock")["surface"] < 0.65
    assert aucs(found, "plain")["characters"] < 0.65
    faults = at_fault(found)
    assert [(name, [it.features for it in its]) for name, its in faults.items()] == [("stock", ["characters"])]
    assert "“quite frank today”: in 100" in sentence("stock", faults["stock"])


def test_votes_without_strategies_are_judged_together() -> None:
    found = audit(rows_of(words, {None: lambda chance: words(chance).upper()}, 100), seed=0)
    assert {it.strategy for it in found} == {None}
    faults = at_fault(found)
    assert sentence(None, faults[None]).startswith("the undesirable answers can be told from the desirable ones by ")


def test_a_strategy_beside_votes_is_told_apart_from_them() -> None:
    found = audit(rows_of(words, {None: words, "loud": lambda chance: words(chance).upper()}, 100), seed=0)
    assert {it.strategy for it in found} == {None, GIVEN, "loud"}
    assert list(at_fault(found)) == ["loud"]


def test_the_only_strategy_is_named() -> None:
    found = audit(rows_of(words, {"loud": lambda chance: words(chance).upper()}, 100), seed=0)
    assert aucs(found, "loud") == aucs(found, None)
    assert list(at_fault(found)) == ["loud"]


def rows_known_by_their_prompt(prompt_of: Callable[[int], str]) -> list[KtoRow]:
    """60 topics, each with a word of its own in 6 answers that all have the same label."""
    chance = random.Random(3)
    labels = [True] * 30 + [False] * 30
    chance.shuffle(labels)
    return [
        row(prompt_of(6 * i + k), f"{words(chance, 5)} {chr(0x4E00 + i) * 3} {words(chance, 4)}", label)
        for i, label in enumerate(labels)
        for k in range(6)
    ]


def test_answers_to_one_prompt_are_never_on_both_sides_of_a_fold() -> None:
    by_topic = audit(rows_known_by_their_prompt(lambda i: f"topic {i // 6}"), seed=0)
    every_answer_its_own_prompt = audit(rows_known_by_their_prompt(lambda i: f"question {i}"), seed=0)
    assert aucs(by_topic)["characters"] < 0.75
    assert aucs(every_answer_its_own_prompt)["characters"] > 0.95


def test_too_few_answers_are_not_judged() -> None:
    chance = random.Random(0)
    few = [row(f"p{i}", words(chance), i >= 19) for i in range(100)]  # 19 undesirable
    enough = [row(f"p{i}", words(chance), i >= 20) for i in range(100)]
    assert set(aucs(audit(few, seed=0)).values()) == {None}
    assert None not in aucs(audit(enough, seed=0)).values()


def test_answers_to_a_single_prompt_cannot_be_cross_validated() -> None:
    chance = random.Random(0)
    found = audit([row("p", words(chance), i % 2 == 0) for i in range(100)], seed=0)
    assert set(aucs(found).values()) == {None}


@pytest.mark.parametrize("label", [True, False])
def test_one_class_alone_has_nothing_to_be_told_from(label: bool) -> None:
    assert audit([row("p", "a", label)], seed=0) == []


def test_the_answer_depends_on_rows_and_seed_alone() -> None:
    rows = rows_of(words, {"a": words, "b": words}, 350)
    assert audit(rows, seed=1) == audit(rows, seed=1)
    assert aucs(audit(rows, seed=1)) != aucs(audit(rows, seed=2))


def test_more_than_a_thousand_answers_of_a_class_are_sampled_and_every_strategy_by_itself() -> None:
    rows = rows_of(words, {"often": words}, 1500) + rows_of(words, {"seldom": words}, 30)
    counts = {it.strategy: it for it in audit(rows, seed=0) if it.features == "length"}
    assert (counts[None].n_desirable, counts[None].of_desirable) == (1000, 1530)
    assert (counts[None].n_undesirable, counts[None].of_undesirable) == (1000, 1530)
    assert (counts["often"].n_undesirable, counts["often"].of_undesirable) == (300, 1500)
    assert (counts["seldom"].n_undesirable, counts["seldom"].of_undesirable) == (30, 30)
    assert all(it.is_sampled for it in counts.values())


def test_chance_is_the_spread_of_an_auc_of_rows_without_a_difference() -> None:
    # 1.96·√(2·(1000 + 1000 + 1) / (12·1000·1000)) = 0.0358
    assert Separation("length", None, 0.5, 1000, 1000, 1000, 1000).chance == pytest.approx(0.0358, abs=1e-4)
    assert Separation("length", None, None, 0, 5, 0, 5).chance == 0.5


def test_ten_thousand_rows_of_300_characters_take_less_than_ten_seconds() -> None:
    rows = rows_of(lambda chance: words(chance, 50), {name: lambda chance: words(chance, 50) for name in "abcd"}, 1250)
    assert len(rows) == 10_000
    start = time.process_time()
    audit(rows, seed=0)
    assert time.process_time() - start < 10
