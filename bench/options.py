"""Options from the command line, the environment and a configuration file, by one declaration: a pydantic model.

A field `bitext_size` is the option `--bitext-size`, the environment variable `BENCH_BITEXT_SIZE` and the key
`bitext_size` of a configuration file. The command line goes before the environment, that before the file, and that
before the default.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from bench.errors import RENAMED, BenchError, nearest, unknown
from bench.system.offline import forbid_network
from bench.values import toml_value

Model = TypeVar("Model", bound=BaseModel)
PREFIX = "BENCH_"
OTHER_VARIABLES = ("BENCH_HOME",)
"""Environment variables that are read elsewhere."""


class _Renamed(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, options: Any, values: Any, option: str | None = None) -> None:
        parser.error(f"{option} is now called {self.const}")


def add_options(parser: argparse.ArgumentParser, model: type[BaseModel]) -> None:
    """Add an option for each field of `model`, except for tables, which `--config` and `--set` are for.

    Options that are not given do not appear in the namespace, so that the next source counts.
    """
    inherited_last = sorted(model.model_fields.items(), key=lambda item: item[0] not in model.__annotations__)
    for name, field in inherited_last:
        if not _is_table(field):
            kind = _argparse_kind(field)
            parser.add_argument(_option(name), default=argparse.SUPPRESS, help=_help(field), **kind)
    for old, new in RENAMED.items():
        if new in model.model_fields:
            parser.add_argument(_option(old), action=_Renamed, nargs="*", const=_option(new), help=argparse.SUPPRESS)
    if tables := [name for name, field in inherited_last if _is_table(field)]:
        parser.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            default=argparse.SUPPRESS,
            help=f"a TOML file with any of these options and the tables {', '.join(tables)}",
        )
        parser.add_argument(
            "--set",
            action="append",
            metavar="KEY=VALUE",
            default=argparse.SUPPRESS,
            help="one key of such a file, as in method.optical.epsilon=0.1; may be repeated",
        )


def read_options(model: type[Model], options: argparse.Namespace) -> Model:
    """Return the model with each value from the first source that has it. If it has `offline`, the network is forbidden
    from here on, so that no command can forget to. Environment variables are for models that allow it.

    Raises `BenchError` for an unknown key, with a suggestion, and for a value that does not parse; the message names
    the file or variable that the value is from.
    """
    given = vars(options)
    settings = _settings(given.get("set", []))
    command_line = {name: given[name] for name in model.model_fields if name in given}
    if twice := sorted(command_line.keys() & settings.keys()):
        raise BenchError(f"{twice[0]} is given twice: by {_option(twice[0])} and by --set {twice[0]}=...")
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if "config" in given:
        layers.append((f"{given['config']}: ", read_toml(given["config"])))
    if getattr(model, "from_environment", True):
        variables = {variable: (name, os.environ.get(variable)) for variable, name in _variables(model).items()}
        layers += [(f"{variable}: ", {name: value}) for variable, (name, value) in variables.items() if value]
    layers.append(("", {**command_line, **settings}))
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        values = _merged(values, layer)
        sources |= dict.fromkeys(layer, source)
    try:
        found = model.model_validate(values)
    except ValidationError as error:
        first = _first(error)
        key = str(next(iter(first["loc"]), ""))
        if first["type"] == "missing":
            raise BenchError(f"{_option(key)} is missing; see --help") from error
        raise BenchError(f"{sources.get(key, '')}{complaint(error, model)}") from error
    if getattr(found, "offline", False):
        forbid_network()
    return found


def check_environment(model: type[BaseModel]) -> None:
    """Raise `BenchError` for an environment variable with nearly the name of one of the model's."""
    known = {*_variables(model), *OTHER_VARIABLES}
    for variable in os.environ:
        if not variable.startswith(PREFIX) or variable in known:
            continue
        if (new := f"{PREFIX}{RENAMED.get(variable.removeprefix(PREFIX).lower(), '').upper()}") in known:
            raise BenchError(f"the environment variable {variable} is now called {new}")
        if near := nearest(variable, known, cutoff=0.85):
            raise BenchError(f"unknown environment variable {variable}; did you mean {near[0]}?")


def read_config(model: type[Model], values: Mapping[str, Any], what: str) -> Model:
    """Return a model from values of a user. Raises `BenchError`, which begins with `what`, if they do not fit."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise BenchError(f"{what}: {complaint(error, model)}") from error


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """Return the content of a TOML file. Raises `BenchError` if it cannot be read."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BenchError(f"{path}: not UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"{path}: not TOML: {error}") from error


def complaint(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first problem of values for a model, in one line that names the key."""
    first = _first(error)
    *parents, key = [part for part in first["loc"] if part != "[key]"] or [""]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in (*parents, key)).lstrip(".")
    if first["type"] == "extra_forbidden":
        kind = f"key of {place.removesuffix(f'.{key}')}" if parents else "key"
        return str(unknown(kind, str(key), _nested(model, parents).model_fields))
    if first["type"] == "missing":
        return f"{place} is missing"
    if first["type"] == "value_error":  # raised by this project's own parsers, which name the value
        message = str(first["msg"]).removeprefix("Value error, ")
        return f"{place}: {message}" if parents else message
    return f"{place} = {first['input']!r}: {first['msg']}"


def _nested(model: type[BaseModel], location: list[int | str]) -> type[BaseModel]:
    """Return the model of the table at a location."""
    for name in (part for part in location if part in model.model_fields):
        kinds = get_args(model.model_fields[str(name)].annotation)
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), model)
    return model


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _first(error: ValidationError) -> ErrorDetails:
    """Return an unknown key if there is one: a missing key is often the same one, spelt right."""
    return min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")


def _settings(texts: list[str]) -> dict[str, Any]:
    """Return the `KEY=VALUE` of `--set` as nested tables."""
    result: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (equals and key.strip()):
            raise BenchError(f"--set {text}: write KEY=VALUE, as in --set method.optical.epsilon=0.1")
        tree: Any = toml_value(value.strip())
        for part in reversed(key.strip().split(".")):
            tree = {part: tree}
        result = _merged(result, tree)
    return result


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return both tables in one; the values of the second win."""
    result = dict(first)
    for key, value in second.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result


def _variables(model: type[BaseModel]) -> dict[str, str]:
    return {f"{PREFIX}{name.upper()}": name for name, field in model.model_fields.items() if not _is_table(field)}


def _is_table(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _argparse_kind(field: FieldInfo) -> dict[str, Any]:
    kind = field.annotation
    if get_origin(kind) in (Union, UnionType):  # something or None
        kind = get_args(kind)[0]
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(kind) is tuple:
        return {"nargs": "+", "metavar": "NAME"}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    return {"metavar": "PATH" if kind is Path else "NUMBER" if kind is int else "TEXT"}


def _help(field: FieldInfo) -> str:
    text = (field.description or "").replace("%", "%%")
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if default in (None, (), False) or "(default: " in text:
        return text
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"{text} (default: {shown})"
