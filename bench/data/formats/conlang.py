"""The generated world and its artificial languages, from `bench.data.conlang`; it has no files."""

from collections.abc import Iterator

from bench.data import Pair, Rows, TestCollection, conlang
from bench.data.conlang import ConlangOptions
from bench.data.formats.reading import Row, Source


def bitext(source: Source, pair: Pair, options: ConlangOptions) -> Iterator[Row]:
    """Return the generated bitext of an artificial language and English."""
    return _placed(conlang.bitext(pair.query, options))


def relevance(source: Source, pair: Pair, options: ConlangOptions) -> Iterator[Row]:
    """Return the generated English questions, each with a passage that answers it."""
    return _placed(conlang.relevance(options))


def test(source: Source, pair: Pair, options: ConlangOptions) -> TestCollection:
    """Return the generated test; with the card's option `split = "dev"`, the development collection."""
    return conlang.test(pair.query, options, source.name)


def _placed(made: Rows) -> Iterator[Row]:
    rows = zip(*made.columns[:2], strict=True)
    return ((*texts, f"generated row {number}") for number, texts in enumerate(rows, start=1))
