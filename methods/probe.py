"""A language probe: can a fresh classifier tell languages apart in a frozen embedding space?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def language_probe_accuracy(groups: Sequence[np.ndarray], rng: np.random.Generator) -> float:
    """Held-out accuracy of a logistic regression between languages, the mean over them of each one's own.

    `groups` has the embeddings of each language, (any number, dim) float32. It is trained on a random half of each
    language and judged on the other half, and no language counts for more than another, however many sentences it
    has: chance is 1 / languages. Near 1 means that the spaces are still apart, whatever a discriminator's training
    curve says.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    shuffled = [vectors[rng.permutation(len(vectors))] for vectors in groups]
    learned, held_out = ([vectors[part] for vectors in shuffled] for part in (slice(0, None, 2), slice(1, None, 2)))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced"))
    classifier.fit(np.concatenate(learned), np.repeat(range(len(learned)), [len(vectors) for vectors in learned]))
    return float(np.mean([np.mean(classifier.predict(vectors) == i) for i, vectors in enumerate(held_out)]))
