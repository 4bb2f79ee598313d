"""`bench new-method`: a small package with a method, which works as it is."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib.resources import files
from pathlib import Path

from bench import registry
from bench.atomic import atomic_folder
from bench.errors import BenchError

NAME = "new-method"
"""The method of the template, which is written under the name that is asked for."""
FILES = ("pyproject.toml", "new_method.py", "test_new_method.py")


def write_method(name: str, folder: Path) -> list[Path]:
    """Write the package of a new method to a new folder of that name; returns its files.

    Raises `BenchError` if the name will not do, or is that of something else.
    """
    module = module_name(name)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise BenchError(f"'{name}' is no name of a method; write small letters, digits and hyphens, as in my-method")
    if name in registry.known() or name == registry.ALL:
        raise BenchError(f"there is a method '{name}' already; choose another name")
    if keyword.iskeyword(module) or importlib.util.find_spec(module):
        raise BenchError(f"Python's '{module}' is something else already; choose another name")
    target = folder / name
    if target.exists():
        raise BenchError(f"{target} exists already; choose another name, or remove it")
    with atomic_folder(target) as partial:
        for file in FILES:
            text = (files(__name__) / file).read_text(encoding="utf-8")
            (partial / _renamed(file, name)).write_text(_renamed(text, name), encoding="utf-8")
    return [target / _renamed(file, name) for file in FILES]


def module_name(name: str) -> str:
    """What the module of a method is called."""
    return name.replace("-", "_")


def class_name(name: str) -> str:
    """What its class is called."""
    return "".join(word.capitalize() for word in name.split("-"))


def _renamed(text: str, name: str) -> str:
    for spelt in (str, module_name, class_name):
        text = text.replace(spelt(NAME), spelt(name))
    return text
