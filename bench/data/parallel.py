"""Parallel groups: training rows with the same meaning, which are not negatives of each other."""

from collections.abc import Iterable
from functools import cache

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bench.data.normalise import normalise


def parallel_groups(rows: Iterable[tuple[str, str]]) -> np.ndarray:
    """Return the group of each row, (n_rows,) int64. A chain of equal texts, after normalisation, connects a group.

    Nearly equal texts are not connected, since they often differ in meaning, for example in a number.
    """
    numbers: dict[str, int] = {}
    fold = cache(normalise)  # collections have many equal texts
    links = [[numbers.setdefault(fold(text), len(numbers)) for text in row] for row in rows]
    first, second = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(numbers), len(numbers)))
    _, groups = connected_components(graph, directed=False)
    return groups[first].astype(np.int64)
