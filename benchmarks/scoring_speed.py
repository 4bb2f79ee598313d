"""Time the scoring of generated runs against pytrec_eval, from the same ranked lists and with the same measures.

    python benchmarks/scoring_speed.py [QUERIES [DOCUMENTS]]

prints a table and writes it to `results/speed/` (`benchmarks/timing.py`). Both results must be equal.
"""

import sys

import numpy as np
import pytrec_eval
from timing import compare, report

from bench.evaluation.measures import EVALUATION_DEPTH, score
from bench.system.machine import prepare_libraries

SPELLED = {
    "nDCG@10": ("ndcg_cut.10", "ndcg_cut_10"),
    "Success@1": ("success.1", "success_1"),
    "R@100": ("recall.100", "recall_100"),
    f"AP@{EVALUATION_DEPTH}": (f"map_cut.{EVALUATION_DEPTH}", f"map_cut_{EVALUATION_DEPTH}"),
}
"""Measures with their names in the input and in the output of pytrec_eval. It has no reciprocal rank with a cutoff."""
CORPUS = 1_000_000
RELEVANT = 3
LEAST = 1 / 1.3


def main(queries: int = 10_000, documents: int = 1_000) -> int:
    """Score once by all measures and once by those of the first 100 documents; return the exit code."""
    prepare_libraries(offline=True, threads=1)
    rng = np.random.default_rng(0)
    names = np.array([f"d{number:07d}" for number in range(CORPUS)], dtype=object)
    ranked = [names[rng.integers(0, CORPUS, documents)].tolist() for _ in range(queries)]
    lists = [list(dict.fromkeys(each)) for each in ranked]
    run = {f"q{i}": [(name, 1 - rank / 4096) for rank, name in enumerate(each)] for i, each in enumerate(lists)}
    qrels = {f"q{i}": dict.fromkeys(rng.choice(each, RELEVANT).tolist(), 1) for i, each in enumerate(lists)}

    def peer(measures: list[str]) -> dict[str, dict[str, float]]:
        evaluator = pytrec_eval.RelevanceEvaluator(qrels, {SPELLED[name][0] for name in measures})
        found = evaluator.evaluate({query: dict(ranking) for query, ranking in run.items()})
        return {name: {query: found[query][SPELLED[name][1]] for query in qrels} for name in measures}

    rows = []
    for measures in ([*SPELLED], [*SPELLED][:3]):
        if score(run, qrels, measures) != peer(measures):
            raise SystemExit(f"{measures}: pytrec_eval has other values")
        work = f"{queries:,} queries x {documents:,} documents, {' '.join(measures)}"

        def ours(measures: list[str] = measures) -> object:
            return score(run, qrels, measures)

        def theirs(measures: list[str] = measures) -> object:
            return peer(measures)

        rows.append(compare(work, ours, "pytrec_eval", theirs, least=LEAST))
    return report("scoring_speed", rows)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
