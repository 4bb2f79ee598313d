"""The sizes of collections and the properties of their texts: stored beside the cards, shown by `bench ls`.

`statistics.csv` has a row for each collection, role and pair or language; `sizes.csv` has the bytes of every file.
"""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from bench.atomic import atomic_write
from bench.data import Pair, formats
from bench.data.cards import IR_DATASETS, Card, Role, builtin_folder
from bench.data.files import Resolver
from bench.data.loading import available, load_rows, load_test, read, source_of
from bench.errors import MissingFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STATISTICS = "statistics.csv"
SIZES = "sizes.csv"
TOKENIZER = "all-MiniLM-L6-v2"
"""The encoder whose word pieces are counted."""
SAMPLE = 100_000
"""The approximate number of texts of a side, evenly spaced, that are analysed."""


@dataclass(frozen=True)
class Statistics:
    """The size of a collection in one role for one pair or language, and the properties of its texts.

    For bitext, `queries` and `documents` are its two sides; for relevance, the queries and their positives. A test's
    `documents` include its distractors, and `relevant` is the mean number of relevant documents per query. Words (runs
    between white space, so few in a script without spaces) and word pieces (of all-MiniLM-L6-v2) are means per text.
    The script is the most frequent one among the letters, by the names of Unicode's characters. The properties are 0
    and empty for a side without texts, and for a collection of ir_datasets that is not on this machine.
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


def read_statistics() -> list[Statistics]:
    """Return the rows that are stored beside the cards."""
    return TypeAdapter(list[Statistics]).validate_python(_rows(STATISTICS))


def read_sizes() -> dict[tuple[str, str], int]:
    """Return the bytes of each file, by collection and path, that are stored beside the cards."""
    return {(row["collection"], row["path"]): int(row["bytes"]) for row in _rows(SIZES)}


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((builtin_folder() / name).read_text(encoding="utf-8").splitlines()))


def write(folder: Path, rows: Iterable[Statistics], cards: Iterable[Card], resolver: Resolver) -> None:
    """Write both files to a folder: these rows, and the sizes of all files on this machine."""
    sizes = [
        {"collection": card.name, "path": path, "bytes": resolver.path(card, path).stat().st_size}
        for card in cards
        for path in card.sha256
        if resolver.available(card, path)
    ]
    _write(folder / STATISTICS, list(map(asdict, rows)))
    _write(folder / SIZES, sizes)


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_write(path) as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def count(card: Card, resolver: Resolver, cards: Mapping[str, Card], tokenizer: Tokenizer) -> Iterator[Statistics]:
    """Yield the statistics of each role and pair or language of a card whose files are on this machine.

    The sizes of collections of ir_datasets come from that library. Pairs of two languages of which neither is English
    are left out: they have the queries of one counted pair and the documents of another.

    `tokenizer` is that of all-MiniLM-L6-v2. Raises `BenchError` for files that cannot be read.
    """
    known: dict[str, tuple[int, int, str]] = {}  # corpora are shared by many pairs
    for entry in card.data:
        for key in filter(is_counted, entry.keys):
            about = (card.name, entry.role, str(key))
            if available(card, entry.role, key, resolver, cards):
                queries, documents, relevant = _sides(card, entry.role, key, resolver, cards)
                sides = (_describe(queries, known, tokenizer), _describe(documents, known, tokenizer))
                properties = (value for both in zip(*sides, strict=True) for value in both)
                yield Statistics(*about, len(queries), len(documents), relevant, *properties)  # type: ignore[arg-type]
            elif card.source == IR_DATASETS and entry.role == "test":
                with suppress(MissingFile):
                    n_queries, n_documents, positive = formats.irds.numbers(source_of(card, entry, key, resolver))
                    yield Statistics(*about, n_queries, n_documents, round(positive / n_queries, 3))


def is_counted(key: Pair | str) -> bool:
    """Return True if a pair or language has statistics of its own."""
    return isinstance(key, str) or key.training != key or "eng" in (key.query, key.document)


def _sides(
    card: Card, role: Role, key: Pair | str, resolver: Resolver, cards: Mapping[str, Card]
) -> tuple[Sequence[str], Sequence[str], float]:
    """Return the queries, the documents and the mean number of relevant documents per query."""
    if isinstance(key, str):
        return (), read(card, role, key, resolver), 0.0
    if role == "bitext" or role == "relevance":
        first, second, *_ = load_rows(card, role, key, resolver).columns
        return first, second, 1.0
    test = load_test(card, key, resolver, cards)
    relevant = sum(grade > 0 for judged in test.qrels.values() for grade in judged.values())
    return test.queries, test.documents, round(relevant / len(test.queries), 3)


def _describe(
    texts: Sequence[str], known: dict[str, tuple[int, int, str]], tokenizer: Tokenizer
) -> tuple[float, float, str]:
    """Return the mean number of words, the mean number of word pieces, and the most frequent script."""
    texts = [texts[row] for row in range(0, len(texts), max(1, len(texts) // SAMPLE))]
    new = [text for text in dict.fromkeys(texts) if text not in known]
    for text, encoding in zip(new, tokenizer.encode_batch(new, add_special_tokens=False), strict=True):
        letters = (unicodedata.name(letter, "") for letter in text if letter.isalpha())
        known[text] = len(text.split()), len(encoding), _commonest(name.partition(" ")[0].lower() for name in letters)
    if not texts:
        return 0.0, 0.0, ""
    words, pieces, scripts = zip(*(known[text] for text in texts), strict=True)
    return round(sum(words) / len(texts), 1), round(sum(pieces) / len(texts), 1), _commonest(scripts)


def _commonest(names: Iterable[str]) -> str:
    return max(Counter(names).items(), key=lambda item: (item[1], item[0]), default=("", 0))[0]
