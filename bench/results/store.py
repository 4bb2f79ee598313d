"""The results folder: one folder per training and per cell, each finished once its manifest is there.

    <results>/trainings/<label>-<fingerprint>/   manifest.json  log.jsonl  retriever/
    <results>/cells/<label>-<fingerprint>/       manifest.json  run.trec.gz  scores.csv.gz  ir_metadata.yml
                                                 rewritten.tsv, where queries were translated

Everything shown to a user is derived from these folders.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from filelock import FileLock

from bench.atomic import atomic_gzip, atomic_write, open_gzip, sweep
from bench.errors import BenchError, nearest

MANIFEST = "manifest.json"
FAILURE = "failure.txt"
CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"
EMBEDDINGS = "embeddings"
"""The folder of embeddings that a cell keeps until it is finished."""
RESUMABLE = (CHECKPOINT, LOG, EMBEDDINGS)
DIGITS = 12
"""Of a fingerprint, in the name of a folder."""


@dataclass(frozen=True)
class Entry:
    """The folder of one training or cell."""

    folder: Path

    @property
    def finished(self) -> bool:
        return (self.folder / MANIFEST).is_file()

    @property
    def manifest(self) -> dict[str, Any]:
        """Raises `BenchError` if it is damaged."""
        try:
            return dict(json.loads((self.folder / MANIFEST).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise BenchError(f"{self.folder / MANIFEST} is no JSON; delete the folder to compute it again") from error

    @property
    def failed(self) -> bool:
        """Whether the last attempt failed."""
        return not self.finished and (self.folder / FAILURE).is_file()

    def begin(self) -> Path:
        """A folder to work in; of what an unfinished attempt left there only what it can be resumed from is kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove(path for path in self.folder.iterdir() if path.name not in RESUMABLE)
        return self.folder

    def discard(self) -> None:
        """Forget the entry; should this be cut short, it is at least no longer finished."""
        (self.folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def tidy(self) -> None:
        """Remove what only an unfinished entry needs, and temporary files; only its lock's holder may."""
        self._remove([self.folder / CHECKPOINT, self.folder / EMBEDDINGS, *self.folder.glob(".*.tmp")])

    @staticmethod
    def _remove(paths: Iterable[Path]) -> None:
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, last of all: from now on the entry is finished."""
        with atomic_write(self.folder / MANIFEST) as file:
            json.dump(manifest, file, indent=2, ensure_ascii=False, default=str)
            file.write("\n")
        self.tidy()

    def fail(self, traceback: str) -> bool:
        """Keep the traceback of an attempt that failed; False if it cannot be written: it is lost, and nothing else."""
        with suppress(OSError), atomic_write(self.folder / FAILURE) as file:
            file.write(traceback)
            return True
        return False

    def write_scores(self, scores: Mapping[str, Mapping[str, float]]) -> None:
        """Keep per-query scores: measure -> query id -> value."""
        with atomic_gzip(self.folder / "scores.csv.gz") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["measure", "query", "value"])
            for measure, values in scores.items():
                writer.writerows([measure, query, repr(value)] for query, value in values.items())

    def write_rewritten(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Keep what was encoded in place of queries: id, query, and what it became."""
        with atomic_write(self.folder / "rewritten.tsv") as file:
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)

    def read_scores(self) -> dict[str, dict[str, float]]:
        """What `write_scores` kept; empty if the run was never scored. Raises `BenchError` if it is damaged."""
        path = self.folder / "scores.csv.gz"
        scores: dict[str, dict[str, float]] = {}
        if not path.is_file():
            return scores
        try:
            with open_gzip(path) as file:
                for row in csv.DictReader(file):
                    scores.setdefault(row["measure"], {})[row["query"]] = float(row["value"])
        except (gzip.BadGzipFile, zlib.error, EOFError, KeyError, ValueError, TypeError) as error:
            raise BenchError(f"{path} is damaged; delete it, and the next call with its cell makes it again") from error
        return scores


@dataclass(frozen=True)
class Store:
    """A results folder."""

    root: Path

    def open(self) -> Store:
        """Make the folder. Raises `BenchError` if it cannot be written."""
        try:
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            sweep(self.root)
        except OSError as error:
            raise BenchError(
                f"the results folder {self.root} cannot be made: {error.strerror}; choose another with --results"
            ) from error
        if not os.access(self.root, os.W_OK):
            raise BenchError(f"the results folder {self.root} cannot be written; choose another with --results")
        return self

    def lock(self, entry: Entry) -> FileLock:
        """The lock of a training and its cells: whoever holds it computes them. It dies with its process."""
        return FileLock(self.root / "locks" / f"{entry.folder.name}.lock")

    def training(self, label: str, fingerprint: str) -> Entry:
        return Entry(self.root / "trainings" / f"{label}-{fingerprint[:DIGITS]}")

    def cell(self, label: str, fingerprint: str) -> Entry:
        return Entry(self.root / "cells" / f"{label}-{fingerprint[:DIGITS]}")

    def trainings(self) -> Iterator[Entry]:
        return self._finished("trainings")

    def cells(self) -> Iterator[Entry]:
        return self._finished("cells")

    def _finished(self, kind: str) -> Iterator[Entry]:
        entries = (Entry(folder) for folder in sorted((self.root / kind).glob("*")) if folder.is_dir())
        return (entry for entry in entries if entry.finished)


def find_cell(text: str, results: Path) -> Entry:
    """The finished cell that a text names: a folder or the manifest in it, wherever that is, the name of a folder in
    the results folder, or the beginning of a fingerprint there. Raises `BenchError` if it names none, or several.
    """
    path = Path(text).expanduser().absolute()
    entry = Entry(path.parent if path.name == MANIFEST else path)
    if not entry.finished:
        cells = {entry.folder.name: entry for entry in Store(results).cells()}
        if not cells:
            raise BenchError(f"{results} holds no finished cell; name a results folder with --results")
        found = [name for name in cells if text and name.rpartition("-")[2].startswith(text[:DIGITS])]
        if text in cells:
            found = [text]
        elif len(text) > DIGITS:
            found = [name for name in found if cells[name].manifest["fingerprint"].startswith(text)]
        if not found:
            near = f"; did you mean {' or '.join(near)}?" if (near := nearest(text, cells)) else ""
            raise BenchError(f"no cell in {results} is called '{text}', nor does a fingerprint begin so{near}")
        if len(found) > 1:
            raise BenchError(f"the fingerprints of {len(found)} cells begin with '{text}': {', '.join(found)}")
        entry = cells[found[0]]
    if entry.manifest.get("kind") != "cell":
        raise BenchError(f"{entry.folder} is no cell; cells are in the folder cells of a results folder")
    return entry


def training_manifest(cell: Entry) -> dict[str, Any]:
    """The manifest of the training that a cell evaluates: what the cell's own keeps of it, else that of the training's
    folder; empty where there is neither.
    """
    manifest = cell.manifest
    training = Entry(cell.folder.parents[1] / "trainings" / str(manifest.get("training")))
    return dict(manifest.get("trained") or (training.manifest if training.finished else {}))


def mean_scores(cell: Entry) -> dict[str, float]:
    """Measure -> mean over queries: of the scores beside the manifest, else those in it."""
    scores = cell.read_scores()
    return {name: fmean(each.values()) for name, each in scores.items()} or cell.manifest.get("scores", {})
