"""Test collections, bitext, relevance judgments and passages, loaded by cards."""

import sys
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

from bench.data import READS_TEST, Bitext, Pair, Relevance, Rows, TestCollection, formats
from bench.data.cards import IR_DATASETS, Card, Role, get_card, load_cards
from bench.data.files import Resolver
from bench.data.formats.reading import Source, numbered
from bench.errors import BenchError, MissingFile
from bench.system.offline import local_only

_Rows = TypeVar("_Rows", bound=Rows)


def load_test(card: Card, pair: Pair, resolver: Resolver, cards: Mapping[str, Card] | None = None) -> TestCollection:
    """Return the test collection of a pair, with the passages of its distractors. Raises `BenchError` as `load_judged`.

    `cards` has the cards of the distractors (default: all cards).
    """
    test = load_judged(card, pair, resolver)
    distractors = card.entry("test", pair).distractors
    if not distractors:
        return test
    ids, documents = list(test.document_ids), list(test.documents)
    seen = set(documents)
    cards = load_cards() if cards is None else cards
    for name in distractors:
        passages = read(get_card(name, cards), "passages", pair.document, resolver)
        new = {key: passage for key, passage in numbered(passages, f"{name}-").items() if passage not in seen}
        ids += new
        documents += new.values()
        seen.update(new.values())
    return replace(test, document_ids=tuple(ids), documents=tuple(documents))


def load_judged(card: Card, pair: Pair, resolver: Resolver) -> TestCollection:
    """Return the test collection of a pair without distractors.

    Raises `BenchError` if the card has none, a file is missing or malformed, a query has no relevant document, or a
    part of a mining collection has no gold pair.
    """
    sys.audit(READS_TEST, f"{card.name} {pair}")
    test: TestCollection = read(card, "test", pair, resolver)
    for kind, ids in (("query", test.query_ids), ("document", test.document_ids)):
        if len(set(ids)) < len(ids):
            repeated = next(key for key, count in Counter(ids).items() if count > 1)
            raise BenchError(f"{card.name} {pair}: the {kind} id '{repeated}' occurs twice")
        if unfit := [key for key in ids if key.split() != [key]]:
            raise BenchError(f"{card.name} {pair}: the {kind} id '{unfit[0]}' is empty or has white space in it")
    documents = set(test.document_ids)
    judged = {
        key: any(grade > 0 and document in documents for document, grade in test.qrels.get(key, {}).items())
        for key in test.query_ids
    }
    if test.tuning:
        tuned = [judged.pop(key) for key in test.tuning]
        if not (any(tuned) and any(judged.values())):
            raise BenchError(f"{card.name} {pair}: mining needs gold pairs to tune a threshold on, and others to test")
    elif without := [key for key, relevant in judged.items() if not relevant]:
        raise BenchError(f"{card.name} {pair}: query '{without[0]}' has no relevant document")
    return test


def load_rows(card: Card, role: Literal["bitext", "relevance"], pair: Pair, resolver: Resolver) -> Any:
    """Return the `Bitext` or `Relevance` of a pair, without empty and duplicate rows. Raises `BenchError` as `read`."""
    return drop_empty_and_duplicate(read(card, role, pair, resolver), set())


def needed_files(card: Card, role: Role, key: Pair | str, cards: Mapping[str, Card]) -> list[tuple[Card, str]]:
    """Return the card and path of every necessary file, without those of ir_datasets."""
    entry = card.entry(role, key)
    paths = (path for paths in card.files(entry, key).values() for path in paths)
    files = [(card, path) for path in dict.fromkeys(paths)]
    if isinstance(key, Pair):
        for name in entry.distractors:
            files += needed_files(get_card(name, cards), "passages", key.document, cards)
    return files


def available(card: Card, role: Role, key: Pair | str, resolver: Resolver, cards: Mapping[str, Card]) -> bool:
    """Return True if all necessary files are on this machine. Opens no socket."""
    if card.source == IR_DATASETS:
        from bench.data.formats import irds  # imported here, because it imports all parsers

        return irds.is_local(source_of(card, role, key, resolver))
    return all(resolver.available(*file) for file in needed_files(card, role, key, cards))


def read(card: Card, role: Role, key: Pair | str, resolver: Resolver) -> Any:
    """Return the data of an entry of a card: a `TestCollection`, `Bitext`, `Relevance` or a tuple of distinct texts.

    Raises `BenchError` if the card has no data for the key, or a file is missing or malformed.
    """
    parsed = _parsed(card, role, key, resolver)
    if role == "test":
        return parsed
    if isinstance(key, str):
        return tuple(dict.fromkeys(parsed))
    rows = [(first, second) for first, second, _ in parsed]
    first, second = zip(*rows, strict=True) if rows else ((), ())
    return (Bitext if role == "bitext" else Relevance).of(key, first, second, card.name)


def places(
    card: Card, role: Role, pair: Pair, resolver: Resolver, rows: Collection[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Return the place in the files of each row of bitext or relevance, for equal rows that of the first.

    Raises `BenchError` as `read`.
    """
    found: dict[tuple[str, str], str] = {}
    for first, second, place in _parsed(card, role, pair, resolver):
        if (first, second) in rows:
            found.setdefault((first, second), place)
    return found


def _parsed(card: Card, role: Role, key: Pair | str, resolver: Resolver) -> Any:
    source = source_of(card, role, key, resolver)
    if card.source == IR_DATASETS:
        # The first attempt is without the network, since the library downloads missing files by itself.
        try:
            with local_only():
                return formats.parse(card.entry(role, key).format, role, source, key)
        except MissingFile:
            if resolver.offline:
                raise
            resolver.announce(card)
    return formats.parse(card.entry(role, key).format, role, source, key)


def source_of(card: Card, role: Role, key: Pair | str, resolver: Resolver) -> Source:
    """Return the input of a parser, after downloads. Raises `BenchError` as `load_rows`."""
    entry = card.entry(role, key)
    files = card.files(entry, key).items()
    paths = {part: tuple(resolver.path(card, path) for path in names) for part, names in files}
    return Source(name=card.name, files=paths, codes=card.codes, options=card.options(entry, key))


def drop_empty_and_duplicate(data: _Rows, seen: set[tuple[str, str]]) -> _Rows:
    """Drop rows without a text, and rows whose texts are in `seen`. Add the others to `seen`, in order."""
    kept = []
    for row, texts in enumerate(zip(*data.columns[:2], strict=True)):
        if all(text.strip() for text in texts) and texts not in seen:
            seen.add(texts)
            kept.append(row)
    return data.take(kept)
