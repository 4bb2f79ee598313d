"""What `bench compare A B` is about: two methods, two results folders, or two runs with judgments."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.atomic import atomic_write
from bench.data.dimensions import Level
from bench.data.formats.judgments import read_qrels
from bench.errors import BenchError
from bench.evaluation import measures
from bench.evaluation.run import read_foreign_run
from bench.progress import Display
from bench.report.comparison import Comparison, most_like
from bench.results.store import Store
from bench.results.systems import System, boards, gather
from bench.spec import MethodSpec, RunSpec, select

COLUMNS = [
    *("collection", "measure", "A", "B", "difference [95 %]", "effect"),
    *("wins", "ties", "losses", "p, queries", "p, seeds", "p, Holm"),
]
CHANGES = ["collection", "query", "A", "B", "difference"]


def opponents(a: str, b: str, results: Path, qrels: Path | None, names: Sequence[str]) -> list[tuple[System, System]]:
    """The pairs to compare. Raises `BenchError` if there is nothing of the kind, or nothing in common."""
    one, other = Path(a), Path(b)
    if one.is_file() and other.is_file():
        if qrels is None:
            raise BenchError("two runs are compared by judgments; name their file with --qrels")
        return [(_of_run(one, qrels, names), _of_run(other, qrels, names))]
    if qrels is not None:
        missing = a if not one.is_file() else b
        raise BenchError(f"--qrels goes with two files of runs, and {missing} is no file")
    if _is_store(one) and _is_store(other):
        return _of_folders(one, other)
    return _of_methods(a, b, results)


def _is_store(path: Path) -> bool:
    return (path / "cells").is_dir()


def _of_run(path: Path, qrels: Path, names: Sequence[str]) -> System:
    run = read_foreign_run(path, measures.depth(names))
    judged = read_qrels(qrels)
    if not judged.keys() & run.keys():
        raise BenchError(f"{path} has none of the queries that {qrels} judges")
    scores = measures.score(run, judged, names)
    spec = RunSpec(methods=(MethodSpec(name=str(path)),), dataset=qrels.name, encoder="")
    return System(spec, ("",), tuple(judged), {name: np.array([list(of.values())]) for name, of in scores.items()})


def _of_folders(one: Path, other: Path) -> list[tuple[System, System]]:
    """The systems that both folders have."""
    in_one, in_other = ({system.spec: system for system in _current(folder)} for folder in (one, other))
    pairs = [(system, in_other[key]) for key, system in in_one.items() if key in in_other]
    if not pairs:
        raise BenchError(f"{one} and {other} have no cell that asks the same question")
    return pairs


def _current(results: Path) -> list[System]:
    """Return the systems of a folder's current state, and print why cells are left out."""
    contents = Store(results).contents()
    for note in contents.notes:
        Display().warn(note)
    return gather(contents.cells)


def _of_methods(a: str, b: str, results: Path) -> list[tuple[System, System]]:
    """Return each row called A with the row called B of its board that is most like it."""
    systems = _current(results)
    specs = [system.spec for system in systems]
    ours, theirs = (set(select(text, specs, f"file, results folder or method in {results}:")) for text in (a, b))
    pairs = [
        (system, rival)
        for board in boards(systems).values()
        for system in board
        if system.spec in ours and (rival := most_like(system, [other for other in board if other.spec in theirs]))
    ]
    if not pairs:
        raise BenchError(f"'{a}' and '{b}' have no collection in common in {results}")
    return pairs


def row(found: Comparison) -> list[str]:
    """A comparison as texts, in the order of `COLUMNS`."""
    differences = found.differences
    difference = found.difference
    return [
        collection(found),
        found.measure,
        f"{found.mean_a:.4f}",
        f"{found.mean_b:.4f}",
        f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]",
        "-" if np.isnan(found.effect) else f"{found.effect:+.2f}",
        *(str(int(count)) for count in ((differences > 0).sum(), (differences == 0).sum(), (differences < 0).sum())),
        *map(p_value, (found.p_queries, found.p_seeds, found.p_holm)),
    ]


def p_value(p: float | None) -> str:
    """With four digits, and never as zero; `-` where there is none."""
    if p is None:
        return "-"
    return "<0.0001" if p < 0.00005 else f"{p:.4f}"


def collection(found: Comparison) -> str:
    """What both systems were asked, and what they have in common."""
    spec = found.a.spec
    names = spec.columns
    told = [names["dataset"], names["pair"], Path(spec.encoder).name, names["budget"], names["students"]]
    if found.a.name == found.b.name:
        told.insert(0, found.a.name)
    if spec.scoring != "mean":
        told.append(spec.scoring)
    if spec.level != Level():
        told.append(f"bitext {spec.level}")
    return " ".join(filter(None, told))


def changes(found: Comparison, limit: int) -> list[list[str]]:
    """The queries whose scores differ most, in the order of `CHANGES`; ties by their ids."""
    ones, others = (scores.mean(axis=0) for scores in found.scores)
    order = sorted(range(len(ones)), key=lambda i: (-abs(ones[i] - others[i]), found.queries[i]))
    return [
        [
            collection(found),
            found.queries[i],
            f"{ones[i]:.4f}",
            f"{others[i]:.4f}",
            f"{ones[i] - others[i]:+.4f}",
        ]
        for i in order[:limit]
        if ones[i] != others[i]
    ]


def write_differences(path: Path, comparisons: Sequence[Comparison]) -> None:
    """Write a CSV with a row for every query of every comparison: its scores, averaged over seeds."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["collection", "measure", "query", "a", "b", "difference"])
        for found in comparisons:
            scores = found.scores
            for query, a, b in zip(found.queries, *(score.mean(axis=0).tolist() for score in scores), strict=True):
                writer.writerow([collection(found), found.measure, query, repr(a), repr(b), repr(a - b)])


def verdict(a: str, b: str, comparisons: Sequence[Comparison]) -> str:
    """One line about all of them."""
    better = [found for found in comparisons if found.better is found.a]
    worse = [found for found in comparisons if found.better is found.b]
    told = [
        f"{word} in {len(group)} of {len(comparisons)} ({sum(found.is_significant for found in group)} significantly)"
        for word, group in (("better", better), ("worse", worse))
        if group
    ]
    return f"{a} is {' and '.join(told)} than {b}" if told else f"{a} and {b} are equal in all {len(comparisons)}"
