"""Methods by name: entry points of installed packages, or a class in a file.

Lists read the source of this project's classes and do not import them. A plugin that cannot be imported is left out of
every list, with a message.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import FAILURES, PROJECT, BenchError, describe, unknown
from bench.spec import NamedMethod, grouped, joined_names, parse_methods

if TYPE_CHECKING:
    from bench.training.method import Method

METHODS = "bench.methods"
REFERENCES = "bench.references"
"""The group of reference rows. Only this project can have them, since they join every comparison."""
FUSIONS = "bench.fusions"
"""The group of fusions, as in `fusion+psq+contrastive`. Only this project can have them."""
OWN = PROJECT
"""The distribution of this project. Plugins cannot use its names."""
ALL = "all"
"""The name for every installed method."""


@dataclass(frozen=True)
class MethodEntry:
    """The place of the class of a method; `module` is an importable name or the path of a Python file."""

    name: str
    base: str
    """The name of the method; `name` may be a variant of it."""
    module: str
    attribute: str
    package: str = ""
    """The distribution of the method; empty for a file."""
    reference: bool = False
    fusion: bool = False
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def is_variant(self) -> bool:
        return self.name != self.base

    def load(self) -> type[Method]:
        """Import and return the class. Raises `BenchError` if it cannot be imported or is no method."""
        from bench.training.loop import TrainedConfig, TrainedMethod
        from bench.training.method import Method, MethodConfig

        try:
            loaded = getattr(_import(self.module), self.attribute)
        except FAILURES as error:
            raise BenchError(f"method '{self.name}' cannot be imported: {describe(error)}") from error
        if not (isinstance(loaded, type) and issubclass(loaded, Method)):
            place = f"{self.module}:{self.attribute}"
            raise BenchError(f"method '{self.name}': {place} is not a subclass of bench.api.Method")
        base = TrainedConfig if issubclass(loaded, TrainedMethod) else MethodConfig
        if not (isinstance(loaded.Config, type) and issubclass(loaded.Config, base)):
            raise BenchError(f"method '{self.name}': its Config is not a subclass of bench.api.{base.__name__}")
        return loaded

    def describe(self) -> dict[str, Any]:
        """Return description, source and training data of the method. Raises `BenchError` as `load`."""
        about = self._attributes()
        settings = " ".join(f"{key}={value}" for key, value in self.settings)
        summary = (about.get("__doc__") or "").strip().split("\n")[0]
        return {
            "description": f"{self.base} with {settings}" if settings else summary,
            "source": about.get("source", ""),
            "supervision": about.get("supervision", ()),
        }

    def variants(self) -> list[MethodEntry]:
        """Return the named configurations of the method."""
        named = self._attributes().get("variants", {})
        return [replace(self, name=name, settings=tuple(settings.items())) for name, settings in named.items()]

    def _attributes(self) -> dict[str, Any]:
        if self.package == OWN:
            return _read_class(self.module, self.attribute)
        loaded = self.load()
        return {name: getattr(loaded, name) for name in ("__doc__", "source", "supervision", "variants")}


def row_name(text: str) -> str:
    """Return the name of a method or combination without its settings."""
    return joined_names(_named(text))


def _named(text: str) -> list[NamedMethod]:
    return [each._replace(name=find_method(each.name).name) for each in parse_methods(text)]


def known() -> dict[str, MethodEntry]:
    """Return methods and reference rows by name, without the variants of plugins. Imports nothing."""
    return _known()[0]


def rows_of(text: str) -> set[str]:
    """Return the names of the rows of a text: itself, and the parts of a fusion."""
    first, *parts = _named(text)
    fused = grouped(parts) if find_method(first.name).fusion else []
    return {row_name(text), *("+".join(method.name for method in group) for group in fused)}


def references() -> dict[str, MethodEntry]:
    """Return the reference rows."""
    return {name: entry for name, entry in known().items() if entry.reference}


def bounds() -> set[str]:
    """Return the reference rows that read the queries in the language of the documents."""
    return {name for name, entry in references().items() if entry._attributes().get("oracle")}


def conflicts() -> list[str]:
    """Return a message for each plugin whose name is taken."""
    return _known()[1]


def usable() -> tuple[dict[str, MethodEntry], list[str]]:
    """Import all plugins. Return the usable methods with all variants, and a message for each other plugin."""
    entries, lines, variants = dict(known()), list(conflicts()), []
    for name, entry in known().items():
        if entry.package == OWN:
            continue
        try:
            variants += entry.variants()
        except FAILURES as error:
            lines.append(str(error) if isinstance(error, BenchError) else f"method '{name}': {describe(error)}")
            del entries[name]
    entries, more = _assign(variants, entries)
    return entries, sorted([*lines, *more])


def find_method(name: str) -> MethodEntry:
    """Return the method of a name, or of `path/to/file.py:ClassName`. Raises `BenchError`, with a suggestion."""
    if ".py:" in name:
        path, _, attribute = name.rpartition(":")
        if not Path(path).is_file():
            raise BenchError(f"method '{name}': there is no file {path}")
        own = _name_in(str(Path(path).resolve()), attribute)
        return MethodEntry(own, own, str(Path(path).resolve()), attribute)
    if name in known():
        return known()[name]
    entries, lines = usable()
    if name in entries:
        return entries[name]
    reason = next((line for line in lines if line.startswith(f"method '{name}'")), None)
    raise BenchError(reason) if reason else unknown("method", name, entries)


def _name_in(path: str, attribute: str) -> str:
    """Return the `name` of a class of a file. It is that of the class if it states none or that of another method."""
    try:
        own = _class_literals(Path(path).read_bytes(), attribute).get("name")
    except (OSError, SyntaxError, ValueError, StopIteration):  # importing it reports the error
        return attribute
    if not (isinstance(own, str) and re.fullmatch("[a-z][a-z0-9]*(-[a-z0-9]+)*", own)) or own == ALL:
        return attribute
    taken = known().get(own)
    spec = importlib.util.find_spec(taken.module) if taken else None
    return own if taken is None or (spec and spec.origin == path) else attribute


@cache
def _known() -> tuple[dict[str, MethodEntry], list[str]]:
    own: dict[str, MethodEntry] = {}
    plugins = []
    for group in (METHODS, REFERENCES, FUSIONS):
        for point in entry_points(group=group):
            package = point.dist.name if point.dist else ""
            module, _, attribute = point.value.partition("[")[0].partition(":")
            place = module.strip(), attribute.strip()
            kinds = group == REFERENCES, group == FUSIONS
            entry = MethodEntry(point.name, point.name, *place, package, *kinds)
            if package == OWN:
                own |= {each.name: each for each in (entry, *entry.variants())}
            elif group == METHODS:
                plugins.append(entry)
    return _assign(plugins, own)


def _assign(offers: list[MethodEntry], taken: Mapping[str, MethodEntry]) -> tuple[dict[str, MethodEntry], list[str]]:
    """Return the entry of each name, sorted, and a message for each entry whose name is taken or ambiguous."""
    entries, lines, count = dict(taken), [], Counter(offer.name for offer in offers)
    for offer in offers:
        if offer.name in taken or offer.name == ALL:
            reason = "the name is taken; rename the method in the package"
        elif count[offer.name] > 1:
            rivals = sorted(each.package for each in offers if each.name == offer.name)
            reason = f"the name is offered by {' and '.join(rivals)}; remove one of them"
        else:
            entries[offer.name] = offer
            continue
        lines.append(f"method '{offer.name}' of the package {offer.package}: {reason}")
    return dict(sorted(entries.items())), sorted(lines)


def _import(module: str) -> Any:
    if not module.endswith(".py"):
        return importlib.import_module(module)
    name = f"bench_method_{Path(module).stem}"
    spec = importlib.util.spec_from_file_location(name, module)
    assert spec is not None and spec.loader is not None
    folder = str(Path(module).parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last, so that files beside the module hide no library
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def _read_class(module: str, name: str) -> dict[str, Any]:
    """Return the docstring of a class and its literal attributes, without importing its module."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    return _class_literals(Path(spec.origin).read_bytes(), name)


def _class_literals(source: bytes, name: str) -> dict[str, Any]:
    """Return the docstring of a class and the literals that are assigned in it."""
    node = next(line for line in ast.parse(source).body if isinstance(line, ast.ClassDef) and line.name == name)
    found: dict[str, Any] = {"__doc__": ast.get_docstring(node)}
    for line in node.body:
        match line:
            case ast.Assign([ast.Name(key)], value) | ast.AnnAssign(ast.Name(key), _, ast.expr() as value):
                with suppress(ValueError):
                    found[key] = ast.literal_eval(value)
    return found
