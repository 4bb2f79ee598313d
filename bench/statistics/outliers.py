"""Outliers among few values, such as the means of a system's seeds."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student_t

ALPHA = 0.01
"""The probability of a false alarm among values of one normal distribution."""
SHARE = 5
"""At most one value in so many is an outlier, but one of fewer values can be."""


def outliers(values: Sequence[float] | np.ndarray, alpha: float = ALPHA) -> list[int]:
    """Return the indices of outliers, most extreme first: the generalised extreme studentised deviate test (Rosner,
    Technometrics 25, 1983), which for one outlier is Grubbs' test. Fewer than three values have none.
    """
    values = np.asarray(values, dtype=np.float64)
    left, removed, found = np.arange(len(values)), [], 0
    for _ in range(max(len(values) // SHARE, 1)):
        n, spread = len(left), float(values[left].std(ddof=1)) if len(left) > 2 else 0.0
        if spread < 1e-12:
            break
        deviations = np.abs(values[left] - values[left].mean()) / spread
        worst = int(deviations.argmax())
        t = float(student_t.isf(alpha / (2 * n), n - 2))
        removed.append(int(left[worst]))
        if deviations[worst] > (n - 1) * t / np.sqrt(n * (n - 2 + t**2)):
            found = len(removed)
        left = np.delete(left, worst)
    return removed[:found]
