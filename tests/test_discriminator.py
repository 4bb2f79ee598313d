"""The adversary by hand: the reversal, the confusion, the critic, what the discriminator learns from and when."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from methods.discriminator import (
    Discriminator,
    confusion,
    critic_accuracy,
    critic_gap,
    make_network,
    ramp,
    reverse_gradient,
)

LANGUAGES = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])


def embeddings(seed: int = 0) -> Tensor:
    return torch.randn(len(LANGUAGES), 6, generator=torch.Generator().manual_seed(seed))


def discriminator(loss: Any = "reversal", **settings: Any) -> Discriminator:
    network = make_network(6, 2 if loss == "wasserstein" else 3, layers=2, hidden=8, seed=0)
    return Discriminator(
        network, loss, **{"learning_rate": 0.05, "steps": 1, "momentum": 0.0, "clip": 0.01, **settings}
    )


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.5])
def test_gradient_is_reversed_and_scaled_and_the_value_kept(strength: float) -> None:
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]], requires_grad=True)
    upstream = torch.tensor([[1.0, 10.0], [-4.0, 0.0]])
    y = reverse_gradient(x, strength)
    assert torch.equal(y, x)
    y.backward(upstream)
    assert torch.equal(x.grad, -strength * upstream)


def test_strength_follows_the_papers_ramp() -> None:
    assert ramp(0) == 0
    assert ramp(0.5) == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    assert ramp(1) == pytest.approx(0.9999092)
    assert all(first < second for first, second in pairwise(ramp(i / 50) for i in range(51)))


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


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_depth_is_a_number_of_linear_layers(layers: int) -> None:
    network = make_network(6, 3, layers=layers, hidden=8, seed=0)
    assert [type(module) for module in network] == ([nn.Linear, nn.ReLU] * layers)[:-1]
    assert (network[0].in_features, network[-1].out_features) == (6, 3)
    assert torch.equal(network[0].weight, make_network(6, 3, layers=layers, hidden=8, seed=0)[0].weight)
    assert not torch.equal(network[0].weight, make_network(6, 3, layers=layers, hidden=8, seed=1)[0].weight)


def test_student_and_discriminator_descend_at_once_as_behind_a_reversal_layer() -> None:
    """With one step, both gradients are those of one backward pass through discriminator and reversal (by autograd)."""
    x, strength = embeddings().requires_grad_(), 0.7
    adversary = discriminator()
    network = make_network(6, 3, layers=2, hidden=8, seed=0)
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
    x, adversary = embeddings().requires_grad_(), discriminator(loss, steps=3)
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


def test_weights_of_a_critic_are_clipped_after_every_step() -> None:
    adversary = discriminator("wasserstein", clip=0.01)
    adversary.remember(embeddings(), LANGUAGES)
    adversary.learn()
    largest = [float(parameter.abs().max()) for parameter in adversary.judge.parameters()]
    assert max(largest) == pytest.approx(0.01)
    untouched = discriminator("confusion", clip=0.01)
    untouched.remember(embeddings(), LANGUAGES)
    untouched.learn()
    assert max(float(parameter.abs().max()) for parameter in untouched.judge.parameters()) > 0.1


def test_one_step_on_each_of_the_last_batches_the_oldest_first() -> None:
    adversary = discriminator(steps=2)
    for seed in range(4):
        adversary.remember(embeddings(seed), LANGUAGES)
    network = make_network(6, 3, layers=2, hidden=8, seed=0)
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
