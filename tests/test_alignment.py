"""Word alignment by token embeddings, against links worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.data.cards import Card
from bench.data.files import Resolver
from bench.encoders.encoder import Encoder
from bench.errors import BenchError
from bench.evaluation.alignment import alignment_f1, chance_f1, mutual_f1, word_embeddings
from bench.progress import Display
from bench.recipe import Budget
from bench.request import Request
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


def test_nothing_right_is_zero(encoder: Encoder) -> None:
    assert alignment_f1(encoder, encoder, [(WORDS, WORDS, [(0, 1)])]) == 0
    assert alignment_f1(encoder, encoder, []) == 0


def test_other_weights_align_worse(encoder: Encoder, build_encoder: Callable[..., Encoder]) -> None:
    links = [(i, i) for i in range(len(WORDS))]
    assert alignment_f1(encoder, build_encoder(seed=5), [(WORDS, WORDS, links)]) < 1


def test_mutual_links_by_hand() -> None:
    """Links are (0, 1) and (2, 0), of equals the first; of row 1 nothing, and of column 2 nothing, is mutual."""
    matrix = np.array([[0.1, 0.5, 0.2], [0.3, 0.4, 0.0], [0.6, 0.0, 0.6]])
    row = (["a", "b", "c"], ["x", "y", "z"], [(0, 1), (1, 0), (2, 2)])
    assert mutual_f1(lambda english, foreign: matrix, [row]) == pytest.approx(2 * 1 / (2 + 3))


def test_nothing_is_linked_to_nothing() -> None:
    row = (["a", "b"], ["x", "y"], [(0, 0), (1, 1)])
    assert mutual_f1(lambda english, foreign: np.zeros((2, 2)), [row]) == 0
    assert mutual_f1(lambda english, foreign: np.diag([0.0, 1.0]), [row]) == pytest.approx(2 / 3)


def test_chance_is_that_of_random_matrices() -> None:
    """An entry of n x n random numbers is the largest of its row and column with probability 1 / (2 n - 1)."""
    n = 5
    row = ([""] * n, [""] * n, [(i, i) for i in range(n)])
    expected = 2 * n / (2 * n - 1) / (n + n * n / (2 * n - 1))
    assert chance_f1([row] * 2000, np.random.default_rng(0)) == pytest.approx(expected, abs=0.01)


def test_table_of_a_methods_alignment_before_and_after_training(
    small_conlang: dict[str, Card], encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.running.alignments.ROWS", 30)
    methods = ("optical:solver=exact", "optical:solver=greedy")
    recipe = {"batch_size": 8, "learning_rate": 0.01}
    request = Request(methods=methods, budget=Budget(10, "steps"), encoder=str(encoder_folder), recipe=recipe)
    resolver, how = Resolver(offline=True), (str(encoder_folder), "cpu", "float32")
    resources = Resources(*how, small_conlang, resolver, Display(quiet=True), threads=1)
    exact, greedy, chance = alignment_rows(make_experiment(request, small_conlang, resolver), resources)
    assert [row[:2] for row in (exact, greedy, chance)] == [
        ["qaa-eng", "optical solver=exact"],
        ["qaa-eng", "optical solver=greedy"],
        ["qaa-eng", "chance"],
    ]
    assert all(len(row) == len(COLUMNS) for row in (exact, greedy, chance))
    assert exact[4] == greedy[4]  # the untrained student's
    assert exact[3] != exact[2] and exact[5] != exact[4]
    assert 0 < float(chance[2]) < 0.25


def test_method_that_aligns_nothing_is_refused(small_conlang: dict[str, Card], encoder_folder: Path) -> None:
    request = Request(methods=("distillation",), encoder=str(encoder_folder))
    resolver, how = Resolver(offline=True), (str(encoder_folder), "cpu", "float32")
    resources = Resources(*how, small_conlang, resolver, Display(quiet=True), threads=1)
    with pytest.raises(BenchError, match="method 'distillation' aligns no words"):
        list(alignment_rows(make_experiment(request, small_conlang, resolver), resources))


def test_all_that_align_words_are_found() -> None:
    assert {"optical:solver=entropic", "optical:solver=greedy"} <= set(aligners())
