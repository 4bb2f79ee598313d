"""Digests of values and texts change with all that they contain, and with nothing else."""

from __future__ import annotations

import sys

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.dependencies.fingerprint import library_versions
from bench.storage.hashing import digest, digest_texts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5), st.randoms())
def test_digest_does_not_depend_on_the_order_of_keys(value: dict, random: object) -> None:
    keys = list(value)
    random.shuffle(keys)  # type: ignore[attr-defined]
    assert digest({key: value[key] for key in keys}) == digest(value)


@given(JSON, JSON)
def test_digest_tells_values_apart(one: object, other: object) -> None:
    assert (digest(one) == digest(other)) == (repr(sort_keys(one)) == repr(sort_keys(other)))


def sort_keys(value: object) -> object:
    if isinstance(value, dict):
        return {key: sort_keys(value[key]) for key in sorted(value)}
    return [sort_keys(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([["ab", "c"]], [["a", "bc"]]),
        ([["a"], ["b"]], [["a", "b"]]),
        ([["a"], []], [[], ["a"]]),
        ([["a"], []], [["a"]]),
        ([[""]], [[]]),
        ([["a", ""]], [["a"]]),
        ([["a", "b"]], [["b", "a"]]),
        ([["é"]], [["e\u0301"]]),
    ],
)
def test_digest_of_texts_knows_where_each_text_and_column_ends(one: list, other: list) -> None:
    assert digest_texts(*one) != digest_texts(*other)


def test_library_versions_are_those_installed() -> None:
    assert library_versions("numpy") == {"numpy": numpy.__version__, "python": sys.version.split()[0]}
