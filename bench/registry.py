"""Methods by name: entry points of installed packages, or a class in a file; nothing is imported before it is used."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, unknown
from bench.options import toml_value

if TYPE_CHECKING:
    from bench.training.method import Method

METHODS = "bench.methods"
REFERENCES = "bench.references"


@dataclass(frozen=True)
class MethodEntry:
    """Where a method's class is: `module` is an importable name or the path of a Python file."""

    name: str
    module: str
    attribute: str
    reference: bool = False

    def load(self) -> type[Method]:
        """Import the class. Raises `BenchError` if it cannot be imported or is no method."""
        from bench.training.method import Method

        try:
            loaded = getattr(_import(self.module), self.attribute)
        except Exception as error:
            reason = str(error).split("\n")[0]
            raise BenchError(f"method '{self.name}' cannot be imported: {type(error).__name__}: {reason}") from error
        if not (isinstance(loaded, type) and issubclass(loaded, Method)):
            raise BenchError(
                f"method '{self.name}': {self.module}:{self.attribute} is not a subclass of bench.api.Method"
            )
        return loaded

    def describe(self) -> dict[str, Any]:
        """Description, source and data needs, read from the source text without importing it."""
        class_node = _class_node(self.module, self.attribute)
        if class_node is None:
            return {"description": "", "source": "", "uses": ()}
        constants = {}
        for line in class_node.body:
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                try:
                    constants[line.targets[0].id] = ast.literal_eval(line.value)
                except ValueError:
                    continue
        docstring = ast.get_docstring(class_node) or ""
        return {
            "description": docstring.split("\n")[0],
            "source": constants.get("source", ""),
            "uses": constants.get("uses", ()),
        }


@dataclass(frozen=True)
class Spec:
    """A method as it is asked for: its name, and the settings that only this row of a comparison has."""

    name: str
    settings: tuple[tuple[str, Any], ...] = ()


def parse_spec(text: str) -> Spec:
    """Read `optical`, `optical:epsilon=0.1:special_tokens=true` or `path/to/file.py:Class:key=value`."""
    parts = text.split(":")
    settings = []
    while len(parts) > 1 and "=" in parts[-1]:
        key, _, value = parts.pop().partition("=")
        settings.append((key.strip(), toml_value(value.strip())))
    return Spec(":".join(parts), tuple(reversed(settings)))


@cache
def methods() -> dict[str, MethodEntry]:
    """All installed methods that can be asked for by name. Raises `BenchError` when two share a name."""
    return _entries(METHODS, reference=False)


@cache
def references() -> dict[str, MethodEntry]:
    """The reference rows that join every comparison."""
    return _entries(REFERENCES, reference=True)


def known() -> dict[str, MethodEntry]:
    """Methods and reference rows by name."""
    return {**methods(), **references()}


def find_method(name: str) -> MethodEntry:
    """The method of that name, or `path/to/file.py:ClassName`. Raises `BenchError` with a suggestion."""
    if ".py:" in name:
        path, _, attribute = name.rpartition(":")
        if not Path(path).is_file():
            raise BenchError(f"method '{name}': there is no file {path}")
        if _class_node(path, attribute) is None:
            raise BenchError(f"method '{name}': {path} defines no class {attribute}")
        return MethodEntry(attribute, str(Path(path).resolve()), attribute)
    if name not in known():
        raise unknown("method", name, known())
    return known()[name]


def _entries(group: str, *, reference: bool) -> dict[str, MethodEntry]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        # The same distribution can be visible twice, from a checkout and from site-packages.
        if point.name in found and found[point.name].value != point.value:
            raise BenchError(f"two packages offer a method '{point.name}': {found[point.name].value} and {point.value}")
        found[point.name] = point
    return {
        name: MethodEntry(name, point.module, point.attr, reference)
        for name, point in sorted(found.items())
        if point.attr
    }


def _import(module: str) -> Any:
    if not module.endswith(".py"):
        return importlib.import_module(module)
    name = f"bench_method_{Path(module).stem}"
    spec = importlib.util.spec_from_file_location(name, module)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def _class_node(module: str, attribute: str) -> ast.ClassDef | None:
    try:
        spec = None if module.endswith(".py") else importlib.util.find_spec(module)
        path = Path(module if spec is None else str(spec.origin))
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ImportError):
        return None
    return next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == attribute), None)
