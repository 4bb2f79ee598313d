"""Combined methods: one student, the weighted sum of the losses, the same examples for each part."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MakeTask
from torch import Tensor, nn

from bench.data import Pair
from bench.errors import BenchError
from bench.recipe import Spent
from bench.request import Request
from bench.running.method_specs import make_method, resolve_methods
from bench.spec import RunSpec
from bench.training.combination import Combination
from bench.training.loop import Batch, TrainedConfig, TrainedMethod
from bench.training.method import Task
from methods.contrastive import Contrastive
from methods.distillation import Distillation, DistillationConfig
from methods.hard_negatives import HardNegatives, HardNegativesConfig
from methods.optical import Optical


class Counts(TrainedMethod):
    """Moves the student by a number that grows with every step, and that only `state` remembers."""

    name = "counts"

    def prepare(self, task: Task, student: Any) -> None:
        super().prepare(task, student)
        self.count = torch.zeros(1)
        self.scale = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.scale.weight)

    def modules(self) -> list[tuple[nn.Module, float]]:
        return [(self.scale, 0.1)]

    def on_step_start(self, spent: Spent) -> None:
        self.count = self.count + 1
        spent.extra_texts += 3

    def state(self) -> dict[str, Tensor]:
        return {"count": self.count}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.count = state["count"]

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        while True:
            yield {"rows": rng.integers(9, size=self.task.recipe.batch_size)}

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        size = float(len(batch["rows"])) * self.scale(self.count).sum()
        return size * self.student.word_embeddings.weight.square().mean(), {"count": float(self.count)}

    def diagnose(self) -> dict[str, Any]:
        return {"count": float(self.count)}


def plain_distillation() -> Distillation:
    """Parts of a combination have one learning rate."""
    return Distillation(DistillationConfig(learning_rate_factor=1.0))


def combined(weight: float = 2.0) -> Combination:
    return Combination([plain_distillation(), Counts(TrainedConfig(weight=weight))], ["distillation", "counts"])


@pytest.mark.parametrize(("batches", "size"), [("same", 12), ("split", 6)])
def test_loss_is_the_weighted_sum_over_a_batch_of_each_part(make_task: MakeTask, batches: str, size: int) -> None:
    task = make_task(recipe={"batch_size": 12, "combined_batches": batches})
    method = combined()
    method.prepare(task, task.make_student())
    batch = next(method.batches(np.random.default_rng(0)))
    assert {name: len(rows) for name, rows in batch.items()} == {"distillation.bitext": size, "counts.rows": size}
    method.on_step_start(Spent())
    loss, figures = method.loss(batch, 0.0)
    assert float(loss.detach()) == pytest.approx(figures["distillation.loss"] + 2 * figures["counts.loss"])
    parts = [part.loss({name: batch[f"{key}.{name}"]}, 0.0)[0] for key, name, part in _parts(method)]
    gradients = [torch.autograd.grad(part, method.student.word_embeddings.weight)[0] for part in parts]
    (whole,) = torch.autograd.grad(loss, method.student.word_embeddings.weight)
    torch.testing.assert_close(whole, gradients[0] + 2 * gradients[1])


def _parts(method: Combination) -> list[tuple[str, str, TrainedMethod]]:
    return [("distillation", "bitext", method.parts["distillation"]), ("counts", "rows", method.parts["counts"])]


@pytest.mark.parametrize("batches", ["same", "split"])
def test_parts_read_the_same_examples_unless_they_split_them(make_task: MakeTask, batches: str) -> None:
    task = make_task(recipe={"batch_size": 12, "combined_batches": batches})
    parts = [
        Optical(),
        plain_distillation(),
        Contrastive(),
        HardNegatives(HardNegativesConfig(learning_rate_factor=1.0)),
    ]
    method = Combination(parts, [part.name for part in parts])
    method.prepare(task, task.make_student())
    for batch in islice(method.batches(np.random.default_rng(0)), 5):
        first, *others = batch.values()
        assert all(np.array_equal(rows, first) for rows in others) == (batches == "same")


def test_training_reports_parts_by_name_and_what_mining_cost(make_task: MakeTask) -> None:
    records: list[dict[str, Any]] = []
    task = make_task(4, on_step=records.append)
    combined().fit(task)
    assert [record["counts.count"] for record in records] == [1, 2, 3, 4]
    assert task.outcome["diagnostics"].keys() == {"counts.count", "mean_cosine", "unknown_pieces"}
    assert task.outcome["diagnostics"]["counts.count"] == 4
    assert task.outcome["spent"].extra_texts == 12
    # Each part has a batch of 16, and only one of them reads bitext.
    assert (task.outcome["spent"].examples, task.outcome["spent"].bitext_rows) == (4 * 32, {"qaa-eng": 4 * 16})


def row(text: str, **settings: Any) -> Any:
    return resolve_methods(Request(methods=(text,), **settings))[-1]


def test_the_first_part_decides_who_encodes_documents_and_the_factor_on_learning_rates() -> None:
    for text, documents in (("optical+adversarial", "teacher"), ("adversarial+optical", "student")):
        found = row(text)
        assert [dict(method.settings)["document_encoder"] for method in found.methods] == [documents, documents]
        assert [method.changed for method in found.methods] == [(), ()]  # that the second follows is nothing unusual
        assert found.name == text
    found = row("optical:learning_rate_factor=2+distillation:learning_rate_factor=0.5")
    assert [dict(method.settings)["learning_rate_factor"] for method in found.methods] == [2, 2]
    made = make_method(found.methods)
    assert made.config.learning_rate_factor == 2
    parts = [Distillation(), Counts(TrainedConfig(learning_rate_factor=3))]
    with pytest.raises(ValueError, match="differ in learning_rate_factor"):
        Combination(parts, ["distillation", "counts"])


def test_settings_of_a_combination_belong_to_its_parts() -> None:
    found = row("optical:epsilon=0.5+distillation:weight=3", method={"optical": {"tolerance": 0.01}})
    spec = RunSpec(methods=found.methods, encoder="tiny", pairs=(Pair("qaa", "eng"),))
    assert spec.columns["config"] == "optical.epsilon=0.5 optical.tolerance=0.01 distillation.weight=3.0"
    assert spec.columns["supervision"] == "bitext"
    method = make_method(found.methods)
    assert isinstance(method, Combination)
    assert [type(part) for part in method.parts.values()] == [Optical, Distillation]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optical+zero-shot", "'zero-shot' trains no student; write fusion.optical.zero-shot to fuse"),
        *(
            (text, "fusion comes first, and two or more methods follow it, as in fusion.psq.contrastive")
            for text in ("fusion+optical", "fusion+[psq+bm25]", "optical+fusion+psq", "[fusion+psq]+bm25")
        ),
        ("fusion+psq+psq:k1=2", "'psq' is combined with itself"),
        ("fusion:k=-1+psq+optical", "k"),
        ("hybrid-batch+translate-distill", "method 'translate-distill': document_encoder = 'student'"),
        ("optical+optical:epsilon=0.1", "'optical' is combined with itself"),
        ("optical:weight=2", "'optical': the setting weight is for methods that are combined"),
        ("optical+distilation", "unknown method 'distilation'; did you mean distillation"),
    ],
)
def test_what_cannot_be_combined_is_refused(text: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        row(text)
