"""Conventions for runs of other software: ties, and the queries of a mean (docs/conventions.md)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

Average = Literal["judged", "relevant", "returned"]
"""The queries of a mean.

- `judged`: all queries with judgments, as in trec_eval -c and ir_measures. Without results or a relevant document they
  score 0.
- `relevant`: judged queries with a relevant document.
- `returned`: judged queries with results, as in trec_eval without -c.
"""
Ties = Literal["descending-id", "ascending-id"]
"""The order of documents with equal scores: descending ids as in trec_eval, or ascending ids as in own runs."""
Judged = TypeVar("Judged", bound=Mapping[str, int])


class TrecRun(NamedTuple):
    """A run of other software."""

    rankings: Mapping[str, Sequence[tuple[str, float]]]
    """The rankings, as in `bench.evaluation.run.Run`."""
    tied: int
    """Number of documents with the score of another document of the query."""
    rounded: int
    """Number of documents with the score of another document as float32 only."""


def averaged(qrels: Mapping[str, Judged], run: TrecRun, average: Average) -> dict[str, Judged]:
    """Return the judgments of the queries of a mean."""
    return {
        query: judged
        for query, judged in qrels.items()
        if average == "judged"
        or (average == "relevant" and any(grade > 0 for grade in judged.values()))
        or (average == "returned" and query in run.rankings)
    }


def remarks(
    path: Path, run: TrecRun, qrels: Mapping[str, Mapping[str, int]], average: Average, ties: Ties
) -> list[str]:
    """Return a message for each convention that affects a run, with the number of documents or queries."""
    found, judged = [], len(qrels)
    if run.tied:
        order = "descending id, as in trec_eval" if ties == "descending-id" else "ascending id"
        found.append(f"{run.tied:,} documents share their score with another one; ordered by {order} (--ties)")
    if run.rounded:
        found.append(
            f"{run.rounded:,} documents share their score with another one as float32 only; they keep their order"
        )
    if missing := len(qrels.keys() - run.rankings.keys()):
        effect = "not counted" if average == "returned" else "each scores 0"
        found.append(f"no results for {missing:,} of {judged:,} judged queries; {effect} (--average)")
    if extra := len(run.rankings.keys() - qrels.keys()):
        found.append(f"results for {extra:,} queries without judgments; not counted")
    if empty := sum(not any(grade > 0 for grade in judgments.values()) for judgments in qrels.values()):
        effect = "not counted" if average == "relevant" else "each scores 0"
        found.append(f"{empty:,} of {judged:,} judged queries have no relevant document; {effect} (--average)")
    return [f"{path}: {line}" for line in found]
