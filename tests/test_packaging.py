"""The checkout as it is installed for development: its folders must not shadow anybody's packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["results", "tests"])
def test_a_folder_of_the_checkout_is_not_importable_from_elsewhere(name: str, tmp_path: Path) -> None:
    probe = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "None"


def test_the_folder_of_cards_never_passes_for_the_library_of_its_name(tmp_path: Path) -> None:
    probe = "import importlib.util; s = importlib.util.find_spec('datasets'); print(s.origin if s else 'absent')"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "absent" or "site-packages" in done.stdout


def test_every_package_of_the_checkout_is_in_the_wheel() -> None:
    import tomllib

    root = Path(__file__).parents[1]
    listed = set(tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    present = {
        ".".join(folder.parent.relative_to(root).parts)
        for top in ("bench", "methods")
        for folder in (root / top).rglob("__init__.py")
    }
    assert listed == present | {"bench.carddata"}
