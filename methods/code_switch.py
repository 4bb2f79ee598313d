"""Code-switching: English judgments in which some words are replaced by their translations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from bench.api import Batch, BenchError, Encoder, Pair, Task, TrainedConfig, TrainedMethod, info_nce, length_buckets
from methods.translation_table import Table, TableConfig, words

WORD = re.compile(r"\w+")
"""A word of an English text. English has no combining marks, which are no word characters to Python."""


class CodeSwitchConfig(TrainedConfig, TableConfig):
    document_encoder: Literal["teacher", "student"] = "student"
    minimum_probability: float = Field(0.05, ge=0, le=1)
    """Less probable translations are left out: most of them are words from the context."""
    probability: float = Field(0.5, ge=0, le=1)
    """Probability that a word with a translation is replaced (the paper's default, from memory)."""
    side: Literal["query", "both"] = "query"
    """Code-switch only queries, or passages, too, although test documents are all English."""
    temperature: float = Field(0.05, gt=0)
    """Divisor of the cosines in the contrastive loss."""


class CodeSwitch(TrainedMethod):
    """Code-switching: learn English relevance from queries in which random words are replaced by translations.

    Minimises InfoNCE between queries and their passages, with the other passages of the batch as negatives. Every time
    a query is read, each of its words is replaced with a certain probability by a translation drawn from p(f|e), the
    table that IBM Model 1 learns from the bitext. Of several languages that are trained together, each has a table of
    its own and all of the judgments. The language that a query is mixed with is drawn uniformly.

    A reconstruction: the paper's abstract could be read. It trains rerankers, with lexicons from word embeddings and
    from Wikipedia's titles; here it is a dual encoder, and the lexicon comes from the bitext that other methods have.
    It needs English judgments: without them it fails, and does not fall back on the bitext.
    """

    name = "code-switch"
    source = "Litschko et al. 2023 (ACL Findings; arXiv 2305.05295), a reconstruction"
    supervision = ("relevance", "bitext")
    Config = CodeSwitchConfig
    tuned: ClassVar[Mapping[str, Sequence[Any]]] = {
        "temperature": (0.02, 0.05, 0.1),
        "probability": (0.25, 0.5, 0.75),
    }

    def prepare(self, task: Task, student: Encoder) -> None:
        super().prepare(task, student)
        data = task.data
        self.relevance = data.relevance.between(Pair(data.document_language, data.document_language))
        if not len(self.relevance):
            raise BenchError(
                f"code-switch needs judgments within {data.document_language}, and there are none; "
                "name a collection that has them with --train"
            )
        bitexts = [data.bitext.between(pair) for pair in data.pairs]
        self.tables = [self.config.table(bitext.document_side, bitext.query_side)[0] for bitext in bitexts]

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        lengths = [len(positive) for positive in self.relevance.positives]
        for rows in length_buckets(lengths, self.task.recipe.batch_size, rng):
            yield {"relevance": rows, "seed": np.array(rng.integers(2**63))}

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        rng = np.random.default_rng(int(batch["seed"]))
        queries, positives = ([texts[i] for i in batch["relevance"]] for texts in self.relevance.columns[:2])
        tables = [self.tables[i] for i in rng.integers(len(self.tables), size=len(queries))]
        share = self.config.probability
        queries = [code_switch(text, table, share, rng) for text, table in zip(queries, tables, strict=True)]
        if self.config.side == "both":
            positives = [code_switch(text, table, share, rng) for text, table in zip(positives, tables, strict=True)]
        student, documents, limit = self.student, self.document_encoder, self.task.recipe.max_length
        loss = info_nce(
            student(student.collate(student.tokenize(queries, "query", limit))),
            documents(documents.collate(documents.tokenize(positives, "document", limit))),
            self.config.temperature,
        )
        return loss, {}

    def diagnose(self) -> dict[str, Any]:
        """Return `translated_words`: the share of query words with a translation, averaged over the languages."""
        running = [word for query in self.relevance.queries for word in words(query)]
        return {"translated_words": float(np.mean([[word in table for word in running] for table in self.tables]))}


def code_switch(text: str, table: Table, probability: float, rng: np.random.Generator) -> str:
    """Replace each word that has a translation with this probability; the text between words stays."""

    def replace(match: re.Match[str]) -> str:
        translations = table.get(match[0].casefold())
        if not translations or rng.random() >= probability:
            return match[0]
        weights = np.array([*translations.values()])
        return str(rng.choice([*translations], p=weights / weights.sum()))

    return WORD.sub(replace, text)
