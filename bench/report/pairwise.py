"""The parts of `bench compare A B`: pairs of systems, and their comparisons as text.

A and B are two methods of a results folder, two results folders, or two runs with judgments.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.data.bitext_subsets import BitextSubset
from bench.data.formats.qrels import read_qrels
from bench.errors import BenchError
from bench.evaluation import measures
from bench.evaluation.conventions import Average, Ties, averaged, remarks
from bench.evaluation.run_files import read_trec_run
from bench.progress import Display
from bench.report.comparison import common_scores, most_like
from bench.report.tables import p_value
from bench.results.store import CELLS, Store
from bench.results.systems import System, boards, gather
from bench.spec import MethodSpec, RunSpec, select
from bench.tables import Column

COLUMNS = [
    *(Column("collection", "name"), Column("A", priority=1), Column("B", priority=1)),
    *(Column("difference [95 %]"), Column("effect", priority=5)),
    *(Column(name, priority=4) for name in ("wins", "ties", "losses")),
    *(Column("p, queries", priority=3), Column("p, seeds", priority=3), Column("p, Holm")),
]
CHANGES = [Column("collection", "name"), Column("query", "name"), Column("A"), Column("B"), Column("difference")]


def opponents(
    a: str,
    b: str,
    results: Path,
    qrels: Path | None,
    names: Sequence[str],
    average: Average = "judged",
    ties: Ties = "descending-id",
) -> list[tuple[System, System]]:
    """Return the pairs to compare. `average` and `ties` are for two runs. Raises `BenchError` if there is no pair."""
    one, other = Path(a), Path(b)
    if one.is_file() and other.is_file():
        if qrels is None:
            raise BenchError("two runs need judgments; give their file with --qrels")
        first, second = (_of_run(path, qrels, names, average, ties) for path in (one, other))
        return [(first, second)]
    if qrels is not None:
        raise BenchError(f"--qrels needs two run files, and {b if one.is_file() else a} is not a file")
    if (one / CELLS).is_dir() and (other / CELLS).is_dir():
        theirs = {system.spec: system for system in _current(other)}
        pairs = [(system, theirs[system.spec]) for system in _current(one) if system.spec in theirs]
        if not pairs:
            raise BenchError(f"{one} and {other} have no cell with the same specification")
        return pairs
    pairs = rivals(a, b, _current(results), f"file, results folder or method in {results}:")
    if not pairs:
        raise BenchError(f"{results} has no collection for '{a}' and '{b}' with the same training data and budget")
    return pairs


def _of_run(path: Path, qrels: Path, names: Sequence[str], average: Average, ties: Ties) -> System:
    run, judged = read_trec_run(path, measures.depth(names), ties), read_qrels(qrels)
    if not judged.keys() & run.rankings.keys():
        raise BenchError(f"{path} has none of the queries that {qrels} judges")
    Display().warn(*remarks(path, run, judged, average, ties))
    counted = averaged(judged, run, average)
    scores = measures.score(run.rankings, counted, names)
    spec = RunSpec(methods=(MethodSpec(name=str(path)),), dataset=qrels.name, encoder="")
    return System(spec, ("",), tuple(counted), {name: np.array([list(of.values())]) for name, of in scores.items()})


def _current(results: Path) -> list[System]:
    """Return the systems of the current state of a folder, and print the reasons for left-out cells."""
    contents = Store(results).contents()
    Display().warn(*contents.notes)
    return gather(contents.cells)


def rivals(a: str, b: str, systems: Sequence[System], where: str) -> list[tuple[System, System]]:
    """Pair each system named A with the most similar system named B of its board, training data and budget.

    Raises `BenchError`, which begins with "unknown" and `where`, if no system has a name.
    """
    specs = [system.spec for system in systems]
    ours, theirs = (set(select(text, specs, where)) for text in (a, b))
    return [
        (system, rival)
        for board in boards(systems).values()
        for system in board
        if system.spec in ours and (rival := most_like(system, [other for other in board if other.spec in theirs]))
    ]


def table(compared: pd.DataFrame) -> pd.DataFrame:
    """Return a row of texts per comparison."""
    signed, p_values = "{:+.4f}".format, {"p, queries": "p_queries", "p, seeds": "p_seeds", "p, Holm": "p_holm"}
    intervals = " [" + compared["low"].map(signed) + ", " + compared["high"].map(signed) + "]"
    texts = {
        "collection": list(map(_collection, compared["a"], compared["b"])),
        "measure": compared["measure"],
        "A": compared["mean_a"].map("{:.4f}".format),
        "B": compared["mean_b"].map("{:.4f}".format),
        "difference [95 %]": compared["difference"].map(signed) + intervals,
        "effect": compared["effect"].map("{:+.2f}".format, na_action="ignore").fillna("-"),
        **{name: compared[name].map(str) for name in ("wins", "ties", "losses")},
        **{head: list(map(p_value, compared[name])) for head, name in p_values.items()},
    }
    return pd.DataFrame(texts)


def printed(compared: pd.DataFrame) -> tuple[list[list[str]], str]:
    """Return the cells of the columns `COLUMNS`, and the common properties of all collections, such as the encoder."""
    frame = table(compared)[[column.name for column in COLUMNS]]
    names, shared = _apart(frame["collection"].tolist())
    return frame.assign(collection=names).values.tolist(), shared


def _apart(names: Sequence[str]) -> tuple[list[str], str]:
    """Return names without their common last words, and these words."""
    words, shared = [name.split() for name in names], list[str]()
    while len(set(map(tuple, words))) > 1 and len({each[-1] for each in words}) == 1:
        shared.insert(0, words[0][-1])
        words = [each[:-1] for each in words]
    return list(map(" ".join, words)), " ".join(shared)


def differences(compared: pd.DataFrame) -> list[pd.DataFrame]:
    """Return a frame per comparison with a row per query: the scores, averaged over seeds, and their difference."""
    frames = []
    for one, other, measure in zip(compared["a"], compared["b"], compared["measure"], strict=True):
        queries, *scores = common_scores(one, other, measure)
        a, b = (each.mean(axis=0) for each in scores)
        about = {"collection": _collection(one, other), "measure": measure, "query": list(queries)}
        frames.append(pd.DataFrame({**about, "a": a, "b": b, "difference": a - b}))
    return frames


def changes(compared: pd.DataFrame, limit: int) -> pd.DataFrame:
    """Return a row of texts for each of the queries with the largest differences; ties by query id."""
    frames = []
    for frame in differences(compared):
        frame["size"] = frame["difference"].abs()
        frames.append(frame[frame["size"] > 0].sort_values(["size", "query"], ascending=[False, True]).head(limit))
    found = pd.concat(frames)
    found["collection"], _ = _apart(found["collection"].tolist())
    figures = {"A": found["a"].map("{:.4f}".format), "B": found["b"].map("{:.4f}".format)}
    return found[["collection", "query"]].assign(**figures, difference=found["difference"].map("{:+.4f}".format))


def _collection(a: System, b: System) -> str:
    """Return the common properties of two systems: collection, pair, encoder and settings."""
    spec, names = a.spec, a.spec.columns
    parts = [
        a.name if a.name == b.name else "",
        *(names["dataset"], names["pair"], Path(spec.encoder).name, names["budget"], names["students"]),
        names["scoring"] if names["scoring"] != "single-vector" else "",
        f"bitext {spec.subset}" if spec.subset != BitextSubset() else "",
    ]
    return " ".join(filter(None, parts))


def verdict(a: str, b: str, compared: pd.DataFrame) -> str:
    """Summarise comparisons in one line."""
    parts = []
    for word, sign in (("better", 1), ("worse", -1)):
        if count := (compared["sign"] == sign).sum():
            significant = (compared["significant"] == sign).sum()
            parts.append(f"{word} in {count} of {len(compared)} ({significant} significantly)")
    return f"{a} is {' and '.join(parts)} than {b}" if parts else f"{a} and {b} are equal in all {len(compared)}"
