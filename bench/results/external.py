"""Runs and scores that were made elsewhere, as cells of a results folder: they join its leaderboards, marked so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.data import Pair, TestCollection
from bench.data.languages import parse_pair
from bench.errors import BenchError
from bench.evaluation import measures
from bench.evaluation.run import read_foreign_run, write_run
from bench.fingerprint import digest
from bench.results.store import Entry, Store
from bench.results.systems import IDENTITY

EXTERNAL = "external"
"""What stands in the column of the data that a row trains on."""
MTEB = {
    "ndcg_at_": "nDCG@",
    "recall_at_": "R@",
    "mrr_at_": "RR@",
    "map_at_": "AP@",
    "precision_at_": "P@",
}
"""Names of MTEB's scores, each followed by a cutoff, and ir-measures' names of the same."""


def import_run(store: Store, path: Path, names: Mapping[str, str], test: TestCollection, asked: Sequence[str]) -> Entry:
    """Score a TREC run by the judgments of a collection and keep it as a cell.

    Raises `BenchError` if it is no run, or one of another collection.
    """
    run = read_foreign_run(path, measures.depth(asked))
    if unknown := sorted(run.keys() - set(test.query_ids)):
        raise BenchError(
            f"{path}: the query '{unknown[0]}' is not in {test.name} {test.pair}; is it another collection's?"
        )
    documents = set(test.document_ids)
    for query, ranking in run.items():
        if lost := next((document for document, _ in ranking if document not in documents), None):
            raise BenchError(f"{path}: the document '{lost}' of query '{query}' is not in {test.name} {test.pair}")
    entry, manifest = _begin(store, path, {**names, "dataset": test.name, "pair": str(test.pair)})
    entry.write_scores(measures.score(run, test.qrels, asked))
    kept = {query: ranking[: measures.RUN_DEPTH] for query, ranking in run.items()}
    write_run(entry.folder / "run.trec.gz", kept, tag=re.sub(r"\s", "-", names["method"]))
    entry.finish({**manifest, "queries": len(test.queries), "documents": len(test.documents)})
    return entry


def import_mteb(store: Store, path: Path, names: Mapping[str, str], dataset: str, pairs: Sequence[Pair]) -> list[Entry]:
    """Keep the means of MTEB's results of one task as cells, one per language pair; without pairs all that it has.

    Such cells have no score of any query, and so no interval and no significance. Raises `BenchError` if the file is
    none of MTEB's or has nothing of the kind.
    """
    entries = []
    for pair, reported in mteb_scores(path):
        if pairs and pair not in pairs:
            continue
        entry, manifest = _begin(store, path, {**names, "dataset": dataset, "pair": str(pair)})
        entry.finish({**manifest, "reported": reported})
        entries.append(entry)
    if not entries:
        wanted = " for " + ", ".join(map(str, pairs)) if pairs else ""
        raise BenchError(f"{path} has no score of a language pair{wanted}")
    return entries


def mteb_scores(path: Path) -> Iterator[tuple[Pair, dict[str, float]]]:
    """The language pairs of a file of MTEB's results, and for each the means that ir-measures has a name for.

    Subsets are called `swh-eng` or `swh_Latn-eng_Latn`; what is no pair is passed over.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for split in content["scores"].values() for row in split]
        subsets = [(str(row["hf_subset"]), row) for row in rows]
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{path} is neither a TREC run nor MTEB's results of a task") from error
    for subset, row in subsets:
        try:
            pair = parse_pair("-".join(code.split("_")[0] for code in subset.split("-")))
        except BenchError:
            continue
        if reported := _reported(row):
            yield pair, reported


def _reported(row: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name, value in row.items():
        if not isinstance(value, int | float):
            continue
        if name == "accuracy":
            found["Success@1"] = float(value)
        for prefix, measure in MTEB.items():
            if name.startswith(prefix) and name.removeprefix(prefix).isdigit():
                found[measure + name.removeprefix(prefix)] = float(value)
    return found


def _begin(store: Store, path: Path, names: Mapping[str, str]) -> tuple[Entry, dict[str, Any]]:
    """A cell that is not finished yet, and its manifest. One of the same file and names is made anew."""
    identity = {**dict.fromkeys(IDENTITY, ""), "scoring": "mean", "uses": EXTERNAL, "seed": "", **names}
    source = {"file": path.name, "sha256": sha256(path.read_bytes()).hexdigest()}
    fingerprint = digest([identity, source])
    label = ".".join([re.sub(r"[^\w.=+-]", "-", names["method"]), identity["pair"], identity["dataset"], EXTERNAL])
    entry = store.cell(label, fingerprint)
    entry.discard()
    entry.begin()
    return entry, {
        "kind": "cell",
        **identity,
        "fingerprint": fingerprint,
        "external": source,
        "training": None,
        "cost": {},
        "documents_cached": False,
        "provenance": {"finished": datetime.now(UTC).isoformat(timespec="microseconds")},
    }


def only_encoder(store: Store, dataset: str) -> str:
    """The encoder of all cells of a collection, for what is imported to stand beside them.

    Raises `BenchError` if they have several; without cells it is nobody's.
    """
    manifests = (entry.manifest for entry in store.cells())
    encoders = sorted({manifest["encoder"] for manifest in manifests if manifest["dataset"] == dataset})
    if len(encoders) > 1:
        raise BenchError(f"{store.root} has {dataset} by {', '.join(encoders)}; say which to join with --encoder")
    return encoders[0] if encoders else ""
