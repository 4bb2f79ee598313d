"""The dimensions of the training data that an experiment may vary: the amount and the quality of the bitext.

A new dimension is a field of `BitextSubset`. It becomes an option of `bench run`, a column of every table, and a part
of every identity. `bench.data.bitext_subsets` applies it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from typing import Any

from bench.errors import BenchError


@dataclass(frozen=True)
class Dimension:
    """The option, the column and the phrases of a field of `BitextSubset`."""

    parse: Callable[[Sequence[str]], tuple[Any, ...]]
    """The parser of the option's values. Raises `BenchError`."""
    help: str
    usual: Any
    """The option's default, which means the default of the field."""
    phrase: Callable[[Any], str]
    """The description of a value other than the default, in a table."""
    folder: str
    """The same, in the name of a folder."""


def _sizes(values: Sequence[str]) -> tuple[int | str, ...]:
    if not values or not all(re.fullmatch(r"all|[1-9]\d*", value) for value in values):
        raise BenchError(f"bitext size '{' '.join(values)}' does not parse; write numbers of pairs, as 1000,5000,all")
    return tuple(dict.fromkeys(value if value == "all" else int(value) for value in values))


def _shares(values: Sequence[str]) -> tuple[float, ...]:
    try:
        shares = tuple(float(value) for value in values)
    except ValueError:
        shares = ()
    if not shares or not all(0 <= share <= 1 for share in shares):
        given = " ".join(values)
        raise BenchError(f"bitext noise '{given}' does not parse; write shares from 0 to 1, such as 0,0.1,0.5")
    return tuple(dict.fromkeys(shares))


def _dimension(default: Any, **about: Any) -> Any:
    return field(default=default, metadata={"dimension": Dimension(**about)})


@dataclass(frozen=True)
class BitextSubset:
    """The amount and the quality of the bitext of each pair in a training."""

    bitext_size: int | None = _dimension(
        None,
        parse=_sizes,
        help="one training per number of pairs, each a random sample of the bitext",
        usual="all",
        phrase=lambda size: f"{size:,}",
        folder="{}pairs",
    )
    """The largest number of rows; None for all."""
    bitext_noise: float = _dimension(
        0.0,
        parse=_shares,
        help="one training per share of pairs that are misaligned",
        usual=0.0,
        phrase=lambda share: f"{100 * share:g} % misaligned",
        folder="noise{}",
    )
    """The share of the rows that are misaligned."""

    @classmethod
    def dimensions(cls) -> dict[str, Dimension]:
        """Return the dimensions by the names of their fields."""
        return {each.name: each.metadata["dimension"] for each in fields(cls)}

    @classmethod
    def combinations(cls, options: Mapping[str, Iterable[Any]]) -> list[BitextSubset]:
        """Return the subsets of all combinations of the options' values, each once."""
        values = (
            [getattr(cls(), name) if value == about.usual else value for value in options[name]]
            for name, about in cls.dimensions().items()
        )
        return list(dict.fromkeys(cls(*each) for each in product(*values)))

    def within(self, available: int) -> BitextSubset:
        """Return the subset for this number of available rows: a size that is not smaller becomes None."""
        enough = self.bitext_size is not None and self.bitext_size >= available
        return replace(self, bitext_size=None) if enough else self

    def text(self, name: str) -> str:
        """Return the value of a field as text; empty for its default."""
        value = getattr(self, name)
        if value == getattr(BitextSubset(), name):
            return ""
        return f"{value:g}" if isinstance(value, float) else str(value)

    def folder(self) -> str:
        """Return the values other than the defaults, for the name of a folder."""
        texts = ((about.folder, self.text(name)) for name, about in self.dimensions().items())
        return ".".join(pattern.format(text) for pattern, text in texts if text)

    def __iter__(self) -> Iterator[str]:
        """Yield the descriptions of the values other than the defaults."""
        for name, about in self.dimensions().items():
            if self.text(name):
                yield about.phrase(getattr(self, name))

    def __str__(self) -> str:
        return ", ".join(self) or "all"
