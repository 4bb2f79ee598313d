"""The source code that a result depends on: its modules, and the hash of each.

Modules are found and parsed, not imported. A module is followed to all modules that it imports, anywhere in its code,
with three exceptions: imports for type checkers, modules in `WITHOUT_EFFECT`, and libraries, which count by their
versions. A module that only re-exports names is transparent: an import of a name depends on the module of its origin.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

PROJECT = "clir-bench"
OWN = frozenset({"bench", "methods"})
"""The top-level packages of this project."""
WITHOUT_EFFECT = frozenset(
    {
        "bench",  # the version only
        "bench.errors",  # the text of messages
        "bench.storage.atomic",  # how files are written, not their content
        "bench.system.interrupt",
        "bench.progress",
        "bench.system.offline",  # a download is allowed or refused; its content counts by itself
        "bench.storage.sealed",  # the place of stored files, which are verified and not changed
        "bench.storage.hashing",
        "bench.dependencies.code",  # the names of results, not the results
        "bench.dependencies.fingerprint",
        "bench.training.tiny",  # how an encoder is made: it counts by its fingerprint
    }
)
"""Modules that never change a number: they are neither listed nor followed."""


@cache
def code_modules(module: str) -> dict[str, str]:
    """Return the hash of each source module and data file that the results of a module depend on, by its label.

    `module` is an importable name or the path of a Python file. The label of that file is its name, the label of any
    other module is its importable name, and a data file is labelled `package/file`. Comments, docstrings and code for
    type checkers do not change a hash. The result is stored for the life of the process.
    """
    closure = _Closure(module)
    hashes = {Path(name).name if _is_path(name) else name: value for name, value in closure.hashes.items()}
    return dict(sorted((hashes | closure.data_files()).items()))


@cache
def plugin_libraries(module: str) -> dict[str, str]:
    """Return the versions of the third-party distributions that a plugin depends on, by name.

    They are those of all imports in its `code_modules`, and those that the plugin's own distribution requires.
    Distributions that are not installed are left out.
    """
    from packaging.requirements import Requirement

    closure = _Closure(module)
    names = {name for root in closure.libraries for name in _distributions().get(root, ())}
    for own in closure.distributions:
        requirements = map(Requirement, importlib.metadata.requires(own) or ())
        names |= {each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})}
    versions = {}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            metadata = importlib.metadata.metadata(name)
            versions[metadata["Name"]] = metadata["Version"]
    versions.pop(PROJECT, None)
    return dict(sorted(versions.items()))


class _Use(NamedTuple):
    """A use of a module: of one `name` in it, of its public names (`*`), or of all of it (empty)."""

    module: str
    name: str = ""


@dataclass(frozen=True)
class _Source:
    code: str
    """The hash of the code."""
    uses: tuple[_Use, ...] = ()
    exports: tuple[tuple[str, _Use], ...] | None = None
    """The names of a module that only re-exports, each with its origin; None for a module with other code."""


NO_CODE = _Source("", exports=())


class _Closure:
    """The modules and libraries that a module depends on."""

    def __init__(self, module: str) -> None:
        root = module.split(".")[0]
        plugin = not _is_path(module) and root not in OWN
        self.module = module
        self.hashes: dict[str, str] = {}
        """The hash of each module's code, and of the origins of the names that it imports through re-exports."""
        self.libraries: set[str] = set()
        """The top-level modules of installed distributions that are imported."""
        self.distributions = _distributions_of(module) if plugin else set()
        owners = _distributions() if self.distributions else {}
        self.roots = {root, *(name for name in owners if self.distributions & set(owners[name]))}
        """The top-level modules of the plugin itself, which are followed even if they are installed."""
        self._specs: dict[str, ModuleSpec | None] = {}
        self._follow()

    def data_files(self) -> dict[str, str]:
        """Return the hash of each data file of the packages of all modules."""
        packages = {self._package(name) for name in self.hashes} - WITHOUT_EFFECT
        return {
            f"{package}/{path.relative_to(folder).as_posix()}": _sha256(path.read_bytes())
            for package in packages
            for folder in self._folders(package)
            for path in _data_files(Path(folder))
        }

    def _follow(self) -> None:
        waiting = [self.module]
        while waiting:
            name = waiting.pop()
            source = self._source(name)
            if name in self.hashes or source is None:
                continue
            origins = {}
            for use in source.uses:
                if name.split(".")[0] in OWN and use.module.split(".")[0] not in OWN:
                    self._note_library(use.module)
                    continue
                seen: set[_Use] = set()
                found = list(self._resolve(use, seen))
                if found and found != [use]:
                    origins[".".join(use)] = found
                # To import a module executes its parents, too.
                used = (parent for other in seen for parent in _with_parents(other.module))
                waiting += [each for each in used if (its := self._source(each)) and its.exports is None]
            text = json.dumps([source.code, origins], sort_keys=True)
            self.hashes[name] = _sha256(text.encode()) if origins else source.code

    def _resolve(self, use: _Use, seen: set[_Use]) -> Iterator[_Use]:
        """Yield the uses of modules with code that a use leads to through re-exports; add all on the way to `seen`."""
        if use in seen:
            return
        seen.add(use)
        source = self._source(use.module)
        if source is None:
            self._note_library(use.module)
            return
        if source.exports is None:
            yield use
        for name, origin in source.exports or ():
            if use.name in ("", "*", name) or name == "*":
                yield from self._resolve(origin, seen)
        submodule = f"{use.module}.{use.name}"
        if use.name.isidentifier() and self._spec(submodule):
            yield from self._resolve(_Use(submodule), seen)

    def _note_library(self, module: str) -> None:
        root = module.split(".")[0]
        if root and root not in OWN | sys.stdlib_module_names:
            self.libraries.add(root)

    def _source(self, module: str) -> _Source | None:
        """Return the source of a module; None for a library or a module that cannot be found."""
        if module in WITHOUT_EFFECT and module != self.module:
            return NO_CODE
        spec = self._spec(module)
        if spec is None:
            return None
        if not spec.has_location:  # a package without `__init__`
            return NO_CODE
        path = Path(str(spec.origin))
        stat = path.stat()
        return _read(path, self._package(module), stat.st_mtime_ns, stat.st_size)

    def _package(self, module: str) -> str:
        """Return the package of a module, or its own name if it is one; a file on its own is in none."""
        return "" if _is_path(module) else module if self._folders(module) else module.rpartition(".")[0]

    def _folders(self, package: str) -> Sequence[str]:
        spec = self._spec(package)
        return (spec and spec.submodule_search_locations) or ()

    def _spec(self, module: str) -> ModuleSpec | None:
        if module not in self._specs:
            self._specs[module] = self._find(module)
        return self._specs[module]

    def _find(self, module: str) -> ModuleSpec | None:
        """Find the file or the folders of a module; None for a library, or if there is no such module."""
        if _is_path(module):
            return spec_from_file_location(Path(module).stem, module)
        parent, _, name = module.rpartition(".")
        if parent:
            return PathFinder.find_spec(name, self._folders(parent)) if self._folders(parent) else None
        if module in OWN:
            return find_spec(module)
        beside = PathFinder.find_spec(module, [str(Path(self.module).parent)]) if _is_path(self.module) else None
        if beside and beside.has_location:
            return beside
        if not module or module in sys.stdlib_module_names:
            return None
        try:
            spec = find_spec(module)
        except (ImportError, ValueError):
            spec = None
        if spec is None or not spec.has_location:
            spec = beside or spec  # Python prefers a module anywhere to a folder without `__init__`
        return spec if spec and (spec is beside or module in self.roots or _is_source(module, spec)) else None


def _is_source(root: str, spec: ModuleSpec) -> bool:
    """Return whether a top-level module belongs to no installed distribution; an editable one is source."""
    folder = Path(next(iter(spec.submodule_search_locations or [str(spec.origin)]))).parent
    installed = folder.name in ("site-packages", "dist-packages") or any(folder.glob("*.dist-info"))
    return not installed or root not in _distributions()


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Return the names of the distributions that offer a top-level module, by the module's name."""
    return importlib.metadata.packages_distributions()


def _distributions_of(module: str) -> set[str]:
    """Return the distributions of a plugin; the metadata of some editable ones have no more than its entry point."""
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


@cache
def _read(path: Path, package: str, changed: int, size: int) -> _Source:
    """Read a module once per process, unless its file changes. A file that does not parse counts by its bytes."""
    data = path.read_bytes()
    try:
        tree = ast.parse(data) if path.suffix == ".py" else None
    except (SyntaxError, ValueError):
        tree = None
    if tree is None:
        return _Source(_sha256(data))
    for node in ast.walk(tree):
        for block in ("body", "orelse", "finalbody"):
            if isinstance(lines := getattr(node, block, None), list):
                setattr(node, block, list(_effective(lines)))
    bound = tuple(pair for node in ast.walk(tree) for pair in _imports(node, package))
    re_exports = all(isinstance(line, ast.Import | ast.ImportFrom) or _is_list_of_names(line) for line in tree.body)
    uses = tuple(dict.fromkeys(use for _, use in bound))
    return _Source(_sha256(ast.dump(tree).encode()), uses, bound if re_exports else None)


def _effective(lines: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a block without docstrings and code for type checkers."""
    for line in lines:
        match line:
            case ast.Expr(ast.Constant(str())):
                pass
            case ast.If(ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                yield from _effective(line.orelse)
            case _:
                yield line


def _is_list_of_names(line: ast.stmt) -> bool:
    """Return whether a statement assigns literals to `__all__`."""
    match line:
        case ast.Assign([ast.Name("__all__")], ast.List(names) | ast.Tuple(names)):
            return all(isinstance(name, ast.Constant) for name in names)
    return False


def _imports(node: ast.AST, package: str) -> list[tuple[str, _Use]]:
    """Return the names that a node of the syntax tree imports, each with the use that it stands for."""
    match node:
        case ast.Import(names):
            # `import a.b` binds `a`, so that anything in `a` may be used as well.
            return [
                (alias.asname or alias.name.split(".")[0], _Use(name))
                for alias in names
                for name in ([alias.name] if alias.asname else _with_parents(alias.name))
            ]
        case ast.ImportFrom(module, names, level):
            base = _absolute("." * level + (module or ""), package)
            # A file on its own is in no package, so that `from . import name` imports nothing.
            return [(alias.asname or alias.name, _Use(base, alias.name)) for alias in names if base]
        case ast.Call(
            func=ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(str(name)), *_],
        ):
            return [("", _Use(_absolute(name, package)))]
    return []


def _absolute(name: str, package: str) -> str:
    """Return the full name of a module that is imported within a package, such as `..sibling`."""
    relative = name.lstrip(".")
    level = len(name) - len(relative)
    parents = package.split(".")
    return ".".join(filter(None, [*parents[: len(parents) - level + 1], relative])) if level else name


def _with_parents(module: str) -> list[str]:
    """Return `a`, `a.b` and `a.b.c` for `a.b.c`; a path has no parents."""
    words = [module] if _is_path(module) else module.split(".")
    return [".".join(words[:count]) for count in range(1, len(words) + 1)]


def _is_path(module: str) -> bool:
    return module.endswith(".py")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
