"""Names and values of the inputs that a result depends on; a results folder compares them by these names."""

from __future__ import annotations

from collections.abc import Iterable

from bench.code import code_modules, plugin_libraries
from bench.data import Pair
from bench.fingerprint import library_versions

TEST = "test collection"


def of_code(modules: Iterable[str], owner: str = "") -> dict[str, str]:
    """Return the hash of each source module that these depend on; `owner` is the plugin that they belong to."""
    found: dict[str, str] = {}
    for module in modules:
        for name, value in code_modules(module).items():
            own = name.split(".")[0] in ("bench", "methods")
            found[f"code {name}" if own else f"code {owner} {name}"] = value
    return found


def of_libraries(*names: str) -> dict[str, str]:
    """Return the version of each distribution, and Python's own."""
    return {f"library {name}": version for name, version in library_versions(*names).items()}


def of_plugin(module: str) -> dict[str, str]:
    """Return the version of each distribution that a plugin imports or declares."""
    return {f"library {name}": version for name, version in plugin_libraries(module).items()}


def of_test(dataset: str, pair: Pair, digest: str) -> dict[str, str]:
    """Return the digest of a test collection by its name."""
    return {f"{TEST} {dataset} {pair}": digest}


def of_data(train: Iterable[str], pairs: Iterable[Pair], leakage: str, digest: str) -> dict[str, str]:
    """Return the digest of training data by the names of their collections and pairs."""
    with_leaks = " with leaks" if leakage == "keep" else ""
    return {f"training data {'+'.join(train)} {'+'.join(map(str, pairs))}{with_leaks}": digest}


def of_encoder(name: str, fingerprint: str) -> dict[str, str]:
    """Return the fingerprint of an encoder by its name."""
    return {f"encoder {name}": fingerprint}
