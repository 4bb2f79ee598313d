"""`bench inspect leakage`: which training rows repeat what a test judges by."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.atomic import atomic_write
from bench.data import Pair
from bench.data.cards import Card, get_card
from bench.data.leakage import KINDS, Leak, count_rows
from bench.data.mixing import Search
from bench.errors import BenchError

COLUMNS = ["pair", "test", "queries", "met", "met exactly", "training", "rows", *KINDS]
"""Of the table of counts: how many queries a test has, and how many of them training meets in a text that they are
judged by, in any way or exactly; then how many rows a training collection has, and how many of them leak, by kind."""
CSV_COLUMNS = [
    *("pair", "test", "training", "role", "row", "side"),
    *("kind", "similarity", "queries", "training_text", "test_text"),
]
SIDES = ("query", "document")
SHOWN = 200
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Finding:
    """A leak with what it is about: the training text as it was read, and the test's queries that are judged by it."""

    pair: Pair
    training: str
    role: str
    text: str
    queries: frozenset[str]
    leak: Leak


class Group(NamedTuple):
    """Findings that belong together."""

    test: str
    training: str
    role: str


def leakage_pairs(train: Sequence[str], cards: Mapping[str, Card]) -> tuple[Pair, ...]:
    """The pairs of the collections and mixes named, of all mixes if none is; raises BenchError if they have none."""
    named = [get_card(name, cards) for name in train] or [card for card in cards.values() if card.mix]
    pairs = dict.fromkeys(pair for card in named for pair in (card.mix.pairs if card.mix else card.pairs("bitext")))
    if not pairs:
        raise BenchError(f"{', '.join(train)} names no pair of languages; say which with --pairs")
    return tuple(pairs)


def findings(pair: Pair, found: Search) -> dict[Group, list[Finding]]:
    """The leakage in the training data of a pair, in the order of the tests and of the training data."""
    columns = {"bitext": found.bitext.columns, "relevance": found.relevance.columns}
    groups: dict[Group, list[Finding]] = {}
    for test, texts in found.tests.items():
        for role, leaks in found.leaks.items():
            for leak in leaks:
                if leak.test == test:
                    training, text = columns[role][2][leak.row], columns[role][leak.side][leak.row]
                    finding = Finding(pair, training, role, text, texts[leak.text], leak)
                    groups.setdefault(Group(test, training, role), []).append(finding)
    return groups


def count(group: Group, members: Sequence[Finding], found: Search) -> list[str]:
    """A group's row of the table of counts."""
    data = found.bitext if group.role == "bitext" else found.relevance
    met = frozenset[str]().union(*(member.queries for member in members))
    exactly = frozenset[str]().union(*(member.queries for member in members if member.leak.kind == "exact"))
    queries = frozenset[str]().union(*found.tests[group.test].values())
    by_kind = count_rows([member.leak for member in members], [group.test])[group.test]
    numbers = [len(queries), len(met), len(exactly), Counter(data.sources)[group.training], *by_kind.values()]
    shown = [f"{number:,}" for number in numbers]
    return [str(members[0].pair), group.test, *shown[:3], f"{group.training} {group.role}", *shown[3:]]


def excerpt(members: Iterable[Finding], limit: int) -> list[str]:
    """Lines that show at most `limit` pairs of texts, each once, the most doubtful first."""
    distinct = {(member.text, member.leak.text): member for member in members}.values()
    lines = []
    order = sorted(distinct, key=lambda each: (each.leak.kind == "exact", each.leak.similarity, each.leak.row))
    for member in order[:limit]:
        leak = member.leak
        how = leak.kind if leak.kind == "exact" else f"{leak.kind} {leak.similarity:.2f}"
        lines += [
            f"  {how}, {SIDES[leak.side]} side of row {leak.row:,}",
            f"    training: {_short(member.text)}",
            f"    test:     {_short(leak.text)}",
        ]
    left = len(distinct) - limit
    return [*lines, f"  and {left:,} more"] if left > 0 else lines


def write_findings(path: Path, members: Iterable[Finding]) -> None:
    """Write all findings as CSV; rows are numbered from 0 over all that is read for a pair and role."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for member in members:
            leak = member.leak
            where = [member.pair, leak.test, member.training, member.role, leak.row, SIDES[leak.side]]
            how = [leak.kind, f"{leak.similarity:.4f}", " ".join(sorted(member.queries))]
            writer.writerow([*where, *how, member.text, leak.text])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"
