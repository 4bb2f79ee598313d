"""Runs and scores of other programs, imported as cells of a results folder; its leaderboards mark them as external."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.data import Pair, TestCollection
from bench.data.languages import parse_pair
from bench.dependencies.fingerprint import of_code, of_libraries, of_test
from bench.errors import BenchError
from bench.evaluation import measures
from bench.evaluation.run import Run, read_trec_run, write_run
from bench.results.store import RUN, Record, Scores, Store
from bench.spec import MethodSpec, RunSpec
from bench.storage.hashing import digest
from bench.storage.sealed import sha256_of

EXTERNAL = "external"
"""The value of the column `supervision` for imported cells."""
MTEB = {"ndcg_at": "nDCG@", "recall_at": "R@", "mrr_at": "RR@", "map_at": "AP@", "precision_at": "P@"}
"""Names of MTEB's scores before the cutoff, and ir-measures' names of the same measures."""


def import_run(
    store: Store, path: Path, method: str, encoder: str, test: TestCollection, names: Sequence[str]
) -> Record:
    """Score a TREC run by a collection's judgments, and store it as a cell. Raises `BenchError` if it does not fit."""
    run = read_trec_run(path, measures.depth(names))
    where = f"is not in {test.name} {test.pair}"
    if unknown := sorted(run.keys() - set(test.query_ids)):
        raise BenchError(f"{path}: the query '{unknown[0]}' {where}; is it another collection's?")
    documents = set(test.document_ids)
    for query, ranking in run.items():
        if lost := next((document for document, _ in ranking if document not in documents), None):
            raise BenchError(f"{path}: the document '{lost}' of query '{query}' {where}")
    scores = measures.score(run, test.qrels, names)
    kept = {query: ranking[: measures.RUN_DEPTH] for query, ranking in run.items()}
    inputs = {**of_test(test.name, test.pair, test.digest), **of_code(["bench.evaluation.measures"])}
    inputs |= of_libraries(*measures.LIBRARIES)
    about = {
        "queries": len(test.queries),
        "documents": len(test.documents),
        "scores": {name: fmean(values.values()) for name, values in scores.items()},
    }
    row = method, encoder, test.name, test.pair
    return _add(store, path, row, about, inputs=inputs, scores=scores, run=kept)


def import_mteb(
    store: Store, path: Path, method: str, encoder: str, dataset: str, pairs: Sequence[Pair]
) -> list[Record]:
    """Store the means of MTEB's results of a task as cells, one per pair; all pairs if `pairs` is empty. Raises
    `BenchError` if the file has no score of these pairs.
    """
    found = [(pair, reported) for pair, reported in mteb_scores(path) if not pairs or pair in pairs]
    if not found:
        wanted = " for " + ", ".join(map(str, pairs)) if pairs else ""
        raise BenchError(f"{path} has no score of a language pair{wanted}")
    return [_add(store, path, (method, encoder, dataset, pair), {"reported": reported}) for pair, reported in found]


def mteb_scores(path: Path) -> Iterator[tuple[Pair, dict[str, float]]]:
    """Iterate over the pairs of MTEB's results, each with its means by ir-measures' names. Others are skipped."""
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))["scores"].values()
        subsets = [(str(row["hf_subset"]), dict(row)) for split in splits for row in split]
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{path} is neither a TREC run nor MTEB's results of a task") from error
    for subset, row in subsets:
        with suppress(BenchError):
            pair = parse_pair("-".join(code.split("_")[0] for code in subset.split("-")))
            if reported := _reported(row):
                yield pair, reported


def _reported(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the values of the measures that ir-measures has a name for, by these names."""
    found = {}
    for name, value in row.items():
        prefix, _, cutoff = name.rpartition("_")
        measure = "Success@1" if name == "accuracy" else MTEB.get(prefix, "") + cutoff
        if (name == "accuracy" or prefix in MTEB) and isinstance(value, int | float):
            found[measure] = float(value)
    return found


def _add(
    store: Store,
    path: Path,
    row: tuple[str, str, str, Pair],
    about: Mapping[str, Any],
    *,
    inputs: Mapping[str, str] | None = None,
    scores: Scores | None = None,
    run: Run | None = None,
) -> Record:
    """Return the cell of a file, for a row of method, encoder, collection and pair."""
    method, encoder, dataset, pair = row
    named = (MethodSpec(name=method, supervision=(EXTERNAL,)),)
    spec = RunSpec(methods=named, dataset=dataset, pair=pair, encoder=encoder, scoring="single-vector")
    source, inputs = {"file": path.name, "sha256": sha256_of(path)}, inputs or {}
    label = re.sub(r"[^\w.=+-]", "-", f"{spec.label}.{EXTERNAL}")
    entry = store.cell(label, digest([spec.key, source, inputs, about]), inputs)
    folder = entry.begin()
    if scores is not None and run is not None:
        entry.write_scores(scores)
        write_run(folder / RUN, run, tag=re.sub(r"\s", "-", spec.method))
    record = entry.finish(
        {
            "kind": "cell",
            "spec": spec.dump(),
            "external": source,
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
    """Return the encoder of all cells of a collection, empty for none. Raises `BenchError` if they have several."""
    encoders = sorted({cell.spec.encoder for cell in store.finished()[0] if cell.spec.dataset == dataset})
    if len(encoders) > 1:
        raise BenchError(f"{store.root} has {dataset} by {', '.join(encoders)}; choose one with --encoder")
    return encoders[0] if encoders else ""
