"""Embedding distillation: the loss worked out by hand, and what training may and may not change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.training.method import Task
from methods.distillation import Distillation, DistillationConfig

MakeTask = Callable[..., Task]


@pytest.mark.parametrize("english_side", [True, False])
def test_loss_is_the_squared_distance_to_the_teachers_embedding(make_task: MakeTask, english_side: bool) -> None:
    task, method = make_task(), Distillation(DistillationConfig(english_side=english_side))
    method.prepare(task, task.make_student())
    rows = np.array([3, 77, 120])
    loss, _ = method.loss({"bitext": rows}, 0.0)
    bitext = task.data.bitext
    target = task.teacher.encode([bitext.document_side[i] for i in rows], "document")
    foreign = method.student.encode([bitext.query_side[i] for i in rows], "query")
    english = method.student.encode([bitext.document_side[i] for i in rows], "query")
    expected = np.square(foreign - target).sum(axis=1).mean()
    if english_side:
        expected += np.square(english - target).sum(axis=1).mean()
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
