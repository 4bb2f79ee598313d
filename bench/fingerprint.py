"""Fingerprints: hashes of everything that can change a number.

Data enter by their content, configuration by its values, libraries by their versions and the project's own code
by its syntax trees, comments and docstrings left out: an edit that cannot change a number reruns nothing.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any


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


def library_versions(*names: str) -> dict[str, str]:
    """Installed versions of the distributions named, and Python's own."""
    versions = {name: importlib.metadata.version(name) for name in names}
    versions["python"] = ".".join(map(str, sys.version_info[:3]))
    return versions


@cache
def code_digest(module: str) -> str:
    """The hash of a module's code and of all the code it imports from its own package or this project's.

    `module` is an importable name or, for a method given as a file, a path ending in `.py`.
    """
    return digest({name: _code(path) for name, path in _closure(module).items()})


def _closure(module: str) -> dict[str, Path]:
    own = {"bench", "methods"} | ({module.split(".")[0]} if not module.endswith(".py") else set())
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = Path(name) if name.endswith(".py") else _source(name)
        key = "<file>" if name.endswith(".py") else name
        if path is None or key in found:
            continue
        found[key] = path
        waiting += [imported for imported in _imports(path, name) if imported.split(".")[0] in own]
    return dict(sorted(found.items()))


def _source(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _imports(path: Path, module: str) -> list[str]:
    names = []
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join(parents[: len(parents) - node.level + 1] + ([base] if base else []))
            # `from package import name` may import a module or a value; a value has no source of its own.
            names += [base] + [f"{base}.{alias.name}" for alias in node.names]
    return names


def _code(path: Path) -> str:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                line
                for line in body
                if not (
                    isinstance(line, ast.Expr)
                    and isinstance(line.value, ast.Constant)
                    and isinstance(line.value.value, str)
                )
            ]
    return digest_bytes(ast.dump(tree).encode())
