"""Glosses of English texts: every word is replaced by a translation drawn from a table learned from the bitext."""

from __future__ import annotations

import re
from bisect import bisect
from itertools import accumulate

import numpy as np
from pydantic import Field

from bench.api import BenchError, Pair, Relevance, TrainingData
from methods.translation_table import Table, TableConfig

WORD = re.compile(r"\w+")
"""A word of an English text. English has no combining marks, which are no word characters to Python."""


class Glossary:
    """The translations of English words into one language, drawn in proportion to p(f|e)."""

    def __init__(self, table: Table) -> None:
        self.translations = {
            word: ([*probabilities], [*accumulate(probabilities.values())]) for word, probabilities in table.items()
        }

    def gloss(self, text: str, probability: float, rng: np.random.Generator) -> str:
        """Replace each word that has a translation with this probability; the text between words stays."""

        def replace(match: re.Match[str]) -> str:
            found = self.translations.get(match[0].casefold())
            if found is None or rng.random() >= probability:
                return match[0]
            words, cumulative = found
            return words[bisect(cumulative, rng.random() * cumulative[-1])]

        return WORD.sub(replace, text)


class GlossConfig(TableConfig):
    """The learning and the pruning of the tables p(f|e) that glosses are drawn from."""

    minimum_probability: float = Field(0.05, ge=0, le=1)
    """Less probable translations are left out: most of them are words from the context."""

    def glossary(self, data: TrainingData, language: str) -> Glossary:
        """Learn the glossary of a query language from its bitext. Raises `BenchError` if there is none."""
        bitext = data.bitext.between(Pair(language, data.document_language))
        return Glossary(self.table(bitext.document_side, bitext.query_side)[0])


def english_judgments(data: TrainingData) -> Relevance:
    """Return the judgments within the document language. Raises `BenchError` if there are none."""
    judgments = data.relevance.between(Pair(data.document_language, data.document_language))
    if not len(judgments):
        raise BenchError(
            f"there are no judgments within {data.document_language} to translate by words; "
            "name a collection that has them with --train"
        )
    return judgments


def glossed(
    judgments: Relevance, pair: Pair, glossary: Glossary, probability: float, rng: np.random.Generator
) -> Relevance:
    """Return English judgments in the languages of `pair`, of the source "glossed".

    Queries are glossed. Passages are glossed, too, if the pair is within one language.
    """
    queries = [glossary.gloss(text, probability, rng) for text in judgments.queries]
    positives = judgments.positives
    if pair.document == pair.query:
        positives = tuple(glossary.gloss(text, probability, rng) for text in positives)
    return Relevance.of(pair, queries, positives, "glossed")
