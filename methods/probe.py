"""A language probe: can a fresh classifier tell two languages apart in a frozen embedding space?"""

from __future__ import annotations

import numpy as np


def language_probe_accuracy(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> float:
    """Held-out accuracy of a logistic regression between two languages' embeddings, each (n, dim) float32.

    It is trained on a random half of each language and judged on the other half; 0.5 is chance for equal
    numbers. Near 1 means that the spaces are still apart, whatever a discriminator's training curve says.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    halves = []
    for vectors in (first, second):
        order = rng.permutation(len(vectors))
        halves.append((vectors[order[: len(order) // 2]], vectors[order[len(order) // 2 :]]))
    (train_first, test_first), (train_second, test_second) = halves
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(np.concatenate([train_first, train_second]), [0] * len(train_first) + [1] * len(train_second))
    return float(
        classifier.score(np.concatenate([test_first, test_second]), [0] * len(test_first) + [1] * len(test_second))
    )
