"""Resource subsets: samples of bitext that lie in each other, and rows whose sides do not belong together."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import Bitext, Pair, TrainingData
from bench.data.bitext_subsets import BitextSubset, misalign, sample, take_subset
from bench.data.training_data import cap
from bench.sampling import numpy_generator

ROWS = st.integers(0, 60)
PAIR = Pair("qaa", "eng")


def bitext(rows: int) -> Bitext:
    """Row i is qi, di, of the source `even` or `odd`."""
    return Bitext(
        tuple(f"q{i}" for i in range(rows)),
        tuple(f"d{i}" for i in range(rows)),
        tuple(("even", "odd")[i % 2] for i in range(rows)),
        (PAIR,) * rows,
    )


def numbers(side: tuple[str, ...]) -> list[int]:
    return [int(text[1:]) for text in side]


@given(ROWS, st.integers(0, 70), st.integers(0, 70), st.integers(0, 3))
def test_a_sample_keeps_pairs_and_order_and_lies_in_every_larger_one(
    rows: int, one: int, other: int, seed: int
) -> None:
    whole = bitext(rows)
    small, large = (sample(whole, size, np.random.default_rng(seed)) for size in sorted((one, other)))
    assert len(small) == min(one, other, rows)
    assert numbers(small.query_side) == numbers(small.document_side) == sorted(numbers(small.query_side))
    assert small.sources == tuple(("even", "odd")[i % 2] for i in numbers(small.query_side))
    assert set(small.query_side) <= set(large.query_side)


def test_a_sample_has_its_share_of_every_source_and_another_seed_another_sample() -> None:
    drawn = [sample(bitext(10_000), 1_000, np.random.default_rng(seed)) for seed in range(3)]
    for one in drawn:
        # Three standard deviations of the hypergeometric distribution.
        assert abs(Counter(one.sources)["odd"] - 500) < 3 * (1_000 * 0.25 * 0.9) ** 0.5
    assert len({one.query_side for one in drawn}) == 3


@given(ROWS, st.floats(0, 1), st.floats(0, 1), st.integers(0, 3))
def test_misaligned_rows_have_each_others_document_and_none_its_own(
    rows: int, one: float, other: float, seed: int
) -> None:
    small, large = (
        [i for i, j in enumerate(numbers(noisy.document_side)) if i != j]
        for noisy in (misalign(bitext(rows), share, np.random.default_rng(seed)) for share in sorted((one, other)))
    )
    chosen = round(min(one, other) * rows)
    assert len(small) == (chosen if chosen > 1 else 0)
    assert set(small) <= set(large)
    noisy = misalign(bitext(rows), one, np.random.default_rng(seed))
    assert sorted(noisy.document_side) == sorted(bitext(rows).document_side)
    assert (noisy.query_side, noisy.sources) == (bitext(rows).query_side, bitext(rows).sources)


def test_a_cap_is_for_one_source_and_always_the_same() -> None:
    whole = bitext(20)
    capped = cap(whole, {"odd": 3, "even": 100})
    assert Counter(capped.sources) == {"even": 10, "odd": 3}
    assert numbers(capped.query_side) == numbers(capped.document_side) == sorted(numbers(capped.query_side))
    assert capped == cap(whole, {"odd": 3})
    assert set(capped.query_side) <= set(cap(whole, {"odd": 4}).query_side)
    assert cap(whole, {}) == whole


@pytest.mark.parametrize("subset", [BitextSubset(40), BitextSubset(None, 0.5), BitextSubset(40, 0.5)])
def test_a_subset_is_the_same_for_one_seed_and_leaves_relevance_alone(data: TrainingData, subset: BitextSubset) -> None:
    given, again, other = (take_subset(data, subset, partial(numpy_generator, seed)) for seed in (0, 0, 1))
    assert given.bitext == again.bitext != other.bitext
    assert len({version.digest for version in (data, given, other)}) == 3
    assert given.relevance is data.relevance
    kept = subset.bitext_size or len(data.bitext)
    assert given.report["subset"] == {"kept": {"hand": kept}, "misaligned": round(kept * subset.bitext_noise)}
    assert take_subset(data, BitextSubset(), partial(numpy_generator, 0)) is data


def test_noise_and_size_do_not_depend_on_each_other(data: TrainingData) -> None:
    generator = partial(numpy_generator, 0)
    clean, noisy = (take_subset(data, BitextSubset(40, noise), generator).bitext for noise in (0.0, 0.5))
    assert clean == replace(noisy, document_side=clean.document_side)
