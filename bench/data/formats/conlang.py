"""The generated world of facts and its artificial languages: data without files, from `bench.conlang`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.data import Bitext, Pair, Relevance, TestCollection
from bench.data.formats.reading import Source
from bench.errors import BenchError, unknown

if TYPE_CHECKING:
    from bench.conlang import ConlangOptions

# bench.conlang is imported where it is used: reading the cards must not cost what generating does.


def bitext(source: Source, pair: Pair) -> Bitext:
    """The generated bitext of an artificial language and English."""
    from bench import conlang

    made = conlang.bitext(pair.query, _options(source.name, source.options))
    return dataclasses.replace(made, sources=(source.name,) * len(made))


def relevance(source: Source, pair: Pair) -> Relevance:
    """The generated English questions, each with a passage that answers it."""
    from bench import conlang

    made = conlang.relevance(_options(source.name, source.options))
    return dataclasses.replace(made, sources=(source.name,) * len(made))


def test(source: Source, pair: Pair) -> TestCollection:
    """The generated questions in an artificial language over English passages; those of development if the card has the
    option `split = "dev"`.
    """
    from bench import conlang

    options = dict(source.options)
    split = options.pop("split", "test")
    if split not in ("test", "dev"):
        raise unknown(f"split of {source.name}", str(split), ("test", "dev"))
    make = conlang.dev if split == "dev" else conlang.test
    return dataclasses.replace(make(pair.query, _options(source.name, options)), name=source.name)


def _options(name: str, given: Mapping[str, Any]) -> ConlangOptions:
    """The card's options; raises BenchError for one that the generator does not know or accept."""
    from bench.conlang import ConlangOptions

    known = [field.name for field in dataclasses.fields(ConlangOptions)]
    for option in given:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    try:
        return ConlangOptions(**given)
    except (TypeError, ValueError) as error:
        raise BenchError(f"{name}: options: {error}") from error
