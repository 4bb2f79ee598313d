"""Runs and scores of other programs, imported as external cells of a results folder."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.data import Pair, TestCollection
from bench.data.cards import Card
from bench.dependencies.fingerprint import of_code, of_libraries, of_test
from bench.errors import BenchError
from bench.evaluation import measures
from bench.evaluation.conventions import Average, Ties, averaged, remarks
from bench.evaluation.run import Run
from bench.evaluation.run_files import read_trec_run, write_run
from bench.options import read_toml
from bench.progress import Display
from bench.results.mteb import of_pairs, read_results
from bench.results.store import RUN, Record, Scores, Store
from bench.spec import MethodSpec, RunSpec
from bench.storage.hashing import digest
from bench.storage.sealed import sha256_of

EXTERNAL = "external"
"""The value of the column `supervision` for imported cells."""
PUBLISHED = "published"
"""The additional value for published figures."""


def import_run(
    store: Store,
    path: Path,
    method: str,
    encoder: str,
    test: TestCollection,
    names: Sequence[str],
    average: Average = "judged",
    ties: Ties = "descending-id",
) -> Record:
    """Score a TREC run with judgments, and store it as a cell. Raises `BenchError` for other ids."""
    run = read_trec_run(path, measures.depth(names), ties)
    where = f"{test.name} {test.pair}"
    kept = {query: run.rankings[query][: measures.RUN_DEPTH] for query in test.query_ids if query in run.rankings}
    if not kept:
        raise BenchError(f"{path} has no query of {where}; check --dataset and --pairs")
    documents = set(test.document_ids)
    for query, ranking in run.rankings.items():
        if lost := next((document for document, _ in ranking if document not in documents), None):
            raise BenchError(f"{path}: the document '{lost}' of query '{query}' is not in {where}")
    Display().warn(*remarks(path, run, test.qrels, average, ties))
    scores = measures.score(run.rankings, averaged(test.qrels, run, average), names)
    inputs = {**of_test(test.name, test.pair, test.digest), **of_code(["bench.evaluation.measures"])}
    inputs |= of_libraries(*measures.LIBRARIES)
    about = {
        "queries": len(test.queries),
        "documents": len(test.documents),
        "scores": {name: fmean(values.values()) for name, values in scores.items()},
        "conventions": {"average": average, "ties": ties},
    }
    row = method, encoder, test.name, test.pair
    return _add(store, _source(path), row, about, inputs=inputs, scores=scores, run=kept)


def import_mteb(store: Store, path: Path, method: str, encoder: str, card: Card, pairs: Sequence[Pair]) -> list[Record]:
    """Store the means of MTEB's results of a task as a cell per pair (default: all pairs of the collection).

    Raises `BenchError` as `read_results`.
    """
    found = read_results(path, card, pairs)
    if found.others:
        shown = ", ".join(found.others[:3]) + (", ..." if len(found.others) > 3 else "")
        Display().warn(f"{path}: {len(found.others):,} subsets are not in {card.name}; left out: {shown}")
    return [
        _add(store, _source(path), (method, encoder, card.name, pair), {"reported": means})
        for pair, means in found.means.items()
    ]


def import_published(store: Store, cards: Iterable[Card]) -> list[Record]:
    """Store the published figures of collections as cells of each board of the results folder.

    Raises `BenchError` if no board has figures.
    """
    figures = list(csv.DictReader((published_folder() / "mteb.csv").read_text(encoding="utf-8").splitlines()))
    source = {**read_toml(published_folder() / "mteb.toml"), "file": "mteb.csv"}
    by_model: dict[tuple[str, str], list[tuple[str, dict[str, float]]]] = {}
    for row in figures:
        means = {"Success@1": float(row["accuracy"])}
        by_model.setdefault((row["task"], row["model"]), []).append((row["subset"], means))
    boards = sorted({cell.spec.board for cell in store.contents().cells})
    tasks = {card.mteb.task: card for card in cards if card.mteb}
    found = []
    for (task, model), rows in by_model.items():
        if task not in tasks:
            continue
        card = tasks[task]
        for pair, means in of_pairs(rows, card, "mteb.csv").means.items():
            for dataset, text, encoder in boards:
                if (dataset, text) == (card.name, str(pair)):
                    row_of_board = model, encoder, dataset, pair
                    found.append(_add(store, source, row_of_board, {"reported": means}, marks=(EXTERNAL, PUBLISHED)))
    if not found:
        names = ", ".join(tasks[task].name for task in dict.fromkeys(task for task, _ in by_model) if task in tasks)
        raise BenchError(f"{store.root} has no board with published figures; there are some of {names or 'none'}")
    return found


def published_folder() -> Traversable:
    # In the wheel, the folder `results/published` has this name.
    try:
        return resources.files("bench.published")
    except ModuleNotFoundError:
        return Path(__file__).parents[2] / "results" / "published"


def _source(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": sha256_of(path)}


def _add(
    store: Store,
    source: Mapping[str, Any],
    row: tuple[str, str, str, Pair],
    about: Mapping[str, Any],
    *,
    marks: tuple[str, ...] = (EXTERNAL,),
    inputs: Mapping[str, str] | None = None,
    scores: Scores | None = None,
    run: Run | None = None,
) -> Record:
    method, encoder, dataset, pair = row
    named = (MethodSpec(name=method, supervision=marks),)
    spec = RunSpec(methods=named, dataset=dataset, pair=pair, encoder=encoder, scoring="single-vector")
    inputs = inputs or {}
    label = re.sub(r"[^\w.=+-]", "-", f"{spec.label}.{EXTERNAL}")
    entry = store.cell(label, digest([spec.key, dict(source), inputs, about]), inputs)
    folder = entry.begin()
    if scores is not None and run is not None:
        entry.write_scores(scores)
        write_run(folder / RUN, run, tag=re.sub(r"\s", "-", spec.method))
    record = entry.finish(
        {
            "kind": "cell",
            "spec": spec.dump(),
            "external": dict(source),
            "training": None,
            "cost": {},
            "documents_cached": False,
            "provenance": {"finished": datetime.now(UTC).isoformat(timespec="microseconds")},
            **about,
        }
    )
    store.note(inputs)
    return record


def only_encoder(store: Store, dataset: str) -> str:
    """Return the only encoder of the cells of a collection, empty for no cell. Raises `BenchError` for several."""
    encoders = sorted({cell.spec.encoder for cell in store.finished()[0] if cell.spec.dataset == dataset})
    if len(encoders) > 1:
        raise BenchError(f"{store.root} has {dataset} by {', '.join(encoders)}; choose one with --encoder")
    return encoders[0] if encoders else ""
