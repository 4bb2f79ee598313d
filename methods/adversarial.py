"""Adversarial alignment: English relevance, while a discriminator must not tell the languages apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from bench.api import Batch, Encoder, Spent, Task, TrainedConfig, TrainedMethod, length_buckets
from methods.discriminator import Discriminator, Loss, make_network, ramp
from methods.examples import Examples, embed, judged_within, translated
from methods.probe import language_probe_accuracy

PROBE_SENTENCES = 1000


class AdversarialConfig(TrainedConfig):
    documents: Literal["teacher", "student"] = "student"
    loss: Loss = "reversal"
    """What the student learns from the discriminator. `reversal`: the reverse of its gradient. `confusion`: to make it
    prefer no language, by KL(uniform || its prediction), as in MoDIR's code. `wasserstein`: to bring a critic's means
    of the languages together, as in ADAN."""
    strength: float = Field(0.01, ge=0)
    """Of what the student learns from it (ADAN's code has 0.01, MoDIR's 0.1, Ganin & Lempitsky 1)."""
    ramp: bool = True
    """Whether the strength rises from zero as in Ganin & Lempitsky; in ADAN's and MoDIR's code it is constant."""
    layers: int = Field(2, ge=1, le=3)
    """Linear layers of the discriminator."""
    hidden: int = Field(256, gt=0)
    """Width of its hidden layers (MoDIR's code has 200, ADAN's 900)."""
    discriminator_learning_rate: float = Field(1e-3, gt=0)
    """Of its own optimiser, without a schedule (ADAN's code has 5e-4)."""
    discriminator_steps: int = Field(5, gt=0)
    """How many steps it takes before each step of the student: one on each of so many recent batches, as MoDIR's code
    can. ADAN's takes 5, on fresh sentences, and Ganin & Lempitsky 1."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """If not zero, the student is judged by an average of the discriminator over time, of which so much is kept at each
    step. This project's own: what has momentum in MoDIR is the recent batches."""
    clip: float = Field(0.01, gt=0)
    """The largest weight of a Wasserstein critic (ADAN's code); other losses do not read it."""
    pair_weight: float = Field(0.0, ge=0)
    """If not zero, of InfoNCE between a sentence and its translation, on a third of each batch: pairs, for a comparison
    with methods that are given them (this project's own)."""
    temperature: float = Field(0.05, gt=0)
    """Of the cosines, before the softmax (not from any of the papers)."""


class Adversarial(TrainedMethod):
    """Adversarial alignment: learn English relevance while a discriminator must not tell the languages apart.

    Minimises InfoNCE on English queries and passages, and the reverse of what a language discriminator minimises on
    the embeddings that are scored; English and each query language are a class. The target languages enter as
    unlabelled text: the bitext's sides, shuffled apart, so that no translation pair is ever seen, unless `pair_weight`
    asks for them. Half of each batch is relevance; the other half is sentences, as many of each language.

    The discriminator has an optimiser and a learning rate of its own, as in Keung et al. 2019, where the encoder has
    another for what it learns from it; here it has one, and `strength` takes that part. `discriminator_accuracy` in the
    log is that of the discriminator as the student meets it; after training a fresh linear probe says whether the
    languages can still be told apart (`probe_accuracy`).

    A reconstruction: of ADAN and MoDIR the authors' code could be read; that LANCER had a variant with `confusion`, and
    Keung et al.'s losses, are from memory.

    Known limits: without pairs nothing says which word means what, so that a student whose vocabulary was replaced ends
    about where it started, and a fresh probe still tells the languages apart. It is easily made worse: where it outruns
    the discriminator, which is then wrong more often than right, it falls below the untrained student. On development
    data (`conlang` qaa-eng, 200 steps, mean of two seeds) R@100 is 0.18 untrained, 0.18 at the default strength and
    0.11 at ten times it. The default was chosen there, among some two dozen settings, for doing no harm.
    """

    name = "adversarial"
    source = (
        "Ganin & Lempitsky 2015 (arXiv 1409.7495); ADAN, Chen et al. 2018 (arXiv 1606.01614); Keung et al. 2019 "
        "(arXiv 1909.00153); MoDIR, Xin et al. 2022 (arXiv 2110.07581); a reconstruction"
    )
    uses: tuple[str, ...] = ("relevance", "unpaired text")
    Config = AdversarialConfig

    def __init__(self, config: AdversarialConfig | None = None) -> None:
        super().__init__(config)
        if self.config.pair_weight:
            self.uses = (*self.uses, "bitext")

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        config, bitext, limit = self.config, task.data.bitext, task.recipe.max_length
        judgments = judged_within(task.data.document_language, task.data)
        self.relevance = Examples(task, student, self.document_encoder, judgments)
        self.english = student.tokenize(bitext.document_side, "query", limit)
        self.target = student.tokenize(bitext.query_side, "query", limit)
        if config.pair_weight:
            self.pairs = Examples(task, student, self.document_encoder, translated(bitext))
        self.rows_of: dict[str, list[int]] = {}
        for row, pair in enumerate(bitext.pairs):
            self.rows_of.setdefault(pair.query, []).append(row)
        self.discriminator = Discriminator(
            make_network(
                student.dimension,
                len(self.rows_of) + (config.loss != "wasserstein"),
                layers=config.layers,
                hidden=config.hidden,
                seed=task.torch_generator("discriminator").initial_seed(),
            ).to(student.device),
            config.loss,
            learning_rate=config.discriminator_learning_rate,
            steps=config.discriminator_steps,
            momentum=config.momentum,
            clip=config.clip,
        )

    def refresh(self, spent: Spent) -> None:
        self.discriminator.learn()

    def state(self) -> dict[str, Tensor]:
        return self.discriminator.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.discriminator.load_state(state)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        share = max(self.task.recipe.batch_size // (3 if self.config.pair_weight else 2), 1)
        each = max(2 * share // (len(self.rows_of) + 1), 1)
        relevance, pairs, english, *others = rng.spawn(3 + len(self.rows_of))
        streams = {
            "relevance": self.relevance.batches(relevance, batch_size=share),
            "english": length_buckets([len(ids) for ids in self.english], each, english),
        }
        for (language, rows), child in zip(self.rows_of.items(), others, strict=True):
            own = length_buckets([len(self.target[row]) for row in rows], each, child)
            streams[language] = map(np.array(rows).__getitem__, own)
        if self.config.pair_weight:
            streams["pairs"] = self.pairs.batches(pairs, batch_size=share)
        while True:
            yield {name: next(stream) for name, stream in streams.items()}

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        config = self.config
        task_loss = self.relevance.loss(batch["relevance"], config.temperature)
        groups = [embed(self.student, self.english, batch["english"])]
        groups += [embed(self.student, self.target, batch[language]) for language in self.rows_of]
        sizes = torch.tensor([len(group) for group in groups])
        languages = torch.arange(len(groups)).repeat_interleave(sizes).to(self.student.device)
        # Unit variance per dimension suits the discriminator's initialisation better than unit length.
        scored = functional.normalize(torch.cat(groups), dim=1) * self.student.dimension**0.5
        self.discriminator.remember(scored, languages)
        strength = config.strength * (ramp(progress) if config.ramp else 1.0)
        adversary, figures = self.discriminator.adversary(scored, languages, strength)
        loss = task_loss + adversary
        figures |= {"task_loss": float(task_loss.detach()), "strength": strength}
        if config.pair_weight:
            pair_loss = self.pairs.loss(batch["pairs"], config.temperature)
            loss = loss + config.pair_weight * pair_loss
            figures["pair_loss"] = float(pair_loss.detach())
        return loss, figures

    def diagnose(self) -> dict[str, Any]:
        """`probe_accuracy`: held-out accuracy of a fresh language probe on sentences that are no translation pairs."""
        bitext, rng = self.task.data.bitext, self.task.numpy_generator("probe")
        rows = rng.permutation(len(bitext)).tolist()
        size = min(PROBE_SENTENCES, len(rows) // 2)
        texts = [[bitext.document_side[row] for row in rows[:size]]]
        for language in self.rows_of:
            own = [row for row in rows[size:] if bitext.pairs[row].query == language]
            texts.append([bitext.query_side[row] for row in own[:PROBE_SENTENCES]])
        if min(map(len, texts)) < 2:  # too few for one to learn from and one to judge by
            return {}
        embeddings = [self.student.encode(group, "query") for group in texts]
        return {"probe_accuracy": language_probe_accuracy(embeddings, rng)}
