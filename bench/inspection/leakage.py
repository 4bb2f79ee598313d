"""`bench inspect leakage`: the training rows that repeat texts by which a test judges."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.data import Pair
from bench.data.cards import Card, get_card
from bench.data.leakage import KINDS, Kind
from bench.data.training_data import Search
from bench.errors import BenchError
from bench.storage.atomic import atomic_write
from bench.tables import shortened

COLUMNS = ["pair", "test", "queries", "met", "met exactly", "training", "rows", *KINDS]
"""The columns of the table of counts: the queries of a test, those judged by a text that leaks at all and exactly, the
rows of a training collection, and those that leak, by kind.
"""
SIDES = ("query", "document")
SHOWN = 200
"""Characters of a text that are shown."""


class Finding(NamedTuple):
    """A leak; the fields are the columns of the CSV file."""

    pair: Pair
    test: str
    training: str
    role: str
    row: int
    """Numbered from 0 over all rows that are read for a pair and role."""
    side: str
    kind: Kind
    similarity: float
    queries: frozenset[str]
    """The test's queries that are judged by the text."""
    training_text: str
    test_text: str
    """The text, normalised."""


def leakage_pairs(train: Sequence[str], cards: Mapping[str, Card]) -> tuple[Pair, ...]:
    """Return the pairs of the named collections and mixes, by default of all mixes. Raises `BenchError` if there is
    none.
    """
    named = [get_card(name, cards) for name in train] or [card for card in cards.values() if card.mix]
    pairs = dict.fromkeys(pair for card in named for pair in (card.mix.pairs if card.mix else card.pairs("bitext")))
    if not pairs:
        raise BenchError(f"{', '.join(train)} names no pair of languages; say which with --pairs")
    return tuple(pairs)


def findings(pair: Pair, found: Search) -> list[list[Finding]]:
    """Return the leaks in the training data of a pair, grouped by test, training collection and role."""
    columns = {"bitext": found.bitext.columns, "relevance": found.relevance.columns}
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for test, texts in found.tests.items():
        for role, leaks in found.leaks.items():
            for leak in (leak for leak in leaks if leak.test == test):
                training, text = columns[role][2][leak.row], columns[role][leak.side][leak.row]
                where = pair, test, training, role, leak.row, SIDES[leak.side]
                finding = Finding(*where, leak.kind, leak.similarity, texts[leak.text], text, leak.text)
                groups.setdefault((test, training, role), []).append(finding)
    return list(groups.values())


def count(members: Sequence[Finding], found: Search) -> list[str]:
    """Return a group's row of the table of counts."""
    pair, test, training, role = members[0][:4]
    data = found.bitext if role == "bitext" else found.relevance
    kinds: dict[int, Kind] = {}
    for member in members:
        kinds[member.row] = min(member.kind, kinds.get(member.row, member.kind), key=KINDS.index)
    queries = {query for by_text in found.tests[test].values() for query in by_text}
    met = {query for member in members for query in member.queries}
    met_exactly = {query for member in members if member.kind == "exact" for query in member.queries}
    by_query = [f"{len(ids):,}" for ids in (queries, met, met_exactly)]
    rows = [Counter(data.sources)[training], *(Counter(kinds.values())[kind] for kind in KINDS)]
    return [str(pair), test, *by_query, f"{training} {role}", *(f"{number:,}" for number in rows)]


def excerpt(members: Iterable[Finding], limit: int) -> list[str]:
    """Return lines with at most `limit` different pairs of texts, the most doubtful first."""
    distinct = {(member.training_text, member.test_text): member for member in members}.values()
    lines = []
    for member in sorted(distinct, key=lambda each: (each.kind == "exact", each.similarity, each.row))[:limit]:
        how = member.kind if member.kind == "exact" else f"{member.kind} {member.similarity:.2f}"
        lines += [
            f"  {how}, {member.side} side of row {member.row:,}",
            f"    training: {shortened(member.training_text, SHOWN)}",
            f"    test:     {shortened(member.test_text, SHOWN)}",
        ]
    left = len(distinct) - limit
    return [*lines, f"  and {left:,} more"] if left > 0 else lines


def write_findings(path: Path, members: Iterable[Finding]) -> None:
    """Write all findings as CSV."""
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Finding._fields)
        for member in members:
            how = [f"{member.similarity:.4f}", " ".join(sorted(member.queries))]
            writer.writerow([*member[:7], *how, *member[9:]])
