"""Test collections and training data that are read only when their texts are needed.

A *summary* has the facts for planning: digest and counts. The cache stores it under the digest of all *inputs*: the
code that reads the data, the entries of the cards, and the sha256 of every file. It also stores training data, so they
are read, cleaned and searched for leakage once.
"""

import gzip
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import TypeAdapter

from bench.data import Pair, TestCollection, TestSummary, TrainingData, TrainingSummary, formats
from bench.data.cards import IR_DATASETS, Card, Role, get_card
from bench.data.files import Resolver
from bench.data.loading import load_test, needed_files, read, source_of
from bench.data.training_data import caps_of, sources_of, tested, tests_of, training_data
from bench.dependencies.fingerprint import code_digest, library_versions
from bench.errors import MissingFile
from bench.storage.hashing import digest
from bench.storage.sealed import Damaged, default_cache, keep_sealed, read_sealed, sha256_of

_Data = TypeVar("_Data")
_Summary = TypeVar("_Summary")

MISSING = "missing"
"""The digest of an entry whose file is not on this machine."""
LAYOUT = 4
"""Version of the layout of files in the cache."""


class _Lazy(ABC, Generic[_Data, _Summary]):
    """Data whose summary may be in the cache."""

    resolver: Resolver
    data_kind: ClassVar[type[Any] | None] = None
    """The type of data that the cache stores, too."""
    summary_kind: ClassVar[type[Any]]
    _summary: _Summary | None

    @property
    def summary(self) -> _Summary:
        """The summary, from the cache or from the data. Raises `BenchError` as `load`."""
        if self.summary_if_known is None:
            self.load()
        assert self._summary is not None  # set by `load`
        return self._summary

    @property
    def summary_if_known(self) -> _Summary | None:
        """The summary from the cache, or None. Raises `BenchError` for unknown names."""
        if self._summary is None:
            self._summary = self._recall(self.summary_kind, self._inputs())
        return self._summary

    @lru_cache(maxsize=3)  # noqa: B019 - two test collections and training data stay in memory
    def load(self) -> _Data:
        """Return the data, from the cache if possible. Raises `BenchError` as `load_test` or `training_data`."""
        inputs = self._inputs()
        data: Any = self._recall(self.data_kind, inputs) if self.data_kind else None
        if data is None:
            before, data = inputs, self._read()
            inputs, self._summary = self._inputs(), data.summary
            # A missing file may have been downloaded meanwhile, and a changed file may be older than its digest.
            if any(value not in (MISSING, inputs[name]) for name, value in before.items()):
                return data
            if self.data_kind:
                self._store(data, inputs)
        self._summary = data.summary
        if self._recall(self.summary_kind, inputs) != data.summary:
            self._store(data.summary, inputs)
        return data

    @abstractmethod
    def _read(self) -> _Data: ...

    @abstractmethod
    def _inputs(self) -> dict[str, Any]:
        """Return all inputs of the data by name; MISSING for those that are not on this machine."""

    @abstractmethod
    def _is_current(self, value: Any, inputs: Mapping[str, Any]) -> bool:
        """Return False if a value from the cache lacks data that are available now."""

    def _entries(self, parts: Mapping[str, tuple[Card, Role, Pair | str]]) -> dict[str, Any]:
        """Return the inputs of cards' entries."""
        inputs: dict[str, Any] = {"layout": LAYOUT, "order": list(parts)}
        for name, part in parts.items():
            try:
                inputs[name] = digest(_entry(*part, self.resolver))
            except MissingFile:
                inputs[name] = MISSING
        return inputs

    def _path(self, kind: type[Any], inputs: Mapping[str, Any]) -> Path:
        folder = self.resolver.derived or self.resolver.cache or default_cache()
        return folder / "collections" / f"{digest(inputs)}.{kind.__name__}"

    def _recall(self, kind: type[Any], inputs: Mapping[str, Any]) -> Any:
        """Return a value from the cache; None if there is none, it is damaged or not current."""
        try:
            value = TypeAdapter(kind).validate_json(gzip.decompress(read_sealed(self._path(kind, inputs))))
        except Damaged:
            return None
        return value if self._is_current(value, inputs) else None

    def _store(self, value: Any, inputs: Mapping[str, Any]) -> None:
        """Write a value to the cache, if the cache can be written to."""
        content = TypeAdapter(type(value)).dump_json(value)
        keep_sealed(self._path(type(value), inputs), gzip.compress(content, compresslevel=1, mtime=0))


@dataclass(eq=False)
class LazyTestCollection(_Lazy[TestCollection, TestSummary]):
    """The test collection of a card and a pair."""

    card: Card
    pair: Pair
    resolver: Resolver = field(repr=False)
    cards: Mapping[str, Card] = field(repr=False)
    _summary: TestSummary | None = field(default=None, init=False, repr=False)
    summary_kind = TestSummary

    @property
    def name(self) -> str:
        return self.card.name

    def check(self, *, offline: bool) -> None:
        """Verify the files on this machine, and read those of the user. Raises `BenchError` as `load`.

        A file that would be downloaded is an error only if `offline`.
        """
        for card, path in needed_files(self.card, "test", self.pair, self.cards):
            if offline or card.folder is not None or self.resolver.available(card, path):
                self.resolver.path(card, path)
        if self.card.folder is not None:
            _ = self.summary

    def _read(self) -> TestCollection:
        return load_test(self.card, self.pair, self.resolver, self.cards)

    def _is_current(self, value: Any, inputs: Mapping[str, Any]) -> bool:
        return MISSING not in inputs.values()

    def _inputs(self) -> dict[str, Any]:
        parts: dict[str, tuple[Card, Role, Pair | str]] = {f"test {self.name}": (self.card, "test", self.pair)}
        for name in self.card.entry("test", self.pair).distractors:
            parts[f"passages {name}"] = (get_card(name, self.cards), "passages", self.pair.document)
        code = code_digest("bench.data.loading")
        return {"code": code, "libraries": library_versions(), **self._entries(parts)}


@dataclass(eq=False)
class LazyTrainingData(_Lazy[TrainingData, TrainingSummary]):
    """The training data of collections and pairs, without leakage of the test collections that are available."""

    names: tuple[str, ...]
    pairs: tuple[Pair, ...]
    resolver: Resolver = field(repr=False)
    cards: Mapping[str, Card] = field(repr=False)
    keep_leaks: bool = False
    unseen: Pair | None = None
    _summary: TrainingSummary | None = field(default=None, init=False, repr=False)
    data_kind, summary_kind = TrainingData, TrainingSummary

    def check(self) -> None:
        """Read the files of the user, unless their texts are in the cache. Raises `BenchError` as `load`."""
        if self.names and self.summary_if_known is None:
            for role, origins in sources_of(self.names, self.pairs, self.cards)[0].items():
                for name, pair in origins:
                    if (card := get_card(name, self.cards)).folder is not None:
                        read(card, role, pair, self.resolver)

    def _read(self) -> TrainingData:
        options: dict[str, Any] = {"keep_leaks": self.keep_leaks, "unseen": self.unseen}
        return training_data(self.names, self.pairs, self.resolver, self.cards, **options)

    @property
    def _tests(self) -> dict[str, tuple[Card, Pair]]:
        return tests_of(tested(self.pairs, self.unseen), self.cards)

    def _is_current(self, value: Any, inputs: Mapping[str, Any]) -> bool:
        """Return False if a test collection that was not checked for leakage is available now."""
        tests = self._tests
        for name in value.report["not_checked"]:
            downloadable = tests[name][0].source not in (None, IR_DATASETS) and not self.resolver.offline
            if downloadable or inputs[f"test {name}"] != MISSING:
                return False
        return True

    def _inputs(self) -> dict[str, Any]:
        sources, skipped = sources_of(self.names, self.pairs, self.cards)
        parts: dict[str, tuple[Card, Role, Pair | str]] = {
            f"{role} {name} {pair}": (get_card(name, self.cards), role, pair)
            for role, origins in sources.items()
            for name, pair in origins
        }
        parts |= {f"test {name}": (card, "test", pair) for name, (card, pair) in self._tests.items()}
        return {
            "code": code_digest("bench.data.training_data"),
            "libraries": library_versions("numpy", "scipy"),
            "pairs": list(map(str, self.pairs)),
            "caps": caps_of(self.names, self.cards),
            "skipped": skipped,
            "keep_leaks": self.keep_leaks,
            **self._entries(parts),
        }


def _entry(card: Card, role: Role, key: Pair | str, resolver: Resolver) -> dict[str, Any]:
    """Return the inputs of an entry of a card, files by their sha256. Raises `MissingFile` for a missing file."""
    entry = card.entry(role, key)
    depends = {
        "name": card.name,
        "role": role,
        "format": entry.format,
        "key": str(key),
        "codes": card.codes,
        "options": card.options(entry, key),
        "code": code_digest(formats.get_format(entry.format, role).module),
        "files": {
            part: [(path, _sha256(card, path, resolver)) for path in paths]
            for part, paths in card.files(entry, key).items()
        },
    }
    if card.source != IR_DATASETS:
        return depends
    from bench.data.formats import irds  # imported here, because it imports all parsers

    if not irds.is_local(source_of(card, role, key, resolver)):
        raise MissingFile(f"{card.name}: ir_datasets has not downloaded it")
    return {**depends, "library": library_versions("ir_datasets")}


def _sha256(card: Card, path: str, resolver: Resolver) -> str:
    """Return the sha256 of a file from the card, or else of its bytes."""
    if not resolver.available(card, path):
        raise MissingFile(f"{card.name}: {path} is missing")
    try:
        return card.sha256.get(path) or sha256_of(resolver.path(card, path))
    except OSError as error:
        raise MissingFile(f"{card.name}: {path} cannot be read: {error.strerror}") from error
