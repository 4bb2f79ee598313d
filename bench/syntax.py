"""The part of a source text that can change a number: the hash of its code, and what the code imports."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Use(NamedTuple):
    """A use of a module: of one `name` in it, of its public names (`*`), or of all of it (empty)."""

    module: str
    name: str = ""


@dataclass(frozen=True)
class Source:
    """The part of a module's source text that matters."""

    code: str
    """The hash of the code."""
    uses: tuple[Use, ...] = ()
    exports: tuple[tuple[str, Use], ...] | None = None
    """Of a module that only re-exports: each name, and where it comes from. None for a module with other code."""
    public: tuple[str, ...] | None = None
    """Its `__all__`."""


NOTHING = Source("", exports=())
"""A module without code, such as a package without `__init__`."""


@cache
def read(path: Path, package: str, changed: int, size: int) -> Source:
    """Read a module once per process, unless its file changes. What does not parse counts by its bytes."""
    data = path.read_bytes()
    if path.suffix != ".py":
        return Source(sha256(data))
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return Source(sha256(data))
    for node in ast.walk(tree):
        for block in ("body", "orelse", "finalbody"):
            if isinstance(lines := getattr(node, block, None), list):
                setattr(node, block, list(_effective(lines)))
    bound = [pair for node in ast.walk(tree) for pair in _imports(node, package)]
    public = [names for line in tree.body if (names := _all_of(line)) is not None]
    others = [line for line in tree.body if not isinstance(line, ast.Import | ast.ImportFrom)]
    pure = len(others) == len(public) <= 1
    return Source(
        sha256(ast.dump(tree).encode()),
        uses=tuple(dict.fromkeys(use for _, use in bound)),
        exports=tuple(bound) if pure else None,
        public=public[0] if public else None,
    )


def _effective(lines: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a block without docstrings and code for type checkers."""
    for line in lines:
        match line:
            case ast.Expr(ast.Constant(str())):
                pass
            case ast.If(ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                yield from _effective(line.orelse)
            case _:
                yield line


def _imports(node: ast.AST, package: str) -> list[tuple[str, Use]]:
    """Return the names that a node of the syntax tree imports, each with what it stands for."""
    match node:
        case ast.Import(names):
            # `import a.b` binds `a`, so that anything in `a` may be used as well.
            return [
                (alias.asname or alias.name.split(".")[0], Use(name))
                for alias in names
                for name in ([alias.name] if alias.asname else with_parents(alias.name))
            ]
        case ast.ImportFrom(module, names, level):
            base = _absolute("." * level + (module or ""), package)
            # A file on its own is in no package, so that `from . import name` imports nothing.
            return [(alias.asname or alias.name, Use(base, alias.name)) for alias in names if base]
        case ast.Call(
            func=ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(str(name)), *_],
        ):
            return [("", Use(_absolute(name, package)))]
    return []


def _all_of(line: ast.stmt) -> tuple[str, ...] | None:
    """Return the names that a statement assigns to `__all__`; None if it is no such statement."""
    match line:
        case ast.Assign([ast.Name("__all__")], ast.List(names) | ast.Tuple(names)) | ast.AnnAssign(
            ast.Name("__all__"), _, ast.List(names) | ast.Tuple(names)
        ):
            texts = [name.value for name in names if isinstance(name, ast.Constant) and isinstance(name.value, str)]
            return tuple(texts) if len(texts) == len(names) else None
    return None


def _absolute(name: str, package: str) -> str:
    """Return the full name of a module that is imported within a package, such as `..sibling`."""
    relative = name.lstrip(".")
    level = len(name) - len(relative)
    parents = package.split(".")
    return ".".join(filter(None, [*parents[: len(parents) - level + 1], relative])) if level else name


def with_parents(module: str) -> list[str]:
    """Return `a`, `a.b` and `a.b.c` for `a.b.c`; a path has no parents."""
    if is_path(module):
        return [module]
    words = module.split(".")
    return [".".join(words[:count]) for count in range(1, len(words) + 1)]


def is_path(module: str) -> bool:
    return module.endswith(".py")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
