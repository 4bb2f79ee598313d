"""`bench fetch`: download and verify the files of collections before they are needed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bench.data import Pair
from bench.data.cards import IR_DATASETS, Card, Role, get_card
from bench.data.files import MIB, Resolver
from bench.data.loading import available, needed_files, read
from bench.errors import BenchError, describe, unknown
from bench.progress import Display
from bench.tables import print_table

Item = str | tuple[Role, Pair | str]
"""A file of a card by its path, or for ir_datasets a role and a pair or language."""
OUTCOMES = ("already there", "fetched", "failed")
COLUMNS = ("collection", "licence", "files", "MiB", *OUTCOMES)


def fetch(
    names: Sequence[str], pairs: Sequence[Pair], cards: Mapping[str, Card], resolver: Resolver, display: Display
) -> int:
    """Download and verify every file of collections for these pairs (default: all pairs).

    A mix means its members, and a test includes its distractors. Failures are printed on stderr, and a table of counts
    on stdout. Returns 1 if a file failed, or else 0. Raises `BenchError` for an unknown name, or a pair that no
    collection has.
    """
    collections = _collections(names, cards)
    _check_pairs(pairs, collections)
    needed = _needed(collections, pairs, cards)
    counts = {name: _fetch(cards[name], items, resolver, display) for name, items in needed.items()}
    print_table(COLUMNS, [_row(cards[name], count) for name, count in counts.items()], right=COLUMNS[2:])
    return int(any(count["failed"] for count in counts.values()))


def _collections(names: Sequence[str], cards: Mapping[str, Card]) -> list[Card]:
    found: dict[str, None] = {}
    for name in names:
        mix = get_card(name, cards).mix
        found |= dict.fromkeys([name, *((*mix.bitext, *mix.relevance) if mix else ())])
    return [cards[name] for name in found if cards[name].data]


def _check_pairs(pairs: Sequence[Pair], collections: Sequence[Card]) -> None:
    """Raise `BenchError` if no collection has a pair. Collections in a single language accept any query language."""
    keys = [key for card in collections for entry in card.data for key in entry.keys]
    known = {str(key) for key in keys if isinstance(key, Pair) and key.query != key.document}
    languages = set() if known else {key.document if isinstance(key, Pair) else key for key in keys}
    for pair in pairs:
        if pair not in keys and pair.document not in languages:
            raise unknown("pair", str(pair), known or {f"*-{language}" for language in languages})


def _needed(
    collections: Sequence[Card], pairs: Sequence[Pair], cards: Mapping[str, Card]
) -> dict[str, dict[Item, None]]:
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
    return needed


def _fetch(card: Card, items: Iterable[Item], resolver: Resolver, display: Display) -> Counter[str]:
    """Return the number of items by outcome, and the `bytes` of the files."""
    counts: Counter[str] = Counter()
    for item in items:
        try:
            if isinstance(item, str):
                there = resolver.available(card, item)
                counts["bytes"] += resolver.path(card, item).stat().st_size
            else:
                there = available(card, *item, resolver, {})
                read(card, *item, resolver)
            counts["already there" if there else "fetched"] += 1
        except (BenchError, OSError) as error:  # an error of the disk; a smaller file may fit
            counts["failed"] += 1
            display.warn(f"{'' if isinstance(error, BenchError) else f'{card.name}: {item}: '}{describe(error)}")
    return counts


def _row(card: Card, counts: Counter[str]) -> list[str]:
    licence = f"NON-COMMERCIAL: {card.licence}" if card.non_commercial else card.licence
    outcomes = [counts[outcome] for outcome in OUTCOMES]
    if card.generated:
        return [card.name, licence, "generated", *["-"] * 4]
    if card.source == IR_DATASETS:
        return [card.name, licence, "by ir_datasets", "-", *map(str, outcomes)]
    return [card.name, licence, str(sum(outcomes)), f"{counts['bytes'] / MIB:,.1f}", *map(str, outcomes)]
