"""A language discriminator, and what a student learns from it: the adversary of `adversarial`."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Loss = Literal["reversal", "confusion", "wasserstein"]


class GradientReversal(torch.autograd.Function):
    """Identity forward, -strength times the gradient backward (Ganin & Lempitsky 2015)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """`x`, with its gradient reversed and scaled by `strength`."""
    return GradientReversal.apply(x, strength)


def ramp(progress: float) -> float:
    """2 / (1 + exp(-10 p)) - 1 over the training progress p (Ganin & Lempitsky 2015, section 4.1)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def confusion(logits: Tensor) -> Tensor:
    """KL(uniform || softmax) of each row of (n, languages) logits, averaged: 0 where no language is preferred."""
    return -functional.log_softmax(logits, dim=1).mean() - math.log(logits.shape[1])


def critic_gap(values: Tensor, languages: Tensor) -> Tensor:
    """What a critic makes of the distance between languages: its mean over those of language 0 minus that of another.

    Column j - 1 of `values`, (n, languages - 1), compares language 0 with language j; the gaps are averaged.
    """
    gaps = [values[languages == 0, j].mean() - values[languages == j + 1, j].mean() for j in range(values.shape[1])]
    return torch.stack(gaps).mean()


def accuracy(logits: Tensor, languages: Tensor) -> Tensor:
    """The share of sentences whose language is the most probable."""
    return (logits.argmax(dim=1) == languages).float().mean()


def critic_accuracy(values: Tensor, languages: Tensor) -> Tensor:
    """How often a critic's value of a sentence of language 0 is above that of a sentence of another: 0.5 is chance."""
    ranked = [values[languages == 0, j, None] > values[languages == j + 1, j] for j in range(values.shape[1])]
    return torch.stack([pairs.float().mean() for pairs in ranked]).mean()


def make_network(dimension: int, outputs: int, *, layers: int, hidden: int, seed: int) -> nn.Sequential:
    """Linear layers with ReLU between them, the same for the same seed."""
    sizes = [dimension, *[hidden] * (layers - 1), outputs]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        blocks = [(nn.Linear(size, following), nn.ReLU()) for size, following in pairwise(sizes)]
    return nn.Sequential(*[module for block in blocks for module in block][:-1])


@torch.no_grad()
def clip_weights(network: nn.Module, bound: float) -> None:
    """Bring every weight into [-bound, bound], which keeps a critic's slope bounded."""
    for parameter in network.parameters():
        parameter.clamp_(-bound, bound)


class Discriminator:
    """A network that learns to tell languages apart from embeddings a student has made lately.

    It has an optimiser of its own, Adam, and never sends a gradient into the student; the student is judged by a
    frozen copy, or, with `momentum`, by an average of the network over time. Before each of the student's steps it
    takes one on each of the last `steps` batches of embeddings, so that with one step and no momentum both descend at
    once, as behind a gradient reversal layer.
    """

    def __init__(
        self, network: nn.Sequential, loss: Loss, *, learning_rate: float, steps: int, momentum: float, clip: float
    ) -> None:
        self.network, self.loss, self.momentum = network, loss, momentum
        self.bound = clip if loss == "wasserstein" else math.inf
        clip_weights(network, self.bound)
        self.judge = copy.deepcopy(network).requires_grad_(False)
        self.optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
        self.batches: deque[tuple[Tensor, Tensor]] = deque(maxlen=steps)

    def remember(self, embeddings: Tensor, languages: Tensor) -> None:
        """Keep a batch to learn from: (n, dimension) float32 and (n,) int64."""
        self.batches.append((embeddings.detach(), languages))

    def learn(self) -> None:
        """One step on every batch that is kept, the oldest first."""
        for embeddings, languages in self.batches:
            loss = self.objective(self.network(embeddings), languages)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            clip_weights(self.network, self.bound)
        with torch.no_grad():
            for average, parameter in zip(self.judge.parameters(), self.network.parameters(), strict=True):
                average.lerp_(parameter, 1 - self.momentum)

    def objective(self, outputs: Tensor, languages: Tensor) -> Tensor:
        """What the network minimises: the cross-entropy of the languages, or minus a critic's gap between them."""
        if self.loss == "wasserstein":
            return -critic_gap(outputs, languages)
        return functional.cross_entropy(outputs, languages)

    def adversary(self, embeddings: Tensor, languages: Tensor, strength: float) -> tuple[Tensor, dict[str, float]]:
        """What the student minimises so that the languages of its embeddings cannot be told, and figures.

        Computed in float32: the weights of a clipped critic are small.
        """
        confuse = self.loss == "confusion"
        with torch.autocast(embeddings.device.type, enabled=False):
            outputs = self.judge(embeddings if confuse else reverse_gradient(embeddings, strength))
            objective = self.objective(outputs, languages)
            loss = strength * confusion(outputs) if confuse else objective
        right = critic_accuracy if self.loss == "wasserstein" else accuracy
        figures = {"language_loss": objective.detach(), "discriminator_accuracy": right(outputs, languages)}
        return loss, {name: float(value) for name, value in figures.items()}

    def state(self) -> dict[str, Tensor]:
        """All that its next step depends on."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"judge.{name}": tensor for name, tensor in self.judge.state_dict().items()}
        for parameter, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{parameter}.{name}": tensor for name, tensor in moments.items()}
        for i, (embeddings, languages) in enumerate(self.batches):
            tensors |= {f"batches.{i}.embeddings": embeddings, f"batches.{i}.languages": languages}
        return tensors

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned."""
        own: dict[str, dict[str, Any]] = {}
        for name, tensor in state.items():
            kind, _, rest = name.partition(".")
            own.setdefault(kind, {})[rest] = tensor
        self.network.load_state_dict(own["network"])
        self.judge.load_state_dict(own["judge"])
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in own.get("optimiser", {}).items():
            parameter, _, key = name.partition(".")
            moments.setdefault(int(parameter), {})[key] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        kept, device = own.get("batches", {}), self.network[0].weight.device
        for i in range(len(kept) // 2):
            self.batches.append((kept[f"{i}.embeddings"].to(device), kept[f"{i}.languages"].to(device)))
