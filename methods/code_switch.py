"""Code-switching: English judgments in which some words are replaced by their translations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from bench.api import Batch, Encoder, Task, TrainedConfig, TrainedMethod, info_nce
from methods.examples import Examples
from methods.glossing import GlossConfig, english_judgments
from methods.translation_table import words


class CodeSwitchConfig(TrainedConfig, GlossConfig):
    document_encoder: Literal["teacher", "student"] = "student"
    probability: float = Field(0.5, ge=0, le=1)
    """Probability that a word with a translation is replaced (the paper's default, from memory). With 1 a query is a
    gloss: only words without a translation stay."""
    side: Literal["query", "both"] = "query"
    """Code-switch only queries, or passages, too, although test documents are all English."""
    temperature: float = Field(0.05, gt=0)
    """Divisor of the cosines in the contrastive loss."""


class CodeSwitch(TrainedMethod):
    """Code-switching: learn English relevance from queries in which random words are replaced by translations.

    Minimises InfoNCE between queries and their passages, with the other passages of the batch as negatives. Passages
    of a query's parallel group (the same passage again, or another that answers the same query) are no negatives. Every
    time a query is read, each of its words is replaced with probability `probability` by a translation. It is drawn
    from p(f|e), the table that IBM Model 1 learns from the bitext. If several languages are trained together, each has
    its own table and all of the judgments. The language of a query is drawn uniformly.

    A reconstruction: only the paper's abstract was read. It trains rerankers, with lexicons from word embeddings and
    from titles of Wikipedia. Here the student is a dual encoder, and the lexicon comes from the bitext. The method
    needs English judgments and fails without them.
    """

    name = "code-switch"
    source = "Litschko et al. 2023 (ACL Findings; arXiv 2305.05295), a reconstruction"
    supervision = ("relevance", "bitext")
    Config = CodeSwitchConfig
    tuned: ClassVar[Mapping[str, Sequence[Any]]] = {
        "temperature": (0.02, 0.05, 0.1),
        "probability": (0.25, 0.5, 1.0),
    }

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        self.examples = Examples(task, student, self.document_encoder, english_judgments(task.data))
        self.glossaries = [self.config.glossary(task.data, pair.query) for pair in task.data.pairs]

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        for rows in self.examples.batches(rng):
            yield {"examples": rows, "seed": np.array(rng.integers(2**63))}

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rows, rng = batch["examples"], np.random.default_rng(int(batch["seed"]))
        student, documents, limit = self.student, self.document_encoder, self.task.recipe.max_length
        glossaries = [self.glossaries[i] for i in rng.integers(len(self.glossaries), size=len(rows))]

        def switched(texts: tuple[str, ...]) -> list[str]:
            chosen = zip(glossaries, rows, strict=True)
            return [glossary.gloss(texts[row], self.config.probability, rng) for glossary, row in chosen]

        queries = student(student.collate(student.tokenize(switched(self.examples.rows.queries), "query", limit)))
        if self.config.side == "both":
            texts = switched(self.examples.rows.positives)
            positives = documents(documents.collate(documents.tokenize(texts, "document", limit)))
        else:
            positives = self.examples.positives.embed(rows)
        return info_nce(queries, positives, self.config.temperature, self.examples.related(rows, rows)), {}

    def diagnose(self) -> dict[str, Any]:
        """Return `translated_words`: the share of query words with a translation, averaged over the languages."""
        running = [word for query in self.examples.rows.queries for word in words(query)]
        known = [[word in glossary.translations for word in running] for glossary in self.glossaries]
        return {"translated_words": float(np.mean(known))}
