"""The page of a method, made from its code: objective, data, source, configuration and limits."""

import inspect
import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bench import registry
from bench.registry import MethodEntry
from bench.storage.atomic import atomic_write

LIMITS = "Known limits:"
"""The beginning of a docstring's last paragraph."""
SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
"""The signs of bounds, by their names in annotated_types."""


def method_page(entry: MethodEntry) -> str:
    """Return the page of a method and its variants as Markdown. Raises `BenchError` if it cannot be imported."""
    method = entry.load()
    text, _, limits = inspect.cleandoc(method.__doc__ or "").partition(LIMITS)
    summary, _, rest = text.strip().partition("\n")
    facts = [f"- trains on: {' + '.join(method().supervision) or 'nothing'}"]
    fields = method.Config.model_fields
    if "document_encoder" in fields:
        facts.append(f"- documents encoded by: {fields['document_encoder'].default}")
    facts += [f"- scoring: {', '.join(method.scorings)}", f"- source: {_escaped(method.source)}"]
    parts = [f"# {entry.base}", _escaped(summary), _escaped(rest.strip()), "\n".join(facts)]
    if fields:
        parts += ["## Configuration", "\n".join(settings_table(method.Config))]
    if method.variants:
        values = {
            name: ", ".join(f"`{key} = {_value(value)}`" for key, value in settings.items())
            for name, settings in method.variants.items()
        }
        parts += ["## Variants", "\n".join(f"- `{name}`: {text}" for name, text in values.items())]
    if limits := limits.strip():
        parts += ["## Known limits", _escaped(limits[0].upper() + limits[1:])]
    if not (entry.reference or entry.fusion):
        name = entry.base if entry.package else f"path/to/file.py:{entry.attribute}"
        parts += ["## Example", f"    bench run --methods {name} --pairs qaa-eng"]
    return "\n\n".join(filter(None, parts)) + "\n"


def settings_table(config: type[BaseModel], what: str = "setting") -> list[str]:
    """Return the lines of a table of the fields of a model, fields of subclasses first."""
    fields, lines = config.model_fields, [f"| {what} | type | default | meaning |", "|---|---|---|---|"]
    for name in dict.fromkeys(name for base in config.__mro__ for name in inspect.get_annotations(base)):
        if field := fields.get(name):
            default = _value(field.get_default(call_default_factory=True))
            lines.append(
                f"| `{field.alias or name}` | {_type(field)} | `{default}` | {_escaped(meaning(config, name))} |"
            )
    return lines


def write_pages(folder: Path) -> None:
    """Write the page of each method of this project to a folder."""
    for entry in registry.known().values():
        if entry.package == registry.OWN and not entry.is_variant:
            with atomic_write(folder / f"{entry.name}.md") as file:
                file.write(method_page(entry))


def meaning(config: type[BaseModel], name: str) -> str:
    """Return the docstring of a field, or of the same field of a base class if it has none."""
    fields = (base.model_fields.get(name) for base in config.__mro__ if issubclass(base, BaseModel))
    return next((" ".join(field.description.split()) for field in fields if field and field.description), "")


def _type(field: FieldInfo) -> str:
    kind, parts = field.annotation, get_args(field.annotation)
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in parts)
    one_of = parts if get_origin(kind) in (Union, UnionType) else (kind,)
    name = " or ".join("nothing" if each is NoneType else getattr(each, "__name__", str(each)) for each in one_of)
    bounds = (
        f"{sign} {getattr(each, key):g}" for each in field.metadata for key, sign in SIGNS.items() if hasattr(each, key)
    )
    return " ".join(filter(None, [_escaped(name), " and ".join(bounds)]))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "nothing" if value is None else str(value) or '""'


def _escaped(text: str) -> str:
    """Return the text escaped for Markdown, except indented lines and code between backquotes."""
    return re.sub(r"(?m)(^ {4}.*|`[^`]*`)|([*_<|]|\[(?=[^\]]*\]\())", lambda found: found[1] or f"\\{found[2]}", text)
