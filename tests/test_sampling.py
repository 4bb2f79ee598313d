"""Random generators, the batches that are drawn with them, and subsets of bitext."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.data import Bitext, Pair, TrainingData
from bench.data.bitext_subsets import BitextSubset, misalign, sample, take_subset
from bench.data.training_data import cap
from bench.errors import BenchError
from bench.sampling import language_batches, length_buckets, numpy_generator, torch_generator

FOLDER = Path(__file__).parent


def draws(seed: int, purpose: str) -> tuple[int, int]:
    high = torch.randint(2**60, (), generator=torch_generator(seed, purpose))
    return int(numpy_generator(seed, purpose).integers(2**60)), int(high)


def test_draws_depend_on_seed_and_purpose_alone() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    cases = [(0, "batches"), (1, "batches"), (0, "vocabulary"), (0, "batches ")]
    numbers, tensors = zip(*(draws(*case) for case in cases), strict=True)
    assert len({*numbers}) == len({*tensors}) == len(cases)
    assert torch.equal(torch.get_rng_state(), before[0])  # the global generators are left alone
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    # Unlike `hash`, which is seeded anew in each process.
    code = f"import sys; sys.path.append({str(FOLDER)!r}); from test_sampling import draws; print(draws(0, 'batches'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(draws(0, "batches"))
    one, other = (numpy_generator(0, purpose).standard_normal(10_000) for purpose in ("a", "b"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05


@given(st.lists(st.integers(1, 40), min_size=1, max_size=200), st.integers(1, 17), st.integers(1, 4))
def test_no_row_comes_twice_in_an_epoch(lengths: list[int], batch_size: int, pool: int) -> None:
    stream = length_buckets(lengths, batch_size, np.random.default_rng(0), batches_per_bucket=pool)
    for _ in range(3):
        batches = list(islice(stream, max(len(lengths) // batch_size, 1)))
        rows = np.concatenate(batches)
        assert len(np.unique(rows)) == len(rows)
        assert {len(batch) for batch in batches} == {min(batch_size, len(lengths))}
        assert len(lengths) - len(rows) < batch_size  # no more than a short batch is left out
        assert set(rows.tolist()) <= set(range(len(lengths)))


def test_epoch_of_whole_batches_is_a_new_permutation_that_the_generator_determines() -> None:
    epochs = []
    for seed in (0, 0, 1):
        stream = length_buckets([5] * 60, 10, np.random.default_rng(seed))
        epochs += [np.concatenate(list(islice(stream, 6))).tolist() for _ in range(2)]
    assert all(sorted(rows) == list(range(60)) for rows in epochs)
    assert epochs[:2] == epochs[2:4]
    assert len({*map(tuple, epochs)}) == 4
    with pytest.raises(BenchError, match="no training data"):
        next(length_buckets([], 8, np.random.default_rng(0)))


def test_sentences_of_a_batch_are_of_similar_length_and_batches_in_random_order() -> None:
    lengths = np.random.default_rng(0).integers(3, 100, size=2_000)
    batches = list(islice(length_buckets(lengths.tolist(), 20, np.random.default_rng(1)), 100))
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    shuffled = np.random.default_rng(2).permutation(lengths).reshape(100, 20)
    assert spread < np.ptp(shuffled, axis=1).mean() / 10
    lengths = list(range(500))  # and the batches do not come in the order of their length
    means = [np.mean(batch) for batch in islice(length_buckets(lengths, 10, np.random.default_rng(0)), 50)]
    assert abs(np.corrcoef(means, range(50))[0, 1]) < 0.5


@pytest.mark.parametrize(("exponent", "shares"), [(1.0, (0.9, 0.1)), (0.5, (0.75, 0.25)), (0.0, (0.5, 0.5))])
def test_languages_are_drawn_by_a_power_of_their_sizes(exponent: float, shares: tuple[float, float]) -> None:
    languages = ["big"] * 900 + ["small"] * 100
    stream = language_batches([5] * 1000, languages, 10, np.random.default_rng(0), exponent)
    drawn = [{languages[row] for row in batch} for batch in islice(stream, 2000)]
    assert all(len(found) == 1 for found in drawn)
    big = sum(found == {"big"} for found in drawn) / 2000
    assert abs(big - shares[0]) < 3.3 * (shares[0] * shares[1] / 2000) ** 0.5  # one chance in a thousand


def test_one_language_is_sampled_as_if_there_were_no_languages() -> None:
    lengths = [length % 13 + 1 for length in range(57)]
    alone = language_batches(lengths, ["a"] * 57, 8, np.random.default_rng(3))
    usual = length_buckets(lengths, 8, np.random.default_rng(3))
    assert all(np.array_equal(one, other) for one, other in islice(zip(alone, usual, strict=True), 30))


ROWS = st.integers(0, 60)
QAA = Pair("qaa", "eng")


def bitext(rows: int) -> Bitext:
    """Row i is qi, di, of the source `even` or `odd`."""
    columns = zip(*((f"q{i}", f"d{i}", ("even", "odd")[i % 2], QAA) for i in range(rows)), strict=True)
    return Bitext(*columns) if rows else Bitext.join([])


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
