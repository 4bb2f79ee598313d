"""`bench new-method`: a small package with a method that works without changes."""

import importlib.util
import keyword
import re
from importlib.resources import files
from pathlib import Path

from bench import registry
from bench.errors import BenchError
from bench.storage.atomic import atomic_folder

FILES = ("pyproject.toml", "new_method.py", "test_new_method.py")


def write_method(name: str, folder: Path) -> list[Path]:
    """Write the package of a new method to a new folder, and return its files.

    Raises `BenchError` if the name is malformed or taken.
    """
    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise BenchError(f"'{name}' is not a name of a method; use small letters, digits and hyphens, as in my-method")
    if name in registry.known() or name == registry.ALL:
        raise BenchError(f"there is a method '{name}' already; choose another name")
    if keyword.iskeyword(module) or importlib.util.find_spec(module):
        raise BenchError(f"'{module}' is taken by Python; choose another name")
    target = folder / name
    if target.exists():
        raise BenchError(f"{target} exists already; choose another name, or remove it")

    def renamed(text: str) -> str:
        return text.replace("new-method", name).replace("new_method", module).replace("NewMethod", class_name(name))

    with atomic_folder(target) as partial:
        for file in FILES:
            text = (files(__name__) / file).read_text(encoding="utf-8")
            (partial / renamed(file)).write_text(renamed(text), encoding="utf-8")
    return [target / renamed(file) for file in FILES]


def class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))
