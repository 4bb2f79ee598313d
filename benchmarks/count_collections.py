"""Count the queries, documents, words and word pieces of all collections on this machine.

    python benchmarks/count_collections.py FOLDER

writes `counts.csv` and `sizes.csv` to a folder. The project's own are in `datasets`. Collections come from the mirror
(`BENCH_MIRROR`) and the cache; nothing is downloaded.
"""

import csv
import os
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from bench.data import Pair
from bench.data.cards import IR_DATASETS, Card, Role, load_cards
from bench.data.counts import COUNTS, SIZES, Counts
from bench.data.files import Resolver
from bench.data.formats import irds
from bench.data.formats.reading import Source
from bench.data.loading import available, load_rows, load_test, read, source_of
from bench.encoders.models import model_folder
from bench.errors import MissingFile
from bench.storage.atomic import atomic_write
from bench.system.offline import local_only

SAMPLE = 100_000
"""The approximate number of texts of a side, evenly spaced, that are analysed."""


def main(folder: Path) -> None:
    """Count all collections and write both files."""
    mirror = os.environ.get("BENCH_MIRROR")
    cards, resolver = load_cards(), Resolver(Path(mirror) if mirror else None, offline=True)
    tokenizer = Tokenizer.from_file(str(model_folder("all-MiniLM-L6-v2", offline=True) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    rows = [row for card in cards.values() for row in count(card, resolver, cards, tokenizer)]
    write(folder, rows, cards.values(), resolver)


def write(folder: Path, rows: Iterable[Counts], cards: Iterable[Card], resolver: Resolver) -> None:
    """Write both files to a folder: these rows, and the sizes of all files on this machine."""
    sizes = [
        {"collection": card.name, "path": path, "bytes": resolver.path(card, path).stat().st_size}
        for card in cards
        for path in card.sha256
        if resolver.available(card, path)
    ]
    _write(folder / COUNTS, list(map(asdict, rows)))
    _write(folder / SIZES, sizes)


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_write(path) as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def count(card: Card, resolver: Resolver, cards: Mapping[str, Card], tokenizer: Tokenizer) -> Iterator[Counts]:
    """Yield the counts of each role and pair or language of a card whose files are on this machine.

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
                yield Counts(*about, len(queries), len(documents), relevant, *properties)  # type: ignore[arg-type]
            elif card.source == IR_DATASETS and entry.role == "test":
                with suppress(MissingFile):
                    n_queries, n_documents, positive = numbers(source_of(card, entry.role, key, resolver))
                    yield Counts(*about, n_queries, n_documents, round(positive / n_queries, 3))


def numbers(source: Source) -> tuple[int, int, int]:
    """Return the numbers of queries, documents and positive judgments of a test, from the metadata of ir_datasets.

    Raises `MissingFile` for a dataset without metadata.
    """
    with irds.reading(source), local_only():
        grades = irds.dataset(source, "qrels").qrels_metadata()["fields"]["relevance"]["counts_by_value"]
        queries = irds.dataset(source, "queries").queries_metadata()["count"]
        documents = irds.dataset(source, "documents").docs_metadata()["count"]
        return queries, documents, sum(count for grade, count in grades.items() if int(grade) > 0)


def is_counted(key: Pair | str) -> bool:
    """Return True if a pair or language has counts of its own."""
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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
