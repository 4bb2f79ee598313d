"""The page of a method, made from its code: what it minimises, its data, source, configuration and limits."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bench import registry
from bench.atomic import atomic_write
from bench.registry import MethodEntry
from bench.training.method import Method

LIMITS = "Known limits:"
"""Begins the paragraph of a docstring that has them."""
SIGNS = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
"""Of the bounds that a field's value may have, as annotated_types calls them."""


def method_page(entry: MethodEntry) -> str:
    """The page of a method and its variants as Markdown. Raises `BenchError` if the method cannot be imported."""
    method = entry.load()
    text, _, limits = inspect.cleandoc(method.__doc__ or "").partition(LIMITS)
    summary, _, rest = text.strip().partition("\n")
    parts = [f"# {entry.base}", _escaped(summary), _escaped(rest.strip()), "\n".join(_facts(method))]
    if settings := [_row(method.Config, name) for name in _derived_first(method.Config)]:
        header = ["| setting | type | default | meaning |", "|---|---|---|---|"]
        parts += ["## Configuration", "\n".join([*header, *settings])]
    if method.variants:
        lines = (f"- `{name}`: {_settings(values)}" for name, values in method.variants.items())
        parts += ["## Variants", "\n".join(lines)]
    if limits := limits.strip():
        parts += ["## Known limits", _escaped(limits[0].upper() + limits[1:])]
    if not entry.reference:
        name = entry.base if entry.package else f"path/to/file.py:{entry.attribute}"
        parts += ["## Example", f"    bench run --methods {name} --pairs qaa-eng"]
    return "\n\n".join(filter(None, parts)) + "\n"


def write_pages(folder: Path) -> None:
    """Write the page of each method of this project to a folder."""
    for entry in registry.known().values():
        if entry.package == registry.OWN and not entry.is_variant:
            with atomic_write(folder / f"{entry.name}.md") as file:
                file.write(method_page(entry))


def meaning(config: type[BaseModel], name: str) -> str:
    """What the docstring of a field says; where a class only changes the default, that of the class before."""
    fields = (base.model_fields.get(name) for base in config.__mro__ if issubclass(base, BaseModel))
    return next((" ".join(field.description.split()) for field in fields if field and field.description), "")


def _facts(method: type[Method]) -> Iterator[str]:
    yield f"- trains on: {' + '.join(method().uses) or 'nothing'}"
    documents = method.Config.model_fields.get("documents")
    if documents is not None:
        yield f"- documents by: {documents.default}"
    yield f"- scoring: {', '.join(method.scorings)}"
    yield f"- source: {_escaped(method.source)}"


def _derived_first(config: type[BaseModel]) -> list[str]:
    """The names of a configuration's fields, those that it inherits last."""
    own = (name for base in config.__mro__ for name in inspect.get_annotations(base))
    return [name for name in dict.fromkeys(own) if name in config.model_fields]


def _row(config: type[BaseModel], name: str) -> str:
    field = config.model_fields[name]
    cells = [f"`{name}`", _type(field), f"`{_value(field.default)}`", _escaped(meaning(config, name))]
    return f"| {' | '.join(cells)} |"


def _type(field: FieldInfo) -> str:
    """The type of a field and the bounds of its value."""
    kind, parts = field.annotation, get_args(field.annotation)
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in parts)
    one_of = parts if get_origin(kind) in (Union, UnionType) else (kind,)
    name = " or ".join("nothing" if each is NoneType else getattr(each, "__name__", str(each)) for each in one_of)
    bounds = (f"{sign} {getattr(each, key):g}" for each in field.metadata for key, sign in SIGNS if hasattr(each, key))
    return " ".join(filter(None, [_escaped(name), " and ".join(bounds)]))


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"`{key} = {_value(value)}`" for key, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "nothing" if value is None else str(value) or '""'


def _escaped(text: str) -> str:
    """Text in which only what stands between backquotes means something to Markdown."""
    return re.sub(r"(`[^`]*`)|([*_<|])", lambda found: found[1] or f"\\{found[2]}", text)
