"""A method that is a class of a module, a script or a notebook, as the text that `--methods` takes."""

import ast
import inspect
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench import registry
from bench.dependencies.fingerprint import forget
from bench.errors import BenchError
from bench.storage.atomic import atomic_write
from bench.storage.hashing import digest_bytes
from bench.storage.sealed import default_cache


def method_text(kind: type[Any]) -> str:
    """Return the name of an installed method, or `path/to/file.py:Class`.

    The file is that of the class. For a class of a notebook or script, it is a new file in the cache
    with the class and everything that it uses: imports, functions, classes and top-level values. The file can be
    read again as long as the cache exists. Raises `BenchError` if the source is not available.
    """
    forget()  # files may have changed since the previous call of this process
    place = kind.__module__, kind.__qualname__
    for name, entry in registry.known().items():
        if (entry.module, entry.attribute) == place and not entry.is_variant:
            return name
    if "." in kind.__qualname__:
        raise BenchError(
            f"method '{kind.__qualname__}': define the class at the top level, and not inside another block"
        )
    if kind.__module__ != "__main__":
        return f"{inspect.getsourcefile(kind)}:{kind.__name__}"
    text = "".join(f"{statement}\n\n\n" for statement in _needed(kind.__name__, list(_cells())))
    path = default_cache() / "notebook" / digest_bytes(text.encode())[:12] / "notebook.py"
    if not path.is_file():
        with atomic_write(path) as file:
            file.write(text)
    return f"{path}:{kind.__name__}"


def _cells() -> Iterator[str]:
    """Yield the source of each cell that the notebook has executed, in order, or that of the running script."""
    main = sys.modules["__main__"]
    if file := getattr(main, "__file__", None):
        yield Path(file).read_text(encoding="utf-8")
    yield from getattr(main, "In", ())  # IPython's executed cells


def _needed(name: str, cells: list[str]) -> list[str]:
    """Return the statements of the top level that define a name and what it uses; the last definition counts."""
    statements: list[ast.stmt] = []
    for cell in cells:
        with suppress(SyntaxError):  # such a cell was not executed
            statements += ast.parse(cell).body
    places = {defined: place for place, statement in enumerate(statements) for defined in _defined(statement)}
    if name not in places:
        raise BenchError(f"method '{name}': its source is not available; write it to a file, and name file.py:{name}")
    wanted, waiting = set[int](), [name]
    while waiting:
        place = places.get(waiting.pop())
        if place is not None and place not in wanted:
            wanted.add(place)
            waiting += [node.id for node in ast.walk(statements[place]) if isinstance(node, ast.Name)]
            # Annotations may be texts.
            waiting += [
                node.value
                for node in ast.walk(statements[place])
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
    futures = [each for each in statements if isinstance(each, ast.ImportFrom) and each.module == "__future__"]
    return list(
        dict.fromkeys(ast.unparse(each) for each in [*futures, *(statements[place] for place in sorted(wanted))])
    )


def _defined(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement defines."""
    match statement:
        case ast.ClassDef(name) | ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
            yield name
        case ast.Import(names) | ast.ImportFrom(names=names):
            yield from ((each.asname or each.name.partition(".")[0]) for each in names)
        case ast.Assign() | ast.AnnAssign():
            yield from (
                node.id
                for node in ast.walk(statement)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            )
