"""The results folder: one folder per training and per cell, each finished once its manifest is there.

    <results>/trainings/<label>-<fingerprint>/   manifest.json  log.jsonl  retriever/
    <results>/cells/<label>-<fingerprint>/       manifest.json  run.trec.gz  scores.csv.gz

Everything shown to a user is derived from these folders.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from bench.atomic import atomic_gzip, atomic_write, open_gzip
from bench.errors import BenchError

MANIFEST = "manifest.json"
FAILURE = "failure.txt"
CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"


@dataclass(frozen=True)
class Entry:
    """The folder of one training or cell."""

    folder: Path

    @property
    def finished(self) -> bool:
        return (self.folder / MANIFEST).is_file()

    @property
    def manifest(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / MANIFEST).read_text(encoding="utf-8")))
        except ValueError as error:
            raise BenchError(f"{self.folder / MANIFEST} is no JSON; delete the folder to compute it again") from error

    def begin(self) -> Path:
        """A folder to work in; what an unfinished attempt left there is dropped, but for a checkpoint and its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in (CHECKPOINT, LOG):
                path.unlink()
        return self.folder

    def finish(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest, last of all: from now on the entry is finished."""
        with atomic_write(self.folder / MANIFEST) as file:
            json.dump(manifest, file, indent=2, ensure_ascii=False, default=str)
            file.write("\n")
        (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def fail(self, traceback: str) -> None:
        """Keep the traceback of an attempt that failed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.folder / FAILURE) as file:
            file.write(traceback)

    def write_scores(self, scores: Mapping[str, Mapping[str, float]]) -> None:
        """Keep per-query scores: measure -> query id -> value."""
        with atomic_gzip(self.folder / "scores.csv.gz") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["measure", "query", "value"])
            for measure, values in scores.items():
                writer.writerows([measure, query, repr(value)] for query, value in values.items())

    def read_scores(self) -> dict[str, dict[str, float]]:
        """What `write_scores` kept; empty if the run was never scored."""
        path = self.folder / "scores.csv.gz"
        scores: dict[str, dict[str, float]] = {}
        if not path.is_file():
            return scores
        with open_gzip(path) as file:
            for row in csv.DictReader(file):
                scores.setdefault(row["measure"], {})[row["query"]] = float(row["value"])
        return scores


@dataclass(frozen=True)
class Store:
    """A results folder."""

    root: Path

    def open(self) -> Store:
        """Make the folder. Raises `BenchError` if it cannot be written."""
        try:
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
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
        return Entry(self.root / "trainings" / f"{label}-{fingerprint[:12]}")

    def cell(self, label: str, fingerprint: str) -> Entry:
        return Entry(self.root / "cells" / f"{label}-{fingerprint[:12]}")

    def trainings(self) -> Iterator[Entry]:
        return self._finished("trainings")

    def cells(self) -> Iterator[Entry]:
        return self._finished("cells")

    def _finished(self, kind: str) -> Iterator[Entry]:
        entries = (Entry(folder) for folder in sorted((self.root / kind).glob("*")) if folder.is_dir())
        return (entry for entry in entries if entry.finished)
