"""The shortcut audit: can desirable and undesirable answers be told apart without understanding them?

A model learns the easiest thing that separates the classes. Where length, punctuation or a stock phrase is enough,
that is what it learns. Measured by the cross-validated AUC of a logistic regression: the chance that it ranks an
undesirable answer above a desirable one, 0.5 for rows that differ in nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kto_recipes.inspect_data import features as seen
from kto_recipes.inspect_data.words import percent
from kto_recipes.rows import KtoRow, completion_text, prompt_key

Features = Literal["length", "surface", "characters"]
FEATURES: dict[Features, str] = {
    "length": "length alone",
    "surface": "punctuation, capitals and emoji alone",
    "characters": "letter sequences",  # one to three characters in a row
}
SHORTCUT = 0.9  # above, the classes lie apart in that alone
GIVEN = "as given"  # undesirable answers of the data's own, where others were made
NOTABLE = 0.7  # above, it is said what differs
MOST_OF_A_CLASS = 1000  # answers compared; a larger class is sampled by the seed, and every strategy by itself
MOST_OF_A_STRATEGY = 300
LEAST_ANSWERS = 20  # of a class; with fewer an AUC says nothing
FOLDS = 3
_C = 10.0  # regularisation; as the evaluation's style classifier


@dataclass(frozen=True)
class Separation:
    """How well one kind of feature tells some undesirable answers from the desirable ones.

    Attributes:
        strategy: whose undesirable answers; None for all of them.
        auc: in [0, 1]; None where there were too few answers or prompts to say.
        n_desirable, n_undesirable: answers compared.
        of_desirable, of_undesirable: answers there are; more than compared where they were sampled.
        tell: what differs most, in words.
    """

    features: Features
    strategy: str | None
    auc: float | None
    n_desirable: int
    n_undesirable: int
    of_desirable: int
    of_undesirable: int
    tell: str = ""

    @property
    def is_shortcut(self) -> bool:
        return self.auc is not None and self.auc > SHORTCUT

    @property
    def chance(self) -> float:
        """Rows without any difference give an AUC within 0.5 ± this 19 times in 20.

        Twice the variance of Mann–Whitney's U: the answers that one fold holds out train the models of the others, so
        that a chance difference between two folds counts in both.
        """
        n, m = self.n_desirable, self.n_undesirable
        return min(1.96 * (2 * (n + m + 1) / (12 * n * m)) ** 0.5, 0.5) if n and m else 0.5

    @property
    def is_sampled(self) -> bool:
        return self.n_desirable < self.of_desirable or self.n_undesirable < self.of_undesirable


def audit(rows: list[KtoRow], seed: int) -> list[Separation]:
    """Every kind of feature for all undesirable answers together, then for each negative strategy.

    A strategy is `meta.strategy`; its answers are compared with all desirable ones. Answers to one prompt are never
    on both sides of a fold. Takes a few seconds for any number of rows, because no more than `MOST_OF_A_CLASS`
    answers of a class are compared. Nothing where one class is missing.
    """
    from threadpoolctl import threadpool_limits

    if len({row["label"] for row in rows}) < 2:
        return []
    answers = _Answers(rows, seed)
    with threadpool_limits(1):  # many small problems: more threads wait for each other, five times as long
        found = [
            _separation(answers, kind, matrix, strategy, members)
            for kind, matrix in answers.features.items()
            for strategy, members in answers.compared.items()
        ]
    if len(answers.strategies) == 1 and GIVEN not in answers.strategies:  # measured already, as all of them
        found += [replace(separation, strategy=answers.strategies[0]) for separation in found]
    order = [None, *answers.strategies]
    found.sort(key=lambda it: (order.index(it.strategy), list(FEATURES).index(it.features)))
    return [answers.with_tell(separation) for separation in found]


def at_fault(separations: list[Separation]) -> dict[str | None, list[Separation]]:
    """The shortcuts by strategy; under None those of all undesirable answers that no strategy has by itself."""
    wrong = [separation for separation in separations if separation.is_shortcut]
    explained = {separation.features for separation in wrong if separation.strategy is not None}
    found: dict[str | None, list[Separation]] = {}
    for separation in wrong:
        if separation.strategy is not None or separation.features not in explained:
            found.setdefault(separation.strategy, []).append(separation)
    return found


def sentence(strategy: str | None, shortcuts: list[Separation]) -> str:
    """What the shortcuts of a strategy mean."""
    whose = "the undesirable answers" if strategy is None else f"the answers of {strategy}"
    ways = [f"by {FEATURES[it.features]} (AUC {it.auc:.2f}{'; ' if it.tell else ''}{it.tell})" for it in shortcuts]
    return f"{whose} can be told from the desirable ones {' and '.join(ways)}: the model will learn that shortcut"


class _Answers:
    """The answers that are compared, and what is seen of them."""

    def __init__(self, rows: list[KtoRow], seed: int) -> None:
        random = np.random.default_rng(seed)
        names = [None if row["label"] else row["meta"].get("strategy", GIVEN) for row in rows]
        self.strategies = sorted({name for name in names if name is not None})
        of = {name: np.flatnonzero([it == name for it in names]) for name in (None, *self.strategies)}
        undesirable = np.flatnonzero([name is not None for name in names])
        desirable = _some(of[None], MOST_OF_A_CLASS, random)
        sides = {None: (_some(undesirable, MOST_OF_A_CLASS, random), len(undesirable))}
        if len(self.strategies) > 1:
            sides |= {name: (_some(of[name], MOST_OF_A_STRATEGY, random), len(of[name])) for name in self.strategies}
        self.n_desirable = len(of[None])
        self.n_undesirable = {name: total for name, (_, total) in sides.items()}
        used = np.unique(np.concatenate([desirable, *(side for side, _ in sides.values())]))
        self.compared = {
            name: np.searchsorted(used, np.sort(np.concatenate([desirable, side]))) for name, (side, _) in sides.items()
        }
        self.texts = [completion_text(rows[i]) for i in used]
        self.is_undesirable = np.array([not rows[i]["label"] for i in used], dtype=bool)
        prompts: dict[bytes, int] = {}
        of_prompt = np.array([prompts.setdefault(prompt_key(rows[i]), len(prompts)) for i in used], dtype=np.int64)
        self.folds = _folds(self.is_undesirable, of_prompt, seed)
        self.lengths = np.array([len(text) for text in self.texts], dtype=np.float64)
        self._phrases: tuple[NDArray[np.str_], Any] | None = None
        self._short = [seen.shortened(text) for text in self.texts]
        self.surface = seen.surface_features(self._short)
        self.features: dict[Features, Any] = {
            "length": _standardised(seen.length_features(self.lengths)),
            "surface": _standardised(np.sqrt(self.surface.values)),  # whether there is a mark at all counts most
            "characters": seen.character_features(self._short),
        }

    def with_tell(self, separation: Separation) -> Separation:
        """`separation` with what differs most, where something does."""
        if separation.auc is None or separation.auc <= NOTABLE:
            return separation
        tells: dict[Features, Callable[[NDArray, NDArray], str]] = {
            "length": self._length_tell,
            "surface": self._surface_tell,
            "characters": self._phrase_tell,
        }
        members = self.compared.get(separation.strategy, self.compared[None])
        wrong = self.is_undesirable[members]
        return replace(separation, tell=tells[separation.features](members[wrong], members[~wrong]))

    def _length_tell(self, undesirable: NDArray, desirable: NDArray) -> str:
        medians = [np.median(self.lengths[side]) for side in (undesirable, desirable)]
        return f"median of {medians[0]:.0f} against {medians[1]:.0f} characters"

    def _surface_tell(self, undesirable: NDArray, desirable: NDArray) -> str:
        values = self.surface.values
        sides = [values[undesirable], values[desirable]]
        presence = [(side > 0).mean(axis=0) for side in sides]
        best = int(np.argmax(np.abs(presence[0] - presence[1])))
        share = np.abs(sides[0].mean(axis=0) - sides[1].mean(axis=0))
        if abs(presence[0][best] - presence[1][best]) >= share.max():
            name, first, second = self.surface.names[best], presence[0][best], presence[1][best]
            return f"{name}: in {percent(first)} of them against {percent(second)}"
        best = int(np.argmax(share))
        first, second = (side[:, best].mean() for side in sides)
        return f"{self.surface.names[best]}: {percent(first)} of the characters against {percent(second)}"

    def _phrase_tell(self, undesirable: NDArray, desirable: NDArray) -> str:
        if self._phrases is None:
            self._phrases = seen.phrases(self._short)
        names, has = self._phrases
        if has is None:
            return ""
        shares = [np.asarray(has[side].mean(axis=0)).ravel() for side in (undesirable, desirable)]
        # of phrases that tell as much, the longest: its parts are in as many answers
        difference = np.round(np.abs(shares[0] - shares[1]), 2)
        best = max(np.flatnonzero(difference == difference.max()), key=lambda i: len(names[i]))
        return f"“{names[best]}”: in {percent(shares[0][best])} of them against {percent(shares[1][best])}"


def _separation(
    answers: _Answers, kind: Features, matrix: Any, strategy: str | None, members: NDArray[np.int64]
) -> Separation:
    wrong, folds = answers.is_undesirable[members], answers.folds[members]
    n_undesirable = int(wrong.sum())
    n_desirable = len(members) - n_undesirable
    is_enough = min(n_desirable, n_undesirable) >= LEAST_ANSWERS and matrix is not None
    auc = _auc(matrix[members], wrong, folds) if is_enough else None
    return Separation(
        kind, strategy, auc, n_desirable, n_undesirable, answers.n_desirable, answers.n_undesirable[strategy]
    )


def _auc(matrix: Any, labels: NDArray[np.bool_], folds: NDArray[np.int64]) -> float | None:
    """The mean over folds of the held-out AUC; None where no fold has both classes on both sides."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    scores = []
    for fold in range(FOLDS):
        train, held_out = folds != fold, folds == fold
        if len(set(labels[train])) == 2 and len(set(labels[held_out])) == 2:
            model = LogisticRegression(C=_C, class_weight="balanced", max_iter=1000)
            model.fit(matrix[train], labels[train])
            scores.append(roc_auc_score(labels[held_out], model.decision_function(matrix[held_out])))
    return float(np.mean(scores)) if scores else None


def _folds(labels: NDArray[np.bool_], prompts: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold in which an answer is held out: all answers to one prompt in one, the classes spread evenly."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = np.zeros(len(labels), dtype=np.int64)
    if min(labels.sum(), (~labels).sum(), len(np.unique(prompts))) >= FOLDS:
        split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(labels, labels, prompts)
        for number, (_, held_out) in enumerate(split):
            folds[held_out] = number
    return folds


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _some(indices: NDArray[np.int64], most: int, random: np.random.Generator) -> NDArray[np.int64]:
    return indices if len(indices) <= most else random.choice(indices, most, replace=False)
