"""Fingerprints: hashes of everything that can change a number.

Data enter by their content, configuration by its values, libraries by their versions and the project's own code
by its syntax trees, comments and docstrings left out: an edit that cannot change a number reruns nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

from bench.code import code_modules


def digest_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """The sha256 of a JSON-like value, independent of the order of keys."""
    return digest_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode())


def digest_texts(*columns: Iterable[str]) -> str:
    """The sha256 of columns of texts; where a text or a column ends matters."""
    state = hashlib.sha256()
    for column in columns:
        for text in column:
            data = text.encode()
            state.update(len(data).to_bytes(8, "little"))
            state.update(data)
        state.update(b"\xff" * 8)
    return state.hexdigest()


@cache
def _version(name: str) -> str:
    return importlib.metadata.version(name)


def library_versions(*names: str) -> dict[str, str]:
    """Installed versions of the distributions named, and Python's own."""
    versions = {name: _version(name) for name in names}
    versions["python"] = ".".join(map(str, sys.version_info[:3]))
    return versions


def code_digest(module: str) -> str:
    """Return the hash of all code that the results of a module depend on, as `bench.code.code_modules` finds it.

    `module` is an importable name or, for a method given as a file, a path ending in `.py`.
    """
    return digest(code_modules(module))
