"""Adversarial alignment: what it samples, what reaches the student, and the probe on data whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from bench.data import Bitext, Pair, TrainingData
from bench.encoders.encoder import Encoder
from bench.training.losses import info_nce
from bench.training.method import Task
from methods.adversarial import Adversarial, AdversarialConfig
from methods.discriminator import confusion
from methods.examples import Examples
from methods.probe import language_probe_accuracy

MakeTask = Callable[..., Task]


def prepare(make_task: MakeTask, data: TrainingData | None = None, **config: Any) -> Adversarial:
    task, method = make_task(**({"data": data} if data else {})), Adversarial(AdversarialConfig(**config))
    method.prepare(task, task.make_student())
    return method


@pytest.fixture
def two_languages(data: TrainingData) -> TrainingData:
    """The bitext, and a third as much of it in another language."""
    other = Pair("qab", "eng")
    shouted = [sentence.upper() + "!" for sentence in data.bitext.query_side[:50]]
    bitext = Bitext.join([data.bitext, Bitext.of(other, shouted, data.bitext.document_side[:50], "hand")])
    return replace(data, pairs=(*data.pairs, other), bitext=bitext)


def first_batch(method: Adversarial) -> dict[str, np.ndarray]:
    return dict(next(method.batches(np.random.default_rng(0))))


def test_every_batch_has_as_many_sentences_of_each_language(make_task: MakeTask, two_languages: TrainingData) -> None:
    method = prepare(make_task)
    for batch in islice(method.batches(np.random.default_rng(0)), 30):
        assert {name: len(rows) for name, rows in batch.items()} == {"relevance": 8, "english": 8, "qaa": 8}
    method = prepare(make_task, two_languages)
    for batch in islice(method.batches(np.random.default_rng(0)), 30):
        sizes = {name: len(rows) for name, rows in batch.items()}
        assert sizes == {"relevance": 8, "english": 5, "qaa": 5, "qab": 5}
        assert max(batch["qaa"]) < 150 <= min(batch["qab"])


def test_languages_are_drawn_apart(make_task: MakeTask) -> None:
    """Translations meet in a batch no more often than chance has it: half * half / rows."""
    method = prepare(make_task)
    batches = list(islice(method.batches(np.random.default_rng(0)), 200))
    half = len(batches[0]["english"])
    met = np.mean([len(np.intersect1d(batch["english"], batch["qaa"])) for batch in batches])
    assert met < 3 * half * half / len(method.task.data.bitext)


def test_batches_are_a_function_of_the_generator(make_task: MakeTask) -> None:
    method = prepare(make_task, pair_weight=1.0)
    one, same, other = (
        [
            {name: rows.tolist() for name, rows in batch.items()}
            for batch in islice(method.batches(np.random.default_rng(seed)), 5)
        ]
        for seed in (0, 0, 1)
    )
    assert one == same != other


def scored(encoder: Encoder, texts: list[str]) -> torch.Tensor:
    """The embeddings as the discriminator is given them, of unit variance."""
    return torch.tensor(encoder.encode(texts, "query")) * encoder.dimension**0.5


@pytest.mark.parametrize("documents", ["teacher", "student"])
@pytest.mark.parametrize("loss", ["reversal", "confusion"])
def test_loss_is_relevance_and_the_adversary(make_task: MakeTask, loss: str, documents: str) -> None:
    method = prepare(make_task, loss=loss, documents=documents, strength=0.3, ramp=False, pair_weight=2.0)
    batch, data = first_batch(method), method.task.data
    value, figures = method.loss(batch, 0.5)
    student, judge = method.student, method.discriminator.judge

    def contrast(examples: Examples, rows: np.ndarray) -> float:
        queries, documents = ([texts[i] for i in rows] for texts in examples.rows.columns[:2])
        sides = student.encode(queries, "query"), method.document_encoder.encode(documents, "document")
        return float(info_nce(*map(torch.tensor, sides), method.config.temperature, examples.related(rows, rows)))

    assert method.relevance.rows.columns[:2] == data.relevance.columns[:2]
    assert method.pairs.rows.columns[:2] == data.bitext.columns[:2]
    task_loss, pair_loss = contrast(method.relevance, batch["relevance"]), contrast(method.pairs, batch["pairs"])
    english = scored(student, [data.bitext.document_side[i] for i in batch["english"]])
    target = scored(student, [data.bitext.query_side[i] for i in batch["qaa"]])
    logits = judge(torch.cat([english, target]))
    languages = torch.tensor([0] * len(english) + [1] * len(target))
    language_loss = float(torch.nn.functional.cross_entropy(logits, languages))
    assert figures["task_loss"] == pytest.approx(task_loss, rel=1e-4)
    assert figures["pair_loss"] == pytest.approx(pair_loss, rel=1e-4)
    assert figures["language_loss"] == pytest.approx(language_loss, rel=1e-4)
    adversary = language_loss if loss == "reversal" else 0.3 * float(confusion(logits))
    assert float(value.detach()) == pytest.approx(task_loss + adversary + 2 * pair_loss, rel=1e-4)


def language_gradient(method: Adversarial, progress: float = 1.0) -> dict[str, torch.Tensor | None]:
    """What the adversary alone gives to the student, by parameter."""
    batch = first_batch(method)
    loss = method.loss(batch, progress)[0] - method.relevance.loss(batch["relevance"], method.config.temperature)
    names, parameters = zip(*method.student.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))


@pytest.mark.parametrize("loss", ["reversal", "confusion", "wasserstein"])
def test_without_strength_the_student_learns_nothing_from_the_adversary(make_task: MakeTask, loss: str) -> None:
    for settings, progress in (({"strength": 0.0}, 1.0), ({"ramp": True}, 0.0)):
        gradients = language_gradient(prepare(make_task, loss=loss, **settings), progress)
        assert max(float(gradient.abs().max()) for gradient in gradients.values()) < 1e-5


def test_discriminator_learns_while_nothing_is_reversed(make_task: MakeTask) -> None:
    records: list[dict] = []
    task = make_task(steps=30, on_step=records.append)
    Adversarial(AdversarialConfig(strength=0.0, loss="reversal", discriminator_learning_rate=1e-2)).fit(task)
    assert records[-1]["language_loss"] < records[0]["language_loss"] / 2
    assert records[-1]["discriminator_accuracy"] > 0.9


def test_discriminator_starts_from_the_tasks_seed(make_task: MakeTask) -> None:
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(weights))  # the global state must not matter
        task, method = make_task(seed=seed), Adversarial()
        method.prepare(task, task.make_student())
        weights.append(method.discriminator.network[0].weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_student_encodes_both_sides_and_learns_relevance(make_task: MakeTask) -> None:
    records: list[dict] = []
    task = make_task(steps=40, on_step=records.append)
    retriever = Adversarial().fit(task)
    assert retriever.document_encoder is retriever.query_encoder
    assert records[-1]["task_loss"] < records[0]["task_loss"] / 2
    assert 0 <= task.outcome["diagnostics"]["probe_accuracy"] <= 1


@pytest.mark.parametrize("loss", ["reversal", "confusion", "wasserstein"])
def test_student_of_several_languages_is_told_apart_from_english_by_each(
    make_task: MakeTask, two_languages: TrainingData, loss: str
) -> None:
    method = Adversarial(AdversarialConfig(loss=loss))
    task = make_task(steps=3, data=two_languages)
    method.fit(task)
    assert method.discriminator.network[-1].out_features == (2 if loss == "wasserstein" else 3)
    assert 0 <= task.outcome["diagnostics"]["probe_accuracy"] <= 1


def test_what_it_uses_depends_on_its_configuration() -> None:
    assert Adversarial().uses == ("relevance", "unpaired text")
    assert Adversarial(AdversarialConfig(pair_weight=0.5)).uses == ("relevance", "unpaired text", "bitext")
    assert Adversarial.uses == ("relevance", "unpaired text")


def test_same_seed_gives_the_same_student(make_task: MakeTask) -> None:
    one, same, other = (
        Adversarial().fit(make_task(steps=3, seed=seed)).query_encoder.fingerprint() for seed in (0, 0, 1)
    )
    assert one == same != other


def test_teacher_is_left_alone(make_task: MakeTask, teacher: Encoder) -> None:
    before = teacher.fingerprint()
    Adversarial().fit(make_task(steps=3))
    assert teacher.fingerprint() == before


@pytest.mark.parametrize("languages", [2, 3])
def test_probe_is_at_chance_where_the_languages_are_one(languages: int) -> None:
    rng = np.random.default_rng(0)
    groups = [rng.standard_normal((size, 8)).astype(np.float32) for size in (2_000, 500, 1_000)[:languages]]
    assert language_probe_accuracy(groups, rng) == pytest.approx(1 / languages, abs=0.05)


@pytest.mark.parametrize("languages", [2, 3])
def test_probe_tells_languages_that_are_apart(languages: int) -> None:
    rng = np.random.default_rng(0)
    groups = [rng.standard_normal((300, 8)).astype(np.float32) + 10 * np.eye(8)[i] for i in range(languages)]
    assert language_probe_accuracy(groups, rng) > 0.99


def test_probe_is_judged_on_sentences_it_was_not_trained_on() -> None:
    """With more dimensions than sentences it could learn any labels by heart."""
    rng = np.random.default_rng(0)
    groups = [rng.standard_normal((60, 500)).astype(np.float32) for _ in range(2)]
    assert language_probe_accuracy(groups, rng) < 0.8
