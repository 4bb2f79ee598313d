"""Compute a suite and write its values and their tolerances to a file; of one seed, the score of each query.

The default is the embedded suite. A baseline that exists is replaced only with a reason. Everything is computed in
float32 with one thread per seed, whatever the machine.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench import registry
from bench.errors import BenchError
from bench.libraries import prepare_libraries
from bench.options import add_options, read_options
from bench.request import Computing, Suite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="where to write it, such as results/baselines/mine.json"
    )
    parser.add_argument("--reason", metavar="TEXT", help="why a baseline is replaced; stored in the file")
    add_options(parser, Suite)
    add_options(parser, Computing)


def main(options: argparse.Namespace) -> int:
    suite = read_options(Suite, options, environment=False)
    return baseline(options.file, suite, read_options(Computing, options), options.reason)


def baseline(path: Path, suite: Suite, computing: Computing, reason: str | None) -> int:
    """Compute a suite and write its baseline; returns the exit code."""
    prepare_libraries(offline=True, threads=1)
    from bench.gate.baseline import Baseline, fit_for_a_baseline, make_baseline
    from bench.gate.compute import compute_seeds, working
    from bench.running.rows import expand

    methods, notes = expand(suite.methods or (registry.ALL,), {})
    for note in notes:
        print(note)
    suite = fit_for_a_baseline(suite.model_copy(update={"methods": methods}))
    history = Baseline.read(path).history if path.exists() else ()
    reason = (reason or "").strip()
    if path.exists() and not reason:
        raise BenchError(f"{path} exists; say why it is replaced with --reason TEXT, or write to another file")
    with working(computing, "baseline") as work:
        made = make_baseline(suite, compute_seeds(suite, suite.seeds, work, computing.processes))
    if reason:
        date = datetime.now(UTC).date().isoformat()
        history = (*history, {"date": date, "commit": made.made_by["commit"], "reason": reason})
    replace(made, history=history).write(path)
    seeds = "seed" if suite.by_query else "seeds"
    print(f"written: {path}, {len(made.keys)} values of {len(suite.seeds)} {seeds}")
    return 0
