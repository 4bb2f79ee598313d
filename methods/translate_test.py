"""Translate-test: queries are translated into the documents' language; then an English retriever is enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from bench.api import (
    Batch,
    DualEncoder,
    Encoder,
    Method,
    MethodConfig,
    OnBatch,
    Retriever,
    Task,
    TrainedMethod,
    language_batches,
)
from methods.seq2seq import BATCH, Decoder, Learned, Pretrained, Seq2Seq, Translator, load_translator

HELD_OUT = 100
"""Rows of the bitext, a tenth of it at most, that the translator is not trained on but measured by."""


class TranslateTestConfig(MethodConfig):
    translator: str = "trained"
    """`trained`: by the harness, on the task's bitext and within its budget; or a sequence-to-sequence model, which is
    not trained at all: a folder or an id of the Hugging Face hub, with safetensors weights."""
    prefix: str = ""
    """What a pretrained translator wants before each text, such as `>>eng<< ` or `translate Swahili to English: `."""
    source_code: str = ""
    """The token by which a pretrained translator knows the queries' language; `{language}` in it stands for the ISO
    639-3 code, as in `{language}_Latn` for NLLB."""
    target_code: str = ""
    """The token of the documents' language that a pretrained translator shall begin with, as `eng_Latn`."""
    beams: int = Field(1, gt=0)
    """Of a pretrained translator's search; 1 is greedy. The trained one is always greedy."""
    max_length: int = Field(128, gt=0)
    """Longest translation, in word pieces."""
    learning_rate: float = Field(5e-3, gt=0)
    """Of the decoder of the trained translator, most of which starts from noise; its encoder is a student like all
    others."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Of the trained translator's targets (Vaswani et al. 2017, section 5.4)."""


@dataclass(frozen=True)
class Translating(DualEncoder):
    """Translates queries; then both sides are the teacher's."""

    translator: Translator

    def rewrite(self, queries: Sequence[str], on_batch: OnBatch | None = None) -> list[str]:
        return self.translator.translate(queries, on_batch)

    def save(self, folder: Path, teacher: Encoder) -> None:
        super().save(folder, teacher)
        self.translator.save(folder / "translator")


class TranslateTest(Method):
    """Queries are translated into the documents' language, and the unmodified teacher does the rest.

    The translator that is trained here is the student, which every other method trains as well, with a small
    recurrent decoder (`methods.seq2seq`) that writes those of the teacher's word pieces that the bitext has. It
    minimises the cross-entropy of the document side given the query side. `held_out_loss` is that loss, per word piece
    and without smoothing, and `held_out_f1` the overlap of its translations' word pieces with the reference's as F1 of
    multisets, averaged, both on sentences that were kept from training. What test queries became is kept with each run
    (`rewritten.tsv`).

    Known limits: the trained translator is small and greedy, and starts from an encoder of one language: within a few
    hundred steps it learns the small vocabulary of a generated language, and of a real one little more than which words
    are frequent. A budget in tokens counts what the student reads, not what the decoder writes. `recipe.selection`
    chooses no checkpoint of it.
    """

    name = "translate-test"
    source = "machine translation of queries, any model; the trained one after Luong et al. 2015 (arXiv 1508.04025)"
    uses: tuple[str, ...] = ("bitext",)
    Config = TranslateTestConfig

    def __init__(self, config: MethodConfig | None = None) -> None:
        super().__init__(config)
        if self.config.translator != "trained":
            self.uses = self.depends_on = ()

    @property
    def models(self) -> tuple[str, ...]:
        return () if self.config.translator == "trained" else (self.config.translator,)

    def fit(self, task: Task) -> Retriever:
        return Translating(task.teacher, task.teacher, self.translator(task))

    def translator(self, task: Task) -> Translator:
        config = self.config
        if config.translator == "trained":
            training = LearningToTranslate(config)
            # No checkpoint is chosen by judgments, for a translator embeds no document that could be right or wrong.
            data = replace(task.data, validation=task.data.validation.take([]))
            training.fit(replace(task, data=data))
            return training.translator
        model = Seq2Seq(
            name=config.translator,
            prefix=config.prefix,
            source_code=config.source_code.replace("{language}", task.data.pairs[0].query),
            target_code=config.target_code,
            beams=config.beams,
            max_length=config.max_length,
        )
        return Pretrained(model, task.teacher.device)

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> Retriever:
        """Raises `BenchError` if a pretrained translator cannot be had or is no longer what it was."""
        dual = DualEncoder.load(folder, teacher)
        return Translating(dual.query_encoder, dual.document_encoder, load_translator(folder / "translator", teacher))


class LearningToTranslate(TrainedMethod):
    """Trains the translator by the harness' own loop."""

    name = "translate-test"

    def __init__(self, settings: TranslateTestConfig) -> None:
        super().__init__()
        self.settings = settings

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        bitext, limit = task.data.bitext, min(task.recipe.max_length, self.settings.max_length)
        self.source_ids = student.tokenize(bitext.query_side, "query", limit)
        # Without special tokens and prompts: what the decoder writes is read as text.
        self.reference_ids = task.teacher.tokenizer(
            list(bitext.document_side), add_special_tokens=False, truncation=True, max_length=limit
        )["input_ids"]
        pieces = np.unique(np.fromiter((piece for ids in self.reference_ids for piece in ids), dtype=np.int64))
        self.target_ids = [np.searchsorted(pieces, ids) + 1 for ids in self.reference_ids]
        order = task.numpy_generator("held out").permutation(len(bitext))
        self.held_out, self.rows = np.split(order, [min(HELD_OUT, len(order) // 10)])
        known = task.teacher.word_embeddings.weight.detach()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.torch_generator("decoder").initial_seed())
            decoder = Decoder(
                torch.cat([known.mean(dim=0, keepdim=True), known[pieces]]),
                torch.from_numpy(pieces),
                task.recipe.dropout,
            )
        self.decoder = decoder.to(student.device)

    @property
    def translator(self) -> Learned:
        return Learned(self.student, self.decoder, self.task.teacher.tokenizer, max_length=self.settings.max_length)

    def modules(self) -> list[tuple[torch.nn.Module, float]]:
        return [(self.decoder, self.settings.learning_rate)]

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Rows of one language, and of similar length on the query side."""
        recipe, pairs = self.task.recipe, self.task.data.bitext.pairs
        lengths, languages = [len(self.source_ids[row]) for row in self.rows], [pairs[row] for row in self.rows]
        for batch in language_batches(lengths, languages, recipe.batch_size, rng, recipe.language_sampling):
            yield {"bitext": self.rows[batch]}

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        return self.cross_entropy(batch["bitext"], self.settings.label_smoothing), {}

    def cross_entropy(self, rows: np.ndarray, smoothing: float = 0.0) -> Tensor:
        """Of the word pieces of the rows' document sides and the boundary after each, averaged over all of them."""
        source = self.student.collate([self.source_ids[row] for row in rows])
        length = max(len(self.target_ids[row]) for row in rows) + 1
        before, after = np.zeros((len(rows), length), np.int64), np.full((len(rows), length), -1)
        for i, row in enumerate(rows):
            pieces = self.target_ids[row]
            before[i, 1 : len(pieces) + 1] = after[i, : len(pieces)] = pieces
            after[i, len(pieces)] = 0
        memory, device = self.student.token_embeddings(source), self.student.device
        output, _ = self.decoder(torch.from_numpy(before).to(device), memory, source.attention_mask)
        said = torch.from_numpy(after).to(device)
        logits = self.decoder.logits(output[said >= 0])
        return functional.cross_entropy(logits.float(), said[said >= 0], label_smoothing=smoothing)

    @torch.no_grad()
    def diagnose(self) -> dict[str, Any]:
        losses, overlaps, translator = [], [], self.translator
        for start in range(0, len(self.held_out), BATCH):
            rows = self.held_out[start : start + BATCH]
            losses += [float(self.cross_entropy(rows[i : i + 1])) for i in range(len(rows))]
            written = translator.write([self.source_ids[row] for row in rows])
            overlaps += [overlap(ids, self.reference_ids[row]) for ids, row in zip(written, rows, strict=True)]
        if not losses:
            return {}
        return {"held_out_loss": float(np.mean(losses)), "held_out_f1": float(np.mean(overlaps))}


def overlap(one: Sequence[int], other: Sequence[int]) -> float:
    """F1 of two sequences as multisets, 0 to 1."""
    common = (Counter(one) & Counter(other)).total()
    return 2 * common / max(len(one) + len(other), 1)
