"""Measures of ir-measures: names, depths and scores of runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, unknown

if TYPE_CHECKING:
    from bench.evaluation.run import Run

LIBRARIES = ("ir-measures", "pytrec-eval-terrier", "numpy")
RUN_DEPTH = 100
"""Documents per query in a stored run. Deeper measures are computed before the cut."""
EVALUATION_DEPTH = 1000
"""Maximum depth of a measure."""
DEFAULT = ("nDCG@10", "RR@10", "Success@1", "R@100")
DESCRIPTIONS = {
    "nDCG@10": "normalised discounted cumulative gain of the first 10 documents",
    "RR@10": "reciprocal rank of the first relevant document, 0 beyond rank 10 (MRR@10)",
    "Success@1": "1 if the first document is relevant, else 0 (accuracy on sentence retrieval)",
    "R@100": "share of the relevant documents among the first 100",
    "AP@100": "average precision over the first 100 documents (MAP@100)",
    "AP@1000": "average precision over the first 1000 documents (MAP in most papers)",
}
MINING = {
    "F1": "harmonic mean of precision and recall",
    "precision": "share of the mined pairs that are gold pairs",
    "recall": "share of the gold pairs that are mined",
}
"""The measures of bitext mining, which are ratios over all queries."""
BIAS = {
    f"RankDistance@{EVALUATION_DEPTH}": "ranks between the first and the last translation of the relevant document",
    f"MaxR@{EVALUATION_DEPTH}": "rank of the last translation of the relevant document (Max@R)",
}
"""Additional measures of multilingual retrieval; lower is better."""
OF_TASKS = {**MINING, **BIAS}
"""Measures that a run computes for every collection of a task, and that cannot be requested."""


def split(names: str | Iterable[str]) -> tuple[str, ...]:
    """Return the names in one or several texts. A comma or blank in brackets belongs to a name."""
    texts = [names] if isinstance(names, str) or not isinstance(names, Iterable) else names
    return tuple(name for text in texts for name in re.split(r"[,\s]+(?![^()]*\))", str(text).strip(", ")))


_FOUND: Run = {"a": [("x", 2.0), ("y", 1.0)], "b": [("x", 1.0)], "c": [("y", 1.0)], "d": []}
_EXAMPLE = _FOUND, {query: {"x": 1, "y": 0} for query in _FOUND}
"""A run with all, some and no relevant documents, and its judgments, to test a measure."""


def parse_measures(names: str | Iterable[str]) -> list[str]:
    """Return the canonical names of measures. Raises `BenchError` for unknown, unbounded or too deep measures."""
    import ir_measures

    spellings = {known.upper(): known for known in ir_measures.measures.registry}
    canonical: list[str] = []
    for name in split(names):
        if name in OF_TASKS:
            raise BenchError(f"measure '{name}' cannot be requested: it is computed for every collection of its task")
        word, at, rest = name.partition("@")
        spelled = spellings.get(word.upper(), word) + at + rest
        try:
            measure = ir_measures.parse_measure("Success@1" if name.lower() == "accuracy" else spelled)
            cutoff, official = measure.params.get("cutoff"), str(measure)
        except (NameError, ValueError, SyntaxError, KeyError, TypeError) as error:
            raise unknown("measure", name, DESCRIPTIONS) from error
        if cutoff is None:
            raise BenchError(f"measure '{name}' has no cutoff; write one, as in {official}@{RUN_DEPTH}")
        if not isinstance(cutoff, int) or not 1 <= cutoff <= EVALUATION_DEPTH:
            raise BenchError(f"measure '{name}' needs a cutoff that is a whole number from 1 to {EVALUATION_DEPTH}")
        try:
            score(*_EXAMPLE, [official])
        except Exception as error:
            raise BenchError(f"measure '{name}' cannot be computed here: {' '.join(str(error).split())}") from error
        canonical.append(official)
    return list(dict.fromkeys(canonical))


def is_deep(name: str) -> bool:
    """Return True if a measure is deeper than a stored run."""
    _, at, cutoff = name.rpartition("@")
    return bool(at) and int(cutoff) > RUN_DEPTH


def canonical(name: str) -> str:
    """Return the canonical name of a measure of cells. Raises `BenchError` as `parse_measures`."""
    return name if name in OF_TASKS else parse_measures([name])[0]


def lower_is_better(name: str) -> bool:
    return name in BIAS


def depth(names: Sequence[str]) -> int:
    """Return the necessary number of documents per query for these measures."""
    return EVALUATION_DEPTH if any(map(is_deep, names)) else RUN_DEPTH


def score(run: Run, qrels: Mapping[str, Mapping[str, int]], measures: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return measure -> query id -> value for every judged query; 0 for a query without results."""
    import ir_measures

    values = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    queries = list(qrels)  # numbers, since gdeval, the program behind ERR, accepts no other ids
    judged: dict[str, Any] = {str(number): qrels[query] for number, query in enumerate(queries)}
    parsed = [ir_measures.parse_measure(name) for name in measures]
    # A measure needs no documents beyond its cutoff, unless it removes unjudged documents before the cut.
    cutoffs: list[Any] = [
        None if measure.params.get("judged_only") else measure.params.get("cutoff") for measure in parsed
    ]
    deepest = None if None in cutoffs else max(cutoffs, default=None)
    by_cutoff: dict[int | None, list[Any]] = {}
    for measure, cutoff in zip(parsed, cutoffs, strict=True):
        # The program behind RR is slow, since it sorts all documents in Python.
        by_cutoff.setdefault(cutoff if measure.NAME == "RR" else deepest, []).append(measure)
    for cutoff, group in by_cutoff.items():
        cut: dict[str, Any] = {str(i): dict(run[query][:cutoff]) for i, query in enumerate(queries) if run.get(query)}
        for metric in ir_measures.iter_calc(group, judged, cut):
            values[str(metric.measure)][queries[int(metric.query_id)]] = float(metric.value)
    return values
