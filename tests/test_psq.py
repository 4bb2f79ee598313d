"""Probabilistic structured queries and translation tables: by hand, against bm25s, and against a plain IBM Model 1."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np
import pytest
from conftest import MakeTask

from bench.api import Ids
from bench.encoders.encoder import Encoder
from bench.errors import BenchError
from bench.evaluation.run import strictly_decreasing
from methods.bm25 import BM25
from methods.psq import PSQ, PSQConfig, StructuredQueries
from methods.translation_table import Table, learn_table, prune, words


def retriever(table: Table, **settings: float) -> StructuredQueries:
    return StructuredQueries(table, PSQConfig(**settings))


def rank(
    method: StructuredQueries, queries: Sequence[str], documents: Sequence[str], depth: int = 100
) -> list[dict[str, float]]:
    """Return for each query the scores of the documents `d0`, `d1` ..., the best first."""
    ids = Ids([f"q{i}" for i in range(len(queries))], [f"d{i}" for i in range(len(documents))])
    run = method.rank(queries, documents, ids, depth, lambda count: None)
    return [dict(strictly_decreasing(run[query])[:depth]) for query in ids.queries]


def test_scores_by_hand() -> None:
    """`nyumba` is `house` with 0.8 and `home` with 0.1, so that it is expected 2 * 0.8 + 0.1 times in d0, 0.1 times in
    d1 and 0.8 times in d3, and in 0.8 * 2 + 0.1 * 2 documents.
    """
    documents = ["house house home", "my home", "a dog", "the house of a dog"]
    method = retriever({"nyumba": {"house": 0.8, "home": 0.1}}, k1=1.2, b=0.75)
    found, twice = rank(method, ["Nyumba?", "nyumba, nyumba"], documents)
    idf = math.log(1 + (4 - 1.8 + 0.5) / (1.8 + 0.5))
    lengths = [3, 2, 2, 5]
    expected = {
        f"d{i}": idf * tf / (tf + 1.2 * (0.25 + 0.75 * lengths[i] / 3)) for i, tf in ((0, 1.7), (1, 0.1), (3, 0.8))
    }
    assert found == pytest.approx(expected, rel=1e-6)
    assert list(found) == ["d0", "d3", "d1"]
    assert twice == pytest.approx({key: 2 * value for key, value in expected.items()}, rel=1e-6)


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0)])
def test_without_translations_it_is_the_bm25_of_bm25s(k1: float, b: float) -> None:
    rng = np.random.default_rng(0)
    documents = [" ".join(f"w{i}" for i in rng.zipf(1.4, rng.integers(1, 30)).clip(max=60)) for _ in range(50)]
    queries = ["w1 w2 w9", "w3 w3 w17 unheard", "w60"]
    index = bm25s.BM25(k1=k1, b=b, method="lucene")
    index.index([words(text) for text in documents], show_progress=False)
    for query, found in zip(queries, rank(retriever({}, k1=k1, b=b), queries, documents), strict=True):
        scores = index.get_scores([word for word in words(query) if word != "unheard"])
        assert found == pytest.approx({f"d{i}": score for i, score in enumerate(scores) if score}, rel=1e-5)


def test_method_bm25_ranks_the_untranslated_query(make_task: MakeTask, teacher: Encoder, tmp_path: Path) -> None:
    """`london` and `2012` are in one document of three, which has 4 of 7 words."""
    documents = ["london 2012 is london", "the dog", "home"]
    made = BM25(BM25.Config(k1=2.0, b=0.5)).fit(make_task())
    (found,) = rank(made, ["mji wa London 2012"], documents)
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    saturation = 2.0 * (0.5 + 0.5 * 4 / (7 / 3))
    assert found == pytest.approx({"d0": idf * (2 / (2 + saturation) + 1 / (1 + saturation))}, rel=1e-6)
    made.save(tmp_path / "retriever", teacher)
    assert rank(BM25.load(tmp_path / "retriever", teacher), ["mji wa London 2012"], documents) == [found]


def test_unknown_words_stand_for_themselves_unless_told_otherwise() -> None:
    documents = ["london 2012", "nothing of the kind"]
    rows = {"mji": {"city": 1.0}}
    assert [*rank(retriever(rows), ["mji wa London 2012"], documents)[0]] == ["d0"]
    assert rank(retriever(rows, keep_unknown=False), ["mji wa London 2012", ""], documents) == [{}, {}]
    # Equal scores are cut by document id.
    documents = ["cat"] * 11 + ["dog", "cat cat"]
    assert [*rank(retriever({}), ["cat"], documents, depth=4)[0]] == ["d12", "d0", "d1", "d10"]


def test_a_bitext_makes_a_retriever_that_survives_saving(make_task: MakeTask, teacher: Encoder, tmp_path: Path) -> None:
    task = make_task()
    made = PSQ().fit(task)
    english, other = task.data.bitext.document_side, task.data.bitext.query_side
    found = rank(made, other, english, depth=1)
    assert np.mean([f"d{i}" in run for i, run in enumerate(found)]) > 0.9
    assert task.outcome["diagnostics"]["log_likelihood"] < 0
    assert task.outcome["diagnostics"]["translations"] == sum(map(len, made.table.values()))
    made.save(tmp_path / "retriever", teacher)
    assert rank(PSQ.load(tmp_path / "retriever", teacher), other, english, depth=1) == found
    (tmp_path / "retriever" / "psq.json").write_text("damaged")
    for folder in (tmp_path, tmp_path / "retriever"):
        with pytest.raises(BenchError, match="no translation table or a damaged one; delete it"):
            PSQ.load(folder, teacher)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ng'ombe WAWILI, two-year-old (2016)!", ["ng", "ombe", "wawili", "two", "year", "old", "2016"]),
        ("हिन्दी में किताबें।", ["हिन्दी", "में", "किताबें"]),
        ("Straße ﬁne Ọ̀rọ̀", ["strasse", "fine", "ọ̀rọ̀"]),
        ("用API学ぶ", ["用", "api", "学", "ぶ"]),
        ("ที่นี่ดี", ["ที่", "นี่", "ดี"]),
        ("ភាសា ok", ["ភា", "សា", "ok"]),
        ("... !", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def brute_force(source_side: Sequence[str], target_side: Sequence[str], iterations: int) -> tuple[Table, list[float]]:
    """IBM Model 1 as the textbook has it, and the log-likelihood per word before each iteration."""
    sides = zip(source_side, target_side, strict=True)
    pairs = [(["NULL", *source.split()], target.split()) for source, target in sides]
    targets = [word for _, target in pairs for word in target]
    t: dict[tuple[str, str], float] = defaultdict(lambda: 1 / len(set(targets)))
    log_likelihood = []
    for _ in range(iterations):
        count: dict[tuple[str, str], float] = defaultdict(float)
        total: dict[str, float] = defaultdict(float)
        likelihood = 0.0
        for source, target in pairs:
            for e in target:
                evidence = sum(t[f, e] for f in source)
                likelihood += math.log(evidence / len(source))
                for f in source:
                    count[f, e] += t[f, e] / evidence
                    total[f] += t[f, e] / evidence
        log_likelihood.append(likelihood / len(targets))
        t = defaultdict(float, {(f, e): value / total[f] for (f, e), value in count.items()})
    table: Table = defaultdict(dict)
    for (f, e), value in t.items():
        if f != "NULL":
            table[f][e] = value
    return table, log_likelihood


def test_first_iterations_by_hand() -> None:
    """Two pairs, `x`/`a` and `x y`/`a b`. The empty word occurs wherever `x` does, so it always has its probabilities.

    First all are 1/2: `a` of the first pair is half `x`'s, each word of the second a third of each of three. So `x` has
    1/2 + 1/3 of `a` and 1/3 of `b`, and `y` a third of each. In the second iteration `x` has a share of
    (5/7) / (5/7 + 5/7 + 1/2) = 10/27 of the second `a`, and of (2/7) / (2/7 + 2/7 + 1/2) = 4/15 of `b`.
    """
    first, log_likelihood = learn_table(["x", "x y"], ["a", "a b"], 1)
    assert first == {"x": pytest.approx({"a": 5 / 7, "b": 2 / 7}), "y": pytest.approx({"a": 1 / 2, "b": 1 / 2})}
    assert log_likelihood == pytest.approx([math.log(1 / 2)])
    second, log_likelihood = learn_table(["x", "x y"], ["a", "a b"], 2)
    a, b = 1 / 2 + 10 / 27, 4 / 15
    assert second == {
        "x": pytest.approx({"a": a / (a + b), "b": b / (a + b)}),
        "y": pytest.approx({"a": 5 / 14, "b": 9 / 14}),
    }
    likelihoods = [5 / 7, (5 / 7 + 5 / 7 + 1 / 2) / 3, (2 / 7 + 2 / 7 + 1 / 2) / 3]
    assert log_likelihood[1] == pytest.approx(np.log(likelihoods).mean())


@pytest.fixture
def bitext() -> tuple[list[str], list[str]]:
    """200 sentences of a small vocabulary, with words that repeat in a sentence, and now and then an empty side."""
    rng = np.random.default_rng(0)

    def sentences(letter: str, least: int) -> list[str]:
        sizes = rng.integers(least, 9, size=200)
        return [" ".join(f"{letter}{i}" for i in rng.zipf(1.6, size).clip(max=40)) for size in sizes]

    return sentences("f", 0), sentences("e", 0)


@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_same_as_brute_force(
    bitext: tuple[list[str], list[str]], iterations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.data.ibm_model_1.BLOCK", 100)  # so that there are several
    table, log_likelihood = learn_table(*bitext, iterations)
    expected, expected_likelihood = brute_force(*bitext, iterations)
    assert table == {word: pytest.approx(row, abs=1e-12) for word, row in expected.items()}
    assert log_likelihood == pytest.approx(expected_likelihood)


def test_likelihood_rises_and_rows_sum_to_one_unless_there_is_no_bitext(bitext: tuple[list[str], list[str]]) -> None:
    table, log_likelihood = learn_table(*bitext, 15)
    assert (np.diff(log_likelihood) > 0).all()
    assert [sum(row.values()) for row in table.values()] == pytest.approx([1] * len(table))
    assert learn_table(*bitext, 15) == (table, log_likelihood)
    for texts in ([], ["", "..."]):
        with pytest.raises(BenchError, match="there is no bitext to learn a translation table from"):
            learn_table(texts, texts, 1)


@pytest.mark.parametrize(
    ("cumulative", "alternatives", "expected"),
    [
        (1.0, 9, {"x": "bacd", "y": "d", "z": "dcab"}),
        (1.0, 2, {"x": "ba", "y": "d", "z": "dc"}),
        (0.6, 9, {"x": "ba", "y": "d", "z": "dc"}),
    ],
)
def test_pruning(cumulative: float, alternatives: int, expected: dict[str, str]) -> None:
    table = {
        "x": {"a": 0.2, "b": 0.5, "c": 0.2, "d": 0.1},
        "y": {"d": 1.0},
        "z": {"a": 0.05, "b": 0.05, "c": 0.4, "d": 0.5},
    }
    pruned = prune(table, cumulative, alternatives)
    assert {word: "".join(row) for word, row in pruned.items()} == expected
    assert all(row.items() <= table[word].items() for word, row in pruned.items())


def test_improbable_translations_are_left_out(bitext: tuple[list[str], list[str]]) -> None:
    whole, _ = learn_table(*bitext, 3)
    likely = {word: {other: value for other, value in row.items() if value >= 0.2} for word, row in whole.items()}
    assert learn_table(*bitext, 3, 0.2)[0] == {word: row for word, row in likely.items() if row}
