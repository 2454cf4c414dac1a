"""Class weights by the paper's rule: λ_D·n_D / (λ_U·n_U) in [1, 4/3], which satisfies [1, 3/2] too."""

from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kto_recipes.prepare.weights import count_labels, ratio, suggest

COUNTS = st.integers(1, 100_000)


def exact_ratio(n_desirable: int, n_undesirable: int, desirable: float, undesirable: float) -> Fraction:
    """The ratio of the weights as a person reads them in a recipe, without rounding."""
    return Fraction(str(desirable)) * n_desirable / (Fraction(str(undesirable)) * n_undesirable)


@given(COUNTS, COUNTS)
@settings(max_examples=500)
@example(1, 1)
@example(1, 100_000)
@example(100_000, 1)
@example(99_999, 100_000)
@example(4, 3)
@example(40_001, 30_000)  # just outside 4/3
def test_the_ratio_lies_between_1_and_4_thirds_for_all_counts(n_desirable, n_undesirable):
    weights = suggest(n_desirable, n_undesirable)
    exact = exact_ratio(n_desirable, n_undesirable, weights["desirable"], weights["undesirable"])
    assert 1 <= exact <= Fraction(4, 3)
    assert weights["ratio"] == pytest.approx(float(exact), abs=1e-4)
    assert (weights["n_desirable"], weights["n_undesirable"]) == (n_desirable, n_undesirable)
    larger = "desirable" if n_desirable > n_undesirable else "undesirable"
    assert weights[larger] == 1.0


@pytest.mark.parametrize(
    ("n_desirable", "n_undesirable", "desirable", "undesirable"),
    [
        # The paper's rule worked out: λ_U = 1 and λ_D in [1, 1.5]; [10, 15]; λ_D = 1 and λ_U in [2, 3]
        (500, 500, (1, 1.5), (1, 1)),
        (300, 3000, (10, 15), (1, 1)),
        (9000, 3000, (1, 1), (2, 3)),
    ],
)
def test_the_worked_examples_of_the_rule(n_desirable, n_undesirable, desirable, undesirable):
    weights = suggest(n_desirable, n_undesirable)
    assert desirable[0] <= weights["desirable"] <= desirable[1]
    assert undesirable[0] <= weights["undesirable"] <= undesirable[1]


@pytest.mark.parametrize(
    ("counts", "weights", "expected"),
    [
        ((1, 10), (1, 10), 0.01),  # a widely copied text swaps the two: that ratio is 0.01
        ((5, 5), (1, 1.33), 0.752),  # another text's advice for equal counts: outside the rule
        ((9000, 3000), (1, 2), 1.5),
    ],
)
def test_the_ratio_of_given_weights_is_what_the_rule_says(counts, weights, expected):
    assert ratio(*counts, *weights) == pytest.approx(expected, abs=5e-4)


def test_rows_are_counted_by_their_label():
    assert count_labels([{"label": True}, {"label": False}, {"label": True}]) == (2, 1)
    assert count_labels([]) == (0, 0)
