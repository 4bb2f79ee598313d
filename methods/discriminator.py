"""The language discriminator of `adversarial`, the student's loss against it, and a probe for the trained student."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from bench.api import TrainedConfig

INTERVALS = 5
"""Parts of a training with a constant strength, where it decays (this project's own)."""


class DiscriminatorConfig(TrainedConfig):
    """The settings of a discriminator and of the loss against it."""

    loss: Literal["reversal", "confusion", "wasserstein"] = "reversal"
    """The student's loss. `reversal`: the discriminator's, its gradient reversed. `confusion`: KL(uniform || its
    prediction), as in MoDIR's code. `wasserstein`: the distance between a critic's means, as in ADAN."""
    layers: int = Field(2, ge=1, le=3)
    """Linear layers of the discriminator."""
    hidden: int = Field(256, gt=0)
    """Width of the discriminator's hidden layers (MoDIR's code has 200, ADAN's 900)."""
    discriminator_learning_rate: float = Field(1e-3, gt=0)
    """Learning rate of the discriminator's optimiser, without a schedule (ADAN's code has 5e-4)."""
    discriminator_steps: int = Field(5, gt=0)
    """The discriminator's steps before each step of the student, one on each of as many recent batches (an option of
    MoDIR's code). ADAN takes 5, on fresh sentences, and Ganin & Lempitsky 1."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Share that the exponential average of the discriminator, which judges the student, keeps at each step (this
    project's own; MoDIR's momentum concerns the recent batches)."""
    clip: float = Field(0.01, gt=0)
    """Largest weight of a Wasserstein critic (ADAN's code). Other losses ignore it."""


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """Return `x`, with its gradient reversed and scaled by `strength` (Ganin & Lempitsky 2015)."""
    x = x.view_as(x)
    x.register_hook(lambda gradient: -strength * gradient)
    return x


def schedule_factor(schedule: Literal["constant", "ramp", "decay"], progress: float) -> float:
    """Return the share of the strength at the training progress p, 0 to 1.

    `ramp`: 2 / (1 + exp(-10 p)) - 1 (Ganin & Lempitsky 2015, section 4.1). `decay`: halved after each of `INTERVALS`
    equal parts of the training, as in MoDIR's scripts, which halve it every 10,000 steps.
    """
    if schedule == "ramp":
        return 2 / (1 + math.exp(-10 * progress)) - 1
    return 0.5 ** math.floor(progress * INTERVALS) if schedule == "decay" else 1.0


def confusion(logits: Tensor) -> Tensor:
    """Return the mean KL(uniform || softmax) of (n, languages) logits: 0 if no language is preferred."""
    return -functional.log_softmax(logits, dim=1).mean() - math.log(logits.shape[1])


def critic_gap(values: Tensor, languages: Tensor) -> Tensor:
    """Return a critic's mean for language 0 minus its mean for another, averaged over the other languages.

    Column j - 1 of `values`, (n, languages - 1), compares language 0 with language j.
    """
    gaps = [values[languages == 0, j].mean() - values[languages == j + 1, j].mean() for j in range(values.shape[1])]
    return torch.stack(gaps).mean()


def critic_accuracy(values: Tensor, languages: Tensor) -> Tensor:
    """Return how often a critic ranks a sentence of language 0 above one of another language: 0.5 is chance."""
    ranked = [values[languages == 0, j, None] > values[languages == j + 1, j] for j in range(values.shape[1])]
    return torch.stack([pairs.float().mean() for pairs in ranked]).mean()


class Discriminator(nn.Module):
    """A network that learns to tell languages apart from the student's recent embeddings.

    Linear layers with ReLU between them, the same for the same seed. It never sends a gradient into the student, which
    is judged by a frozen copy or, with `momentum`, by an average of the network over time. Before each step of the
    student the network takes one on each of the last `discriminator_steps` batches. With one step and no momentum both
    descend at once, as behind a gradient reversal layer. The weights of a critic stay in [-clip, clip].
    """

    def __init__(
        self, config: DiscriminatorConfig, dimension: int, languages: int, seed: int, device: torch.device
    ) -> None:
        super().__init__()
        self.loss, self.momentum, critic = config.loss, config.momentum, config.loss == "wasserstein"
        sizes = [dimension, *[config.hidden] * (config.layers - 1), languages - critic]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = [layer for sizes_of in pairwise(sizes) for layer in (nn.Linear(*sizes_of), nn.ReLU())]
        self.network = nn.Sequential(*layers[:-1]).to(device)
        self.bound = config.clip if critic else math.inf
        self.clip_weights()
        self.judge = copy.deepcopy(self.network).requires_grad_(False)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=config.discriminator_learning_rate)
        self.batches: deque[tuple[Tensor, Tensor]] = deque(maxlen=config.discriminator_steps)

    @torch.no_grad()
    def clip_weights(self) -> None:
        for parameter in self.network.parameters():
            parameter.clamp_(-self.bound, self.bound)

    def remember(self, embeddings: Tensor, languages: Tensor) -> None:
        """Store a batch to learn from: (n, dimension) float32 and (n,) int64."""
        self.batches.append((embeddings.detach(), languages))

    def learn(self) -> None:
        """Take one step on every stored batch, the oldest first."""
        for embeddings, languages in self.batches:
            loss = self.objective(self.network(embeddings), languages)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.clip_weights()
        with torch.no_grad():
            for average, parameter in zip(self.judge.parameters(), self.network.parameters(), strict=True):
                average.lerp_(parameter, 1 - self.momentum)

    def objective(self, outputs: Tensor, languages: Tensor) -> Tensor:
        """Return the network's loss: cross-entropy of the languages, or minus a critic's gap between them."""
        if self.loss == "wasserstein":
            return -critic_gap(outputs, languages)
        return functional.cross_entropy(outputs, languages)

    def adversary(self, embeddings: Tensor, languages: Tensor, strength: float) -> tuple[Tensor, dict[str, float]]:
        """Return the student's adversarial loss, and figures. All is float32: weights of a critic are small."""
        confuse = self.loss == "confusion"
        with torch.autocast(embeddings.device.type, enabled=False):
            outputs = self.judge(embeddings if confuse else reverse_gradient(embeddings, strength))
            objective = self.objective(outputs, languages)
            loss = strength * confusion(outputs) if confuse else objective
        if self.loss == "wasserstein":
            right = critic_accuracy(outputs, languages)
        else:
            right = (outputs.argmax(dim=1) == languages).float().mean()
        figures = {"language_loss": objective.detach(), "discriminator_accuracy": right}
        return loss, {name: float(value) for name, value in figures.items()}

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on."""
        tensors = self.state_dict()
        for i, (embeddings, languages) in enumerate(self.batches):
            tensors |= {f"embeddings.{i}": embeddings, f"languages.{i}": languages}
        for parameter, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"moments.{parameter}.{name}": tensor for name, tensor in moments.items()}
        return tensors

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned."""
        moments: dict[int, dict[str, Tensor]] = {}
        for name in state:
            if name.startswith("moments."):
                _, parameter, key = name.split(".")
                moments.setdefault(int(parameter), {})[key] = state[name]
        self.load_state_dict({name: state[name] for name in self.state_dict()})
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        device, batches = next(self.parameters()).device, sum(name.startswith("embeddings.") for name in state)
        for i in range(batches):
            self.remember(state[f"embeddings.{i}"].to(device), state[f"languages.{i}"].to(device))


def language_probe_accuracy(groups: Sequence[np.ndarray], rng: np.random.Generator) -> float:
    """Return the held-out accuracy of a logistic regression between languages, averaged over the languages.

    `groups` has the embeddings of each language, (any number, dimension) float32. One random half of each trains the
    probe, the other tests it. Every language counts the same: chance is 1 / languages, and near 1 they are still apart.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    shuffled = [vectors[rng.permutation(len(vectors))] for vectors in groups]
    train, test = ([vectors[start::2] for vectors in shuffled] for start in (0, 1))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced"))
    classifier.fit(np.concatenate(train), np.repeat(range(len(train)), [len(vectors) for vectors in train]))
    return float(np.mean([np.mean(classifier.predict(vectors) == i) for i, vectors in enumerate(test)]))
