"""Sizes of collections and properties of their texts, stored beside the cards for `bench ls`.

`counts.csv` has a row for each collection, role and pair or language; `sizes.csv` has the bytes of every file.
`benchmarks/count_collections.py` writes both.
"""

import csv
from dataclasses import dataclass

from pydantic import TypeAdapter

from bench.data.cards import builtin_folder

COUNTS = "counts.csv"
SIZES = "sizes.csv"


@dataclass(frozen=True)
class Counts:
    """The size of a collection in one role for one pair or language, and means per text.

    Words are runs between white space, and word pieces are those of all-MiniLM-L6-v2. `relevant` is the mean number of
    relevant documents per query. The script is the most frequent one. Missing properties are 0 or empty.
    """

    collection: str
    role: str
    key: str
    queries: int
    documents: int
    relevant: float
    query_words: float = 0.0
    document_words: float = 0.0
    query_pieces: float = 0.0
    document_pieces: float = 0.0
    query_script: str = ""
    document_script: str = ""


def read_counts() -> list[Counts]:
    """Return the rows of `counts.csv`."""
    return TypeAdapter(list[Counts]).validate_python(_rows(COUNTS))


def read_sizes() -> dict[tuple[str, str], int]:
    """Return the bytes of each file by collection and path."""
    return {(row["collection"], row["path"]): int(row["bytes"]) for row in _rows(SIZES)}


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((builtin_folder() / name).read_text(encoding="utf-8").splitlines()))
