"""Hashes of bytes, values and texts."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any


def digest_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """Return the sha256 of a JSON value, independent of the order of keys."""
    return digest_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode())


def digest_texts(*columns: Iterable[str]) -> str:
    """Return the sha256 of columns of texts, including the ends of texts and columns."""
    state = hashlib.sha256()
    for column in columns:
        for text in column:
            data = text.encode()
            state.update(len(data).to_bytes(8, "little"))
            state.update(data)
        state.update(b"\xff" * 8)
    return state.hexdigest()
