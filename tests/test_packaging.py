"""The checkout as it is installed for development: its folders must not shadow anybody's packages; what it pins."""

import shlex
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from bench.errors import pip_install

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]
REQUIREMENTS = {
    canonicalize_name(requirement.name): requirement.specifier
    for requirement in map(Requirement, chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()))
}


def pins(file: str) -> dict[str, Version]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_the_tested_versions_are_in_the_allowed_ranges() -> None:
    pinned = pins("constraints.txt")
    assert [name for name, allowed in REQUIREMENTS.items() if pinned[name] not in allowed] == []


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    bounds = {
        name: Version(part.version)
        for name, allowed in REQUIREMENTS.items()
        for part in allowed
        if part.operator == ">="
    }
    bounds["torch"] = pins("constraints.txt")["torch"]  # an older one is not tested
    oldest = pins("constraints-oldest.txt")
    assert {name: oldest.get(name) for name in REQUIREMENTS} == bounds


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_the_packages_of_an_extra_are_installed_from_any_index(extra: str) -> None:
    wanted = {str(Requirement(line)) for line in PROJECT["optional-dependencies"][extra]}
    assert {str(Requirement(word)) for word in shlex.split(pip_install(extra))[2:]} == wanted


@pytest.mark.parametrize("name", ["results", "tests", "datasets"])
def test_a_folder_of_the_checkout_is_not_importable_from_elsewhere(name: str, tmp_path: Path) -> None:
    """`datasets` may be the library of that name."""
    probe = f"import importlib.util; s = importlib.util.find_spec({name!r}); print(s.origin if s else 'absent')"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.strip() == "absent" or (name == "datasets" and "site-packages" in done.stdout)


def test_every_package_of_the_checkout_is_in_the_wheel() -> None:
    listed = set(SETTINGS["tool"]["setuptools"]["packages"])
    present = {
        ".".join(folder.parent.relative_to(ROOT).parts)
        for top in ("bench", "methods")
        for folder in (ROOT / top).rglob("__init__.py")
    }
    assert listed == present | {"bench.carddata", "bench.published"}


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import bench.data.loading as l; l.load_cards()", "torch numpy pandas requests"),
        (
            "from bench.system.machine import machine, precision; from bench.training import teachers;"
            "precision('auto', 'cpu', 384, machine()); teachers.identity_if_known('tiny', offline=True)",
            "torch transformers",
        ),
    ],
    ids=["reading cards", "planning"],
)
def test_nothing_heavy_is_imported(code: str, heavy: str) -> None:
    script = f"import sys; {code}; print([name for name in {heavy.split()} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
