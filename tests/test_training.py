"""The one training loop: budgets, schedule, parameter groups, and what happens when numbers run out."""

from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise

import numpy as np
import pytest
import torch
from conftest import MakeTask, Prepare
from torch import Tensor, nn

from bench.encoders.encoder import Encoder
from bench.errors import CellFailed
from bench.recipe import Budget, Recipe, Spent
from bench.training.loop import Batch, TrainedConfig, TrainedMethod, count_rows, make_optimiser, schedule, train
from bench.training.method import Task
from methods.adversarial import Adversarial
from methods.contrastive import Contrastive
from methods.distillation import Distillation
from methods.hard_negatives import HardNegatives
from methods.hybrid_batch import HybridBatch
from methods.optical import Optical
from methods.posterior_alignment import PosteriorAlignment


class Shrink(TrainedMethod):
    """Makes embeddings small; its loss is `factor(step)` times their squared length."""

    name = "shrink"

    def __init__(self, factor: Callable[[int], float] = lambda step: 1.0) -> None:
        super().__init__()
        self.factor, self.steps, self.progress, self.read = factor, 0, [], []

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        self.ids = student.tokenize(task.data.bitext.query_side, "query")

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        while True:
            yield {"rows": rng.integers(len(self.ids), size=8)}

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        self.steps += 1
        self.progress.append(progress)
        tokens = self.student.collate([self.ids[i] for i in batch["rows"]])
        self.read.append(tokens.tokens)
        return self.factor(self.steps) * self.student(tokens).square().sum(dim=1).mean(), {"figure": 7.0}


def trained(task: Task, method: Shrink | None = None) -> Shrink:
    method = method or Shrink()
    method.fit(task)
    return method


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_budget_in_steps_is_exact(make_task: MakeTask, steps: int) -> None:
    task = make_task(steps)
    method = trained(task)
    assert method.steps == steps == task.outcome["spent"].steps
    assert method.progress == [step / steps for step in range(steps)]  # the share spent before the step


def test_budget_in_tokens_ends_with_the_first_step_that_reaches_it(make_task: MakeTask) -> None:
    task = make_task(budget=Budget(700, "tokens"))
    task.teacher.encode(["the cat"], "document")  # its tokens do not count
    method = trained(task)
    totals = list(accumulate(method.read))
    assert task.outcome["spent"].tokens == totals[-1] >= 700 > totals[-2]
    assert trained(make_task(budget=Budget(totals[2], "tokens"))).steps == 3


@pytest.mark.parametrize("unit", ["seconds", "cpu_seconds"])
def test_budget_in_time_ends_with_the_first_step_that_reaches_it(make_task: MakeTask, unit: str) -> None:
    records: list[dict] = []
    task = make_task(budget=Budget(1, unit), on_step=records.append)
    trained(task)
    before, last = (record[unit] for record in records[-2:])
    assert before <= 1 <= last + 5e-4  # logged seconds are rounded
    assert getattr(task.outcome["spent"], unit) == pytest.approx(last, abs=1e-3)


@pytest.mark.parametrize(("examples", "steps"), [(1, 1), (24, 3), (25, 4)])
def test_budget_in_examples_is_in_steps_times_the_batch_size(make_task: MakeTask, examples: int, steps: int) -> None:
    task = make_task(budget=Budget(examples, "examples"))
    assert trained(task).steps == steps
    assert task.outcome["spent"].examples == 8 * steps


def test_examples_are_the_rows_of_all_arrays_but_a_seed(make_task: MakeTask) -> None:
    class Several(Shrink):
        def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
            for batch in super().batches(rng):
                yield {**batch, "bitext": np.array([0, 2, 149]), "seed": np.array(7)}

    task = make_task(4)
    trained(task, Several())
    spent = task.outcome["spent"]
    assert (spent.examples, spent.bitext_rows) == (4 * (8 + 3), {"qaa-eng": 4 * 3})


@pytest.mark.parametrize(
    ("kind", "settings", "pairs"),
    [
        (Contrastive, {}, 16),
        (Distillation, {}, 16),
        (Optical, {}, 16),
        (HardNegatives, {}, 16),
        (HardNegatives, {"data": "relevance"}, 0),
        (HybridBatch, {"alpha": 0.0}, 16),
        (HybridBatch, {"alpha": 1.0}, 0),
        (PosteriorAlignment, {}, 16 // 3),
        (Adversarial, {}, 0),
        (Adversarial, {"pair_weight": 1.0}, 16 // 3),
    ],
)
def test_translation_pairs_of_a_batch_are_counted(
    prepare: Prepare, kind: type[TrainedMethod], settings: dict, pairs: int
) -> None:
    method = prepare(kind, **settings)
    batch, spent = next(method.batches(np.random.default_rng(0))), Spent()
    count_rows(method, batch, spent)
    assert spent.bitext_rows == ({"qaa-eng": pairs} if pairs else {})


@pytest.mark.parametrize(
    ("kind", "settings", "directions"), [(HardNegatives, {"data": "both"}, 1), (HybridBatch, {}, 2)]
)
def test_of_mixed_examples_only_translations_are_counted(
    prepare: Prepare, kind: type[TrainedMethod], settings: dict, directions: int
) -> None:
    method = prepare(kind, **settings)
    examples, bitext = method.examples.rows, method.task.data.bitext
    translations = [row for row, source in enumerate(examples.sources) if source == "bitext"]
    rows = method.bitext_rows({"examples": np.arange(len(examples))})
    assert len(rows) == len(translations) == directions * len(bitext)
    for example, row in zip(translations, rows, strict=True):
        pair = {bitext.query_side[row], bitext.document_side[row]}
        assert {examples.queries[example], examples.positives[example]} == pair


@pytest.mark.parametrize(
    ("warmup", "factors"),
    [
        (0.1, {0: 0.01, 0.0005: 0.01, 0.05: 0.5, 0.1: 1.0, 0.55: 0.5, 0.91: 0.1, 1.0: 0.0}),
        (0.0, {0: 1, 0.5: 0.5, 1: 0}),
        (1.0, {0: 0.01, 0.5: 0.5, 1: 0}),
    ],
)
def test_learning_rate_rises_over_the_warm_up_and_falls_to_zero(warmup: float, factors: dict[float, float]) -> None:
    assert {progress: schedule(progress, warmup) for progress in factors} == pytest.approx(factors)


def test_log_has_a_record_for_every_step(make_task: MakeTask) -> None:
    records: list[dict] = []
    trained(make_task(10, recipe={"learning_rate": 1e-3, "warmup": 0.2}, on_step=records.append))
    expected = [1e-5, 5e-4, 1e-3, *(1e-3 * left / 8 for left in range(7, 0, -1))]
    assert [record["learning_rate"] for record in records] == pytest.approx(expected)
    assert [record["step"] for record in records] == list(range(1, 11))
    assert [record["share"] for record in records] == pytest.approx([step / 10 for step in range(1, 11)])
    assert all(record["figure"] == 7 and record["loss"] > 0 and record["gradient_norm"] > 0 for record in records)
    assert all(first["tokens"] < second["tokens"] for first, second in pairwise(records))


def test_loss_or_gradient_that_is_no_number_fails_and_names_the_step(make_task: MakeTask) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(CellFailed, match="at step 3;"):
            trained(make_task(5), Shrink(lambda step, value=value: value if step == 3 else 1.0))

    class Broken(Shrink):
        def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
            loss, figures = super().loss(batch, progress)
            return loss + (loss - loss.detach()).sqrt(), figures  # finite, but its slope at zero is not

    with pytest.raises(CellFailed, match=r"gradient's norm .* at step 1;"):
        trained(make_task(5), Broken())


class WithModule(Shrink):
    """Trains a module of its own besides the student."""

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        self.module = nn.Linear(3, 3)

    def modules(self) -> list[tuple[nn.Module, float]]:
        return [(self.module, 0.5)]


def test_parameters_are_grouped_by_learning_rate_and_decay(make_task: MakeTask) -> None:
    recipe = Recipe(learning_rate=1e-4, embedding_learning_rate=2e-3, weight_decay=0.05)
    task, method = make_task(), WithModule()
    method.prepare(task, task.make_student())
    group_of = {id(p): group for group in make_optimiser(method, recipe).param_groups for p in group["params"]}
    for name, parameter in method.student.named_parameters():
        group = group_of.pop(id(parameter))
        if name.endswith("word_embeddings.weight"):
            assert (group["lr"], group["weight_decay"]) == (2e-3, 0.0), name
        elif name.endswith("bias") or "LayerNorm" in name:
            assert (group["lr"], group["weight_decay"]) == (1e-4, 0.0), name
        else:
            assert (group["lr"], group["weight_decay"]) == (1e-4, 0.05), name
    assert len(group_of) == len(list(method.module.parameters()))
    assert all(group["lr"] == 0.5 for group in group_of.values())


def test_factor_multiplies_the_recipes_learning_rates_and_no_others(make_task: MakeTask) -> None:
    recipe = Recipe(learning_rate=1e-4, embedding_learning_rate=2e-3)
    task, method = make_task(), WithModule()
    method.prepare(task, task.make_student())
    method.config = TrainedConfig(learning_rate_factor=4.0)
    groups = make_optimiser(method, recipe).param_groups
    assert [group["lr"] for group in groups] == pytest.approx([4e-4, 4e-4, 8e-3, 0.5])


def test_frozen_parameters_are_not_trained(make_task: MakeTask) -> None:
    task, method = make_task(2), Shrink()
    student = task.make_student()
    frozen = student.transformer.embeddings.position_embeddings.weight
    frozen.requires_grad_(False)
    before = frozen.clone()
    method.prepare(task, student)
    train(method, task)
    assert torch.equal(frozen, before)


class Sgd(torch.optim.SGD):
    """Plain descent, whose step shows the gradient that reached the optimiser."""

    def __init__(self, method: TrainedMethod) -> None:
        super().__init__([{"params": list(method.student.parameters())}], lr=1.0)


@pytest.mark.parametrize(("factor", "clipped"), [(1e4, True), (1e-4, False)])
def test_gradients_are_clipped_to_the_recipes_norm(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch, factor: float, clipped: bool
) -> None:
    monkeypatch.setattr("bench.training.loop.make_optimiser", lambda method, recipe: Sgd(method))
    records: list[dict] = []
    task = make_task(1, recipe={"clip_norm": 0.5, "warmup": 0.0}, on_step=records.append)
    before = task.make_student()
    after = trained(task, Shrink(lambda step: factor)).student
    moved = [(a - b).detach() for a, b in zip(after.parameters(), before.parameters(), strict=True)]
    norm = float(torch.sqrt(sum(step.double().square().sum() for step in moved)))
    assert (records[0]["gradient_norm"] > 0.5) == clipped
    assert norm == pytest.approx(0.5 if clipped else records[0]["gradient_norm"], rel=1e-2)


def test_gradient_of_another_module_never_shortens_the_students(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.training.loop.make_optimiser", lambda method, recipe: Sgd(method))

    class Loud(WithModule):
        def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
            loss, figures = super().loss(batch, progress)
            return loss + 1e6 * self.module.weight.sum(), figures

    students = [trained(make_task(1), method).student.fingerprint() for method in (Loud(), Shrink())]
    assert students[0] == students[1]


def test_dropout_is_drawn_from_the_seed(make_task: MakeTask) -> None:
    fingerprints = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(fingerprints) + 5)  # the global state must not matter
        task = make_task(2, seed=seed, recipe={"dropout": 0.3})
        fingerprints.append(trained(task).student.fingerprint())
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


@pytest.mark.parametrize(("precision", "mixed"), [("float32", False), ("bfloat16", True)])
def test_only_training_is_in_training_mode_and_in_mixed_precision(
    make_task: MakeTask, precision: str, mixed: bool
) -> None:
    seen = []

    class Watch(Shrink):
        def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
            seen.append((self.student.training, torch.is_autocast_enabled("cpu")))
            return super().loss(batch, progress)

    method = trained(make_task(2, precision=precision), Watch())
    assert seen == [(True, mixed)] * 2
    assert not method.student.training and not torch.is_autocast_enabled("cpu")
    assert {parameter.dtype for parameter in method.student.parameters()} == {torch.float32}
