"""Adversarial alignment: samples and gradients, the discriminator by hand, and the probe on data with known answers."""

import math
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MakeTask, Prepare
from torch import Tensor, nn

from bench.data import Bitext, Pair, TrainingData
from bench.encoders.encoder import Encoder
from bench.training.losses import info_nce
from methods.adversarial import Adversarial, AdversarialConfig
from methods.discriminator import (
    Discriminator,
    confusion,
    critic_accuracy,
    critic_gap,
    language_probe_accuracy,
    schedule_factor,
)
from methods.examples import Examples


@pytest.fixture
def two_languages(data: TrainingData) -> TrainingData:
    """The bitext, and a third as much of it in another language."""
    other = Pair("qab", "eng")
    shouted = [sentence.upper() + "!" for sentence in data.bitext.query_side[:50]]
    bitext = Bitext.join([data.bitext, Bitext.of(other, shouted, data.bitext.document_side[:50], "hand")])
    return replace(data, pairs=(*data.pairs, other), bitext=bitext)


def first_batch(method: Adversarial) -> dict[str, np.ndarray]:
    return dict(next(method.batches(np.random.default_rng(0))))


def test_every_batch_has_as_many_sentences_of_each_language(
    make_task: MakeTask, prepare: Prepare, two_languages: TrainingData
) -> None:
    method = prepare(Adversarial)
    for batch in islice(method.batches(np.random.default_rng(0)), 30):
        assert {name: len(rows) for name, rows in batch.items()} == {"relevance": 8, "english": 8, "qaa": 8}
    method = prepare(Adversarial, make_task(data=two_languages))
    for batch in islice(method.batches(np.random.default_rng(0)), 30):
        sizes = {name: len(rows) for name, rows in batch.items()}
        assert sizes == {"relevance": 8, "english": 5, "qaa": 5, "qab": 5}
        assert max(batch["qaa"]) < 150 <= min(batch["qab"])


def test_languages_are_drawn_apart(prepare: Prepare) -> None:
    """Translations meet in a batch about as often as by chance: half * half / rows."""
    method = prepare(Adversarial)
    batches = list(islice(method.batches(np.random.default_rng(0)), 200))
    half = len(batches[0]["english"])
    met = np.mean([len(np.intersect1d(batch["english"], batch["qaa"])) for batch in batches])
    assert met < 3 * half * half / len(method.task.data.bitext)


def scored(encoder: Encoder, texts: list[str], level: str) -> torch.Tensor:
    """Return the discriminator's input: embeddings of unit variance; tokens are those of texts read alone."""
    if level == "sentence":
        return torch.tensor(encoder.encode(texts, "query")) * encoder.dimension**0.5
    with torch.no_grad():
        alone = [encoder.token_embeddings(encoder.collate([ids]))[0] for ids in encoder.tokenize(texts, "query")]
    tokens = torch.cat(alone)
    return tokens / tokens.norm(dim=1, keepdim=True) * encoder.dimension**0.5


@pytest.mark.parametrize("documents", ["teacher", "student"])
@pytest.mark.parametrize("level", ["sentence", "token"])
@pytest.mark.parametrize("loss", ["reversal", "confusion"])
def test_loss_is_relevance_and_the_adversary(prepare: Prepare, loss: str, level: str, documents: str) -> None:
    settings = {"schedule": "constant", "strength": 0.3, "pair_weight": 2.0}
    method = prepare(Adversarial, loss=loss, level=level, document_encoder=documents, **settings)
    batch, data = first_batch(method), method.task.data
    value, figures = method.loss(batch, 0.5)
    student, judge = method.student, method.discriminator.judge

    def contrast(examples: Examples, rows: np.ndarray) -> float:
        queries, documents = ([texts[i] for i in rows] for texts in examples.rows.columns[:2])
        sides = student.encode(queries, "query"), method.document_encoder.encode(documents, "document")
        return float(info_nce(*map(torch.tensor, sides), method.config.temperature, examples.related(rows, rows)))

    assert method.relevance.rows.columns[:2] == data.relevance.columns[:2]
    assert method.pairs.rows.columns[:2] == data.bitext.columns[:2]
    task_loss, pair_loss = contrast(method.relevance, batch["relevance"]), contrast(method.pairs, batch["bitext"])
    english = scored(student, [data.bitext.document_side[i] for i in batch["english"]], level)
    target = scored(student, [data.bitext.query_side[i] for i in batch["qaa"]], level)
    logits = judge(torch.cat([english, target]))
    languages = torch.tensor([0] * len(english) + [1] * len(target))
    language_loss = float(torch.nn.functional.cross_entropy(logits, languages))
    assert figures["task_loss"] == pytest.approx(task_loss, rel=1e-4)
    assert figures["pair_loss"] == pytest.approx(pair_loss, rel=1e-4)
    assert figures["language_loss"] == pytest.approx(language_loss, rel=1e-4)
    adversary = language_loss if loss == "reversal" else 0.3 * float(confusion(logits))
    assert float(value.detach()) == pytest.approx(task_loss + adversary + 2 * pair_loss, rel=1e-4)


def language_gradient(method: Adversarial, progress: float = 1.0) -> dict[str, torch.Tensor | None]:
    """Return the gradient of the adversarial loss alone, by parameter of the student."""
    batch = first_batch(method)
    loss = method.loss(batch, progress)[0] - method.relevance.loss(batch["relevance"], method.config.temperature)
    names, parameters = zip(*method.student.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))


@pytest.mark.parametrize("loss", ["reversal", "confusion", "wasserstein"])
def test_without_strength_the_student_learns_nothing_from_the_adversary(prepare: Prepare, loss: str) -> None:
    for settings, progress in (({"strength": 0.0}, 1.0), ({"schedule": "ramp"}, 0.0)):
        gradients = language_gradient(prepare(Adversarial, loss=loss, **settings), progress)
        assert max(float(gradient.abs().max()) for gradient in gradients.values()) < 1e-5


@pytest.mark.parametrize("level", ["sentence", "token"])
def test_gradient_of_the_student_is_reversed_and_scaled(
    prepare: Prepare, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient through the same discriminator without a reversal, times minus the strength."""
    method = prepare(Adversarial, level=level, strength=0.3, schedule="constant")
    reversed_gradients = language_gradient(method)
    monkeypatch.setattr("methods.discriminator.reverse_gradient", lambda x, strength: x)
    for name, gradient in language_gradient(method).items():
        torch.testing.assert_close(reversed_gradients[name], -0.3 * gradient, atol=1e-5, rtol=1e-3)


def test_what_it_uses_depends_on_its_configuration() -> None:
    assert Adversarial().supervision == Adversarial.supervision == ("relevance", "unpaired text")
    assert Adversarial(AdversarialConfig(pair_weight=0.5)).supervision == ("relevance", "unpaired text", "bitext")


@pytest.mark.parametrize("languages", [2, 3])
def test_probe_is_at_chance_for_one_language_and_tells_those_apart_that_differ(languages: int) -> None:
    rng = np.random.default_rng(0)
    groups = [rng.standard_normal((size, 8)).astype(np.float32) for size in (2_000, 500, 1_000)[:languages]]
    assert language_probe_accuracy(groups, rng) == pytest.approx(1 / languages, abs=0.05)
    groups = [rng.standard_normal((300, 8)).astype(np.float32) + 10 * np.eye(8)[i] for i in range(languages)]
    assert language_probe_accuracy(groups, rng) > 0.99
    # With more dimensions than sentences it could learn any labels by heart.
    groups = [rng.standard_normal((60, 500)).astype(np.float32) for _ in range(2)]
    assert language_probe_accuracy(groups, rng) < 0.8


LANGUAGES = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])


def embeddings(seed: int = 0) -> Tensor:
    return torch.randn(len(LANGUAGES), 6, generator=torch.Generator().manual_seed(seed))


def discriminator(loss: Any = "reversal", seed: int = 0, **settings: Any) -> Discriminator:
    usual = {"discriminator_learning_rate": 0.05, "discriminator_steps": 1, "hidden": 8}
    return Discriminator(AdversarialConfig(loss=loss, **{**usual, **settings}), 6, 3, seed, torch.device("cpu"))


def test_strength_follows_the_papers_ramp_is_halved_after_every_fifth_of_the_budget_or_constant() -> None:
    ramp, decay, constant = (
        [schedule_factor(name, step / 10) for step in range(11)] for name in ("ramp", "decay", "constant")
    )
    assert ramp == pytest.approx([2 / (1 + math.exp(-step)) - 1 for step in range(11)])
    assert decay[:10] == [1, 1, 1 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 8, 1 / 8, 1 / 16, 1 / 16]
    assert set(constant) == {1}


def test_confusion_is_the_divergence_of_the_prediction_from_the_uniform_distribution() -> None:
    """KL(uniform || p) with p = (1/2, 1/4, 1/4): log(2/3) / 3 + 2 log(4/3) / 3."""
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]], dtype=torch.float64)) + 5
    expected = (math.log(2 / 3) + 2 * math.log(4 / 3)) / 3
    assert float(confusion(logits)) == pytest.approx(expected / 2)
    assert float(confusion(logits[1:])) == pytest.approx(0)


def test_critic_compares_the_first_language_with_each_of_the_others() -> None:
    values = torch.tensor([[5.0, 0.0], [3.0, 2.0], [1.0, 9.0], [9.0, 5.0]])
    languages = torch.tensor([0, 0, 1, 2])
    assert float(critic_gap(values, languages)) == pytest.approx(((4 - 1) + (1 - 5)) / 2)
    assert float(critic_accuracy(values, languages)) == pytest.approx((1 + 0) / 2)


def test_student_and_discriminator_descend_at_once_as_behind_a_reversal_layer() -> None:
    """With one step, both gradients are those of one backward pass through discriminator and reversal (by autograd)."""
    x, strength = embeddings().requires_grad_(), 0.7
    adversary = discriminator()
    network = discriminator().network
    nn.functional.cross_entropy(network(x), LANGUAGES).backward()
    torch.optim.Adam(network.parameters(), lr=0.05).step()

    y = embeddings().requires_grad_()
    adversary.remember(y, LANGUAGES)
    adversary.adversary(y, LANGUAGES, strength)[0].backward()
    adversary.learn()
    assert torch.allclose(y.grad, -strength * x.grad)
    for own, expected, judge in zip(
        adversary.network.parameters(), network.parameters(), adversary.judge.parameters(), strict=True
    ):
        assert torch.equal(own, expected)
        assert torch.equal(own, judge)


@pytest.mark.parametrize("loss", ["reversal", "confusion", "wasserstein"])
def test_student_makes_languages_harder_to_tell_and_never_changes_its_judge(loss: str) -> None:
    x, adversary = embeddings().requires_grad_(), discriminator(loss, discriminator_steps=3)
    for _ in range(30):
        adversary.remember(x, LANGUAGES)
        adversary.learn()
    before = [parameter.clone() for parameter in adversary.judge.parameters()]
    value, figures = adversary.adversary(x, LANGUAGES, 1.0)
    value.backward()
    for _ in range(20):
        moved = x.detach() - 0.5 * x.grad / x.grad.norm()
        x = moved.requires_grad_()
        adversary.adversary(x, LANGUAGES, 1.0)[0].backward()
    after = adversary.adversary(x, LANGUAGES, 1.0)[1]
    assert after["language_loss"] > figures["language_loss"]
    assert after["discriminator_accuracy"] < figures["discriminator_accuracy"]
    assert all(torch.equal(a, b) for a, b in zip(before, adversary.judge.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in adversary.judge.parameters())


def test_weights_of_a_critic_are_clipped_after_every_step_and_no_others() -> None:
    largest = {}
    for loss in ("wasserstein", "confusion"):
        adversary = discriminator(loss, clip=0.01)
        adversary.remember(embeddings(), LANGUAGES)
        adversary.learn()
        largest[loss] = max(float(parameter.abs().max()) for parameter in adversary.judge.parameters())
    assert largest["wasserstein"] == pytest.approx(0.01) and largest["confusion"] > 0.1


def test_one_step_on_each_of_the_last_batches_the_oldest_first() -> None:
    adversary = discriminator(discriminator_steps=2)
    for seed in range(4):
        adversary.remember(embeddings(seed), LANGUAGES)
    network = discriminator().network
    optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
    for seed in (2, 3):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(embeddings(seed)), LANGUAGES).backward()
        optimiser.step()
    adversary.learn()
    assert all(torch.equal(a, b) for a, b in zip(adversary.network.parameters(), network.parameters(), strict=True))


def test_judge_is_an_exponential_average() -> None:
    adversary = discriminator(momentum=0.9)
    average = [parameter.detach().clone() for parameter in adversary.judge.parameters()]
    for seed in range(3):
        adversary.remember(embeddings(seed), LANGUAGES)
        adversary.learn()
        average = [0.9 * old + 0.1 * new for old, new in zip(average, adversary.network.parameters(), strict=True)]
    assert all(torch.allclose(a, b) for a, b in zip(average, adversary.judge.parameters(), strict=True))
    assert not torch.equal(adversary.judge[0].weight, adversary.network[0].weight)
