"""Fusion of rankings."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from bench.api import BenchError, Method, MethodConfig, Retriever, Task

Ranking = Sequence[tuple[str, float]]
"""Documents with their scores, best first."""
DECIMALS = 12
"""The decimals of a fused score. Rounding makes sums equal that differ only by floating-point errors."""


class FusionConfig(MethodConfig):
    by: Literal["ranks", "scores"] = "ranks"
    """`ranks`: sum of reciprocal ranks; `scores`: sum of min-max normalised scores."""
    k: float = Field(60.0, ge=0)
    """The constant of reciprocal ranks: the larger it is, the less the first ranks count. `scores` ignores it."""


class Fusion(Method):
    """The fused rankings of two or more methods, as in `fusion+psq+contrastive`.

    Brackets enclose methods that train one student together: `fusion+psq+[contrastive+translate-distill]`.

    The score of a document is a sum over the methods that retrieved it. By `ranks` it is the sum of 1 / (k + rank),
    with ranks from 1: reciprocal rank fusion. By `scores`, as in `fusion:by=scores+psq+contrastive`, it is the sum of
    (s - min) / (max - min): CombSUM. min and max are those of the method's ranking for the query. The only document of
    a ranking has the value 1. Documents with equal sums are ordered by their ids.

    It trains nothing. It fuses the stored runs of the methods, each by its usual scoring: `single-vector`, or `bm25` of
    lexical methods. The methods are trained and shown as rows of their own, which several fusions share. The costs of a
    fusion are by construction the sums of those of its parts; its peak memory and its number of sentence pairs are the
    largest of them. A cost that a part does not report is empty.

    A reconstruction: the formulas are as commonly stated, the papers' full texts could not be read.

    Known limits: stored runs have 100 documents per query, and measures that look deeper are left out.
    """

    name = "fusion"
    source = "Cormack, Clarke & Buettcher 2009 (SIGIR); Fox & Shaw 1994 (TREC-2); a reconstruction"
    depends_on = ()
    scorings = ("fusion",)
    Config = FusionConfig

    def fit(self, task: Task) -> Retriever:
        raise BenchError("fusion trains nothing: it fuses the runs of other methods")

    def fuse(self, rankings: Sequence[Ranking]) -> list[tuple[str, float]]:
        """Return the fused score of each document, in any order, from one query's rankings by several methods.

        The order of the rankings has no effect.
        """
        values: dict[str, list[float]] = defaultdict(list)
        for ranking in rankings:
            by_ranks = self.config.by == "ranks"
            its_values = reciprocal_ranks(ranking, self.config.k) if by_ranks else normalised_scores(ranking)
            for (document, _), value in zip(ranking, its_values, strict=True):
                values[document].append(value)
        return [(document, round(math.fsum(each), DECIMALS)) for document, each in values.items()]


def reciprocal_ranks(ranking: Ranking, k: float) -> list[float]:
    """Return 1 / (k + rank) of each document."""
    return [1 / (k + rank) for rank in range(1, len(ranking) + 1)]


def normalised_scores(ranking: Ranking) -> list[float]:
    """Return the scores, scaled so that the first document has 1 and the last has 0; a single document has 1."""
    largest, least = ranking[0][1], ranking[-1][1]
    return [(score - least) / (largest - least) if largest > least else 1.0 for _, score in ranking]
