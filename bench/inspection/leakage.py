"""`bench inspect leakage`: the training rows that repeat texts by which a test judges."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.data import Pair
from bench.data.cards import Card, get_card
from bench.data.leakage import KINDS
from bench.data.training_data import Search
from bench.errors import BenchError
from bench.tables import shortened

GROUP = ["pair", "test", "training", "role"]
FINDING = [*GROUP, "row", "side", "kind", "similarity", "queries", "training_text", "test_text"]
"""The columns of the CSV file. Rows are numbered from 0 over all rows that are read for a pair and role. `queries` are
those of the test that are judged by the text.
"""
COLUMNS = ["pair", "test", "queries", "met", "met exactly", "training", "rows", *KINDS]
"""The columns of the table of counts: the queries of a test, those judged by a text that leaks at all and exactly, the
rows of a training collection, and those that leak, by kind.
"""
SHOWN = 200


def leakage_pairs(train: Sequence[str], cards: Mapping[str, Card]) -> tuple[Pair, ...]:
    """Return the pairs of the named collections and mixes, by default of all mixes. Raises `BenchError` if there is
    none.
    """
    named = [get_card(name, cards) for name in train] or [card for card in cards.values() if card.mix]
    pairs = dict.fromkeys(pair for card in named for pair in (card.mix.pairs if card.mix else card.pairs("bitext")))
    if not pairs:
        raise BenchError(f"{', '.join(train)} names no language pair; name one with --pairs")
    return tuple(pairs)


def findings(pair: Pair, found: Search) -> pd.DataFrame:
    """Return a row with the columns `FINDING` for each leak in the training data of a pair; `queries` is a set."""
    rows = []
    for role, leaks in found.leaks.items():
        columns = getattr(found, role).columns
        for leak in leaks:
            text, training = columns[leak.side][leak.row], columns[2][leak.row]
            where = (str(pair), leak.test, training, role, leak.row, ("query", "document")[leak.side])
            queries = found.tests[leak.test][leak.text]
            rows.append((*where, leak.kind, leak.similarity, queries, text, leak.text))
    frame = pd.DataFrame(rows, columns=FINDING)
    return frame.assign(kind=pd.Categorical(frame["kind"], KINDS, ordered=True))


def count(members: pd.DataFrame, found: Search) -> list[str]:
    """Return a row of the table of counts, for the findings of one test, training collection and role."""
    pair, test, training, role = members[GROUP].iloc[0]
    judged: list[Any] = [found.tests[test].values(), members["queries"], members["queries"][members["kind"] == "exact"]]
    queries = [len(frozenset().union(*texts)) for texts in judged]
    # A row counts once, by its first kind.
    kinds = members.groupby("row")["kind"].min().value_counts()
    rows = [list(getattr(found, role).sources).count(training), *(kinds[kind] for kind in KINDS)]
    return [pair, test, *map("{:,}".format, queries), f"{training} {role}", *map("{:,}".format, rows)]


def excerpt(members: pd.DataFrame, limit: int) -> list[str]:
    """Return lines with at most `limit` different pairs of texts, the most doubtful first."""
    distinct = members.drop_duplicates(["training_text", "test_text"], keep="last")
    ordered = distinct.assign(exact=distinct["kind"] == "exact").sort_values(["exact", "similarity", "row"])
    lines = []
    for leak in ordered.head(limit).to_dict("records"):
        kind = leak["kind"] if leak["exact"] else f"{leak['kind']} {leak['similarity']:.2f}"
        lines += [
            f"  {kind}, {leak['side']} side of row {leak['row']:,}",
            f"    training: {shortened(leak['training_text'], SHOWN)}",
            f"    test:     {shortened(leak['test_text'], SHOWN)}",
        ]
    left = len(distinct) - limit
    return [*lines, f"  and {left:,} more"] if left > 0 else lines
