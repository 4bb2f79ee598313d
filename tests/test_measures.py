"""Measures against pytrec_eval called directly, which the reference implementation trec_eval is wrapped in."""

import shutil

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.evaluation.measures import DEFAULT, DESCRIPTIONS, is_deep, parse_measures, score

DOCUMENTS = [f"d{i:03d}" for i in range(150)]
IN_TREC_EVAL = {
    "nDCG@10": ("ndcg_cut.10", "ndcg_cut_10"),
    "Success@1": ("success.1", "success_1"),
    "R@100": ("recall.100", "recall_100"),
    "AP@100": ("map_cut.100", "map_cut_100"),
}


@st.composite
def judged_runs(draw: st.DrawFn) -> tuple[dict[str, list[tuple[str, float]]], dict[str, dict[str, int]]]:
    """Up to 100 documents for each of a few queries, and graded judgments, at least one of them positive."""
    run, qrels = {}, {}
    for i in range(draw(st.integers(1, 4))):
        documents = draw(st.lists(st.sampled_from(DOCUMENTS), min_size=1, max_size=100, unique=True))
        run[f"q{i}"] = [(document, 1.0 - rank / 128) for rank, document in enumerate(documents)]
        judged = draw(st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 3), max_size=20))
        qrels[f"q{i}"] = {**judged, draw(st.sampled_from(DOCUMENTS)): 1}
    return run, qrels


@given(judged_runs())
def test_measures_are_those_of_trec_eval(case: tuple) -> None:
    run, qrels = case
    found = score(run, qrels, [*IN_TREC_EVAL, "RR@10"])
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {spelled for spelled, _ in IN_TREC_EVAL.values()})
    expected = evaluator.evaluate({query: dict(ranking) for query, ranking in run.items()})
    for measure, (_, key) in IN_TREC_EVAL.items():
        for query in qrels:
            assert found[measure][query] == pytest.approx(expected[query][key], abs=1e-12)
    cut = {query: dict(ranking[:10]) for query, ranking in run.items()}
    expected = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(cut)
    for query in qrels:
        assert found["RR@10"][query] == pytest.approx(expected[query]["recip_rank"], abs=1e-12)


def test_unjudged_documents_are_left_out_before_the_cutoff() -> None:
    """The relevant document is the twelfth, and the second of those that are judged."""
    ranking = [(f"d{rank}", 1 - rank / 64) for rank in range(1, 21)]
    names = ["nDCG(judged_only=True)@10", "nDCG@10"]
    found = score({"q": ranking}, {"q": {"d5": 0, "d12": 1}}, names)
    assert found == {names[0]: {"q": pytest.approx(1 / np.log2(3))}, names[1]: {"q": 0.0}}


@pytest.mark.parametrize("retrieved", [150, 1000, 1500])
def test_average_precision_at_1000_is_that_of_the_first_thousand_documents(retrieved: int) -> None:
    """Worked out by hand, and trec_eval's `map`, which has no cutoff, of a run that ends there."""
    ranks = [1, 3, 120, 150, 999, 1000, 1001, 1400]
    ranking = [(f"d{rank:04d}", 1 - rank / 2048) for rank in range(1, retrieved + 1)]
    qrels = {"q": {f"d{rank:04d}": 1 for rank in ranks}}
    found = score({"q": ranking}, qrels, ["AP@1000"])["AP@1000"]["q"]
    seen = [rank for rank in ranks if rank <= min(retrieved, 1000)]
    assert found == pytest.approx(sum(number / rank for number, rank in enumerate(seen, start=1)) / len(ranks))
    expected = pytrec_eval.RelevanceEvaluator(qrels, {"map"}).evaluate({"q": dict(ranking[:1000])})
    assert found == pytest.approx(expected["q"]["map"], abs=1e-12)


def test_judged_query_without_results_scores_zero() -> None:
    run = {"q1": [("a", 0.5)], "q2": [], "without judgments": [("a", 0.5)]}
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 1}}
    for measure, values in score(run, qrels, DEFAULT).items():
        assert values == {"q1": 1.0, "q2": 0.0, "q3": 0.0}, measure


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("MRR@10", "RR@10"),
        ("mrr@5", "RR@5"),
        ("MAP@100", "AP@100"),
        ("ndcg@10", "nDCG@10"),
        ("recall@50", "R@50"),
        ("accuracy", "Success@1"),
        ("P@5", "P@5"),
        ("P(judged_only=True, rel=2)@5", "P(judged_only=True,rel=2)@5"),
    ],
)
def test_measures_may_be_written_as_people_do(written: str, canonical: str) -> None:
    assert parse_measures([written, canonical]) == parse_measures(f"{written}, {canonical} {written}") == [canonical]


@pytest.mark.skipif(shutil.which("perl") is None, reason="ERR is computed by a program in Perl")
def test_a_measure_has_the_same_values_whatever_the_ids_of_queries() -> None:
    """The programs behind some measures read only numbers. ERR@10 of a first document of grade 1 is (2^1 - 1) / 2^4."""
    for query in ("1", "q", "q-1", "2^1", "ä"):
        scored = score({query: [("x", 2.0), ("y", 1.0)]}, {query: {"x": 1}, "other": {"y": 1}}, ["ERR@10", "RR@10"])
        assert scored == {"ERR@10": {query: 0.0625, "other": 0.0}, "RR@10": {query: 1.0, "other": 0.0}}


def test_every_measure_that_is_described_parses_to_itself() -> None:
    assert parse_measures(list(DESCRIPTIONS)) == list(DESCRIPTIONS)
    assert set(DEFAULT) <= set(DESCRIPTIONS)


def test_a_stored_run_is_deep_enough_for_a_hundred_documents() -> None:
    names = parse_measures(["R@100", "R@101", "P(rel=2)@1000", "P(rel=2)@10", *DEFAULT])
    assert [name for name in names if is_deep(name)] == ["R@101", "P(rel=2)@1000"]


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ("nDGC@10", "did you mean nDCG@10"),
        ("nonsense", "unknown measure"),
        ("nDCG@10)", "unknown measure"),
        ("", "unknown measure"),
        ("nDCG", "as in nDCG@100"),
        ("R@1001", "a whole number from 1 to 1000"),
        ("P(foo=2)@10", "measure"),
        ("P@'a'", "measure"),
        ("Accuracy@10", "float division by zero"),
        ("nDCG(dcg='exp-log2',judged_only=True)@10", "Unsupported measures"),
        ("F1", "it is computed for every collection of its task"),
    ],
)
def test_measure_that_cannot_be_computed_is_refused(measure: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        parse_measures([measure])
