"""Methods by name: entry points of installed packages, or a class in a file; nothing is imported before it is used.

A plugin that is broken breaks nothing else: it is left out of every list, with the reason at hand.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, describe, unknown
from bench.spec import parse_methods

if TYPE_CHECKING:
    from bench.training.method import Method

METHODS = "bench.methods"
REFERENCES = "bench.references"
"""Only this project's own: a plugin's rows do not join a comparison unasked."""
OWN = "clir-bench"
"""This project's distribution, whose names no plugin can take."""
ALL = "all"
"""What stands for every installed method; no name of one."""
NO_METHOD = "is not a subclass of bench.api.Method"


@dataclass(frozen=True)
class MethodEntry:
    """Where a method's class is: `module` is an importable name or the path of a Python file."""

    name: str
    module: str
    attribute: str
    reference: bool = False
    base: str = ""
    """The name of the method, of which `name` may be a variant."""
    settings: tuple[tuple[str, Any], ...] = ()
    """What the variant is configured by."""
    package: str = ""
    """The distribution that offers it; none for a file."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", self.base or self.name)

    @property
    def is_variant(self) -> bool:
        return self.name != self.base

    def load(self) -> type[Method]:
        """Import the class. Raises `BenchError` if it cannot be imported or is no method."""
        from bench.training.method import Method, MethodConfig, TrainedConfig, TrainedMethod

        try:
            loaded = getattr(_import(self.module), self.attribute)
        except (Exception, SystemExit) as error:
            reason = str(error).split("\n")[0]
            raise BenchError(f"method '{self.name}' cannot be imported: {type(error).__name__}: {reason}") from error
        if not (isinstance(loaded, type) and issubclass(loaded, Method)):
            raise BenchError(f"method '{self.name}': {self.module}:{self.attribute} {NO_METHOD}")
        base = TrainedConfig if issubclass(loaded, TrainedMethod) else MethodConfig
        if not (isinstance(loaded.Config, type) and issubclass(loaded.Config, base)):
            raise BenchError(f"method '{self.name}': its Config is not a subclass of bench.api.{base.__name__}")
        return loaded

    def describe(self) -> dict[str, Any]:
        """Description, source and data needs, read from the source text without importing it."""
        docstring, constants = _read_class(self.module, self.attribute)
        settings = " ".join(f"{key}={value}" for key, value in self.settings)
        return {
            "description": f"{self.base} with {settings}" if settings else docstring.split("\n")[0],
            "source": constants.get("source", ""),
            "uses": constants.get("uses", ()),
        }

    def variants(self) -> list[MethodEntry]:
        """The configurations of the method that have names of their own."""
        return [
            replace(self, name=name, base=self.name, settings=tuple(settings.items()))
            for name, settings in _read_class(self.module, self.attribute)[1].get("variants", {}).items()
        ]


@dataclass(frozen=True)
class Broken:
    """An entry point that is of no use, and why."""

    name: str
    package: str
    reason: str

    def __str__(self) -> str:
        return f"method '{self.name}' of the package {self.package}: {self.reason}"


def row_name(text: str) -> str:
    """The name of what a text asks for, without its settings."""
    return "+".join(find_method(spec.name).name for spec in parse_methods(text))


def methods() -> dict[str, MethodEntry]:
    """All installed methods that can be asked for by name, and their variants."""
    return {name: entry for name, entry in known().items() if not entry.reference}


def references() -> dict[str, MethodEntry]:
    """The reference rows that join every comparison."""
    return {name: entry for name, entry in known().items() if entry.reference}


def known() -> dict[str, MethodEntry]:
    """Methods and reference rows by name."""
    return _catalogue()[0]


def broken() -> list[Broken]:
    """What packages offer in vain, as far as that shows without importing it."""
    return _catalogue()[1]


def usable() -> tuple[dict[str, MethodEntry], list[str]]:
    """What is known and can be imported, and a line for each plugin that is of no use.

    Only the import of a plugin shows that; this project's own methods are not imported.
    """
    lines, useless = [str(each) for each in broken()], set()
    for name, entry in known().items():
        try:
            if entry.package != OWN and not entry.is_variant:
                entry.load()
        except BenchError as error:
            lines.append(str(error))
            useless.add(name)
    return {name: entry for name, entry in known().items() if entry.base not in useless}, lines


def find_method(name: str) -> MethodEntry:
    """The method of that name, or `path/to/file.py:ClassName`. Raises `BenchError` with a suggestion."""
    if ".py:" in name:
        path, _, attribute = name.rpartition(":")
        if not Path(path).is_file():
            raise BenchError(f"method '{name}': there is no file {path}")
        if fault := _missing(path, attribute):
            raise BenchError(f"method '{name}': {fault}")
        return MethodEntry(attribute, str(Path(path).resolve()), attribute)
    if name in known():
        return known()[name]
    for each in broken():
        if each.name == name:
            raise BenchError(str(each))
    raise unknown("method", name, known())


@cache
def _catalogue() -> tuple[dict[str, MethodEntry], list[Broken]]:
    """What can be asked for by name, and what cannot.

    This project's names are its own. One that several plugins offer is given to none of them, because which of them
    comes first means nothing.
    """
    names: dict[str, MethodEntry] = {}
    offers: dict[str, list[MethodEntry]] = {}
    useless: list[Broken] = []
    for reference, point in _points():
        entry = _entry(point, reference=reference)
        try:
            fault = _fault(entry)
            offered = [] if fault else [entry, *entry.variants()]
        except Exception as error:  # a plugin may have any other fault in its source
            fault, offered = describe(error), []
        if fault:
            useless.append(Broken(entry.name, entry.package, fault))
        for each in offered:
            if each.package == OWN:
                names[each.name] = each
            else:
                offers.setdefault(each.name, []).append(each)
    for name, rivals in sorted(offers.items()):
        if name in names or name == ALL:
            reason = "this project itself has that name"
        elif len(rivals) > 1:
            reason = f"the name is offered by {' and '.join(sorted(rival.package for rival in rivals))}, so by none"
        else:
            names[name] = rivals[0]
            continue
        useless += [Broken(name, rival.package, reason) for rival in rivals]
    # A variant is nothing without its method.
    whole = {name: entry for name, entry in names.items() if entry.base in names}
    return dict(sorted(whole.items())), sorted(useless, key=str)


def _points() -> Iterator[tuple[bool, EntryPoint]]:
    """The entry points of both groups, each with whether it is that of a reference row."""
    for point in entry_points(group=METHODS):
        yield False, point
    for point in entry_points(group=REFERENCES):
        if _package(point) == OWN:
            yield True, point


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else ""


def _entry(point: EntryPoint, *, reference: bool) -> MethodEntry:
    module, _, attribute = point.value.partition("[")[0].partition(":")
    return MethodEntry(point.name, module.strip(), attribute.strip(), reference, package=_package(point))


def _import(module: str) -> Any:
    if not module.endswith(".py"):
        return importlib.import_module(module)
    name = f"bench_method_{Path(module).stem}"
    spec = importlib.util.spec_from_file_location(name, module)
    assert spec is not None and spec.loader is not None
    folder = str(Path(module).parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that what lies beside the file hides nothing
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def _read_class(module: str, attribute: str) -> tuple[str, dict[str, Any]]:
    """The docstring of a class, and the literals that are assigned in it, by name; nothing if it is not there."""
    node = _class_node(module, attribute)
    constants = {}
    for line in node.body if node else ():
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        if isinstance(targets[0], ast.Name) and (value := getattr(line, "value", None)):
            with suppress(ValueError):
                constants[targets[0].id] = ast.literal_eval(value)
    return (ast.get_docstring(node) or "") if node else "", constants


def _fault(entry: MethodEntry) -> str:
    """Why a class cannot be used, as far as that shows without importing it; empty if it seems that it can."""
    if fault := _missing(entry.module, entry.attribute):
        return fault
    needed = (name.split(".")[0] for line in _parse(entry.module).body for name in _imports(line))
    if absent := next((root for root in needed if _origin(root) is None), None):
        return f"{entry.module} imports {absent}, which is not installed"
    node = _class_node(entry.module, entry.attribute)
    return "" if node and node.bases else f"{entry.module}:{entry.attribute} {NO_METHOD}"


def _missing(module: str, attribute: str) -> str:
    """Why there is no such class; empty if there is."""
    if not (module and attribute):
        return "its entry point is not module:Class"
    try:
        found = _class_node(module, attribute)
    except ImportError as error:
        return str(error)
    except (SyntaxError, ValueError) as error:
        return f"{module} does not parse: {error}"
    return "" if found else f"{module} defines no class {attribute}"


def _imports(line: ast.stmt) -> list[str]:
    """The modules that a statement imports by their full names."""
    if isinstance(line, ast.Import):
        return [alias.name for alias in line.names]
    return [line.module] if isinstance(line, ast.ImportFrom) and line.module and not line.level else []


def _class_node(module: str, attribute: str) -> ast.ClassDef | None:
    """The statement that defines a class, in the module or in one that it imports the class from; None if neither does.

    Raises `ImportError` or `SyntaxError` if a module is not there or does not parse.
    """
    for line in _parse(module).body:
        if isinstance(line, ast.ClassDef) and line.name == attribute:
            return line
        if isinstance(line, ast.ImportFrom):
            for alias in line.names:
                if (alias.asname or alias.name) == attribute:
                    return _class_node(_imported_from(line, module), alias.name)
    return None


def _imported_from(line: ast.ImportFrom, module: str) -> str:
    package = module if Path(_origin(module) or "").name == "__init__.py" else module.rpartition(".")[0]
    return importlib.util.resolve_name("." * line.level + (line.module or ""), package)


def _parse(module: str) -> ast.Module:
    path = module if module.endswith(".py") else _origin(module)
    if path is None:
        raise ImportError(f"there is no module {module}")
    return ast.parse(Path(path).read_bytes())


def _origin(module: str) -> str | None:
    """The file of a module, found without importing the packages that it is in; None if there is no such module."""
    root, *inner = module.split(".")
    spec = importlib.util.find_spec(root)
    for name in inner:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{name}", spec.submodule_search_locations)
    return None if spec is None else spec.origin or ""
