"""Compute a suite, the embedded one unless other collections are named, and write down what it gives, with how far
each value over several seeds may move, or the score of each query if there is one seed. Computes in float32 and one
thread per seed, whatever the machine. Refuses to loosen a baseline without a reason: to lose a value, to compute fewer
seeds or queries, or to let a value move more than twice as far.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import registry
from bench.libraries import prepare_libraries
from bench.options import add_options, read_options
from bench.request import Computing, Suite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="where to write it, such as results/baselines/mine.json"
    )
    parser.add_argument("--reason", metavar="TEXT", help="why the baseline may be loosened, which the file keeps")
    add_options(parser, Suite)
    add_options(parser, Computing)


def main(options: argparse.Namespace) -> int:
    suite = read_options(Suite, options, environment=False)
    return baseline(options.file, suite, read_options(Computing, options), options.reason)


def baseline(path: Path, suite: Suite, computing: Computing, reason: str | None) -> int:
    """Compute a suite and write its baseline; returns the exit code."""
    prepare_libraries(offline=True, threads=1)
    from bench.gate.baseline import Baseline, fit_for_a_baseline, make_baseline
    from bench.gate.compute import compute_seeds, planned, working
    from bench.gate.loosening import foreseen, loosened, refuse, with_reason
    from bench.running.rows import expand

    methods, notes = expand(suite.methods or (registry.ALL,), {})
    for note in notes:
        print(note)
    suite = fit_for_a_baseline(suite.model_copy(update={"methods": methods}))
    for method in suite.methods:
        registry.row_name(method)
    old = Baseline.read(path) if path.exists() else None
    reason = (reason or "").strip() or None
    with working(computing, "baseline") as work:
        plan = work.plan(suite, suite.seeds[0])
        if old is not None and reason is None:
            refuse(path, foreseen(old, suite, planned(plan)))
        made = make_baseline(suite, compute_seeds(suite, suite.seeds, work, computing.processes))
    if old is not None:
        if reason is None:
            refuse(path, loosened(old, made), "; what --keep FOLDER kept is not computed again")
        made = with_reason(old, made, reason)
    made.write(path)
    seeds = "seed" if suite.by_query else "seeds"
    print(f"written: {path}, {len(made.keys)} values of {len(suite.seeds)} {seeds}")
    if old is not None and reason is not None:
        print(f"loosened: {'; '.join(made.history[-1]['loosened']) or 'nothing'}; because: {reason}")
    return 0
