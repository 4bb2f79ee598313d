"""From cards to data: test collections, bitext, relevance judgments and passages."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from bench.data import READS_TEST, Bitext, Pair, Relevance, Rows, TestCollection, formats
from bench.data.cards import IR_DATASETS, Card, Data, Role, get_card, load_cards
from bench.data.files import Resolver
from bench.errors import BenchError, MissingFile
from bench.offline import local_only

_Rows = TypeVar("_Rows", bound=Rows)


def load_test(card: Card, pair: Pair, resolver: Resolver, cards: Mapping[str, Card] | None = None) -> TestCollection:
    """The test collection of a pair, its corpus completed with the passages of the card's distractors.

    The collection's own documents come first, and no text occurs twice unless the collection itself repeats
    it. `cards` is where distractors are looked up, all cards by default. Raises BenchError if the card has no
    test for the pair, a file is missing or malformed, or a query has no relevant document; where pairs are mined,
    if there is none to tune the threshold on or none to test.
    """
    test = load_judged(card, pair, resolver)
    distractors = card.entry("test", pair).distractors
    if not distractors:
        return test
    ids = list(test.document_ids)
    documents = list(test.documents)
    seen = set(documents)
    cards = load_cards() if cards is None else cards
    for name in distractors:
        passages = load_passages(get_card(name, cards), pair.document, resolver)
        width = len(str(len(passages)))
        for number, passage in enumerate(passages, start=1):
            if passage not in seen:
                seen.add(passage)
                ids.append(f"{name}-{number:0{width}d}")
                documents.append(passage)
    return replace(test, document_ids=tuple(ids), documents=tuple(documents))


def load_bitext(card: Card, pair: Pair, resolver: Resolver) -> Bitext:
    """The bitext of a pair, without rows that lack a side and exact duplicates of earlier rows.

    Raises BenchError if the card has none for the pair, or a file is missing or malformed.
    """
    return tidy(read(card, "bitext", pair, resolver), set())


def load_relevance(card: Card, pair: Pair, resolver: Resolver) -> Relevance:
    """The judged training pairs of a pair, without exact duplicates; raises BenchError as `load_bitext`."""
    return tidy(read(card, "relevance", pair, resolver), set())


def load_passages(card: Card, language: str, resolver: Resolver) -> tuple[str, ...]:
    """The passages of a language, each once; raises BenchError as `load_bitext`."""
    passages: tuple[str, ...] = read(card, "passages", language, resolver)
    return passages


def needed_files(card: Card, role: Role, key: Pair | str, cards: Mapping[str, Card]) -> list[tuple[Card, str]]:
    """Every file that loading this data reads, a test's distractors included, as (card, relative path).

    What ir_datasets reads is not among them: nobody but it knows its files.
    """
    entry = card.entry(role, key)
    paths = (path for paths in card.files(entry, key).values() for path in paths)
    files = [(card, path) for path in dict.fromkeys(paths)]
    if isinstance(key, Pair):
        for name in entry.distractors:
            files += needed_files(get_card(name, cards), "passages", key.document, cards)
    return files


def available(card: Card, role: Role, key: Pair | str, resolver: Resolver, cards: Mapping[str, Card]) -> bool:
    """Whether everything that loading this data reads is at hand; opens no socket."""
    if card.source == IR_DATASETS:
        try:
            read(card, role, key, replace(resolver, offline=True))
        except MissingFile:
            return False
        return True
    return all(resolver.available(*file) for file in needed_files(card, role, key, cards))


def read(card: Card, role: Role, key: Pair | str, resolver: Resolver) -> Any:
    """What the parser of a card's entry makes of it; raises BenchError as `load_bitext`."""
    entry = card.entry(role, key)
    parse, source = formats.parser(entry.format, role), source_of(card, entry, key, resolver)
    if card.source == IR_DATASETS:
        # It downloads by itself whatever it misses. So let it try without, and then only if it may.
        try:
            with local_only():
                return parse(source, key)
        except MissingFile:
            if resolver.offline:
                raise
            resolver.announce(card)
    return parse(source, key)


def source_of(card: Card, entry: Data, key: Pair | str, resolver: Resolver) -> formats.Source:
    """What the parser of a card's entry is given, its files at hand; raises BenchError as `load_bitext`."""
    files: dict[str, tuple[Path, ...]] = {
        part: tuple(resolver.path(card, path) for path in paths) for part, paths in card.files(entry, key).items()
    }
    return formats.Source(name=card.name, files=files, codes=card.codes, options=card.options(entry, key))


def load_judged(card: Card, pair: Pair, resolver: Resolver) -> TestCollection:
    """The test collection without distractors, which is all that leakage is about; raises BenchError as `load_test`."""
    sys.audit(READS_TEST, f"{card.name} {pair}")
    test: TestCollection = read(card, "test", pair, resolver)
    for kind, ids in (("query", test.query_ids), ("document", test.document_ids)):
        if len(set(ids)) < len(ids):
            repeated = next(key for key, count in Counter(ids).items() if count > 1)
            raise BenchError(f"{card.name} {pair}: the {kind} id '{repeated}' occurs twice")
        if unfit := [key for key in ids if key.split() != [key]]:
            raise BenchError(f"{card.name} {pair}: the {kind} id '{unfit[0]}' is empty or has white space in it")
    relevant = {key for grades in test.qrels.values() for key, grade in grades.items() if grade > 0}
    documents = relevant.intersection(test.document_ids)
    judged = {
        key: any(grade > 0 and document in documents for document, grade in test.qrels.get(key, {}).items())
        for key in test.query_ids
    }
    if test.mining:
        tuned = [judged.pop(key) for key in test.tuning]
        if not (any(tuned) and any(judged.values())):
            raise BenchError(f"{card.name} {pair}: mining needs gold pairs to tune a threshold on, and others to test")
    elif without := [key for key, found in judged.items() if not found]:
        raise BenchError(f"{card.name} {pair}: query '{without[0]}' has no relevant document")
    return test


def tidy(data: _Rows, seen: set[tuple[str, str]]) -> _Rows:
    """The rows that lack no text and whose texts are not among `seen` yet, to which they are added, in order."""
    kept = []
    for row, texts in enumerate(zip(*data.columns[:2], strict=True)):
        if all(text.strip() for text in texts) and texts not in seen:
            seen.add(texts)
            kept.append(row)
    return data.take(kept)
