"""Probabilistic structured queries: BM25 across languages, through a translation table."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array

from bench.api import BenchError, Encoder, Ids, Method, MethodConfig, OnBatch, Ranker, Task
from methods.translation_table import Table, TableConfig, words


class BM25Config(MethodConfig):
    k1: float = Field(1.2, gt=0)
    """BM25's k1: the frequency at which a word of an average document has half of its largest weight."""
    b: float = Field(0.75, ge=0, le=1)
    """BM25's b: the strength of length normalisation."""


class PSQConfig(TableConfig, BM25Config):
    keep_unknown: bool = True
    """A word without a translation stands for itself: it may be a number, or a name in the same script."""


class PSQ(Method):
    """Probabilistic structured queries: BM25 over expected term frequencies, by a table learned from the bitext.

    An occurrence of a translation e in a document d counts as p(e|f) occurrences of the query word f. The score is that
    of BM25 with expected frequencies:

        tf(f, d) = sum_e p(e|f) tf(e, d)
        df(f) = sum_e p(e|f) df(e)
        idf(f) = log(1 + (N - df(f) + 1/2) / (df(f) + 1/2))
        score(d) = sum_f idf(f) tf(f, d) / (tf(f, d) + k1 (1 - b + b |d| / average length))

    The last sum is over all occurrences of f in the query. p(e|f) is the table that IBM Model 1 learns, pruned and not
    normalised again. The training budget does not apply. The cost is that of EM.

    A reconstruction: the full texts of the papers could not be read. Expected frequencies are as commonly stated, and
    k1 and b are usual values. The criteria of pruning are those of Yang et al., with the values in the documentation of
    their fast_psq. (It translates documents when it indexes, and has a hidden Markov model in place of BM25.) The
    library bm25s counts whole words only, so BM25 is implemented here. Without translations the scores are those of
    bm25s, and the method is `bm25`.

    There is no stemming, no removal of stop words and no transliteration of names. All documents are read in the
    document language of the bitext. Languages that are trained together share one table.
    """

    name = "psq"
    source = "Darwish & Oard 2003 (SIGIR); Yang et al. 2024 (arXiv 2404.18797); a reconstruction"
    supervision: tuple[str, ...] = ("bitext",)
    depends_on: tuple[str, ...] = ("data",)
    scorings = ("bm25",)
    Config: ClassVar[type[MethodConfig]] = PSQConfig

    def fit(self, task: Task) -> StructuredQueries:
        bitext = task.data.bitext
        table, log_likelihood = self.config.table(bitext.query_side, bitext.document_side)
        entries = sum(map(len, table.values()))
        task.outcome["diagnostics"] = {"translations": entries, "log_likelihood": log_likelihood[-1]}
        return StructuredQueries(table, self.config)

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> StructuredQueries:
        """Read the retriever. Raises `BenchError` if its file is missing or damaged."""
        try:
            saved = json.loads((folder / "psq.json").read_bytes())
            return StructuredQueries(saved["table"], PSQConfig(**saved["config"]))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise BenchError(f"{folder} has no translation table or a damaged one; delete it to learn one") from error


@dataclass(frozen=True)
class StructuredQueries(Ranker):
    """Ranks documents by BM25 over expected term frequencies."""

    table: Table
    config: PSQConfig

    scorings = ("bm25",)

    def save(self, folder: Path, teacher: Encoder) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        saved = {"config": self.config.model_dump(), "table": self.table}
        (folder / "psq.json").write_text(json.dumps(saved, ensure_ascii=False), encoding="utf-8")

    def rank(
        self, queries: Sequence[str], documents: Sequence[str], ids: Ids, depth: int, on_texts: OnBatch
    ) -> Mapping[str, Sequence[tuple[str, float]]]:
        """Rank the documents that have a translation of one of the query's words.

        Only words that a query translates to are counted, in 8 bytes for each occurrence in a document.
        """
        counts = [Counter(words(query)) for query in queries]
        terms = sorted(set().union(*counts))
        row = {term: i for i, term in enumerate(terms)}
        translations, vocabulary = self.translate(terms)
        postings, lengths = count_words(documents, vocabulary, on_texts)
        run = {}
        for query, frequencies in zip(ids.queries, counts, strict=True):
            probabilities = translations[[row[term] for term in frequencies]]
            expected, documents_with = probabilities @ postings, probabilities @ np.diff(postings.indptr)
            scores = self.bm25(expected, documents_with, np.array([*frequencies.values()]), lengths)
            run[query] = best(scores, ids.documents, depth)
            on_texts(1)
        return run

    def translate(self, terms: Sequence[str]) -> tuple[csr_array, dict[str, int]]:
        """Return p(document word | term), (terms, document words) float64, and the column of each document word."""
        of_terms = [self.table.get(term, {}) for term in terms]
        if self.config.keep_unknown:
            of_terms = [row or {term: 1.0} for term, row in zip(terms, of_terms, strict=True)]
        vocabulary = {word: column for column, word in enumerate(sorted(set().union(*of_terms)))}
        columns = [vocabulary[word] for row in of_terms for word in row]
        values = [value for row in of_terms for value in row.values()]
        offsets = np.cumsum([0, *map(len, of_terms)])
        return csr_array((np.array(values, dtype=float), columns, offsets), (len(terms), len(vocabulary))), vocabulary

    def bm25(
        self, expected: csr_array, documents_with: np.ndarray, frequencies: np.ndarray, lengths: np.ndarray
    ) -> np.ndarray:
        """Return the score of every document, (documents,) float32; 0 without any translation.

        `expected` (terms, documents) and `documents_with` (terms,) are expected frequencies, `frequencies` (terms,)
        those in the query.
        """
        idf = np.log1p((len(lengths) - documents_with + 0.5) / (documents_with + 0.5))
        saturation = self.config.k1 * (1 - self.config.b + self.config.b * lengths / (lengths.mean() or 1))
        weights = np.repeat(frequencies * idf, np.diff(expected.indptr))
        parts = weights * expected.data / (expected.data + saturation[expected.indices])
        return np.bincount(expected.indices, parts, minlength=len(lengths)).astype(np.float32)


def count_words(
    documents: Iterable[str], vocabulary: Mapping[str, int], on_texts: OnBatch
) -> tuple[csr_array, np.ndarray]:
    """Return the counts of a vocabulary's words, (words, documents) int32, and the number of all words per document."""
    columns, offsets, lengths = array("i"), array("q", [0]), array("i")
    for text in documents:
        tokens = words(text)
        columns.extend(vocabulary[word] for word in tokens if word in vocabulary)
        offsets.append(len(columns))
        lengths.append(len(tokens))
        on_texts(1)
    parts = np.ones(len(columns), dtype=np.int32), np.array(columns), np.array(offsets)
    postings = csr_array(parts, (len(lengths), len(vocabulary)))
    postings.sum_duplicates()
    return postings.T.tocsr(), np.array(lengths)


def best(scores: np.ndarray, ids: Sequence[str], depth: int) -> list[tuple[str, float]]:
    """Return the documents with the `depth` largest scores above 0, and all ties with the last of them."""
    ranked = np.flatnonzero(scores)
    if len(ranked) > depth:
        ranked = ranked[scores[ranked] >= np.partition(scores[ranked], -depth)[-depth]]
    return [(ids[document], float(scores[document])) for document in ranked.tolist()]
