"""Measures, all through ir-measures: parsing names, scoring runs per query, aggregating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, unknown

if TYPE_CHECKING:
    from bench.evaluation.retrieval import Run

RUN_DEPTH = 100
"""Documents per query that a stored run keeps; no measure may look deeper."""
DEFAULT = ("nDCG@10", "RR@10", "Success@1", "R@100")
DESCRIPTIONS = {
    "nDCG@10": "normalised discounted cumulative gain of the first 10 documents",
    "RR@10": "reciprocal rank of the first relevant document, 0 beyond rank 10 (MRR@10)",
    "Success@1": "whether the first document is relevant (accuracy on sentence retrieval)",
    "R@100": "share of the relevant documents among the first 100",
    "AP@100": "average precision over the first 100 documents (MAP@100)",
}
MINING = {
    "F1": "harmonic mean of precision and recall",
    "precision": "share of the mined pairs that are gold pairs",
    "recall": "share of the gold pairs that are mined",
}
"""What a mining collection is measured by, and it alone: these are ratios over all queries, not means."""
ALIASES = {
    "MRR@": "RR@",
    "MAP@": "AP@",
    "ACCURACY": "Success@1",
    "NDCG@": "nDCG@",
    "RECALL@": "R@",
    "SUCCESS@": "Success@",
}


def parse_measures(names: Sequence[str], depth: int = RUN_DEPTH) -> list[str]:
    """Canonical names of measures. Raises `BenchError` for one that is unknown, or not bounded by `depth`."""
    import ir_measures

    canonical = []
    for name in names:
        if name in MINING:
            raise BenchError(f"measure '{name}' is not asked for: all that is mined has it, and no ranking does")
        spelled = name
        for alias, prefix in ALIASES.items():
            if name.upper().startswith(alias):
                spelled = prefix + name[len(alias) :]
        try:
            measure = ir_measures.parse_measure(spelled)
            cutoff, official = measure.params.get("cutoff"), str(measure)
        except (NameError, ValueError, SyntaxError, KeyError, TypeError) as error:
            raise unknown("measure", name, DESCRIPTIONS) from error
        if cutoff is None:
            raise BenchError(f"measure '{name}' has no cutoff; runs are cut at {depth}, so write {official}@{depth}")
        if not isinstance(cutoff, int) or cutoff < 1:
            raise BenchError(f"measure '{name}' has no sensible cutoff; write a whole number of documents from 1 on")
        if cutoff > depth:
            raise BenchError(f"measure '{name}' looks deeper than the {depth} documents that a run keeps")
        try:
            score({"q": [("d", 1.0)]}, {"q": {"d": 1}}, [official])
        except Exception as error:
            raise BenchError(f"measure '{name}' cannot be computed here: {' '.join(str(error).split())}") from error
        canonical.append(official)
    return list(dict.fromkeys(canonical))


def score(run: Run, qrels: Mapping[str, Mapping[str, int]], measures: Sequence[str]) -> dict[str, dict[str, float]]:
    """Measure -> query id -> value, for every judged query; one without results scores 0."""
    import ir_measures

    parsed = [ir_measures.parse_measure(name) for name in measures]
    values = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    judged: Any = qrels
    found: dict[str, Any] = {query: dict(ranking) for query, ranking in run.items() if ranking}
    for metric in ir_measures.iter_calc(parsed, judged, found):
        values[str(metric.measure)][metric.query_id] = float(metric.value)
    return values
