"""Parallel groups: training rows that say the same in whatever languages, none of which is a negative of another."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bench.data.normalise import normalise


def parallel_groups(rows: Iterable[tuple[str, str]]) -> np.ndarray:
    """The group of each row, (n_rows,) int64: rows are of one group if a chain of equal texts connects them.

    A row's two texts belong together: translations, or a query and what answers it. Texts are compared as
    `bench.data.normalise` leaves them. Nearly equal texts are not connected: a comparison of all with all would
    take minutes, and many of them, such as a census of one tribe and the next, differ in what matters.
    """
    numbers: dict[str, int] = {}
    fold = cache(normalise)  # collections repeat many texts
    links = [[numbers.setdefault(fold(text), len(numbers)) for text in row] for row in rows]
    first, second = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(numbers), len(numbers)))
    _, groups = connected_components(graph, directed=False)
    return groups[first].astype(np.int64)
