"""The gradient reversal by hand, the sampling, the discriminator, and the probe on data whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from bench.encoders.encoder import Encoder
from bench.training.loop import make_optimiser
from bench.training.losses import info_nce
from bench.training.method import Task
from methods.adversarial import Adversarial, AdversarialConfig, reversal_strength, reverse_gradient
from methods.probe import language_probe_accuracy

MakeTask = Callable[..., Task]


@pytest.fixture
def prepared(make_task: MakeTask) -> Adversarial:
    task, method = make_task(), Adversarial()
    method.prepare(task, task.make_student())
    return method


def first_batch(method: Adversarial) -> dict[str, np.ndarray]:
    return dict(next(method.batches(np.random.default_rng(0))))


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.5])
def test_gradient_is_reversed_and_scaled_and_the_value_kept(strength: float) -> None:
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
    upstream = torch.tensor([[1.0, 10.0], [-4.0, 0.0]])
    y = reverse_gradient(x, strength)
    assert torch.equal(y, x)
    y.backward(upstream)
    assert torch.equal(x.grad, -strength * upstream)


def test_strength_follows_the_papers_ramp() -> None:
    assert reversal_strength(0) == 0
    assert reversal_strength(0.5) == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    assert reversal_strength(1) == pytest.approx(0.9999092)
    values = [reversal_strength(i / 50) for i in range(51)]
    assert all(first < second for first, second in pairwise(values))


def test_every_batch_has_as_many_english_as_target_sentences(prepared: Adversarial) -> None:
    half = prepared.task.recipe.batch_size // 2
    for batch in islice(prepared.batches(np.random.default_rng(0)), 30):
        assert {name: len(rows) for name, rows in batch.items()} == {"positive": half, "english": half, "target": half}


def test_languages_are_drawn_apart(prepared: Adversarial) -> None:
    """Translations meet in a batch no more often than chance has it: half * half / rows."""
    rows = len(prepared.task.data.bitext)
    batches = list(islice(prepared.batches(np.random.default_rng(0)), 200))
    half = len(batches[0]["english"])
    met = np.mean([len(np.intersect1d(batch["english"], batch["target"])) for batch in batches])
    assert met < 3 * half * half / rows
    assert not any(np.array_equal(batch["english"], batch["target"]) for batch in batches)


def test_batches_are_a_function_of_the_generator(prepared: Adversarial) -> None:
    one, same, other = (
        [
            {name: rows.tolist() for name, rows in batch.items()}
            for batch in islice(prepared.batches(np.random.default_rng(seed)), 5)
        ]
        for seed in (0, 0, 1)
    )
    assert one == same != other


def language_gradients(method: Adversarial, progress: float) -> tuple[torch.Tensor, torch.Tensor]:
    """What the language loss alone gives to the student's word embeddings and to the discriminator's first layer."""
    batch = first_batch(method)
    weight, layer = method.student.word_embeddings.weight, method.discriminator[0].weight
    loss, _ = method.loss(batch, progress)
    task_loss = info_nce(
        method.embed("query", batch["positive"]),
        method.embed("positive", batch["positive"]),
        method.config.temperature,
    )
    return torch.autograd.grad(loss - task_loss, [weight, layer])


def test_without_reversal_strength_only_the_discriminator_learns_the_language(prepared: Adversarial) -> None:
    student, discriminator = language_gradients(prepared, progress=0.0)
    assert student.abs().max() < 1e-5
    assert discriminator.abs().max() > 1e-3


def test_strength_of_zero_never_reverses(make_task: MakeTask) -> None:
    task, method = make_task(), Adversarial(AdversarialConfig(strength=0.0))
    method.prepare(task, task.make_student())
    assert language_gradients(method, progress=1.0)[0].abs().max() < 1e-5


def test_students_language_gradient_is_the_reverse_of_the_discriminators(prepared: Adversarial) -> None:
    """A step along the loss's own gradient makes the student's languages harder to tell apart, not easier."""
    batch = first_batch(prepared)
    _, before = prepared.loss(batch, progress=1.0)
    gradient, _ = language_gradients(prepared, progress=1.0)
    assert gradient.abs().max() > 1e-4
    with torch.no_grad():
        prepared.student.word_embeddings.weight -= 0.01 * gradient / gradient.norm()
    _, after = prepared.loss(batch, progress=1.0)
    assert after["language_loss"] > before["language_loss"]


def test_discriminator_learns_while_nothing_is_reversed(make_task: MakeTask) -> None:
    records: list[dict] = []
    task = make_task(steps=30, on_step=records.append)
    Adversarial(AdversarialConfig(strength=0.0, discriminator_learning_rate=1e-2)).fit(task)
    assert all(record["reversal_strength"] == 0 for record in records)
    assert records[-1]["language_loss"] < records[0]["language_loss"] / 2
    assert records[-1]["discriminator_accuracy"] > 0.9


def test_discriminator_has_its_own_learning_rate(prepared: Adversarial) -> None:
    groups = make_optimiser(prepared, prepared.task.recipe).param_groups
    own = [
        group for group in groups if any(parameter is prepared.discriminator[0].weight for parameter in group["params"])
    ]
    assert len(own) == 1
    assert own[0]["lr"] == prepared.config.discriminator_learning_rate != prepared.task.recipe.learning_rate
    assert len(own[0]["params"]) == len(list(prepared.discriminator.parameters()))


def test_discriminator_starts_from_the_tasks_seed(make_task: MakeTask) -> None:
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(weights))  # the global state must not matter
        task, method = make_task(seed=seed), Adversarial()
        method.prepare(task, task.make_student())
        weights.append(method.discriminator[0].weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_student_encodes_both_sides_and_learns_relevance(make_task: MakeTask) -> None:
    records: list[dict] = []
    task = make_task(steps=40, on_step=records.append)
    retriever = Adversarial().fit(task)
    assert retriever.document_encoder is retriever.query_encoder
    assert records[-1]["task_loss"] < records[0]["task_loss"] / 2
    assert 0 <= task.outcome["diagnostics"]["probe_accuracy"] <= 1


def test_same_seed_gives_the_same_student(make_task: MakeTask) -> None:
    one, same, other = (
        Adversarial().fit(make_task(steps=3, seed=seed)).query_encoder.fingerprint() for seed in (0, 0, 1)
    )
    assert one == same != other


def test_teacher_is_left_alone(make_task: MakeTask, teacher: Encoder) -> None:
    before = teacher.fingerprint()
    Adversarial().fit(make_task(steps=3))
    assert teacher.fingerprint() == before


def test_probe_is_at_chance_where_the_languages_are_one() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((2_000, 8)).astype(np.float32) for _ in range(2))
    assert language_probe_accuracy(first, second, rng) == pytest.approx(0.5, abs=0.05)


def test_probe_tells_languages_that_are_apart() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((300, 8)).astype(np.float32) for _ in range(2))
    second[:, 3] += 10
    assert language_probe_accuracy(first, second, rng) > 0.99


def test_probe_is_judged_on_sentences_it_was_not_trained_on() -> None:
    """With more dimensions than sentences it could learn any labels by heart."""
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((60, 500)).astype(np.float32) for _ in range(2))
    assert language_probe_accuracy(first, second, rng) < 0.8
