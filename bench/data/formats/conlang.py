"""The generated world and its artificial languages, from `bench.data.conlang`; it has no files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bench.data import Pair, TestCollection
from bench.data.formats.reading import Source
from bench.errors import BenchError, unknown

if TYPE_CHECKING:
    from bench.data.conlang import ConlangOptions

# The functions import bench.data.conlang: reading the cards must not import the generator.


def bitext(source: Source, pair: Pair) -> Iterable[tuple[str, str]]:
    """Return the generated bitext of an artificial language and English."""
    from bench.data import conlang

    made = conlang.bitext(pair.query, _options(source.name, source.options))
    return zip(made.query_side, made.document_side, strict=True)


def relevance(source: Source, pair: Pair) -> Iterable[tuple[str, str]]:
    """Return the generated English questions, each with a passage that answers it."""
    from bench.data import conlang

    made = conlang.relevance(_options(source.name, source.options))
    return zip(made.queries, made.positives, strict=True)


def test(source: Source, pair: Pair) -> TestCollection:
    """Return the generated test; with the card's option `split = "dev"`, the development collection."""
    from bench.data import conlang

    options = dict(source.options)
    split = options.pop("split", "test")
    if split not in ("test", "dev"):
        raise unknown(f"split of {source.name}", str(split), ("test", "dev"))
    make = conlang.dev if split == "dev" else conlang.test
    return dataclasses.replace(make(pair.query, _options(source.name, options)), name=source.name)


def _options(name: str, given: Mapping[str, Any]) -> ConlangOptions:
    """Return the card's options; raises `BenchError` if one is unknown or invalid."""
    from bench.data.conlang import ConlangOptions

    known = [field.name for field in dataclasses.fields(ConlangOptions)]
    for option in given:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    try:
        return ConlangOptions(**given)
    except (TypeError, ValueError) as error:
        raise BenchError(f"{name}: options: {error}") from error
