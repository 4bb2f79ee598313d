"""Mining against brute force, F1 against its definition, and a whole comparison on an invented collection."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_bench import rows
from test_retrieval import ids, unit_vectors
from world import World

from bench.commands.results import print_leaderboard
from bench.commands.run import run
from bench.data import Ids, Pair, TestCollection, formats
from bench.data.loading import load_test
from bench.encoders.encoder import Encoder
from bench.errors import BenchError
from bench.evaluation.measures import DEFAULT, MINING
from bench.evaluation.mining import NEIGHBOURS, linearised, mine, score, threshold
from bench.evaluation.run import Run
from bench.evaluation.run_files import read_run
from bench.request import Printed, Request

SWH = Pair("swh", "eng")


def positive_vectors(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    return np.abs(unit_vectors(rng, count, dimension))


def brute_force(queries: np.ndarray, documents: np.ndarray) -> dict[int, tuple[int, float]]:
    """Row of a query -> row of its document and their margin, from the full matrix of cosines."""
    cosines = queries.astype(np.float64) @ documents.astype(np.float64).T
    near_query = np.argsort(-cosines, axis=1)[:, :NEIGHBOURS]
    near_document = np.argsort(-cosines, axis=0)[:NEIGHBOURS]
    of_query = np.take_along_axis(cosines, near_query, 1).sum(axis=1) / (2 * near_query.shape[1])
    of_document = np.take_along_axis(cosines, near_document, 0).sum(axis=0) / (2 * near_document.shape[0])
    margins = cosines / (of_query[:, None] + of_document[None, :])
    candidates = {(row, max(near, key=lambda column: margins[row, column])) for row, near in enumerate(near_query)}
    candidates |= {
        (max(near, key=lambda row: margins[row, column]), column) for column, near in enumerate(near_document.T)
    }
    pairs: dict[int, tuple[int, float]] = {}
    for row, column in sorted(candidates, key=lambda pair: -margins[pair]):
        if row not in pairs and column not in {other for other, _ in pairs.values()}:
            pairs[row] = column, margins[row, column]
    return pairs


@pytest.mark.parametrize(("queries", "documents"), [(40, 90), (90, 40), (3, 7), (1, 1)])
def test_pairs_and_margins_are_those_of_brute_force(queries: int, documents: int) -> None:
    rng = np.random.default_rng(queries)
    asked, corpus = positive_vectors(rng, queries, 12), positive_vectors(rng, documents, 12)
    names = ids(queries, documents)
    expected = {
        names.queries[row]: (names.documents[column], margin)
        for row, (column, margin) in brute_force(asked, corpus).items()
    }
    found = mine(asked, [corpus], names)
    assert {query: pairs[0][0] for query, pairs in found.items()} == {key: pair[0] for key, pair in expected.items()}
    assert all(len(pairs) == 1 for pairs in found.values())
    for query, [(_, margin)] in found.items():
        assert margin == np.float32(margin) == pytest.approx(expected[query][1], abs=1e-5)


def test_of_equal_sentences_those_with_the_first_ids_are_paired() -> None:
    """Their order has no effect. The others are the best candidates of no sentence."""
    rng = np.random.default_rng(0)
    asked = np.repeat(positive_vectors(rng, 5, 8), 3, axis=0)
    corpus = np.repeat(positive_vectors(rng, 5, 8) / 4 + asked[::3] * 3 / 4, 3, axis=0)
    corpus /= np.linalg.norm(corpus, axis=1, keepdims=True)
    names = ids(15, 15)
    found = mine(asked, [corpus], names)
    assert {query: pairs[0][0] for query, pairs in found.items()} == {f"q{i:03d}": f"d{i:04d}" for i in range(0, 15, 3)}
    for _ in range(3):
        one, other = rng.permutation(15), rng.permutation(15)
        shuffled = Ids([names.queries[i] for i in one], [names.documents[i] for i in other])
        assert mine(asked[one], [corpus[other]], shuffled) == found


def collection(tuning: int, test: int, **gold: str) -> TestCollection:
    """Queries t0, t1 ... to tune on and q0, q1 ... to test, over as many documents."""
    queries = tuple([f"t{i}" for i in range(tuning)] + [f"q{i}" for i in range(test)])
    documents = tuple(f"d{i}" for i in range(tuning + test))
    qrels = {query: dict.fromkeys(documents.split(), 1) for query, documents in gold.items()}
    return TestCollection("t", SWH, queries, queries, documents, documents, qrels, tuning=queries[:tuning])


@pytest.mark.parametrize(
    ("margins", "right", "expected"),
    [
        # With 2 gold pairs, F1 by number of pairs mined: 2/3, 2/4, 4/5, 4/6.
        ([1.8, 1.6, 1.4, 1.0], "t0 t2", (1.4 + 1.0) / 2),
        # The last pair is the best: nothing comes after it.
        ([1.8, 1.6, 1.4, 1.0], "t2 t3", 1.0),
        # One of equal margins cannot be had without the other, and 2/3 is better than 4/6 by the higher threshold.
        ([1.8, 1.4, 1.4, 1.4], "t0 t1", (1.8 + 1.4) / 2),
        ([1.4, 1.4, 1.2, 1.0], "t0 t3", 1.0),
        # Nothing is right.
        ([1.8, 1.6, 1.4, 1.0], "", (1.8 + 1.6) / 2),
        ([], "t0 t1", 0.0),
    ],
)
def test_threshold_is_that_of_the_best_f1(margins: list[float], right: str, expected: float) -> None:
    run: Run = {f"t{i}": [(f"d{i}", margin)] for i, margin in enumerate(margins)}
    gold = {f"t{i}": f"d{i}" if f"t{i}" in right.split() else "elsewhere" for i in range(4)}
    gold = {query: document for query, document in gold.items() if document != "elsewhere"}
    missed = {"t4": "d4", "t5": "d5"} if not gold else {}
    assert threshold(run, collection(6, 1, **gold, **missed)) == pytest.approx(expected)


def test_only_the_other_queries_are_scored_and_only_pairs_above_the_threshold_count() -> None:
    test = collection(2, 5, t0="d0", q0="d2", q1="d3 d4", q3="d6")
    run: Run = {
        "t0": [("d0", 1.5)],
        "t1": [("d1", 1.1)],  # the threshold is 1.3
        "q0": [("d2", 1.4)],  # right
        "q1": [("d4", 1.3)],  # right, one of two
        "q2": [("d5", 1.6)],  # wrong
        "q3": [("d6", 1.2)],  # right, but not mined
    }
    found = score(run, test)
    assert list(found) == list(MINING)
    assert all(list(values) == ["q0", "q1", "q2", "q3", "q4"] for values in found.values())
    means = {name: np.mean(list(values.values())) for name, values in found.items()}
    assert means == pytest.approx({"precision": 2 / 3, "recall": 2 / 4, "F1": 2 * 2 / (3 + 4)})
    nothing = score({}, collection(1, 2, t0="d0", q0="d1"))
    assert nothing == {name: {"q0": 0.0, "q1": 0.0} for name in MINING}


def test_linearised_ratio_has_the_mean_and_the_spread_of_f1_itself() -> None:
    """Against F1 of resampled queries, for one retriever and for the difference of two, a few gold pairs among many."""
    rng = np.random.default_rng(0)
    gold = rng.random(4000) < 0.05
    counts = []
    for hits, errors in ((0.7, 0.01), (0.6, 0.02)):
        right = gold & (rng.random(4000) < hits)
        counts.append((right, right | (rng.random(4000) < errors)))

    def f1(right: np.ndarray, mined: np.ndarray, rows: Any = slice(None)) -> float:
        precision, recall = right[rows].sum() / mined[rows].sum(), right[rows].sum() / gold[rows].sum()
        return float(2 * precision * recall / (precision + recall))

    one, other = (linearised(2.0 * right, mined.astype(float) + gold) for right, mined in counts)
    assert one.mean() == pytest.approx(f1(*counts[0]), abs=1e-12)
    samples = [rng.integers(0, 4000, 4000) for _ in range(2000)]
    resampled = np.array([[f1(*pair, rows) for pair in counts] for rows in samples])
    for values, found in ((one, resampled[:, 0]), (one - other, resampled[:, 0] - resampled[:, 1])):
        assert values.std() / 4000**0.5 == pytest.approx(found.std(), rel=0.06)
        low, high = values.mean() + 1.96 * values.std() / 4000**0.5 * np.array([-1, 1])
        assert (low, high) == pytest.approx(np.quantile(found, [0.025, 0.975]), abs=found.std() / 5)


@pytest.fixture
def invented(tmp_path: Path) -> World:
    """A collection to mine and the same to search, of 40 + 60 sentences of which 20 are pairs, 12 of them copies."""
    world = World(tmp_path)
    actors, things = ["cat", "dog", "baker", "farmer", "child"], ["house", "boat", "bread", "book"]
    english = [
        f"the {actor} {verb} a {thing}" for verb in ("saw", "sold", "lost") for actor in actors for thing in things
    ]
    queries = [f"some {text} ?" for text in english[20:40]] + [
        text.upper() if row < 12 else f"{text} in the garden" for row, text in enumerate(english[:20])
    ]
    order = np.random.default_rng(0).permutation(40)
    files = {
        "queries": "".join(f"s{place:02d}\t{queries[row]}\n" for place, row in enumerate(order)),
        "documents": "".join(f"e{row:02d}\t{text}\n" for row, text in enumerate(english)),
        "gold": "".join(f"s{place:02d}\te{row - 20:02d}\n" for place, row in enumerate(order) if row >= 20),
    }
    entry = {"role": "test", "pairs": ["swh-eng"], "files": {name: name for name in files}}
    for name in ("mining", "retrieval"):
        world.add(name, files, data=[{**entry, "format": f"bucc-{name}"}])
    return world


def test_mining_and_searching_in_one_comparison(
    invented: World, encoder_folder: Path, encoder: Encoder, tmp_path: Path, capsys: Any
) -> None:
    cards, resolver = invented.cards, invented.resolver
    asked = Request(
        methods=("zero-shot",),
        datasets=("mining", "retrieval"),
        scoring=("maxsim",),
        encoder=str(encoder_folder),
        device="cpu",
        mirror=invented.mirror,
        results=tmp_path / "results",
        offline=True,
    )
    assert run(asked, cards) == 0
    test = load_test(cards["mining"], SWH, resolver, cards)
    pairs = brute_force(encoder.encode(test.queries, "query"), encoder.encode(test.documents, "document"))
    mined = {test.query_ids[row]: (test.document_ids[column], margin) for row, (column, margin) in pairs.items()}

    (folder,) = (tmp_path / "results/cells").glob("*.mining.single-vector-*")
    ranked = read_run(folder / "run.trec.gz")
    assert {query: found[0][0] for query, found in ranked.items()} == {query: pair[0] for query, pair in mined.items()}

    def expected(least: float, of_tuning: bool) -> dict[str, float]:
        """By the definitions, of the pairs that brute force finds from a margin on."""
        queries = [query for query in test.query_ids if (query in test.tuning) == of_tuning]
        taken = [(query, *mined[query]) for query in queries if query in mined and mined[query][1] >= least]
        right = sum(document in test.qrels.get(query, {}) for query, document, _ in taken)
        precision, recall = right / len(taken), right / sum(query in test.qrels for query in queries)
        return {"precision": precision, "recall": recall, "F1": 2 * precision * recall / (precision + recall or 1)}

    margins = sorted(mined[query][1] for query in test.tuning if query in mined)
    halfway = [(low + high) / 2 for low, high in pairwise([margins[0], *margins])]
    least = json.loads((folder / "manifest.json").read_text())["threshold"]
    assert least == pytest.approx(max(halfway, key=lambda margin: (expected(margin, True)["F1"], margin)), abs=1e-5)
    assert 0 < expected(least, False)["recall"] != expected(least, False)["precision"] < 1

    board = rows(tmp_path / "results")
    found = {row["measure"]: float(row["value"]) for row in board if row["dataset"] == "mining"}
    assert found == pytest.approx(expected(least, False), abs=1e-6)
    assert {row["queries"] for row in board if row["dataset"] == "mining"} == {"20"}
    assert {row["measure"] for row in board if row["dataset"] == "retrieval"} == set(DEFAULT)
    assert not [*(tmp_path / "results/cells").glob("*.mining.maxsim-*")]
    printed, notes = capsys.readouterr()
    assert printed.count("F1 [95 %]") == printed.count("nDCG@10 [95 %]") == 1
    assert notes.count("mining swh-eng: bitext mining supports single-vector scoring only") == 1
    assert print_leaderboard(Printed(results=tmp_path / "results", measures=("F1",))) == 0
    printed = capsys.readouterr().out
    assert "F1 [95 %]" in printed and "precision" not in printed and "nDCG@10" not in printed


@pytest.mark.parametrize("of_tuning", [True, False])
def test_gold_pairs_on_one_side_of_the_split_only_are_refused(
    invented: World, monkeypatch: pytest.MonkeyPatch, of_tuning: bool
) -> None:
    cards, resolver = invented.cards, invented.resolver
    parsed = load_test(cards["mining"], SWH, resolver)
    qrels = {query: judged for query, judged in parsed.qrels.items() if (query in parsed.tuning) == of_tuning}
    monkeypatch.setattr(formats, "parse", lambda *_: replace(parsed, qrels=qrels))
    with pytest.raises(BenchError, match="mining swh-eng: mining needs gold pairs to tune a threshold on, and others"):
        load_test(cards["mining"], SWH, resolver)
