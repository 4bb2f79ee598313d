"""Hashes of everything that can change a number, and the names under which a results folder compares them.

Data enter by their content, configuration by its values, libraries by their versions, and code by its syntax trees.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version

from bench.dependencies.code import OWN, code_modules
from bench.storage.hashing import digest

TEST = "test collection"

_version = cache(version)


def library_versions(*names: str) -> dict[str, str]:
    """Return the installed versions of distributions, and Python's own."""
    return {**{name: _version(name) for name in names}, "python": ".".join(map(str, sys.version_info[:3]))}


def code_digest(module: str) -> str:
    """Return the hash of all code that the results of a module depend on: its `code_modules`."""
    return digest(code_modules(module))


def of_code(modules: Iterable[str], owner: str = "") -> dict[str, str]:
    """Return the hash of each source module that these depend on; `owner` is the plugin that they belong to."""
    found = {name: value for module in modules for name, value in code_modules(module).items()}
    return {f"code {name}" if name.split(".")[0] in OWN else f"code {owner} {name}": found[name] for name in found}


def of_libraries(*names: str) -> dict[str, str]:
    """Return the version of each distribution, and Python's own."""
    return {f"library {name}": version for name, version in library_versions(*names).items()}


def of_test(dataset: str, pair: object, digest: str) -> dict[str, str]:
    """Return the digest of a test collection."""
    return {f"{TEST} {dataset} {pair}": digest}
