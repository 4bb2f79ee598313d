"""A sentence pair per line, in cells separated by tabs."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, Field

from bench.data import Bitext, Pair
from bench.data.formats.reading import Source, lines
from bench.errors import BenchError
from bench.options import read_config


class Columns(BaseModel):
    """The `options` of a card; columns are counted from 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: int = Field(1, gt=0)
    document: int = Field(2, gt=0)
    header: bool = False
    """True if the first line names the columns."""
    quoted: bool = False
    """True if cells may have quotation marks around them, with doubled ones inside, as in CSV."""


def bitext(source: Source, pair: Pair) -> Bitext:
    """Return the rows of the file `rows`. Raises `BenchError` if a line and the first differ in the number of cells."""
    columns = read_config(Columns, source.options, f"{source.name}: options")
    rows = list(_rows(source, columns))
    queries, documents = ([row[column - 1] for row in rows] for column in (columns.query, columns.document))
    return Bitext.of(pair, queries, documents, source.name)


def _rows(source: Source, columns: Columns) -> Iterator[list[str]]:
    path = source.one("rows")
    width = 0
    for number, line in enumerate(lines(path), start=1):
        place = f"{path}: line {number}"
        try:
            cells = next(csv.reader([line], "excel-tab", strict=True), []) if columns.quoted else line.split("\t")
        except csv.Error as error:
            raise BenchError(f"{place}: {error}") from error
        width = width or len(cells)
        if len(cells) != width:
            raise BenchError(f"{place}: {len(cells)} cells, but line 1 has {width}")
        if width < (last := max(columns.query, columns.document)):
            raise BenchError(f"{place}: {width} cells, but the card names column {last}")
        if number > 1 or not columns.header:
            yield cells
