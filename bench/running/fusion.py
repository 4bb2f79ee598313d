"""Fusions: the cells that combine the stored runs of other cells."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from bench.data import TestCollection
from bench.errors import CellFailed
from bench.evaluation.measures import RUN_DEPTH
from bench.results.store import Record
from bench.running.experiment import Cell
from bench.running.method_specs import make_method
from bench.running.work import Job, add_measures, finish_cell, perform_cells
from bench.spec import RunSpec
from bench.system.interrupt import remembered_interrupt
from bench.system.machine import prepare_libraries

LARGEST = ("peak_memory_mib", "bitext_pairs")
"""Costs with the maximum instead of the sum, since parts share the bitext and use memory one after another."""


def perform_fusion(job: Job, missing: Sequence[Cell], finished: Iterable[Record]) -> bool:
    """Compute missing fusions of finished cells; return and record failures as `work.perform`."""
    prepare_libraries(offline=job.resources.resolver.offline, threads=job.resources.threads)
    with remembered_interrupt():
        return perform_cells(job, missing, partial(fuse_cell, finished={cell.spec: cell for cell in finished}))


def fuse_cell(job: Job, cell: Cell, test: TestCollection, finished: Mapping[RunSpec, Record]) -> None:
    """Compute and score the run of a fusion. Raises `CellFailed` if the run of a part is missing."""
    from bench.evaluation.evaluate import Evaluation
    from bench.evaluation.run import strictly_decreasing
    from bench.evaluation.run_files import read_run

    if known := job.find(cell):
        add_measures(job, cell, test, known)
        return
    if failed := [spec.name for spec in cell.parts if spec not in finished]:
        raise CellFailed(f"its part {' and '.join(failed)} failed")
    parts = [finished[spec] for spec in cell.parts]
    runs = [read_run(part.run) for part in parts]
    fusion: Any = make_method(cell.spec.methods)
    rankings = {query: [run[query] for run in runs if query in run] for query in test.query_ids}
    run = {query: strictly_decreasing(fusion.fuse(each))[:RUN_DEPTH] for query, each in rankings.items() if each}
    job.cells[cell].begin()
    cached = any(part.manifest["documents_cached"] for part in parts)
    cost = total([part.manifest["cost"] for part in parts])
    trained = {
        "fingerprint": job.entry.fingerprint,
        "inputs": job.entry.inputs,
        "data_report": max((part.trained["data_report"] for part in parts), key=len),
        "cost": total([part.trained["cost"] for part in parts]),
    }
    origin = {"training": None, "trained": trained, "parts": _runs(parts)}
    finish_cell(job, cell, test, Evaluation(run, {}, documents_cached=cached), cost, origin)


def is_current(fused: Record, finished: Iterable[Record]) -> bool:
    """Return False if the run of a part has changed since the fusion, for example by a budget in seconds."""
    now = _runs(finished)
    return all(now.get(name, run) == run for name, run in fused.manifest.get("parts", {}).items())


def _runs(cells: Iterable[Record]) -> dict[str, str]:
    return {cell.folder.name: cell.manifest["run"] for cell in cells}


def total(costs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sum of each cost, or the maximum for `LARGEST`; None if a part lacks a number."""
    totals = {}
    for name in dict.fromkeys(chain.from_iterable(costs)):
        values = [cost[name] for cost in costs if name in cost]
        if all(isinstance(value, int | float) for value in values):
            totals[name] = max(values) if name in LARGEST else round(sum(values), 3)
        else:
            totals[name] = None
    return totals
