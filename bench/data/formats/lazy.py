"""Texts that stay on the disk until somebody reads them: a corpus may be larger than the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import overload


class LazyTexts(Sequence[str]):
    """A sequence of texts of which only those that are asked for are in memory; a slice is a list.

    `read(start, stop)` gives the texts from one row up to another, in order.
    """

    def __init__(self, length: int, read: Callable[[int, int], Iterable[str]]) -> None:
        self._rows, self._read = range(length), read

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read(0, len(self)))

    @overload
    def __getitem__(self, key: int) -> str: ...
    @overload
    def __getitem__(self, key: slice) -> list[str]: ...
    def __getitem__(self, key: int | slice) -> str | list[str]:
        if isinstance(key, int):
            row = self._rows[key]
            return next(iter(self._read(row, row + 1)))
        rows = self._rows[key]
        return list(self._read(rows.start, rows.stop)) if rows.step == 1 and rows else [self[row] for row in rows]
