"""`bench fetch`: have the files of collections at hand, verified, before they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.data import Pair
from bench.data.cards import IR_DATASETS, Card, Role, get_card
from bench.data.files import MIB, Resolver
from bench.data.loading import available, needed_files, read
from bench.errors import BenchError, describe, unknown
from bench.progress import Display
from bench.tables import print_table

Item = str | tuple[Role, Pair | str]
"""A file of a card, by its path; where ir_datasets has the files, what they are for."""

COLUMNS = ("collection", "licence", "files", "MiB", "already there", "fetched", "failed")


@dataclass
class _Tally:
    """What became of a collection's items; `size` is the bytes of the files that are at hand."""

    there: int = 0
    fetched: int = 0
    failed: int = 0
    size: int = 0


def fetch(
    names: Sequence[str], pairs: Sequence[Pair], cards: Mapping[str, Card], resolver: Resolver, display: Display
) -> int:
    """Fetch and verify every file of the named collections that these pairs need, of all pairs if none is given.

    A mix stands for its members, and a test comes with its distractors, which are counted under their own
    collections. A file that is in the mirror or the cache is verified; what ir_datasets has, it reads. What cannot be
    had or is wrong is a line on stderr, and the others go on; a table on stdout says what became of each collection.

    Returns 1 if a file failed, else 0. Raises BenchError for an unknown name or a pair that no collection has.
    """
    collections = _collections(names, cards)
    _check_pairs(pairs, collections)
    needed = _needed(collections, pairs, cards)
    tallies = {name: _fetch(cards[name], items, resolver, display) for name, items in needed.items()}
    print_table(COLUMNS, [_row(cards[name], tally) for name, tally in tallies.items()], right=COLUMNS[2:])
    return int(any(tally.failed for tally in tallies.values()))


def _collections(names: Sequence[str], cards: Mapping[str, Card]) -> list[Card]:
    """The collections that the names stand for, each once."""
    found: dict[str, Card] = {}
    for name in names:
        card = get_card(name, cards)
        members = (*card.mix.bitext, *card.mix.relevance) if card.mix else ()
        for part in (card, *(get_card(member, cards) for member in members)):
            if part.data:
                found[part.name] = part
    return list(found.values())


def _check_pairs(pairs: Sequence[Pair], collections: Sequence[Card]) -> None:
    """Refuse a pair that none has; where all are in one language, they have every pair with documents in it."""
    keys = [key for card in collections for entry in card.data for key in entry.keys]
    known = {str(key) for key in keys if isinstance(key, Pair) and key.query != key.document}
    languages = set() if known else {key.document if isinstance(key, Pair) else key for key in keys}
    for pair in pairs:
        if pair not in keys and pair.document not in languages:
            raise unknown("pair", str(pair), known or {f"*-{language}" for language in languages})


def _needed(collections: Sequence[Card], pairs: Sequence[Pair], cards: Mapping[str, Card]) -> dict[str, list[Item]]:
    """The items to have at hand, by the collection that they belong to, each once."""
    wanted: set[Pair | str] = {*pairs, *(pair.document for pair in pairs)}
    judged = {Pair(pair.document, pair.document) for pair in pairs}
    needed: dict[str, dict[Item, None]] = {card.name: {} for card in collections}
    for card in collections:
        for entry in card.data:
            for key in entry.keys:
                if not pairs or key in wanted or (entry.role == "relevance" and key in judged):
                    if card.source == IR_DATASETS:
                        needed[card.name][entry.role, key] = None
                    for owner, path in needed_files(card, entry.role, key, cards):
                        needed.setdefault(owner.name, {})[path] = None
    return {name: list(items) for name, items in needed.items()}


def _fetch(card: Card, items: Sequence[Item], resolver: Resolver, display: Display) -> _Tally:
    tally = _Tally()
    for item in items:
        try:
            if isinstance(item, str):
                there = resolver.available(card, item)
                tally.size += resolver.path(card, item).stat().st_size
            elif not (there := available(card, *item, resolver, {})):
                read(card, *item, resolver)
        except BenchError as error:
            tally.failed += 1
            display.warn(str(error))
        except OSError as error:  # of the disk; a smaller file may fit
            tally.failed += 1
            display.warn(f"{card.name}: {item}: {describe(error)}")
        else:
            tally.there += there
            tally.fetched += not there
    return tally


def _row(card: Card, tally: _Tally) -> list[str]:
    licence = f"NON-COMMERCIAL: {card.licence}" if card.non_commercial else card.licence
    if card.generated:
        return [card.name, licence, "generated", *["-"] * 4]
    counts = (tally.there, tally.fetched, tally.failed)
    if card.source == IR_DATASETS:
        return [card.name, licence, "by ir_datasets", "-", *map(str, counts)]
    return [card.name, licence, str(sum(counts)), f"{tally.size / MIB:,.1f}", *map(str, counts)]
