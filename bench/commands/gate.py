"""The regression gate: `bench baseline` and `bench check`."""

from dataclasses import replace
from datetime import UTC, datetime

from bench import registry
from bench.errors import BenchError
from bench.request import BaselineFile, Check, Computing, Suite
from bench.system.machine import prepare_libraries
from bench.tables import print_table
from bench.terminal import write_out


def baseline(suite: Suite, computing: Computing, target: BaselineFile) -> int:
    """Compute a suite, and write its values and their tolerances to a file.

    With one seed, the file has the score of each query. The default is the embedded suite. An existing baseline is
    replaced only with a reason. Everything is computed in float32 with one thread per seed.
    """
    prepare_libraries(offline=True, threads=1)
    from bench.gate.baseline import Baseline, fit_for_a_baseline, make_baseline
    from bench.gate.compute import compute_seeds, working
    from bench.running.method_specs import expand

    methods, notes = expand(suite.methods or (registry.ALL,), {})
    for note in notes:
        write_out(note)
    suite = fit_for_a_baseline(suite.model_copy(update={"methods": methods}))
    path, reason = target.file, target.reason.strip()
    history = Baseline.read(path).history if path.exists() else ()
    if path.exists() and not reason:
        raise BenchError(f"{path} exists; give the reason to replace it with --reason TEXT, or write to another file")
    with working(computing, "baseline") as work:
        made = make_baseline(suite, compute_seeds(suite, suite.seeds, work, computing.jobs))
    if reason:
        date = datetime.now(UTC).date().isoformat()
        history = (*history, {"date": date, "commit": made.made_by["commit"], "reason": reason})
    replace(made, history=history).write(path)
    seeds = "seed" if suite.by_query else "seeds"
    write_out(f"written: {path}, {len(made.values)} values of {len(suite.seeds)} {seeds}")
    return 0


def check(options: Check, computing: Computing) -> int:
    """Compute some seeds of a baseline again. Exits with 3 and a table if a value is missing, new or has moved."""
    prepare_libraries(offline=True, threads=1)
    from bench.gate.baseline import COLUMNS, Baseline, compare
    from bench.gate.compute import compute_seeds, working
    from bench.results.provenance import provenance

    expected = Baseline.read(options.file)
    expected = expected.of(options.methods) if options.methods else expected
    suite = expected.suite
    with working(computing, "check") as work:
        found = compute_seeds(suite, suite.seeds[: suite.checked], work, computing.jobs)
    changes = compare(expected, found)
    libraries = provenance()["libraries"]
    for name, version in expected.made_by["libraries"].items():
        if libraries.get(name) != version:
            work.display.say(f"{name} is {libraries.get(name)}; the baseline was made with {version}")
    if not changes:
        work.display.say(f"{len(expected.values)} values equal those of {options.file} within their tolerances")
        return 0
    print_table(COLUMNS, changes)
    cells = dict.fromkeys(cell for cell, *_ in changes)
    write_out(f"{len(changes)} of {len(expected.values)} values moved, in: {', '.join(cells)}")
    return 3
