"""Test collections and training data that are read only when somebody needs their texts.

A *summary* holds the facts that a plan needs: digest and counts. The cache stores it under a *key*. The key is a digest
of the code that reads the data, the entries of the cards, and the sha256 of every file. The cache stores training data
as well. They are therefore read, tidied and searched for leakage only once.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, TypeVar

from bench.cache import default_cache
from bench.data import (
    Bitext,
    Pair,
    Relevance,
    Rows,
    TestCollection,
    TestSummary,
    TrainingData,
    TrainingSummary,
    formats,
)
from bench.data.cards import IR_DATASETS, Card, Role, get_card
from bench.data.files import Resolver
from bench.data.loading import load_test, source_of
from bench.data.mixing import caps_of, sources_of, tests_of, training_data
from bench.errors import MissingFile
from bench.fingerprint import code_digest, digest, library_versions
from bench.sealed import Damaged, read_sealed, remove, sha256_of, write_sealed

_Rows = TypeVar("_Rows", bound=Rows)

MISSING = "missing"
"""The digest of an entry whose file is not on this machine."""
COLLECTIONS, TRAINING = "collections", "training"
"""The folders of the cache."""
LAYOUT = 1
"""The layout of the files in the cache, to be raised when it changes."""


def test_key(card: Card, pair: Pair, resolver: Resolver, cards: Mapping[str, Card]) -> str | None:
    """Return the digest of all that the content of a test collection depends on; it parses nothing, opens no socket.

    None if a file is not on this machine. A file counts by the sha256 that its card states, or else by its bytes; what
    ir_datasets reads, by the dataset's id and the library's version.
    """
    try:
        parts = [_entry(card, "test", pair, resolver)]
        for name in card.entry("test", pair).distractors:
            parts += [_entry(get_card(name, cards), "passages", pair.document, resolver)]
    except MissingFile:
        return None
    return digest([LAYOUT, code_digest("bench.data.loading"), library_versions(), parts])


def training_key(
    names: Sequence[str], pairs: Sequence[Pair], resolver: Resolver, cards: Mapping[str, Card], keep_leaks: bool
) -> str:
    """Return the digest of all that `bench.data.mixing.training_data` depends on; it parses nothing, opens no socket.

    It covers every test collection that leakage is looked for in, or that it is missing. Raises BenchError as
    `training_data` for an unknown name, and if none has data for one of the pairs.
    """
    return digest(_training_inputs(names, pairs, resolver, cards, keep_leaks))


@dataclass(eq=False)
class LazyTestCollection:
    """The test collection of a card and a pair. Its summary can be known before it is read."""

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
        return test_key(self.card, self.pair, self.resolver, self.cards)

    @property
    def summary(self) -> TestSummary:
        """The summary, from the cache or else by reading the collection. Raises BenchError as `load_test`."""
        if self.summary_if_known is None:
            self.load()
        assert self._summary is not None  # reading sets it
        return self._summary

    @property
    def summary_if_known(self) -> TestSummary | None:
        """The summary, or None if only reading the collection would tell."""
        if self._summary is None and (key := self.key) is not None:
            value = _recall(self._path(key))
            self._summary = None if value is None else TestSummary(**{**value, "pair": Pair(**value["pair"])})
        return self._summary

    def load(self) -> TestCollection:
        """Return the collection; the last two are kept in memory. Raises BenchError as `load_test`.

        If its digest is not that of the summary, then the summary, here and in the cache, becomes the right one.
        """
        return _load_test(self)

    def _read(self) -> TestCollection:
        before = self.key
        test = load_test(self.card, self.pair, self.resolver, self.cards)
        self._summary, value = test.summary, asdict(test.summary)
        key = self.key
        # A file that changed meanwhile was perhaps read before the change.
        if key is not None and before in (None, key) and _recall(self._path(key)) != value:
            _keep(self._path(key), value)
        return test

    def _path(self, key: str) -> Path:
        return _folder(self.resolver, COLLECTIONS) / f"{key}.json"


@dataclass(eq=False)
class LazyTrainingData:
    """The training data of collections and pairs. Their summary can be known before they are read."""

    names: tuple[str, ...]
    pairs: tuple[Pair, ...]
    resolver: Resolver = field(repr=False)
    cards: Mapping[str, Card] = field(repr=False)
    keep_leaks: bool = False
    _summary: TrainingSummary | None = field(default=None, init=False, repr=False)

    @property
    def summary(self) -> TrainingSummary:
        """The summary, from the cache or else by making the data. Raises BenchError as `training_data`."""
        if self.summary_if_known is None:
            self.load()
        assert self._summary is not None  # loading sets it
        return self._summary

    @property
    def summary_if_known(self) -> TrainingSummary | None:
        """The summary, or None if only making the data would tell. Raises BenchError as `training_key`."""
        if self._summary is None:
            self._summary = self._recall_summary(self._inputs())
        return self._summary

    def load(self) -> TrainingData:
        """Return the data, from the cache if they are there; the last are kept in memory.

        They are made again if a test collection could not be checked for leakage that may be downloaded now. Raises
        BenchError as `training_data`.
        """
        return _load_training(self)

    def _read(self) -> TrainingData:
        inputs = self._inputs()
        data = self._recall_data(inputs)
        if data is None:
            data = training_data(self.names, self.pairs, self.resolver, self.cards, keep_leaks=self.keep_leaks)
            after = self._inputs()
            # A missing file may have been downloaded meanwhile. A changed file was perhaps read before the change.
            if all(value in (MISSING, after[name]) for name, value in inputs.items()):
                _keep(self._path(after, "json.gz"), _packed(data))
                inputs = after
        self._summary = self._recall_summary(inputs)
        if self._summary is None or self._summary.digest != data.digest:
            self._summary = data.summary
            _keep(self._path(inputs, "json"), _summary_value(data.summary))
        return data

    def _inputs(self) -> dict[str, Any]:
        return _training_inputs(self.names, self.pairs, self.resolver, self.cards, self.keep_leaks)

    def _recall_summary(self, inputs: Mapping[str, Any]) -> TrainingSummary | None:
        value = _recall(self._path(inputs, "json"))
        if value is None or not self._is_settled(value["report"], inputs):
            return None
        bitext = {Pair(*pair.split("-")): count for pair, count in value["bitext"].items()}
        return TrainingSummary(value["digest"], bitext, value["report"])

    def _recall_data(self, inputs: Mapping[str, Any]) -> TrainingData | None:
        value = _recall(self._path(inputs, "json.gz"))
        if value is None or not self._is_settled(value["report"], inputs):
            return None
        return TrainingData(
            pairs=self.pairs,
            bitext=_unpacked(Bitext, value["bitext"]),
            relevance=_unpacked(Relevance, value["relevance"]),
            report=value["report"],
        )

    def _is_settled(self, report: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
        """Return whether no test collection that could not be checked for leakage can be read now."""
        tests = tests_of(self.pairs, self.cards)
        for name in report["not_checked"]:
            downloadable = tests[name][0].source not in (None, IR_DATASETS) and not self.resolver.offline
            if downloadable or inputs[f"test {name}"] != MISSING:
                return False
        return True

    def _path(self, inputs: Mapping[str, Any], ending: str) -> Path:
        return _folder(self.resolver, TRAINING) / f"{digest(inputs)}.{ending}"


@lru_cache(maxsize=2)
def _load_test(lazy: LazyTestCollection) -> TestCollection:
    return lazy._read()


@lru_cache(maxsize=1)
def _load_training(lazy: LazyTrainingData) -> TrainingData:
    return lazy._read()


def _training_inputs(
    names: Sequence[str], pairs: Sequence[Pair], resolver: Resolver, cards: Mapping[str, Card], keep_leaks: bool
) -> dict[str, Any]:
    """Return all that training data depend on, by its name; MISSING for what is not on this machine."""
    sources, skipped = sources_of(names, pairs, cards)
    members = [(role, get_card(name, cards), pair) for role, found in sources.items() for name, pair in found]
    parts = {f"{role} {card.name} {pair}": (card, role, pair) for role, card, pair in members}
    tests: dict[str, tuple[Card, Role, Pair]] = {
        f"test {name}": (card, "test", pair) for name, (card, pair) in tests_of(pairs, cards).items()
    }
    inputs: dict[str, Any] = {
        "layout": LAYOUT,
        "code": code_digest("bench.data.mixing"),
        "libraries": library_versions("numpy", "scipy"),
        "pairs": list(map(str, pairs)),
        "order": [*parts, *tests],
        "caps": caps_of(names, cards),
        "skipped": skipped,
        "keep_leaks": keep_leaks,
    }
    for name, part in (parts | tests).items():
        try:
            inputs[name] = digest(_entry(*part, resolver))
        except MissingFile:
            inputs[name] = MISSING
    return inputs


def _entry(card: Card, role: Role, key: Pair | str, resolver: Resolver) -> dict[str, Any]:
    """Return all that reading a card's entry depends on. Raises MissingFile if a file is not on this machine."""
    entry = card.entry(role, key)
    found = {
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
        return found
    from bench.data.formats import irds  # here, because it imports the parsers of other formats

    if not irds.is_local(source_of(card, entry, key, resolver)):
        raise MissingFile(f"{card.name}: ir_datasets has not downloaded it")
    return {**found, "library": library_versions("ir_datasets")}


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


def _recall(path: Path) -> Any:
    """Return the JSON value of a file in the cache; None if there is none or it is damaged."""
    try:
        data = read_sealed(path)
    except Damaged:
        return None
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def _keep(path: Path, value: Any) -> None:
    """Write a JSON value to a file in the cache, if the cache can be written to."""
    data = json.dumps(value, ensure_ascii=False).encode()
    with suppress(OSError):  # a cache that is full or read-only only costs time
        if path.is_dir():
            remove(path)
        write_sealed(path, gzip.compress(data, compresslevel=1, mtime=0) if path.suffix == ".gz" else data)


def _summary_value(summary: TrainingSummary) -> dict[str, Any]:
    bitext = {str(pair): count for pair, count in summary.bitext.items()}
    return {"digest": summary.digest, "bitext": bitext, "report": summary.report}


def _packed(data: TrainingData) -> dict[str, Any]:
    return {"bitext": _columns(data.bitext), "relevance": _columns(data.relevance), "report": data.report}


def _columns(rows: Rows) -> list[Any]:
    """Return the two columns of texts, and the origins of the rows as runs: (source, query, document, count)."""
    runs = [(source, pair.query, pair.document, len(list(run))) for (source, pair), run in groupby(rows.origins)]
    return [*rows.columns[:2], runs]


def _unpacked(kind: type[_Rows], columns: Sequence[Any]) -> _Rows:
    first, second, runs = columns
    ends = accumulate(count for *_, count in runs)
    return kind.join(
        kind.of(Pair(query, document), first[end - count : end], second[end - count : end], source)
        for (source, query, document, count), end in zip(runs, ends, strict=True)
    )
