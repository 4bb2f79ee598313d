"""The results folder: a folder per training and per cell, each finished once its manifest is there.

    <results>/trainings/<label>-<fingerprint>/   manifest.json  log.jsonl  retriever/
    <results>/cells/<label>-<fingerprint>/       manifest.json  run.trec.gz  scores.csv.gz  ir_metadata.yml
                                                 rewritten.tsv, if queries were translated
    <results>/state.json                         see `bench.results.state`

A manifest has the sha256 of every file beside it (`bench.storage.sealed`). Tables and pages are derived from finished
cells, which are verified when they are read. A damaged cell is left out, and `bench run` computes it again.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from filelock import FileLock

from bench.errors import BenchError, nearest
from bench.results.state import LOCKS, State, question
from bench.spec import RunSpec
from bench.storage.atomic import atomic_gzip, atomic_write, open_gzip, sweep
from bench.storage.sealed import CHECKSUM, FILES, MANIFEST, Damaged, read_manifest, remove, seal, verify

CELLS, TRAININGS = "cells", "trainings"
FAILURE = "failure.txt"
CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"
RUN = "run.trec.gz"
SCORES = "scores.csv.gz"
REWRITTEN = "rewritten.tsv"
RETRIEVER = "retriever"
EMBEDDINGS = "embeddings"
"""The folder of embeddings that a cell has until it is finished."""
RESUMABLE = (CHECKPOINT, LOG, EMBEDDINGS)
NOT_KEPT = (CHECKPOINT, EMBEDDINGS, FAILURE)
DIGITS = 12
"""The number of digits of a fingerprint in the name of a folder."""

Scores = Mapping[str, Mapping[str, float]]
"""Measure -> query id -> value."""


@dataclass(frozen=True)
class Record:
    """A finished training or cell: its folder, and its manifest, which was verified."""

    folder: Path
    manifest: Mapping[str, Any]

    @cached_property
    def spec(self) -> RunSpec:
        return RunSpec.parse(self.manifest["spec"])

    @property
    def fingerprint(self) -> str:
        """The hash of everything that can change the result."""
        return str(self.manifest["fingerprint"])

    @cached_property
    def question(self) -> str:
        """The hash of spec and inputs; equal for results that differ only in how they were computed."""
        return question(self.spec.fingerprint, self.inputs)

    @property
    def external(self) -> bool:
        """True for a cell that was made elsewhere and imported."""
        return "external" in self.manifest

    @property
    def trained(self) -> Mapping[str, Any]:
        """The manifest of the training that a cell evaluates; empty for an imported cell."""
        return self.manifest.get("trained") or {}

    @cached_property
    def inputs(self) -> dict[str, str]:
        """The digests of all inputs by name, those of the cell's training included."""
        return {**self.trained.get("inputs", {}), **self.manifest["inputs"]}

    @cached_property
    def scores(self) -> Scores:
        """The scores of each query; empty if only means were imported. Raises `Damaged`."""
        found: dict[str, dict[str, float]] = {}
        for name in self.score_files:
            self.verify(name)
            with open_gzip(self.folder / name) as file:
                for row in csv.DictReader(file):
                    found.setdefault(row["measure"], {})[row["query"]] = float(row["value"])
        return found

    @property
    def score_files(self) -> list[str]:
        """The files with scores: one, and another for each time that measures were added."""
        names = (name for name in self.manifest[FILES] if name.endswith(SCORES))
        return sorted(names, key=lambda name: (len(name), name))

    @property
    def run(self) -> Path:
        """The path of the run, which may not exist."""
        return self.folder / RUN

    @property
    def means(self) -> dict[str, float]:
        """The mean of each measure over queries."""
        return dict(self.manifest.get("scores", {}))

    def verify(self, below: str = "") -> None:
        """Raise `Damaged` if a file changed whose path begins with `below`."""
        verify(self.folder, self.manifest, below)


@dataclass(frozen=True)
class Entry:
    """The folder of one training or cell, finished or not."""

    folder: Path
    fingerprint: str = ""
    """The fingerprint that the manifest must have; empty if any will do."""

    def read(self, *, alone: bool = False) -> Record | None:
        """Return the finished training or cell; None if there is none. Raises `Damaged`.

        All files of a cell are verified; with `alone` they may be missing. Of a training only the manifest is verified,
        because its weights are large.
        """
        if not os.path.lexists(self.folder / MANIFEST):
            return None
        record = Record(self.folder, read_manifest(self.folder))
        if self.fingerprint and record.fingerprint != self.fingerprint:
            raise Damaged(f"{self.folder / MANIFEST} is that of another result")
        try:
            _ = record.spec if "spec" in record.manifest else None
        except ValueError as error:
            raise Damaged(f"{self.folder / MANIFEST} is of another version of this program") from error
        if record.manifest.get("kind") == "cell":
            verify(self.folder, record.manifest, missing_ok=alone)
        return record

    @property
    def failed(self) -> bool:
        """True if the last attempt left a traceback."""
        return (self.folder / FAILURE).is_file()

    def begin(self) -> Path:
        """Return the folder for a new attempt. It keeps only the files from which an attempt can resume."""
        if not self.folder.is_dir():
            remove(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.name not in RESUMABLE:
                remove(path)
        return self.folder

    def discard(self) -> None:
        """Delete the entry; if this is interrupted, the entry is at least no longer finished."""
        remove(self.folder)

    def remove_leftovers(self) -> None:
        """Delete the files that only an unfinished entry needs, and temporary ones. Only the holder of its lock may."""
        for path in [*(self.folder / name for name in NOT_KEPT), *self.folder.glob(".*.tmp")]:
            remove(path)

    def finish(self, manifest: Mapping[str, Any]) -> Record:
        """Write the manifest, after all other files: from now on the entry is finished."""
        own = {key: value for key, value in manifest.items() if key not in (FILES, CHECKSUM)}
        seal(self.folder, own, leave_out=NOT_KEPT)
        self.remove_leftovers()
        return Record(self.folder, read_manifest(self.folder))

    def fail(self, traceback: str) -> bool:
        """Write the traceback of an attempt that failed; return False if that is impossible."""
        with suppress(OSError), atomic_write(self.folder / FAILURE) as file:
            file.write(traceback)
            return True
        return False

    def add_scores(self, record: Record, scores: Scores) -> Record:
        """Return the finished cell with more measures. Only its manifest is rewritten, after all other files."""
        number = len(record.score_files) + 1
        self.write_scores(scores, SCORES if number == 1 else f"{number}.{SCORES}")
        means = {name: fmean(values.values()) for name, values in scores.items()}
        return self.finish({**record.manifest, "scores": {**record.means, **means}})

    def write_scores(self, scores: Scores, name: str = SCORES) -> None:
        """Write the scores of each query; `finish` must follow."""
        with atomic_gzip(self.folder / name) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["measure", "query", "value"])
            for measure, values in scores.items():
                writer.writerows([measure, query, repr(value)] for query, value in values.items())

    def write_rewritten(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Write the texts that were encoded in place of queries: query id, query, replacement."""
        with atomic_write(self.folder / REWRITTEN) as file:
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)


class Contents(NamedTuple):
    """The cells of the current state of a results folder, and a line for each reason why others are left out."""

    cells: list[Record]
    notes: list[str]


@dataclass(frozen=True)
class Store:
    """A results folder."""

    root: Path

    def open(self) -> Store:
        """Make the folder. Raises `BenchError` if it cannot be written."""
        cure = "choose another with --results"
        try:
            (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
            sweep(self.root)
        except OSError as error:
            raise BenchError(f"the results folder {self.root} cannot be made: {error.strerror}; {cure}") from error
        if not os.access(self.root, os.W_OK):
            raise BenchError(f"the results folder {self.root} cannot be written; {cure}")
        return self

    def lock(self, entry: Entry) -> FileLock:
        """Return the lock of a training and its cells: its holder computes them. It dies with its process."""
        (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / LOCKS / f"{entry.folder.name}.lock")

    def training(self, label: str, fingerprint: str) -> Entry:
        return Entry(self.root / TRAININGS / f"{label}-{fingerprint[:DIGITS]}", fingerprint)

    def cell(self, label: str, fingerprint: str) -> Entry:
        return Entry(self.root / CELLS / f"{label}-{fingerprint[:DIGITS]}", fingerprint)

    def finished(self) -> tuple[list[Record], list[Damaged]]:
        """Return the finished cells and the errors of damaged ones, ordered by name, whatever their state."""
        cells, damaged = [], []
        for folder in sorted((self.root / CELLS).glob("[!.]*")):
            try:
                record = Entry(folder).read()
                if record and not folder.name.endswith(record.fingerprint[:DIGITS]):
                    raise Damaged(f"{folder} has the manifest of another result")
            except Damaged as error:
                damaged.append(error)
            else:
                cells += [record] if record else []
        return cells, damaged

    def contents(self) -> Contents:
        """Return the cells of the current state. Raises `BenchError` if no cell at all is finished."""
        cells, damaged = self.finished()
        if not (cells or damaged):
            raise BenchError(f"{self.root} holds no finished cell; fill it with bench run --results {self.root}")
        notes = [f"left out: {error}; bench run computes it again" for error in damaged]
        state = State.read(self.root).with_consensus(cell.inputs for cell in cells)
        count = Counter(cell.question for cell in cells)
        kept, reasons = [], Counter[str]()
        for cell in cells:
            latest = state.cells.get(cell.question, cell.fingerprint if count[cell.question] == 1 else "")
            if (name := state.outdated(cell.inputs)) is not None:
                known = name in state.inputs
                reasons[f"another {name}" if known else f"one of several {name}, none known to be current"] += 1
            elif latest != cell.fingerprint:
                reasons["a later namesake" if latest else "a namesake, neither known to be the latest"] += 1
            else:
                kept.append(cell)
        for reason, number in reasons.items():
            notes.append(f"left out: {number} {'cell' if number == 1 else 'cells'} with {reason}")
        return Contents(kept, notes)


def find_cell(text: str, results: Path) -> Record:
    """Return the finished cell that `text` names: any folder or manifest of a cell, or the name of a folder or the
    beginning of a fingerprint in the results folder. Raises `BenchError` if it names no cell or several, and `Damaged`
    if the cell is damaged.
    """
    path = Path(text).expanduser().absolute()
    record = Entry(path.parent if path.name == MANIFEST else path).read(alone=True) if text else None
    if record is None:
        cells = {cell.folder.name: cell for cell in Store(results).finished()[0]}
        if not cells:
            raise BenchError(f"{results} holds no finished cell; name a results folder with --results")
        found = [name for name, cell in cells.items() if text and cell.fingerprint.startswith(text)]
        found = [text] if text in cells else found
        if not found:
            near = f"; did you mean {' or '.join(near)}?" if (near := nearest(text, cells)) else ""
            raise BenchError(f"no cell in {results} is called '{text}', nor does a fingerprint begin so{near}")
        if len(found) > 1:
            raise BenchError(f"the fingerprints of {len(found)} cells begin with '{text}': {', '.join(found)}")
        record = cells[found[0]]
    if record.manifest.get("kind") != "cell":
        raise BenchError(f"{record.folder} is no cell; cells are in the folder {CELLS} of a results folder")
    return record


def training_of(cell: Record) -> Record | None:
    """Return the training that a cell evaluates, from the folder of trainings beside that of the cell; None if it is
    missing or damaged.
    """
    if not cell.manifest.get("training"):
        return None
    with suppress(Damaged):
        return Entry(cell.folder.parents[1] / TRAININGS / cell.manifest["training"]).read()
    return None
