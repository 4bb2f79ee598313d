"""Adversarial alignment: English relevance, while a discriminator must not tell the languages apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from bench.api import Batch, Encoder, Pair, Spent, Task, TrainedMethod, length_buckets
from methods.discriminator import Discriminator, DiscriminatorConfig, language_probe_accuracy, schedule_factor
from methods.examples import Examples, TokenizedTexts, translated

PROBE_SENTENCES = 1000


class AdversarialConfig(DiscriminatorConfig):
    document_encoder: Literal["teacher", "student"] = "student"
    level: Literal["sentence", "token"] = "sentence"
    """The discriminator reads the scored embeddings, or those of all tokens."""
    strength: float = Field(0.1, ge=0)
    """Weight of the adversarial loss (ADAN's code has 0.01, MoDIR's scripts 0.5 and 1, Ganin & Lempitsky 1)."""
    schedule: Literal["constant", "ramp", "decay"] = "decay"
    """The strength is constant (ADAN), rises from zero (Ganin & Lempitsky) or is halved at intervals (MoDIR)."""
    pair_weight: float = Field(0.0, ge=0)
    """Weight of InfoNCE on translation pairs, a third of each batch if not zero, for a comparison with methods that use
    pairs (this project's own)."""
    temperature: float = Field(0.05, gt=0)
    """Divisor of the cosines before the softmax (not from any of the papers)."""


class Adversarial(TrainedMethod):
    """Adversarial alignment: learn English relevance while a discriminator must not tell the languages apart.

    Minimises InfoNCE on English queries and passages, and the reversed loss of a language discriminator on the scored
    embeddings, or on those of all tokens (`level`). English and each query language are a class. The query languages
    are unlabelled text: the two sides of the bitext are shuffled independently. So the method sees no translation
    pairs, unless `pair_weight` adds them. Half of each batch is relevance. The other half has the same number of
    sentences of each language.

    The discriminator has its own optimiser and learning rate, as in Keung et al. 2019. `strength` replaces their third
    learning rate, for the adversarial loss of the encoder. The log has `discriminator_accuracy` on the current batch.
    After training, `probe_accuracy` is the accuracy of a new linear probe of the language.

    A reconstruction: the authors' code of ADAN and MoDIR was read. LANCER's variant with `confusion` and the losses of
    Keung et al. are from memory.

    Known limits: without pairs the method cannot learn translations. Strength and schedule were chosen on the questions
    of `conlang-dev` with the tiny encoder, among 0.1, 0.5 and 1. A stronger adversary had lower scores and made
    different texts more similar (`mean_cosine`). With every strength a new probe could identify the languages.
    """

    name = "adversarial"
    source = (
        "Ganin & Lempitsky 2015 (arXiv 1409.7495); ADAN, Chen et al. 2018 (arXiv 1606.01614); Keung et al. 2019 "
        "(arXiv 1909.00153); MoDIR, Xin et al. 2022 (arXiv 2110.07581); a reconstruction"
    )
    supervision: tuple[str, ...] = ("relevance", "unpaired text")
    variants: ClassVar[dict[str, dict[str, Any]]] = {"adversarial-pairs": {"pair_weight": 1.0}}
    Config = AdversarialConfig
    tuned: ClassVar[Mapping[str, Sequence[Any]]] = {
        "temperature": (0.02, 0.05, 0.1),
        "strength": (0.1, 0.5, 1.0),
        "schedule": ("constant", "ramp", "decay"),
    }

    def __init__(self, config: AdversarialConfig | None = None) -> None:
        super().__init__(config)
        if self.config.pair_weight:
            self.supervision = (*self.supervision, "bitext")

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        config, data, limit = self.config, task.data, task.recipe.max_length
        judgments = data.relevance.between(Pair(data.document_language, data.document_language))
        self.relevance = Examples(task, student, self.document_encoder, judgments)
        self.english = TokenizedTexts(student, data.bitext.document_side, "query", limit)
        self.target = TokenizedTexts(student, data.bitext.query_side, "query", limit)
        if config.pair_weight:
            self.pairs = Examples(task, student, self.document_encoder, translated(data.bitext))
        languages = np.array([pair.query for pair in data.bitext.pairs])
        self.rows_of = {name: np.flatnonzero(languages == name) for name in dict.fromkeys(languages.tolist())}
        seed = task.torch_generator("discriminator").initial_seed()
        self.discriminator = Discriminator(config, student.dimension, len(self.rows_of) + 1, seed, student.device)

    def on_step_start(self, spent: Spent) -> None:
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
            "english": length_buckets(self.english.lengths, each, english),
        }
        for (language, rows), child in zip(self.rows_of.items(), others, strict=True):
            streams[language] = map(rows.__getitem__, length_buckets(self.target.lengths[rows], each, child))
        if self.config.pair_weight:
            streams["bitext"] = self.pairs.batches(pairs, batch_size=share)
        while True:
            yield {name: next(stream) for name, stream in streams.items()}

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        config = self.config
        task_loss = self.relevance.loss(batch["relevance"], config.temperature)
        read = TokenizedTexts.tokens if config.level == "token" else TokenizedTexts.embed
        groups = [read(self.english, batch["english"]), *(read(self.target, batch[name]) for name in self.rows_of)]
        sizes = torch.tensor([len(group) for group in groups])
        languages = torch.arange(len(groups)).repeat_interleave(sizes).to(self.student.device)
        # Unit variance per dimension suits the discriminator's initialisation better than unit length.
        scored = normalize(torch.cat(groups), dim=1) * self.student.dimension**0.5
        self.discriminator.remember(scored, languages)
        strength = config.strength * schedule_factor(config.schedule, progress)
        adversary, figures = self.discriminator.adversary(scored, languages, strength)
        loss = task_loss + adversary
        figures |= {"task_loss": float(task_loss.detach()), "strength": strength}
        if config.pair_weight:
            pair_loss = self.pairs.loss(batch["bitext"], config.temperature)
            loss = loss + config.pair_weight * pair_loss
            figures["pair_loss"] = float(pair_loss.detach())
        return loss, figures

    def diagnose(self) -> dict[str, Any]:
        """Return `probe_accuracy`, on sentences that are no translation pairs; nothing if there are too few."""
        bitext, rng = self.task.data.bitext, self.task.numpy_generator("probe")
        rows = rng.permutation(len(bitext)).tolist()
        size = min(PROBE_SENTENCES, len(rows) // 2)
        texts = [[bitext.document_side[row] for row in rows[:size]]]
        for language in self.rows_of:
            own = [row for row in rows[size:] if bitext.pairs[row].query == language]
            texts.append([bitext.query_side[row] for row in own[:PROBE_SENTENCES]])
        if min(map(len, texts)) < 2:  # the probe trains on one half and is tested on the other
            return {}
        return {"probe_accuracy": language_probe_accuracy([self.student.encode(text, "query") for text in texts], rng)}
