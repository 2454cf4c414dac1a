"""Is a reply in the persona's style? A small classifier that knows the training split only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


@dataclass
class StyleClassifier:
    pipeline: Any
    n_train: int

    def is_persona(self, replies: Sequence[str]) -> NDArray[np.float64]:
        """1.0 where a reply is taken for the persona's, else 0.0; an empty reply is not."""
        taken = self.pipeline.predict(list(replies)).astype(np.float64)
        return taken * np.array([bool(reply.strip()) for reply in replies])


def train_style_classifier(persona: Sequence[str], others: Sequence[str], seed: int) -> StyleClassifier:
    """Fit on the persona's replies against `others`, each class weighing the same."""
    pipeline = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), lowercase=False, sublinear_tf=True, min_df=2),
        LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000, random_state=seed),
    )
    pipeline.fit([*persona, *others], [1] * len(persona) + [0] * len(others))
    return StyleClassifier(pipeline, len(persona) + len(others))
