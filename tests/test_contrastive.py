"""Contrastive bitext: the loss by hand, and what it does not contrast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from bench.data import Bitext, Relevance, TrainingData
from bench.encoders.encoder import Encoder, Side
from bench.training.method import Task
from methods.contrastive import Contrastive, ContrastiveConfig

MakeTask = Callable[..., Task]


def prepared(task: Task, **config: object) -> Contrastive:
    method = Contrastive(ContrastiveConfig(**config))
    method.prepare(task, task.make_student())
    return method


def cosines(queries: Encoder, first: Sequence[str], documents: Encoder, second: Sequence[str]) -> np.ndarray:
    return queries.encode(first, "query").astype(float) @ documents.encode(second, "document").astype(float).T


def cross_entropy(scores: np.ndarray, allowed: np.ndarray) -> float:
    weights = np.exp(scores) * allowed
    return float(np.mean(-np.log(np.diag(weights) / weights.sum(axis=1))))


@pytest.mark.parametrize("documents", ["teacher", "student"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_loss_by_hand(make_task: MakeTask, documents: str, symmetric: bool) -> None:
    task = make_task()
    method = prepared(task, document_encoder=documents, symmetric=symmetric, temperature=0.2)
    rows = np.array([3, 50, 7, 120])
    bitext = task.data.bitext.take(rows)
    encoder = task.teacher if documents == "teacher" else method.student
    scores = cosines(method.student, bitext.query_side, encoder, bitext.document_side) / 0.2
    everything = np.ones_like(scores)
    expected = cross_entropy(scores, everything)
    if symmetric:
        expected = (expected + cross_entropy(scores.T, everything)) / 2
    loss, _ = method.loss({"examples": rows}, 0.0)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_what_says_the_same_is_no_negative(make_task: MakeTask, data: TrainingData) -> None:
    """Rows 0 and 150 share their English side, 1 and 151 are linked by a judgment alone, 2 has no relative."""
    pair, english = data.pairs[0], data.bitext.document_side
    more = Bitext.of(pair, ("another wording", "yet another"), (english[0].upper(), "an answer to it"), "hand")
    judged = Relevance.of(pair, (english[1],), ("an answer to it",), "hand")
    task = make_task(data=replace(data, bitext=Bitext.join([data.bitext, more]), relevance=judged))
    method = prepared(task, symmetric=False)
    rows = np.array([0, 1, 2, 150, 151])
    scores = cosines(method.student, *_sides(task, rows, "query"), task.teacher, *_sides(task, rows, "document")) / 0.05
    allowed = np.ones((5, 5))
    for first, second in ((0, 3), (1, 4)):
        allowed[first, second] = allowed[second, first] = 0
    loss, _ = method.loss({"examples": rows}, 0.0)
    assert float(loss.detach()) == pytest.approx(cross_entropy(scores, allowed), rel=1e-4)


def _sides(task: Task, rows: np.ndarray, side: Side) -> tuple[tuple[str, ...]]:
    bitext = task.data.bitext.take(rows)
    return (bitext.query_side if side == "query" else bitext.document_side,)
