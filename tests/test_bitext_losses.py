"""Contrastive learning and distillation on bitext: the losses by hand, and which pairs are no negatives."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Prepare

from bench.data import Bitext, Relevance, TrainingData
from bench.training.loop import TrainedMethod
from bench.training.losses import info_nce
from bench.training.method import Task
from methods.contrastive import Contrastive, ContrastiveConfig
from methods.distillation import Distillation


@pytest.mark.parametrize("documents", ["teacher", "student"])
def test_distillation_is_the_squared_distance_to_the_teachers_embedding(prepare: Prepare, documents: str) -> None:
    method, rows = prepare(Distillation, document_encoder=documents), np.array([3, 77, 120])
    loss, _ = method.loss({"bitext": rows}, 0.0)
    bitext = method.task.data.bitext.take(rows)
    target = method.task.teacher.encode(bitext.document_side, "document")
    expected = np.square(method.student.encode(bitext.query_side, "query") - target).sum(axis=1).mean()
    if documents == "student":
        expected += np.square(method.student.encode(bitext.document_side, "document") - target).sum(axis=1).mean()
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def cosines(method: TrainedMethod, rows: np.ndarray) -> np.ndarray:
    bitext = method.task.data.bitext.take(rows)
    queries = method.student.encode(bitext.query_side, "query").astype(float)
    return queries @ method.document_encoder.encode(bitext.document_side, "document").astype(float).T


def cross_entropy(scores: np.ndarray, allowed: np.ndarray | float = 1.0) -> float:
    weights = np.exp(scores) * allowed
    return float(np.mean(-np.log(np.diag(weights) / weights.sum(axis=1))))


@pytest.mark.parametrize("documents", ["teacher", "student"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_contrastive_loss_of_a_batch_by_hand(prepare: Prepare, documents: str, symmetric: bool) -> None:
    settings = {"negatives": "batch", "temperature": 0.2, "margin": 0.1, "distance_weight": 0.5}
    method = prepare(Contrastive, document_encoder=documents, symmetric=symmetric, **settings)
    assert (method.document_encoder is method.task.teacher) == (documents == "teacher")
    rows = np.array([3, 50, 7, 120])
    cosine = cosines(method, rows)
    scores = (cosine - 0.1 * np.eye(4)) / 0.2
    expected = np.mean([cross_entropy(each) for each in ([scores, scores.T] if symmetric else [scores])])
    expected += 0.5 * np.mean(2 - 2 * np.diag(cosine))
    assert float(method.loss({"bitext": rows}, 0.0)[0].detach()) == pytest.approx(expected, rel=1e-4)


def test_whole_bitext_is_contrasted_but_for_the_members_of_a_group(
    prepare: Prepare, make_task: Callable[..., Task], data: TrainingData
) -> None:
    """Row 150 repeats the English sentence of row 0; row 151 translates the foreign sentence of row 1 anew."""
    english, foreign = data.bitext.document_side, data.bitext.query_side
    more = Bitext.of(data.pairs[0], ("another wording", foreign[1]), (english[0], "a new translation"), "hand")
    bitext = Bitext.join([data.bitext, more])
    task = make_task(data=replace(data, bitext=bitext, relevance=Relevance.join([])))
    method, rows = prepare(Contrastive, task, symmetric=False, distance_weight=0), np.array([0, 1, 2])
    queries = method.student.encode([foreign[row] for row in rows], "query").astype(float)
    bank = list(dict.fromkeys([*english, "a new translation"]))
    weights = np.exp(queries @ method.task.teacher.encode(bank, "document").T.astype(float) / 0.05)
    own = [bank.index(english[row]) for row in rows]
    weights[1, bank.index("a new translation")] = 0
    expected = -np.log(weights[[0, 1, 2], own] / weights.sum(axis=1)).mean()
    assert float(method.loss({"bitext": rows}, 0.0)[0].detach()) == pytest.approx(expected, rel=1e-4)


def test_student_that_encodes_documents_has_no_bank() -> None:
    with pytest.raises(ValueError, match="set negatives=batch"):
        ContrastiveConfig(document_encoder="student", negatives="bitext")
    cases = [("teacher", None), ("teacher", "bitext"), ("teacher", "batch"), ("student", None)]
    banks = [ContrastiveConfig(document_encoder=encoder, negatives=negatives).has_bank for encoder, negatives in cases]
    assert banks == [True, True, False, False]


def test_what_says_the_same_is_no_negative(
    prepare: Prepare, make_task: Callable[..., Task], data: TrainingData
) -> None:
    """Rows 0 and 150 share their English side, 1 and 151 are linked by a judgment alone, 2 has no relative."""
    pair, english = data.pairs[0], data.bitext.document_side
    more = Bitext.of(pair, ("another wording", "yet another"), (english[0].upper(), "an answer to it"), "hand")
    judged = Relevance.of(pair, (english[1],), ("an answer to it",), "hand")
    task = make_task(data=replace(data, bitext=Bitext.join([data.bitext, more]), relevance=judged))
    settings = {"negatives": "batch", "symmetric": False, "distance_weight": 0}
    method, rows = prepare(Contrastive, task, **settings), np.array([0, 1, 2, 150, 151])
    allowed = np.ones((5, 5))
    for first, second in ((0, 3), (1, 4)):
        allowed[first, second] = allowed[second, first] = 0
    expected = cross_entropy(cosines(method, rows) / 0.05, allowed)
    assert float(method.loss({"bitext": rows}, 0.0)[0].detach()) == pytest.approx(expected, rel=1e-4)


def test_contrastive_loss_is_computed_in_float32_under_autocast() -> None:
    rng = torch.Generator().manual_seed(0)
    queries, documents = torch.randn(2, 8, 16, generator=rng)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = info_nce(queries, documents, 0.05)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, info_nce(queries, documents, 0.05))
