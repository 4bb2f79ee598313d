"""`bench inspect leakage`: training rows that overlap with test collections."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.data import Origin, Pair, Rows
from bench.data.cards import Card, Role, get_card
from bench.data.files import Resolver
from bench.data.leakage import KINDS, Leak
from bench.data.loading import places
from bench.data.training_data import Search
from bench.errors import BenchError
from bench.tables import Column, shortened

GROUP = ["pair", "test", "training", "role"]
FINDING = [*GROUP, "row", "side", "kind", "similarity", "queries", "training_text", "test_text"]
"""Columns of the CSV file. `row` is the place of the training row in its files, such as its line. `queries` are the
queries of the repeated text.
"""
COLUMNS = [
    *(Column("pair", "word"), Column("test", "name"), Column("queries"), Column("met"), Column("met exactly")),
    *(Column("training", "name"), Column("rows"), *map(Column, KINDS)),
]
"""Columns of the table of counts: queries of a test, those with leakage and with exact leakage, rows of a training
collection, and leaking rows by kind.
"""
SHOWN = 200


def leakage_pairs(train: Sequence[str], cards: Mapping[str, Card]) -> tuple[Pair, ...]:
    """Return the pairs of the named collections and mixes (default: all mixes). Raises `BenchError` without a pair."""
    named = [get_card(name, cards) for name in train] or [card for card in cards.values() if card.mix]
    pairs = dict.fromkeys(pair for card in named for pair in (card.mix.pairs if card.mix else card.pairs("bitext")))
    if not pairs:
        raise BenchError(f"{', '.join(train)} names no language pair; name one with --pairs")
    return tuple(pairs)


def findings(pair: Pair, found: Search, resolver: Resolver, cards: Mapping[str, Card]) -> pd.DataFrame:
    """Return a row for each leak in the training data of a pair, with the columns `FINDING` and the `number` of the
    row.

    `queries` is a set. The number is necessary, since several rows of a collection may have the same place.
    """
    rows = []
    for role, leaks in found.leaks.items():
        data: Rows = found.rows[role]
        columns, place_of = data.columns, _places(data, leaks, role, resolver, cards)
        for leak in leaks:
            text, training = columns[leak.side][leak.row], columns[2][leak.row]
            where = (str(pair), leak.test, training, role, place_of[leak.row], ("query", "document")[leak.side])
            queries = found.tests[leak.test][leak.text]
            rows.append((*where, leak.kind, leak.similarity, queries, text, leak.text, leak.row))
    frame = pd.DataFrame(rows, columns=[*FINDING, "number"])
    return frame.assign(kind=pd.Categorical(frame["kind"], KINDS, ordered=True))


def _places(
    data: Rows, leaks: Sequence[Leak], role: Role, resolver: Resolver, cards: Mapping[str, Card]
) -> dict[int, str]:
    """Return the place in its files of each row that leaks."""
    wanted: dict[Origin, dict[tuple[str, str], int]] = defaultdict(dict)
    origins = data.origins
    for row in {leak.row for leak in leaks}:
        wanted[origins[row]][data.columns[0][row], data.columns[1][row]] = row
    return {
        rows[texts]: place
        for (name, pair), rows in wanted.items()
        for texts, place in places(get_card(name, cards), role, pair, resolver, rows).items()
    }


def count(members: pd.DataFrame, found: Search) -> list[str]:
    """Return a row of the table of counts, for the findings of one test, training collection and role."""
    pair, test, training, role = members[GROUP].iloc[0]
    judged: list[Any] = [found.tests[test].values(), members["queries"], members["queries"][members["kind"] == "exact"]]
    queries = [len(frozenset().union(*texts)) for texts in judged]
    # A row counts once.
    kinds = members.groupby("number")["kind"].min().value_counts()
    rows = [list(found.rows[role].sources).count(training), *(kinds[kind] for kind in KINDS)]
    return [pair, test, *map("{:,}".format, queries), f"{training} {role}", *map("{:,}".format, rows)]


def excerpt(members: pd.DataFrame, limit: int) -> list[str]:
    """Return lines with at most `limit` different pairs of texts, the most doubtful first."""
    distinct = members.drop_duplicates(["training_text", "test_text"], keep="last")
    ordered = distinct.assign(exact=distinct["kind"] == "exact").sort_values(["exact", "similarity"], kind="stable")
    lines = []
    for leak in ordered.head(limit).to_dict("records"):
        kind = leak["kind"] if leak["exact"] else f"{leak['kind']} {leak['similarity']:.2f}"
        lines += [
            f"  {kind}, {leak['side']} side, {leak['row']}",
            f"    training: {shortened(leak['training_text'], SHOWN)}",
            f"    test:     {shortened(leak['test_text'], SHOWN)}",
        ]
    left = len(distinct) - limit
    return [*lines, f"  and {left:,} more"] if left > 0 else lines
