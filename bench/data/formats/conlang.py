"""The generated world and its artificial languages, from `bench.data.conlang`; it has no files."""

from collections.abc import Iterable

from bench.data import Pair, TestCollection, conlang
from bench.data.formats.reading import Source
from bench.options import read_config


def bitext(source: Source, pair: Pair) -> Iterable[tuple[str, str]]:
    """Return the generated bitext of an artificial language and English."""
    made = conlang.bitext(pair.query, _options(source))
    return zip(made.query_side, made.document_side, strict=True)


def relevance(source: Source, pair: Pair) -> Iterable[tuple[str, str]]:
    """Return the generated English questions, each with a passage that answers it."""
    made = conlang.relevance(_options(source))
    return zip(made.queries, made.positives, strict=True)


def test(source: Source, pair: Pair) -> TestCollection:
    """Return the generated test; with the card's option `split = "dev"`, the development collection."""
    return conlang.test(pair.query, _options(source), source.name)


def _options(source: Source) -> conlang.ConlangOptions:
    """Return the card's options. Raises `BenchError` if one is unknown or invalid."""
    return read_config(conlang.ConlangOptions, source.options, f"{source.name}: options")
