"""Options from the command line, the environment and a configuration file, declared once by a pydantic model.

A field `bitext_size` is the option `--bitext-size`, the environment variable `BENCH_BITEXT_SIZE` and the key
`bitext_size` of a configuration file. The command line has priority over the environment, the environment over the
file, and the file over the default. A field with a title is a positional argument of the command line.

Values are validated by pydantic, with the types below and a range for every number.
"""

import argparse
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from bench.errors import BenchError, nearest, unknown
from bench.storage.reading import read_text, refuse_depth
from bench.system.offline import forbid_network

Model = TypeVar("Model", bound=BaseModel)
PREFIX = "BENCH_"
LARGEST = 10**12
"""The largest number of a recipe or of a method's settings."""
LONGEST = 4096
"""Maximum of characters of a text, such as a path."""
SHOWN = 80
"""Maximum of characters of an invalid value in an error message."""


class Options(BaseModel):
    """The base class of a group of options."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=LONGEST)
    from_environment: ClassVar[bool] = True
    """True if environment variables can set the options."""


@dataclass(frozen=True)
class Also:
    """Other names of an option on the command line."""

    names: tuple[str, ...]


AnyOptions = TypeVar("AnyOptions", bound=Options)


def option(default: Any, help: str, **limits: Any) -> Any:
    """Return a field with its text in `--help`; the default `...` makes it required."""
    return Field(default, description=help, **limits)


def argument(metavar: str, help: str | None = None, default: Any = ..., **limits: Any) -> Any:
    """Return a field that is a positional argument, with its name and text in `--help`."""
    return Field(default, title=metavar, description=help, **limits)


def add_options(parser: argparse.ArgumentParser, model: type[Options]) -> None:
    """Add an option or argument for each field of `model`, and `--config` and `--set` for its tables."""
    inherited_last = sorted(model.model_fields.items(), key=lambda item: item[0] not in model.__annotations__)
    for name, field in inherited_last:
        kind: dict[str, Any] = {"default": argparse.SUPPRESS, "help": _help(field), **_argparse_kind(field)}
        if field.title:
            parser.add_argument(name, **kind)
        elif not _is_table(field):
            also = next((each.names for each in field.metadata if isinstance(each, Also)), ())
            parser.add_argument(f"--{name.rstrip('_').replace('_', '-')}", *also, dest=name, **kind)
    if tables := [name for name, field in inherited_last if _is_table(field)]:
        parser.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            default=argparse.SUPPRESS,
            help=f"TOML file with any of these options and the tables {', '.join(tables)}",
        )
        parser.add_argument(
            "--set",
            action="append",
            metavar="KEY=VALUE",
            default=argparse.SUPPRESS,
            help="one key of such a file, as in method.optical.epsilon=0.1; can be repeated",
        )


def read_options(model: type[AnyOptions], options: argparse.Namespace) -> AnyOptions:
    """Return the model, with each value from the source of highest priority. `offline` forbids the network from here
    on.

    Raises `BenchError`, which names the file or variable, for an unknown key or an invalid value.
    """
    given = vars(options)
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if "config" in given:
        layers.append((f"{given['config']}: ", _read_config_file(given["config"])))
    if model.from_environment:
        variables = {name: variable for variable, name in _variables(model).items() if os.environ.get(variable)}
        layers += [(f"{variable}: ", {name: os.environ[variable]}) for name, variable in variables.items()]
    layers.append(("", {name: given[name] for name in model.model_fields if name in given}))
    layers += [("", _table(text)) for text in given.get("set", [])]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        values = _merged(values, layer)
        sources |= dict.fromkeys(layer, source)
    for name, value in values.items():
        if not _is_text(value):
            raise BenchError(f"{sources[name]}{name} = {_shown(value)}: it has a NUL or is not UTF-8")
        if isinstance(value, str) and not value.strip():
            raise BenchError(f"{sources[name]}{name} = {value!r}: it is empty; give a value or leave it out")
    try:
        result = model.model_validate(values)
    except ValidationError as error:
        option, missing = str(_first(error)["loc"][0]), _first(error)["type"] == "missing"
        message = f"--{option} is missing; see --help" if missing else _complaint(error, model)
        raise BenchError(f"{sources.get(option, '')}{message}") from error
    if getattr(result, "offline", False):
        forbid_network()
    return result


def _read_config_file(path: Path) -> dict[str, Any]:
    try:
        return read_toml(_file(path))
    except PydanticCustomError as error:
        raise BenchError(f"{path} cannot be read: {error.message()}") from error


def check_environment(model: type[Options]) -> None:
    """Raise `BenchError` for an environment variable whose name is a misspelt option."""
    known = _variables(model)
    for variable in sorted(os.environ.keys() - known.keys()):
        if variable.startswith(PREFIX) and nearest(variable, known, cutoff=0.85):
            name = variable.removeprefix(PREFIX).lower()
            raise BenchError(f"{variable}: {unknown('option', name, known.values())}")


def read_config(model: type[Model], values: Mapping[str, Any], what: str) -> Model:
    """Return a model from values of a user.

    Raises `BenchError`, which begins with `what`, for invalid values and for numbers that are not finite or larger than
    `LARGEST`.
    """
    try:
        result = model.model_validate(dict(values))
    except ValidationError as error:
        raise BenchError(f"{what}: {_complaint(error, model)}") from error
    for name, value in result:
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise BenchError(f"{what}: {name} = {_shown(value)}: numbers are finite and at most {LARGEST:g}")
    return result


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """Return the content of a TOML file. Raises `BenchError` if it cannot be read."""
    return parse_toml(read_text(path), str(path))


def toml_value(text: str) -> Any:
    """Return the value of a text as TOML (a number, true, a list), or else the text itself."""
    try:
        return parse_toml(f"value = {text}", text)["value"]
    except BenchError:
        return text


def parse_toml(text: str, place: str) -> dict[str, Any]:
    """Return the content of TOML. Raises `BenchError`, which begins with `place`, if it is malformed."""
    try:
        value = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for integers with thousands of digits
        raise BenchError(f"{place}: not TOML: {error}") from error
    refuse_depth(value, place)
    return value


def spelled(value: Any) -> str:
    """Return the text of a value, the inverse of `toml_value`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{','.join(map(spelled, value))}]"
    return str(value)


def items(value: Any) -> tuple[Any, ...]:
    """Split `a,b c`, or a list of such texts, into a, b, c without duplicates. Other values do not change.

    An existing path is one item, also with a colon and one word after it, as in `my file.py:Class`.
    """
    values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
    found = [item for each in values for item in _split(each)]
    if any(isinstance(item, list | dict) for item in found):
        raise BenchError("write a list of names or numbers, without nested lists or tables")
    return tuple(dict.fromkeys(found))


def _split(item: Any) -> list[Any]:
    if not isinstance(item, str):
        return [item]
    parts, path = item.replace(",", " ").split(), re.sub(r":[^\s,]*$", "", item)
    return [item] if len(parts) > 1 and any(map(os.path.exists, (item, path))) else parts


def _seconds(value: Any) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|)", str(value).strip())
    seconds = float(match[1]) * {"s": 1, "": 1, "min": 60, "h": 3600}[match[2]] if match else 0
    if not 0 < seconds <= LONGEST_TIME:
        raise BenchError(f"{_shown(value)} is not a duration; write 90s, 30min or 2h, at most {LONGEST_TIME:g}s")
    return seconds


def _file(path: Path) -> Path:
    """Return the path of a file, or of a pipe of the shell such as `<(zcat a.gz)`."""
    opened = stat.S_ISFIFO(_mode(path)) and str(path).startswith(("/dev/fd/", "/proc/self/fd/"))
    return path if opened else _checked(path, stat.S_ISREG(_mode(path)), "there is no such file")


def _folder(path: Path) -> Path:
    return _checked(path, stat.S_ISDIR(_mode(path)), "the folder does not exist")


def _new_file(path: Path) -> Path:
    _checked(path, _mode(path) == 0 or stat.S_ISREG(_mode(path)), "it exists and is not a file; choose another name")
    _checked(path, path.name != "", "it is not the name of a file; choose another name")
    _new_folder(path.parent)
    return path


def _new_folder(path: Path) -> Path:
    return _checked(
        path, _mode(path) == 0 or stat.S_ISDIR(_mode(path)), "it exists and is not a folder; choose another name"
    )


def _mode(path: Path) -> int:
    """Return the mode of a file, or 0 if there is none. Raises pydantic's error for an impossible path."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        why = f"{getattr(error, 'strerror', None) or error}; choose another name"
        raise PydanticCustomError("path", "{why}", {"why": why}) from error


def _checked(path: Path, fits: bool, why: str) -> Path:
    if not fits:
        raise PydanticCustomError("path", "{why}", {"why": why})
    return path


LONGEST_TIME = 1e9
"""Seconds, about 32 years."""
Names = Annotated[tuple[str, ...], BeforeValidator(items)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(items), Field(min_length=1)]
Threads = Annotated[int, Field(ge=1, le=1024)]
File = Annotated[Path, AfterValidator(_file)]
"""An existing file."""
Folder = Annotated[Path, AfterValidator(_folder)]
"""An existing folder."""
NewFile = Annotated[Path, AfterValidator(_new_file)]
"""A file to write, new or existing."""
NewFolder = Annotated[Path, AfterValidator(_new_folder)]
"""A folder to write to, new or existing."""
Seconds = Annotated[float, BeforeValidator(_seconds)]
"""`90s`, `30min` or `2h` in seconds; a bare number means seconds."""


def _first(error: ValidationError) -> ErrorDetails:
    """Return the error of an unknown key if there is one, since a missing key is often a misspelt one."""
    return min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")


def _complaint(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first problem of values for a model, in one line that names the key."""
    first = _first(error)
    *parents, key = [part for part in first["loc"] if part != "[key]"] or [""]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in (*parents, key)).lstrip(".")
    match first["type"]:
        case "extra_forbidden":
            kind = f"key of {place.removesuffix(f'.{key}')}" if parents else "key"
            return str(unknown(kind, str(key), _nested(model, parents).model_fields))
        case "missing":
            return f"{place} is missing"
        case "value_error":  # raised by this project's own parsers, which name the value
            message = first["msg"].removeprefix("Value error, ")
            return f"{place}: {message}" if parents else message
    return f"{place} = {_shown(first['input'])}: {first['msg']}"


def _shown(value: Any) -> str:
    try:
        text = repr(str(value) if isinstance(value, Path) else value)
    except ValueError:  # more digits than Python converts
        text = "a number of too many digits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _is_text(value: Any) -> bool:
    """Return True if every text in a value is UTF-8 without NUL."""
    if isinstance(value, Mapping):
        return all(map(_is_text, (*value, *value.values())))
    if isinstance(value, str | Path):
        return not re.search("[\0\ud800-\udfff]", str(value))
    return all(map(_is_text, value)) if isinstance(value, list | tuple) else True


def _nested(model: type[BaseModel], location: list[int | str]) -> type[BaseModel]:
    for name in (part for part in location if part in model.model_fields):
        kinds = get_args(model.model_fields[str(name)].annotation)
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), model)
    return model


def _table(setting: str) -> dict[str, Any]:
    key, equals, value = setting.partition("=")
    if not (equals and key.strip()):
        raise BenchError(f"--set {setting}: write KEY=VALUE, as in --set method.optical.epsilon=0.1")
    tree: Any = toml_value(value.strip())
    for part in reversed(key.strip().split(".")):
        tree = {part: tree}
    return dict(tree)


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(first)
    for key, value in second.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result


def _variables(model: type[Options]) -> dict[str, str]:
    fields = model.model_fields.items()
    return {f"{PREFIX}{name.upper()}": name for name, field in fields if not (_is_table(field) or field.title)}


def _is_table(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _argparse_kind(field: FieldInfo) -> dict[str, Any]:
    kind = field.annotation
    if get_origin(kind) in (Union, UnionType):  # an optional type
        kind = get_args(kind)[0]
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(kind) is tuple:
        return {"nargs": "+", "metavar": field.title or "NAME", **({} if field.title else {"action": "extend"})}
    metavar = f"{{{','.join(get_args(kind))}}}" if get_origin(kind) is Literal else field.title
    if field.title:
        return {"metavar": metavar} if field.is_required() else {"metavar": metavar, "nargs": "?"}
    return {"metavar": metavar or ("PATH" if kind is Path else "NUMBER" if kind is int else "TEXT")}


def _help(field: FieldInfo) -> str:
    text = (field.description or "").replace("%", "%%")
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if not default or "(default: " in text:
        return text
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"{text} (default: {shown})"
