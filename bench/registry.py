"""Methods by name: entry points of installed packages, or a class in a file; nothing is imported before it is used."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from contextlib import suppress
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
    base: str = ""
    """The name of the method, of which `name` may be a variant."""
    settings: tuple[tuple[str, Any], ...] = ()
    """What the variant is configured by."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", self.base or self.name)

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
            MethodEntry(name, self.module, self.attribute, self.reference, self.name, tuple(settings.items()))
            for name, settings in _read_class(self.module, self.attribute)[1].get("variants", {}).items()
        ]


@dataclass(frozen=True)
class Spec:
    """A method as it is asked for: its name, and the settings that it has only there."""

    name: str
    settings: tuple[tuple[str, Any], ...] = ()


def parse_spec(text: str) -> tuple[Spec, ...]:
    """The method, or the methods that are combined, of `optical`, `optical:epsilon=0.1:special_tokens=true`,
    `path/to/file.py:Class:key=value` or any of these with a `+` between them.
    """
    specs = []
    for part in re.split(r"\+(?=[A-Za-z_./~])", text):
        words = part.split(":")
        settings = []
        while len(words) > 1 and "=" in words[-1]:
            key, _, value = words.pop().partition("=")
            settings.append((key.strip(), toml_value(value.strip())))
        specs.append(Spec(":".join(words), tuple(reversed(settings))))
    return tuple(specs)


def row_name(text: str) -> str:
    """The name of what a text asks for, without its settings."""
    return "+".join(find_method(spec.name).name for spec in parse_spec(text))


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
    entries: dict[str, MethodEntry] = {}
    for name, point in sorted(found.items()):
        if point.attr:
            entry = MethodEntry(name, point.module, point.attr, reference)
            for each in (entry, *entry.variants()):
                if entries.setdefault(each.name, each) != each:
                    raise BenchError(f"two methods are called '{each.name}': {entries[each.name].base} and {each.base}")
    return dict(sorted(entries.items()))


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


def _class_node(module: str, attribute: str) -> ast.ClassDef | None:
    try:
        spec = None if module.endswith(".py") else importlib.util.find_spec(module)
        path = Path(module if spec is None else str(spec.origin))
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ImportError):
        return None
    return next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == attribute), None)
