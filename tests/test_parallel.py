"""Parallel groups against a search through all chains of equal texts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.data.parallel import parallel_groups

TEXT = st.integers(0, 25).map(lambda number: f"text {number}")


def brute_force(rows: list[tuple[str, str]]) -> list[set[int]]:
    """Per row, all rows that a chain of equal texts reaches."""
    reached = [{row} for row in range(len(rows))]
    for _ in rows:
        for here in reached:
            texts = {text for row in here for text in rows[row]}
            here |= {row for row, sides in enumerate(rows) if texts & set(sides)}
    return reached


@given(st.lists(st.tuples(TEXT, TEXT), max_size=20))
def test_groups_are_the_chains_of_equal_texts(rows: list[tuple[str, str]]) -> None:
    groups = parallel_groups(rows)
    assert [set(np.flatnonzero(groups == group)) for group in groups] == brute_force(rows)


def test_texts_are_compared_without_case_and_punctuation() -> None:
    rows = [("Habari?", "Hello!"), ("HELLO", "Salut."), ("habari", "Hi"), ("Kwaheri", "Bye"), ("Hi there", "Hallo")]
    groups = parallel_groups(rows)
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups)) == 3
