"""How large collections are and what their texts are like: counted once, kept beside the cards, shown by `bench ls`.

`statistics.csv` has a row for each collection, role and pair or language; `sizes.csv` has the bytes of every file.
"""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.atomic import atomic_write
from bench.data import Pair, formats
from bench.data.cards import IR_DATASETS, Card, Role, builtin_folder
from bench.data.files import Resolver
from bench.data.loading import available, load_bitext, load_passages, load_relevance, load_test, source_of
from bench.errors import MissingFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STATISTICS = "statistics.csv"
SIZES = "sizes.csv"
TOKENIZER = "all-MiniLM-L6-v2"
"""The encoder whose word pieces are counted."""
SAMPLE = 100_000
"""About so many texts of a side, spread evenly, are looked into where there are many more."""


@dataclass(frozen=True)
class Statistics:
    """What a collection has in one role for one pair or language.

    Of bitext, `queries` and `documents` are its two sides; of relevance, the queries and their positives; a test's
    `documents` include its distractors, and `relevant` is the mean number of relevant documents per query. Words (runs
    between white space, so few in a script without spaces) and word pieces (of all-MiniLM-L6-v2) are means per text.
    A script is the commonest among the letters, by the names of Unicode's characters. Of a side without texts, and of a
    collection whose numbers ir_datasets knows but whose texts are not at hand, these are 0 and empty.
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


COLUMNS = tuple(field.name for field in fields(Statistics))
_TYPES: Mapping[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}


def read_statistics() -> list[Statistics]:
    """The rows that travel with the cards."""
    types = [_TYPES[str(field.type)] for field in fields(Statistics)]
    return [Statistics(*(kind(value) for kind, value in zip(types, row, strict=True))) for row in _rows(STATISTICS)]


def read_sizes() -> dict[tuple[str, str], int]:
    """The bytes of each file, by collection and path, that travel with the cards."""
    return {(collection, path): int(size) for collection, path, size in _rows(SIZES)}


def _rows(name: str) -> Iterator[list[str]]:
    yield from list(csv.reader((builtin_folder() / name).read_text(encoding="utf-8").splitlines()))[1:]


def write(folder: Path, rows: Sequence[Statistics], cards: Iterable[Card], resolver: Resolver) -> None:
    """Write both files to a folder: these rows, and the sizes of all files that are at hand."""
    sizes = [
        (card.name, path, resolver.path(card, path).stat().st_size)
        for card in cards
        for path in card.sha256
        if resolver.available(card, path)
    ]
    _write(folder / STATISTICS, COLUMNS, map(astuple, rows))
    _write(folder / SIZES, ("collection", "path", "bytes"), sizes)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with atomic_write(path) as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def count(card: Card, resolver: Resolver, cards: Mapping[str, Card], tokenizer: Tokenizer) -> Iterator[Statistics]:
    """The statistics of each role and pair or language of a card whose files are at hand, or that ir_datasets knows.

    Pairs of two languages of which neither is English are left out: they have the queries of one counted pair and the
    documents of another.

    `tokenizer` is that of all-MiniLM-L6-v2. Raises BenchError for files that cannot be read.
    """
    known: dict[str, tuple[int, int, str]] = {}  # corpora are shared by many pairs
    for entry in card.data:
        for key in filter(is_counted, entry.keys):
            if available(card, entry.role, key, resolver, cards):
                queries, documents, relevant = _sides(card, entry.role, key, resolver, cards)
                query, document = (_describe(side, known, tokenizer) for side in (queries, documents))
                yield Statistics(
                    card.name,
                    entry.role,
                    str(key),
                    len(queries),
                    len(documents),
                    relevant,
                    query_words=query[0],
                    document_words=document[0],
                    query_pieces=query[1],
                    document_pieces=document[1],
                    query_script=query[2],
                    document_script=document[2],
                )
            elif card.source == IR_DATASETS and entry.role == "test":
                with suppress(MissingFile):
                    count_of, documents_of, positive = formats.irds.numbers(source_of(card, entry, key, resolver))
                    relevant = round(positive / count_of, 3)
                    yield Statistics(card.name, "test", str(key), count_of, documents_of, relevant)


def is_counted(key: Pair | str) -> bool:
    """Whether a pair or language has statistics of its own."""
    return isinstance(key, str) or key.training != key or "eng" in (key.query, key.document)


def _sides(
    card: Card, role: Role, key: Pair | str, resolver: Resolver, cards: Mapping[str, Card]
) -> tuple[Sequence[str], Sequence[str], float]:
    if isinstance(key, str):
        return (), load_passages(card, key, resolver), 0.0
    if role == "bitext":
        bitext = load_bitext(card, key, resolver)
        return bitext.query_side, bitext.document_side, 1.0
    if role == "relevance":
        relevance = load_relevance(card, key, resolver)
        return relevance.queries, relevance.positives, 1.0
    test = load_test(card, key, resolver, cards)
    relevant = sum(grade > 0 for judged in test.qrels.values() for grade in judged.values())
    return test.queries, test.documents, round(relevant / len(test.queries), 3)


def _describe(
    texts: Sequence[str], known: dict[str, tuple[int, int, str]], tokenizer: Tokenizer
) -> tuple[float, float, str]:
    """Mean words, mean word pieces and the commonest script."""
    texts = [texts[row] for row in range(0, len(texts), max(1, len(texts) // SAMPLE))]
    new = [text for text in dict.fromkeys(texts) if text not in known]
    for text, encoding in zip(new, tokenizer.encode_batch(new, add_special_tokens=False), strict=True):
        known[text] = len(text.split()), len(encoding), _script(text)
    if not texts:
        return 0.0, 0.0, ""
    words, pieces, scripts = zip(*(known[text] for text in texts), strict=True)
    return round(sum(words) / len(texts), 1), round(sum(pieces) / len(texts), 1), _commonest(scripts)


def _script(text: str) -> str:
    return _commonest(unicodedata.name(letter, "").partition(" ")[0].lower() for letter in text if letter.isalpha())


def _commonest(names: Iterable[str]) -> str:
    return max(Counter(names).items(), key=lambda item: (item[1], item[0]), default=("", 0))[0]
