"""The source code that a result depends on: its modules, and the hash of what each of them computes.

Nothing is imported to find out. A module is followed to all modules that it imports, anywhere in its code, with three
exceptions: imports for type checkers, modules in `WITHOUT_EFFECT`, and libraries, which count by their versions.
A module that only re-exports names is transparent: an import of a name depends on the module that the name comes from.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path

from bench.syntax import NOTHING, Source, Use, is_path, read, sha256, with_parents

PROJECT = "clir-bench"
OWN = frozenset({"bench", "methods"})
"""The top-level packages of this project."""
WITHOUT_EFFECT = frozenset(
    {
        "bench",  # the version only
        "bench.errors",  # the text of messages
        "bench.atomic",  # how files are written, not their content
        "bench.interrupt",
        "bench.progress",
        "bench.offline",  # a download is allowed or refused; its content counts by itself
        "bench.cache",  # the place of the cache
        "bench.sealed",  # stored files are verified, not changed
        "bench.code",  # the names of results, not the results
        "bench.syntax",
        "bench.fingerprint",
        "bench.libraries",  # the setup of libraries; the number of threads is no code
        "bench.encoders.tiny",  # how an encoder is made: it counts by its fingerprint
    }
)
"""Modules that never change a number: they are neither listed nor followed."""
INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Names of folders of installed distributions."""


@cache
def code_modules(module: str) -> dict[str, str]:
    """Return the hash of each source module and data file that the results of a module depend on, by its label.

    `module` is an importable name or the path of a Python file. The label of that file is its name, the label of any
    other module is its importable name, and a data file is labelled `package/file`. Comments, docstrings and code for
    type checkers do not change a hash. The result is kept for the process.
    """
    closure = _Closure(module)
    hashes = {Path(name).name if is_path(name) else name: closure.hash_of(name) for name in closure.sources}
    return dict(sorted((hashes | closure.data_files()).items()))


@cache
def plugin_libraries(module: str) -> dict[str, str]:
    """Return the versions of the third-party distributions that a module depends on, by name.

    They are those of all imports in its `code_modules`, and those that the plugin's own distribution requires. A
    distribution that is not installed is left out.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    closure = _Closure(module)
    names = {name for root in closure.libraries for name in _distributions().get(root, ())}
    for own in closure.distributions:
        with suppress(importlib.metadata.PackageNotFoundError):
            requirements = map(Requirement, importlib.metadata.requires(own) or ())
            names |= {each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})}
    versions = {}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            found = importlib.metadata.distribution(name)
            versions[found.metadata["Name"]] = found.version
    return {name: versions[name] for name in sorted(versions) if canonicalize_name(name) != PROJECT}


@dataclass(frozen=True)
class _Place:
    """The place of a module: its file, which a namespace package lacks, and the folders of its submodules."""

    path: Path | None
    folders: tuple[Path, ...] = ()

    @property
    def root(self) -> Path:
        """The folder that it was found in."""
        path = self.path or self.folders[0]
        return path.parent.parent if self.path and self.folders else path.parent


class _Closure:
    """The modules that `module` depends on."""

    def __init__(self, module: str) -> None:
        root = module.split(".")[0]
        plugin = not is_path(module) and root not in OWN
        self.module = module
        self.sources: dict[str, Source] = {}
        self.origins: dict[str, dict[str, list[Use]]] = {}
        """The origins of the names that each module imports through a re-export, by module."""
        self.libraries: set[str] = set()
        """The top-level modules of installed distributions that are imported."""
        self.distributions = _distributions_of(module) if plugin else set()
        """The plugin's own distributions."""
        owned = (
            {name for name, owners in _distributions().items() if self.distributions & set(owners)} if plugin else ()
        )
        self.roots = {root, *owned}
        """The top-level modules of the plugin itself, which are followed even if they are installed."""
        self._places: dict[str, _Place | None] = {}
        self._follow()

    def _follow(self) -> None:
        waiting = [self.module]
        while waiting:
            name = waiting.pop()
            source = self._source(name)
            if name in self.sources or source is None:
                continue
            self.sources[name] = source
            self.origins[name] = {}
            for use in source.uses:
                if name.split(".")[0] in OWN and use.module.split(".")[0] not in OWN:
                    self._note_library(use.module)
                    continue
                seen: set[Use] = set()
                origins = list(self._origins_of(use, seen))
                if origins and origins != [use]:
                    self.origins[name][".".join(use)] = origins
                # To import a module executes its parents, too.
                waiting += [each for other in seen for each in with_parents(other.module) if self._counts(each)]

    def _origins_of(self, use: Use, seen: set[Use]) -> Iterator[Use]:
        """Yield where a use leads to, through all re-exports."""
        if use in seen:
            return
        seen.add(use)
        source, submodule = self._source(use.module), Use(f"{use.module}.{use.name}")
        if source is None:
            self._note_library(use.module)
        elif source.exports is None:
            yield use
            if use.name and self._place(submodule.module):
                yield from self._origins_of(submodule, seen)
        elif use.name in ("", "*"):
            names = source.public if use.name == "*" and source.public is not None else dict(source.exports)
            for name in names:
                if name != "*":
                    yield from self._origins_of(Use(use.module, name), seen)
            if use.name == "" or source.public is None:
                yield from self._starred(source, seen)
        else:
            found = [
                each for name, origin in source.exports if name == use.name for each in self._origins_of(origin, seen)
            ]
            if not found and self._place(submodule.module):
                found = list(self._origins_of(submodule, seen))
            yield from found or self._starred(source, seen)

    def _starred(self, source: Source, seen: set[Use]) -> Iterator[Use]:
        for name, origin in source.exports or ():
            if name == "*":
                yield from self._origins_of(origin, seen)

    def _counts(self, module: str) -> bool:
        """Return whether a module has code that can change a number."""
        source = self._source(module)
        return source is not None and source.exports is None

    def _note_library(self, module: str) -> None:
        root = module.split(".")[0]
        if root and root not in OWN | sys.stdlib_module_names:
            self.libraries.add(root)

    def _source(self, module: str) -> Source | None:
        """Return the source of a module; None if it is none that is followed."""
        if module in WITHOUT_EFFECT and module != self.module:
            return NOTHING
        place = self._place(module)
        if place is None:
            return None
        if place.path is None:
            return NOTHING
        package = "" if is_path(module) else module if place.folders else module.rpartition(".")[0]
        stat = place.path.stat()
        return read(place.path, package, stat.st_mtime_ns, stat.st_size)

    def _place(self, module: str) -> _Place | None:
        if module not in self._places:
            self._places[module] = self._find(module)
        return self._places[module]

    def _find(self, module: str) -> _Place | None:
        if is_path(module):
            return _Place(Path(module))
        parent, _, name = module.rpartition(".")
        if parent:
            place = self._place(parent)
            return _look(name, place.folders) if place else None
        if module in OWN:
            return _importable(module)
        beside = _look(module, [Path(self.module).parent]) if is_path(self.module) else None
        if beside and beside.path:
            return beside
        if module in sys.stdlib_module_names:
            return None
        place = _importable(module)
        if beside and (place is None or place.path is None):
            return beside  # Python prefers a module anywhere to a folder without `__init__`.
        return place if place and (module in self.roots or _is_source(module, place)) else None

    def hash_of(self, module: str) -> str:
        """Return the hash of a module's code and of where the names come from that it imports through re-exports."""
        code, origins = self.sources[module].code, self.origins[module]
        return sha256(json.dumps([code, origins], sort_keys=True).encode()) if origins else code

    def data_files(self) -> dict[str, str]:
        """Return the hash of each data file of the packages of all sources."""
        packages = {
            name if place.folders else name.rpartition(".")[0]
            for name in self.sources
            if not is_path(name) and (place := self._place(name))
        }
        return {
            f"{package}/{path.relative_to(folder).as_posix()}": sha256(path.read_bytes())
            for package in packages - WITHOUT_EFFECT - {""}
            if (place := self._place(package))
            for folder in place.folders
            for path in _data_files(folder)
        }


def _look(name: str, folders: Iterable[Path]) -> _Place | None:
    """Return the place of a module in the first of the folders that has it, in the order that Python prefers."""
    portions = []
    for folder in folders:
        inner = folder / name
        if (inner / "__init__.py").is_file():
            return _Place(inner / "__init__.py", (inner,))
        for suffix in (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES):
            if (path := folder / f"{name}{suffix}").is_file():
                return _Place(path)
        if inner.is_dir():
            portions.append(inner)
    return _Place(None, tuple(portions)) if portions else None


def _importable(root: str) -> _Place | None:
    """Return the place of a top-level module; imports nothing."""
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return None
    if spec is None or not (spec.has_location or spec.submodule_search_locations):
        return None
    path = Path(spec.origin) if spec.has_location and spec.origin else None
    return _Place(path, tuple(map(Path, spec.submodule_search_locations or ())))


def _is_source(root: str, place: _Place) -> bool:
    """Return whether a top-level module belongs to no installed distribution; an editable one is source."""
    installed = place.root.name in INSTALLED or any(place.root.glob("*.dist-info"))
    return not installed or root not in _distributions()


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Return the names of the distributions that a top-level module is from, by the module's name."""
    return importlib.metadata.packages_distributions()


def _distributions_of(module: str) -> set[str]:
    """Return the distributions that a plugin is from; some editable ones show it only by their entry points."""
    points = importlib.metadata.entry_points(group="bench.methods")
    offered = {point.dist.name for point in points if point.module == module and point.dist}
    return offered | set(_distributions().get(module.split(".")[0], ()))


def _data_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a package that are no source text, also those in folders that are no packages."""
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            if not (path / "__init__.py").exists():
                yield from _data_files(path)
        elif path.is_file() and path.suffix not in (".py", ".pyi") and path.name != "py.typed":
            yield path
