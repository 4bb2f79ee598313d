"""Reading and writing of values on the command line, in a configuration file and in a manifest."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from bench.errors import BenchError


def parser(parse: Callable[[Any], Any]) -> BeforeValidator:
    """Return a pydantic validator made from a function that raises `BenchError`."""

    def validate(value: Any) -> Any:
        try:
            return parse(value)
        except BenchError as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(validate)


def toml_value(text: str) -> Any:
    """Return the value of a text in TOML (a number, true, a list), else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def spelled(value: Any) -> str:
    """Return the text of a setting's value, which `toml_value` reads."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{','.join(map(spelled, value))}]"
    return str(value)


def items(value: Any) -> tuple[Any, ...]:
    """Split `a,b c`, or a list of such texts, into a, b, c, each once; other values are left as they are."""
    values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
    parts = (item.replace(",", " ").split() if isinstance(item, str) else [item] for item in values)
    return tuple(dict.fromkeys(item for part in parts for item in part))


def _seeds(value: Any) -> tuple[int, ...]:
    values = [str(item) for item in items(value)]
    if not values or not all(re.fullmatch(r"\d+", item) for item in values):
        raise BenchError(f"seeds '{' '.join(values)}' do not parse; write whole numbers from 0 on, such as 0,1,2")
    return tuple(dict.fromkeys(map(int, values)))


def _seconds(value: Any) -> float:
    """Return `90s`, `30min` or `2h` as seconds; a bare number means seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|)", str(value).strip())
    if match is None or float(match[1]) == 0:
        raise BenchError(f"'{value}' is no length of time; write 90s, 30min or 2h")
    return float(match[1]) * {"s": 1, "": 1, "min": 60, "h": 3600}[match[2]]


def _settings(value: Any) -> tuple[tuple[str, Any], ...]:
    pairs = value.items() if isinstance(value, Mapping) else value
    return tuple(sorted((str(key), _hashable(each)) for key, each in pairs))


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _settings(value)
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


Names = Annotated[tuple[str, ...], parser(items)]
Seeds = Annotated[tuple[int, ...], parser(_seeds)]
Seconds = Annotated[float, parser(_seconds)]
Settings = Annotated[tuple[tuple[str, Any], ...], parser(_settings), PlainSerializer(dict)]
"""Settings by name, sorted, so that their order never matters."""
