"""OPTICAL: the loss worked out by POT one pair at a time, and what training may and may not change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import ot
import pytest
import torch

from bench.encoders.encoder import Encoder
from bench.training.method import Task
from methods.optical import Optical, OpticalConfig

MakeTask = Callable[..., Task]


def word_vectors(encoder: Encoder, text: str, side: str) -> np.ndarray:
    """Unit-length embeddings of a text's tokens, [CLS] and [SEP] left out, of the text alone."""
    batch = encoder.collate(encoder.tokenize([text], side))  # type: ignore[arg-type]
    with torch.no_grad():
        vectors = encoder.token_embeddings(batch)[0, 1:-1].double().numpy()
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_loss_is_the_mean_cost_of_the_entropic_plans(make_task: MakeTask) -> None:
    task, method = make_task(), Optical(OpticalConfig(epsilon=0.1, tolerance=1e-5, max_iterations=20_000))
    method.prepare(task, task.make_student())
    rows = np.array([0, 24, 77, 149])  # of different lengths, so that all but the longest are padded
    loss, figures = method.loss({"bitext": rows}, 0.0)
    values = []
    for i in rows:
        english = word_vectors(task.teacher, task.data.bitext.document_side[i], "document")
        target = word_vectors(method.student, task.data.bitext.query_side[i], "query")
        cost = 1 - english @ target.T
        masses = [np.full(size, 1 / size) for size in cost.shape]
        plan = ot.sinkhorn(*masses, cost, 0.1, method="sinkhorn_log", stopThr=1e-10, numItermax=100_000)
        values.append((plan * cost).sum())
    assert float(loss.detach()) == pytest.approx(np.mean(values), abs=1e-4)
    assert figures["plans_unconverged"] == 0


def test_plans_that_did_not_converge_are_counted(make_task: MakeTask) -> None:
    task, method = make_task(), Optical(OpticalConfig(epsilon=0.01, tolerance=1e-7, max_iterations=1))
    method.prepare(task, task.make_student())
    _, figures = method.loss({"bitext": np.arange(8)}, 0.0)
    assert figures["plan_iterations"] == 1
    assert figures["plans_unconverged"] > 0


def test_training_reduces_the_loss(make_task: MakeTask) -> None:
    losses: list[float] = []
    Optical().fit(make_task(steps=40, on_step=lambda record: losses.append(record["loss"])))
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_teacher_is_left_alone_and_encodes_the_documents(make_task: MakeTask, teacher: Encoder) -> None:
    before = teacher.fingerprint()
    task = make_task(steps=3)
    retriever = Optical().fit(task)
    assert retriever.document_encoder is task.teacher is teacher
    assert teacher.fingerprint() == before
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in teacher.parameters())
    assert retriever.query_encoder.fingerprint() != task.make_student().fingerprint()


def test_same_seed_gives_the_same_student(make_task: MakeTask) -> None:
    students = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(students))  # the global state must not matter
        students.append(Optical().fit(make_task(steps=3, seed=seed)).query_encoder.fingerprint())
    assert students[0] == students[1] != students[2]
