"""Test collections and training data that are read only when their texts are needed.

A *summary* holds the facts that a plan needs: digest and counts. The cache stores it under a *key*. The key is a digest
of the code that reads the data, the entries of the cards, and the sha256 of every file. The cache stores training data
as well. They are therefore read, cleaned and searched for leakage only once.
"""

from __future__ import annotations

import gzip
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from bench.data import Pair, TestCollection, TestSummary, TrainingData, TrainingSummary, formats
from bench.data.cards import IR_DATASETS, Card, Role, get_card
from bench.data.files import Resolver
from bench.data.loading import load_test, source_of
from bench.data.training_data import caps_of, sources_of, tests_of, training_data
from bench.dependencies.fingerprint import code_digest, library_versions
from bench.errors import MissingFile
from bench.storage.hashing import digest
from bench.storage.sealed import Damaged, default_cache, keep_sealed, read_sealed, sha256_of

_Value = TypeVar("_Value")
_Summary = TypeVar("_Summary", TestSummary, TrainingSummary)
_Training = TypeVar("_Training", TrainingData, TrainingSummary)

MISSING = "missing"
"""The digest of an entry whose file is not on this machine."""
LAYOUT = 2
"""The layout of the files in the cache, to be raised when it changes."""


class _Lazy(ABC, Generic[_Summary]):
    """Data with a summary that is available before they are loaded, if the cache has it."""

    _summary: _Summary | None

    @property
    def summary(self) -> _Summary:
        """The summary, from the cache, or else by loading the data. Raises `BenchError` as `load`."""
        if self.summary_if_known is None:
            self.load()
        assert self._summary is not None  # loading sets it
        return self._summary

    @property
    def summary_if_known(self) -> _Summary | None:
        """The summary, or None if the data must be loaded for it. Raises `BenchError` for names that are unknown."""
        if self._summary is None:
            self._summary = self._cached_summary()
        return self._summary

    @abstractmethod
    def load(self) -> Any: ...

    @abstractmethod
    def _cached_summary(self) -> _Summary | None: ...


@dataclass(eq=False)
class LazyTestCollection(_Lazy[TestSummary]):
    """The test collection of a card and a pair."""

    card: Card
    pair: Pair
    resolver: Resolver = field(repr=False)
    cards: Mapping[str, Card] = field(repr=False)
    _summary: TestSummary | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def key(self) -> str | None:
        """The digest of everything that the content depends on; None if a file is not on this machine.

        It parses nothing and opens no socket. A file counts by the sha256 that its card states, or else by its bytes.
        Data of ir_datasets count by the dataset's id and the library's version.
        """
        try:
            distractors = [get_card(name, self.cards) for name in self.card.entry("test", self.pair).distractors]
            parts = [
                _entry(self.card, "test", self.pair, self.resolver),
                *(_entry(card, "passages", self.pair.document, self.resolver) for card in distractors),
            ]
        except MissingFile:
            return None
        return digest([LAYOUT, code_digest("bench.data.loading"), library_versions(), parts])

    @lru_cache(maxsize=2)  # noqa: B019 - the last two collections stay in memory
    def load(self) -> TestCollection:
        """Return the collection. Raises `BenchError` as `load_test`.

        If its summary is not that of the cache, the cache is corrected.
        """
        before = self.key
        test = load_test(self.card, self.pair, self.resolver, self.cards)
        cached, self._summary = self._cached_summary(), test.summary
        key = self.key
        # If a file changed meanwhile, it was perhaps read before the change.
        if key is not None and before in (None, key) and cached != test.summary:
            _store(self._path(key), test.summary)
        return test

    def _cached_summary(self) -> TestSummary | None:
        key = self.key
        return None if key is None else _recall(TestSummary, self._path(key))

    def _path(self, key: str) -> Path:
        return _folder(self.resolver, "collections") / key


@dataclass(eq=False)
class LazyTrainingData(_Lazy[TrainingSummary]):
    """The training data of collections and pairs."""

    names: tuple[str, ...]
    pairs: tuple[Pair, ...]
    resolver: Resolver = field(repr=False)
    cards: Mapping[str, Card] = field(repr=False)
    keep_leaks: bool = False
    _summary: TrainingSummary | None = field(default=None, init=False, repr=False)

    @property
    def key(self) -> str:
        """The digest of everything that the data depend on. It parses nothing and opens no socket.

        It covers every test collection that is searched for leakage, and those that are missing. Raises `BenchError` as
        `training_data` for an unknown name, and if no collection has data for one of the pairs.
        """
        return digest(self._inputs())

    @lru_cache(maxsize=1)  # noqa: B019 - the last training data stay in memory
    def load(self) -> TrainingData:
        """Return the data, from the cache if possible. Raises `BenchError` as `training_data`.

        They are made again if a test collection was not checked for leakage and may be downloaded now.
        """
        inputs = self._inputs()
        data = self._recall(TrainingData, inputs)
        if data is None:
            before = inputs
            data = training_data(self.names, self.pairs, self.resolver, self.cards, keep_leaks=self.keep_leaks)
            inputs = self._inputs()
            # A missing file may have been downloaded meanwhile. A changed file was perhaps read before the change.
            if any(value not in (MISSING, inputs[name]) for name, value in before.items()):
                self._summary = data.summary
                return data
            _store(self._path(TrainingData, inputs), data)
        self._summary = data.summary
        if self._recall(TrainingSummary, inputs) != data.summary:
            _store(self._path(TrainingSummary, inputs), data.summary)
        return data

    def _cached_summary(self) -> TrainingSummary | None:
        return self._recall(TrainingSummary, self._inputs())

    def _inputs(self) -> dict[str, Any]:
        """Return all that the data depend on, by name; MISSING for what is not on this machine."""
        sources, skipped = sources_of(self.names, self.pairs, self.cards)
        parts: dict[str, tuple[Card, Role, Pair]] = {
            f"{role} {name} {pair}": (get_card(name, self.cards), role, pair)
            for role, origins in sources.items()
            for name, pair in origins
        }
        tests = tests_of(self.pairs, self.cards)
        parts |= {f"test {name}": (card, "test", pair) for name, (card, pair) in tests.items()}
        inputs: dict[str, Any] = {
            "layout": LAYOUT,
            "code": code_digest("bench.data.training_data"),
            "libraries": library_versions("numpy", "scipy"),
            "pairs": list(map(str, self.pairs)),
            "order": list(parts),
            "caps": caps_of(self.names, self.cards),
            "skipped": skipped,
            "keep_leaks": self.keep_leaks,
        }
        for name, part in parts.items():
            try:
                inputs[name] = digest(_entry(*part, self.resolver))
            except MissingFile:
                inputs[name] = MISSING
        return inputs

    def _recall(self, kind: type[_Training], inputs: Mapping[str, Any]) -> _Training | None:
        """Return a value from the cache, unless a test collection that was not checked for leakage may be read now."""
        value = _recall(kind, self._path(kind, inputs))
        if value is None:
            return None
        tests = tests_of(self.pairs, self.cards)
        for name in value.report["not_checked"]:
            downloadable = tests[name][0].source not in (None, IR_DATASETS) and not self.resolver.offline
            if downloadable or inputs[f"test {name}"] != MISSING:
                return None
        return value

    def _path(self, kind: type[_Training], inputs: Mapping[str, Any]) -> Path:
        return _folder(self.resolver, "training") / f"{digest(inputs)}.{kind.__name__}"


def _entry(card: Card, role: Role, key: Pair | str, resolver: Resolver) -> dict[str, Any]:
    """Return all that reading a card's entry depends on. Raises `MissingFile` if a file is not on this machine."""
    entry = card.entry(role, key)
    depends = {
        "name": card.name,
        "role": role,
        "format": entry.format,
        "key": str(key),
        "codes": card.codes,
        "options": card.options(entry, key),
        "code": code_digest(formats.parser(entry.format, role).__module__),
        "files": {
            part: [(path, _sha256(card, path, resolver)) for path in paths]
            for part, paths in card.files(entry, key).items()
        },
    }
    if card.source != IR_DATASETS:
        return depends
    from bench.data.formats import irds  # here, because it imports the parsers of other formats

    if not irds.is_local(source_of(card, entry, key, resolver)):
        raise MissingFile(f"{card.name}: ir_datasets has not downloaded it")
    return {**depends, "library": library_versions("ir_datasets")}


def _sha256(card: Card, path: str, resolver: Resolver) -> str:
    """Return the sha256 that the card states for a file, or else that of its bytes."""
    if not resolver.available(card, path):
        raise MissingFile(f"{card.name}: {path} is missing")
    try:
        return card.sha256.get(path) or sha256_of(resolver.path(card, path))
    except OSError as error:
        raise MissingFile(f"{card.name}: {path} cannot be read: {error.strerror}") from error


def _folder(resolver: Resolver, name: str) -> Path:
    return (resolver.derived or resolver.cache or default_cache()) / name


def _recall(kind: type[_Value], path: Path) -> _Value | None:
    """Return a value from the cache; None if there is none or it is damaged."""
    try:
        return TypeAdapter(kind).validate_json(gzip.decompress(read_sealed(path)))
    except Damaged:
        return None


def _store(path: Path, value: object) -> None:
    """Write a value to the cache, if the cache can be written to."""
    keep_sealed(path, gzip.compress(TypeAdapter(type(value)).dump_json(value), compresslevel=1, mtime=0))
