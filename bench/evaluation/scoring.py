"""The scores of a run: all measures of a test collection, by whatever computes them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.data import TestCollection
from bench.evaluation import bias, measures, mining
from bench.evaluation.run import Run


def score(run: Run, test: TestCollection, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return measure -> query id -> value, for every judged query; of a mining collection always its own measures."""
    if test.mining:
        return mining.score(run, test)
    judged = [name for name in names if name not in measures.BIAS]
    found = measures.score(run, test.qrels, judged) if judged else {}
    return {**found, **(bias.score(run, test) if len(judged) < len(names) else {})}
