"""The results folder, with a folder per training and per cell. A manifest marks it as finished.

    <results>/trainings/<label>-<fingerprint>/   manifest.json  log.jsonl  retriever/
    <results>/cells/<label>-<fingerprint>/       manifest.json  run.trec.gz  scores.csv.gz  ir_metadata.yml
                                                 rewritten.tsv, if queries were translated
    <results>/state.json                         the latest value of every input

A manifest has the sha256 of every file beside it. Each call stores the values of its inputs in the *state* of the
folder. A result belongs to the current state if each of its inputs has the latest value. Tables leave out all other
results (docs/results.md).
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, Self

from filelock import FileLock

from bench.errors import BenchError, unknown
from bench.spec import RunSpec
from bench.storage import sealed
from bench.storage.atomic import atomic_gzip, open_gzip, sweep
from bench.storage.hashing import digest
from bench.storage.sealed import FILES, MANIFEST, Damaged, remove

CELLS, TRAININGS, LOCKS, STATE = "cells", "trainings", "locks", "state.json"
HOW = ("device", "precision", "threads")
"""Inputs that may differ between the results of a table."""
FAILURE = "failure.txt"
CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"
RUN = "run.trec.gz"
SCORES = "scores.csv.gz"
REWRITTEN = "rewritten.tsv"
RETRIEVER = "retriever"
EMBEDDINGS = "embeddings"
"""The folder of embeddings of an unfinished cell."""
RESUMABLE = (CHECKPOINT, LOG, EMBEDDINGS)
NOT_KEPT = (CHECKPOINT, EMBEDDINGS, FAILURE)
DIGITS = 12
"""Digits of a fingerprint in the name of a folder."""

Scores = Mapping[str, Mapping[str, float]]
"""Measure -> query id -> value."""


@dataclass(frozen=True)
class Record:
    """A finished training or cell with its verified manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    @cached_property
    def spec(self) -> RunSpec:
        return RunSpec.parse(self.manifest["spec"])

    @property
    def fingerprint(self) -> str:
        """The hash of the spec and all inputs."""
        return str(self.manifest["fingerprint"])

    @property
    def external(self) -> bool:
        """True for an imported cell."""
        return "external" in self.manifest

    @property
    def trained(self) -> Mapping[str, Any]:
        """The manifest of the training of a cell; empty for an imported cell."""
        return self.manifest.get("trained") or {}

    @cached_property
    def inputs(self) -> dict[str, str]:
        """The digests of all inputs by name, with those of the training."""
        return {**self.trained.get("inputs", {}), **self.manifest["inputs"]}

    @property
    def shared_inputs(self) -> dict[str, str]:
        """The inputs that must have the same value in all results of a state."""
        return {name: value for name, value in self.inputs.items() if name not in HOW}

    @cached_property
    def scores(self) -> Scores:
        """The scores of each query; empty for imported means. Raises `Damaged`."""
        found: dict[str, dict[str, float]] = {}
        if SCORES in self.manifest[FILES]:
            self.verify(SCORES)
            with open_gzip(self.folder / SCORES) as file:
                rows = csv.reader(file)
                columns = itemgetter(*map(next(rows).index, ("measure", "query", "value")))
                for measure, query, value in map(columns, rows):
                    found.setdefault(measure, {})[query] = float(value)
        return found

    @property
    def run(self) -> Path:
        """The path of the run."""
        return self.folder / RUN

    @property
    def means(self) -> dict[str, float]:
        """The mean of each measure over queries."""
        return dict(self.manifest.get("scores", {}))

    def verify(self, below: str = "") -> None:
        """Raise `Damaged` if a file below a folder has changed."""
        sealed.verify(self.folder, self.manifest, below)


@dataclass(frozen=True)
class Entry:
    """The folder of one training or cell, finished or not."""

    folder: Path
    fingerprint: str = ""
    """The expected fingerprint, or its first digits."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """The digests of its inputs by name, for the manifest."""

    def read(self, *, alone: bool = False) -> Record | None:
        """Return the finished training or cell, or None. Raises `Damaged`.

        All files of a cell are verified, or with `alone` the existing ones. For a training only the manifest is
        verified, because weights are large.
        """
        if not os.path.lexists(self.folder / MANIFEST):
            return None
        record = Record(self.folder, sealed.read_manifest(self.folder))
        if not record.fingerprint.startswith(self.fingerprint):
            raise Damaged(f"{self.folder / MANIFEST} belongs to another result")
        try:
            _ = "spec" in record.manifest and record.spec
        except ValueError as error:
            raise Damaged(f"{self.folder / MANIFEST} was written by another version of this program") from error
        if record.manifest.get("kind") == "cell":
            sealed.verify(self.folder, record.manifest, missing_ok=alone)
        return record

    @property
    def failed(self) -> bool:
        """True if the last attempt left a traceback."""
        return (self.folder / FAILURE).is_file()

    def begin(self) -> Path:
        """Return the folder for a new attempt, with the files that it can resume from."""
        if not self.folder.is_dir():
            remove(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.name not in RESUMABLE:
                remove(path)
        return self.folder

    def remove_leftovers(self) -> None:
        """Delete temporary files and those of unfinished attempts. The caller must hold the lock."""
        for path in [*(self.folder / name for name in NOT_KEPT), *self.folder.glob(".*.tmp")]:
            remove(path)

    def finish(self, manifest: Mapping[str, Any]) -> Record:
        """Write the manifest, which marks the entry as finished. All other files must exist."""
        own = {"fingerprint": self.fingerprint, "inputs": dict(self.inputs)}
        sealed.seal(self.folder, {**own, **manifest}, leave_out=NOT_KEPT)
        self.remove_leftovers()
        return Record(self.folder, sealed.read_manifest(self.folder))

    def add_scores(self, record: Record, scores: Scores) -> Record:
        """Add measures to a finished cell and return it. An interruption leaves a damaged cell."""
        self.write_scores({**record.scores, **scores})
        means = {name: fmean(values.values()) for name, values in scores.items()}
        return self.finish({**record.manifest, "scores": {**record.means, **means}})

    def write_scores(self, scores: Scores) -> None:
        """Write the scores of each query. Call `finish` afterwards."""
        with atomic_gzip(self.folder / SCORES) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["measure", "query", "value"])
            for measure, values in scores.items():
                writer.writerows([measure, query, repr(value)] for query, value in values.items())


def training_fingerprint(spec: RunSpec, inputs: Mapping[str, str]) -> str:
    """Return the hash of the spec and all inputs of a training."""
    return digest({"spec": spec.training.key, "inputs": inputs})


class Contents(NamedTuple):
    """The cells of the current state of a results folder, and a message for each reason to leave out others."""

    cells: list[Record]
    notes: list[str]


@dataclass(frozen=True)
class Store:
    """A results folder."""

    root: Path

    def open(self) -> Self:
        """Make the folder. Raises `BenchError` if it cannot be written."""
        try:
            (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
            (self.root / LOCKS / "state.lock").touch()
            sweep(self.root)
        except OSError as error:
            problem = f"the results folder {self.root} cannot be written: {error.strerror}"
            raise BenchError(f"{problem}; choose another with --results") from error
        return self

    def lock(self, entry: Entry, kind: str = "") -> FileLock:
        """Return the lock of a training and its cells. Its holder computes them. It ends with its process."""
        return FileLock(self.root / LOCKS / f"{entry.folder.name}{kind}.lock")

    def training(self, label: str, fingerprint: str, inputs: Mapping[str, str] | None = None) -> Entry:
        return Entry(self.root / TRAININGS / f"{label}-{fingerprint[:DIGITS]}", fingerprint, inputs or {})

    def cell(self, label: str, fingerprint: str, inputs: Mapping[str, str] | None = None) -> Entry:
        return Entry(self.root / CELLS / f"{label}-{fingerprint[:DIGITS]}", fingerprint, inputs or {})

    def note(self, inputs: Mapping[str, str]) -> None:
        """Store the latest values of inputs in the state."""
        with FileLock(self.root / LOCKS / "state.lock"):
            before = self._noted()
            after = before | dict(inputs)
            if after != before or not (self.root / STATE).is_file():
                sealed.write_sealed(self.root / STATE, json.dumps(after, sort_keys=True, indent=0).encode())

    def _noted(self) -> dict[str, str]:
        try:
            return dict(json.loads(sealed.read_sealed(self.root / STATE)))
        except Damaged:
            return {}

    def finished(self) -> tuple[list[Record], list[Damaged]]:
        """Return all finished cells and the errors of damaged ones, ordered by name."""
        cells, damaged = [], []
        for folder in sorted((self.root / CELLS).glob("[!.]*")):
            try:
                if record := Entry(folder, folder.name[-DIGITS:]).read():
                    cells.append(record)
            except Damaged as error:
                damaged.append(error)
        return cells, damaged

    def contents(self) -> Contents:
        """Return the cells of the current state. Raises `BenchError` if the folder has no finished cell."""
        cells, damaged = self.finished()
        if not (cells or damaged):
            raise BenchError(f"{self.root} holds no finished cell; fill it with bench run --results {self.root}")
        notes = [f"left out: {error}; bench run computes it again" for error in damaged]
        values: dict[str, set[str]] = {}
        for name, value in (item for cell in cells for item in cell.shared_inputs.items()):
            values.setdefault(name, set()).add(value)
        noted = self._noted()
        state = {name: min(found) for name, found in values.items() if len(found) == 1} | noted
        current, reasons = [], Counter[str]()
        for cell in cells:
            outdated = next((name for name, value in cell.shared_inputs.items() if state.get(name) != value), None)
            if outdated is None:
                current.append(cell)
            else:
                reasons[f"another {outdated}" if outdated in noted else f"one of several {outdated}"] += 1
        # Results of one spec may differ in device, precision or threads; the latest one counts.
        latest = {
            cell.spec: cell for cell in sorted(current, key=lambda cell: str(cell.manifest["provenance"]["finished"]))
        }
        kept = [cell for cell in current if latest[cell.spec] is cell]
        reasons["a later result on another device or with other threads"] = len(current) - len(kept)
        notes += [f"left out: {n} {'cell' if n == 1 else 'cells'} with {reason}" for reason, n in reasons.items() if n]
        return Contents(kept, notes)


def find_cell(text: str, results: Path) -> Record:
    """Return the finished cell of a text: its folder, its manifest, its name, or the beginning of its fingerprint.

    Names and fingerprints are those of the results folder. Raises `BenchError` for no cell or several, and `Damaged`
    for a damaged one.
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
            raise unknown(f"cell in {results}", text, cells)
        if len(found) > 1:
            raise BenchError(f"the fingerprints of {len(found)} cells begin with '{text}': {', '.join(found)}")
        record = cells[found[0]]
    if record.manifest.get("kind") != "cell":
        raise BenchError(f"{record.folder} is no cell; cells are in the folder {CELLS} of a results folder")
    return record


def training_of(cell: Record) -> Record | None:
    """Return the training of a cell, from its results folder; None if it is missing or damaged."""
    name = cell.manifest.get("training")
    with suppress(Damaged):
        return Entry(cell.folder.parents[1] / TRAININGS / name).read() if name else None
    return None
