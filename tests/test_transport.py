"""Costs and marginals, worked out by hand, and the loss's gradient by finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from bench.encoders.encoder import Encoder, TokenBatch
from methods.transport import (
    cosine_cost,
    inverse_document_frequency,
    marginal,
    squared_euclidean_cost,
    transport_loss,
    word_starts,
    words,
)


def test_gradient_of_the_loss_is_the_plan_itself() -> None:
    """By finite differences, the plan held where it is."""
    rng = torch.Generator().manual_seed(8)
    plan = torch.rand(2, 4, 5, generator=rng, dtype=torch.float64)
    cost = torch.rand(2, 4, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    transport_loss(plan, cost).sum().backward()
    step = 1e-4
    for index in np.ndindex(*cost.shape):
        up, down = cost.detach().clone(), cost.detach().clone()
        up[index] += step
        down[index] -= step
        slope = float((transport_loss(plan, up) - transport_loss(plan, down)).sum()) / (2 * step)
        assert float(cost.grad[index]) == pytest.approx(slope, abs=1e-9)
    assert torch.equal(cost.grad, plan)


def test_gradient_reaches_the_embeddings_through_the_cost() -> None:
    rng = torch.Generator().manual_seed(9)
    x, y = (torch.randn(1, 3, 4, generator=rng, dtype=torch.float32) for _ in range(2))
    plan = torch.full((1, 3, 3), 1 / 9)
    y.requires_grad_(True)
    transport_loss(plan, cosine_cost(x, y)).sum().backward()
    step = 1e-2
    for index in np.ndindex(*y.shape):
        up, down = y.detach().double(), y.detach().double()
        up[index] += step
        down[index] -= step
        values = [
            float((plan.double() * (1 - torch.cosine_similarity(x.double()[:, :, None], moved[:, None], dim=-1))).sum())
            for moved in (up, down)
        ]
        assert float(y.grad[index]) == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-3)


def test_cost_is_one_minus_the_cosine() -> None:
    x = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    y = torch.tensor([[[3.0, 0.0], [-1.0, 0.0], [1.0, 1.0]]])
    expected = [[0, 2, 1 - 0.5**0.5], [1, 1, 1 - 0.5**0.5]]
    assert torch.allclose(cosine_cost(x, y)[0], torch.tensor(expected), atol=1e-6)


def test_squared_distance_is_in_units_of_the_teachers_norms() -> None:
    """|x|^2 is 1 and 4, by mass (1/4, 3/4) 3.25 on average; a token without mass does not count."""
    x = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]]])
    y = torch.tensor([[[1.0, 0.0], [0.0, -2.0]]], requires_grad=True)
    cost = squared_euclidean_cost(x, y, torch.tensor([[0.25, 0.75, 0.0]]))
    assert torch.allclose(cost[0, :2], torch.tensor([[0, 5.0], [5.0, 16.0]]) / 3.25)
    cost[0, 1, 0].backward()
    assert torch.allclose(y.grad[0, 0], torch.tensor([2.0, -4.0]) / 3.25)


def test_squared_distance_of_unit_vectors_is_twice_the_cosine_cost() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = (torch.nn.functional.normalize(torch.randn(2, n, 4, generator=rng), dim=-1) for n in (3, 5))
    assert torch.allclose(squared_euclidean_cost(x, y, torch.full((2, 3), 1 / 3)), 2 * cosine_cost(x, y), atol=1e-6)


def test_inverse_document_frequencies_by_hand() -> None:
    """Of three sentences piece 0 is in all, twice in one; piece 1 in one; piece 2 in none."""
    found = inverse_document_frequency([[0, 0], [0, 1], [0]], 3)
    assert found.tolist() == pytest.approx([math.log(1 + 0.5 / 3.5), math.log(1 + 2.5 / 1.5), math.log(1 + 3.5 / 0.5)])


def test_words_of_pieces(encoder: Encoder, build_encoder: Callable[..., Encoder]) -> None:
    texts = ["the teacherdog saw", "a catapult."]
    batch = encoder.collate(encoder.tokenize(texts, "query"))
    found = words(batch, word_starts(encoder))
    for row, text in zip(found, texts, strict=True):
        expected = encoder.tokenizer(text).word_ids()
        inside = [word for word in expected if word is not None]
        assert len(set(inside)) < len(inside)
        assert row[1 : 1 + len(inside)].tolist() == [word + 1 for word in inside]  # [CLS] is the first


def test_mass_is_in_proportion_to_the_weights() -> None:
    batch = token_batch([[1, 1, 1, 0]], [[True, False, False, False]])
    assert torch.equal(
        marginal(torch.tensor([[7.0, 1.0, 3.0, 5.0]]), batch, special_tokens=False),
        torch.tensor([[0, 0.25, 0.75, 0]]),
    )


def token_batch(mask: list[list[int]], special: list[list[bool]]) -> TokenBatch:
    mask_tensor = torch.tensor(mask)
    return TokenBatch(torch.zeros_like(mask_tensor), mask_tensor, torch.tensor(special), int(mask_tensor.sum()))


def test_mass_is_equal_on_words_and_none_is_on_padding_or_special_tokens() -> None:
    batch = token_batch(
        [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], [[True, False, False, True, True], [True, False, False, False, True]]
    )
    third = 1 / 3
    expected = torch.tensor([[0, 0.5, 0.5, 0, 0], [0, third, third, third, 0]])
    assert torch.allclose(marginal(torch.ones(batch.input_ids.shape), batch, special_tokens=False), expected)
    expected = torch.tensor([[0.25, 0.25, 0.25, 0.25, 0], [0.2, 0.2, 0.2, 0.2, 0.2]])
    assert torch.allclose(marginal(torch.ones(batch.input_ids.shape), batch, special_tokens=True), expected)


def test_sentence_of_nothing_but_special_tokens_has_its_mass_on_them() -> None:
    batch = token_batch([[1, 1, 0], [1, 1, 1]], [[True, True, True], [True, False, True]])
    expected = torch.tensor([[0.5, 0.5, 0], [0, 1.0, 0]])
    assert torch.equal(marginal(torch.ones(batch.input_ids.shape), batch, special_tokens=False), expected)


def test_marginals_of_real_batches_sum_to_one(encoder: Encoder) -> None:
    batch = encoder.collate(encoder.tokenize(["the cat saw a red house", "", "the dog"], "query"))
    mass = marginal(torch.ones(batch.input_ids.shape), batch, special_tokens=False)
    assert torch.allclose(mass.sum(dim=1), torch.ones(3))
    assert (mass[batch.attention_mask == 0] == 0).all()
    assert mass[0, 0] == 0 and mass[2, 0] == 0  # [CLS]
