"""Lists of token ids in sealed files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.sealed import Damaged, keep_sealed, read_sealed


def remembered_rows(path: Path, make: Callable[[], list[list[int]]]) -> list[list[int]]:
    """Return the rows of a sealed file; where there is none, or it is damaged, make them and keep them."""
    try:
        return _unpacked(read_sealed(path))
    except Damaged:
        rows = make()
    keep_sealed(path, _packed(rows))
    return rows


def _packed(rows: Sequence[Sequence[int]]) -> bytes:
    """Return the number of rows, their lengths and their ids as int32."""
    lengths = np.fromiter(map(len, rows), np.int32, len(rows))
    ids = np.fromiter((number for row in rows for number in row), np.int32, int(lengths.sum()))
    return np.concatenate([[len(rows)], lengths, ids]).astype(np.int32).tobytes()


def _unpacked(data: bytes) -> list[list[int]]:
    numbers = np.frombuffer(data, np.int32)
    count = int(numbers[0])
    lengths, ids = numbers[1 : count + 1], numbers[count + 1 :].tolist()
    ends = np.cumsum(lengths).tolist()
    return [ids[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]
