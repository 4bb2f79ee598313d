"""BM25 on the query as it is."""

from __future__ import annotations

from bench.api import Task
from methods.psq import PSQ, BM25Config, PSQConfig, StructuredQueries


class BM25(PSQ):
    """BM25 on the untranslated query: only names, numbers and other words that both languages share can match.

    The formula, the words and the implementation are those of `psq` without a translation table, so the difference
    between the two is the effect of the table.
    """

    name = "bm25"
    source = "Robertson et al. 1994 (TREC-3); the variant of Lucene, as in the library bm25s"
    supervision = ()
    depends_on = ()
    Config = BM25Config

    def fit(self, task: Task) -> StructuredQueries:
        return StructuredQueries({}, PSQConfig(**self.config.model_dump()))
