"""Word alignment by token embeddings, against links worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from conftest import make_encoder
from small_bench import Bench

from bench.data.files import Resolver
from bench.encoders.encoder import Encoder
from bench.errors import BenchError
from bench.evaluation.alignment import alignment_f1, chance_f1, mutual_f1, word_embeddings
from bench.progress import Display
from bench.recipe import Budget
from bench.running.alignments import COLUMNS, aligners, alignment_rows
from bench.running.experiment import make_experiment
from bench.running.resources import Resources

WORDS = ["the", "cat", "saw", "an", "open", "book", "."]


def test_word_is_the_mean_of_its_pieces(encoder: Encoder) -> None:
    words = ["the", "teacherdog", "saw"]
    pieces = [encoder.tokenizer.tokenize(word) for word in words]
    assert len(pieces[1]) > 1
    hidden = encoder.token_embeddings(encoder.collate(encoder.tokenize([" ".join(words)], "document")))[0]
    hidden = hidden.detach().numpy()[1:-1]  # [CLS] and [SEP] belong to no word
    ends = np.cumsum([len(piece) for piece in pieces])
    expected = [part.mean(axis=0) for part in np.split(hidden, ends[:-1])]
    found = word_embeddings(encoder, words)
    for vector, mean in zip(found, expected, strict=True):
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_f1_of_the_mutual_links_by_hand(encoder: Encoder) -> None:
    """Seven links are found, each word with itself; of three gold links two are among them: F1 = 2 * 2 / (7 + 3)."""
    assert alignment_f1(encoder, encoder, [(WORDS, WORDS, [(0, 0), (1, 1), (2, 3)])]) == pytest.approx(0.4)
    assert alignment_f1(encoder, encoder, [(WORDS, WORDS, [(0, 1)])]) == 0
    assert alignment_f1(encoder, encoder, []) == 0
    links = [(i, i) for i in range(len(WORDS))]
    assert alignment_f1(encoder, make_encoder(seed=5), [(WORDS, WORDS, links)]) < 1


def test_mutual_links_by_hand() -> None:
    """Links are (0, 1) and (2, 0), of equals the first; of row 1 nothing, and of column 2 nothing, is mutual."""
    matrix = np.array([[0.1, 0.5, 0.2], [0.3, 0.4, 0.0], [0.6, 0.0, 0.6]])
    row = (["a", "b", "c"], ["x", "y", "z"], [(0, 1), (1, 0), (2, 2)])
    assert mutual_f1(lambda english, foreign: matrix, [row]) == pytest.approx(2 * 1 / (2 + 3))
    # Nothing is linked to nothing.
    row = (["a", "b"], ["x", "y"], [(0, 0), (1, 1)])
    assert mutual_f1(lambda english, foreign: np.zeros((2, 2)), [row]) == 0
    assert mutual_f1(lambda english, foreign: np.diag([0.0, 1.0]), [row]) == pytest.approx(2 / 3)


def test_chance_is_that_of_random_matrices() -> None:
    """An entry of n x n random numbers is the largest of its row and column with probability 1 / (2 n - 1)."""
    n = 5
    row = ([""] * n, [""] * n, [(i, i) for i in range(n)])
    expected = 2 * n / (2 * n - 1) / (n + n * n / (2 * n - 1))
    assert chance_f1([row] * 2000, np.random.default_rng(0)) == pytest.approx(expected, abs=0.01)


def table(bench: Bench, results: Path, *methods: str) -> list[list[str]]:
    request = bench.request(
        results, methods, budget=Budget(10, "steps"), recipe={"batch_size": 8, "learning_rate": 0.01}
    )
    resolver = Resolver(offline=True)
    resources = Resources(str(bench.encoder), "cpu", "float32", bench.cards, resolver, Display(quiet=True), threads=1)
    return list(alignment_rows(make_experiment(request, bench.cards, resolver), resources))


def test_table_of_a_methods_alignment_before_and_after_training(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.running.alignments.ROWS", 30)
    exact, greedy, chance = table(bench, tmp_path, "optical:solver=exact", "optical:solver=greedy")
    assert [row[:2] for row in (exact, greedy, chance)] == [
        ["qaa-eng", "optical solver=exact"],
        ["qaa-eng", "optical solver=greedy"],
        ["qaa-eng", "chance"],
    ]
    assert all(len(row) == len(COLUMNS) for row in (exact, greedy, chance))
    assert exact[4] == greedy[4]  # the untrained student's
    assert exact[3] != exact[2] and exact[5] != exact[4]
    assert 0 < float(chance[2]) < 0.25


def test_method_that_aligns_nothing_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="method 'distillation' aligns no words"):
        table(bench, tmp_path, "distillation")
    assert {"optical:solver=entropic", "optical:solver=greedy"} <= set(aligners())
