"""Hashes of everything that can change a result, and their names in manifests.

Data enter by their content, configuration by its values, libraries by their versions, and code by its syntax trees. The
modules of a method are found and parsed, not imported. All imports anywhere in a module are followed, except those for
type checkers, modules in `WITHOUT_EFFECT` and libraries. An import from a module in `PUBLIC` counts as an import from
the module of origin.
"""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, resolve_name, spec_from_file_location
from itertools import accumulate
from pathlib import Path

from bench.storage.hashing import digest, digest_bytes
from bench.storage.sealed import default_cache, remembered

OWN = frozenset({"bench", "methods"})
PUBLIC = frozenset({"bench.api", "bench.pretrained", "bench.search"})
"""Modules that only re-export names."""
WITHOUT_EFFECT = frozenset(
    {
        "bench",  # the version only
        "bench.errors",  # the text of messages
        "bench.storage.atomic",  # how files are written, not their content
        "bench.system.interrupt",
        "bench.progress",
        "bench.system.offline",  # only allows downloads; their content counts by itself
        "bench.storage.sealed",  # only places of stored files
        "bench.storage.hashing",
        "bench.dependencies.fingerprint",  # the names of results, not the results
        "bench.training.tiny",  # makes encoders, which count by their fingerprints
    }
)
"""Modules that never change a number. They are neither listed nor followed."""
TEST = "test collection"

version = cache(importlib.metadata.version)
top_level_modules = cache(importlib.metadata.packages_distributions)


def library_versions(*names: str) -> dict[str, str]:
    """Return the installed versions of distributions and of Python."""
    return {**{name: version(name) for name in names}, "python": ".".join(map(str, sys.version_info[:3]))}


def code_digest(module: str) -> str:
    """Return the hash of the `code_modules` of a module."""
    return digest(code_modules(module))


def of_code(modules: Iterable[str], owner: str = "") -> dict[str, str]:
    """Return the hash of each source module that these depend on; `owner` is their plugin."""
    hashes = {name: value for module in modules for name, value in code_modules(module).items()}
    return {f"code {name}" if name.split(".")[0] in OWN else f"code {owner} {name}": hashes[name] for name in hashes}


def of_libraries(*names: str) -> dict[str, str]:
    """Return the version of each distribution and of Python."""
    return {f"library {name}": number for name, number in library_versions(*names).items()}


def of_test(dataset: str, pair: object, digest: str) -> dict[str, str]:
    return {f"{TEST} {dataset} {pair}": digest}


def code_modules(module: str) -> dict[str, str]:
    """Return the hash of each source module and data file that a module or Python file depends on.

    Keys are importable names, `package/file` and the name of the file. Comments, docstrings and code for type checkers
    do not change a hash.
    """
    return _dependencies(module)[0]


def plugin_libraries(module: str) -> dict[str, str]:
    """Return the versions of the distributions that the code of a plugin imports, by name."""
    roots = _dependencies(module)[1]
    names = {name for root in roots for name in top_level_modules().get(root, ())}
    return {name: version(name) for name in sorted(names)}


def forget() -> None:
    """Read all code again. A process otherwise keeps the hashes of files that it has read once."""
    for function in (top_level_modules, _dependencies, _find):
        function.cache_clear()


@cache
def _dependencies(main: str) -> tuple[dict[str, str], frozenset[str]]:
    """Return the hash of each module and data file, and the top-level modules of libraries."""
    hashes: dict[str, str] = {}
    libraries, packages, seen, waiting = set(), set(), set(), [main]
    while waiting:
        name = waiting.pop()
        if name in seen or (name in WITHOUT_EFFECT and name != main):
            continue
        seen.add(name)
        spec = _find(name, main)
        if spec is None:
            libraries.add(name)
        elif spec.has_location:
            package = name if spec.submodule_search_locations else _parent(name)
            code, imports = _parsed(Path(str(spec.origin)).read_bytes(), package)
            if code:
                hashes[Path(name).name] = code
                packages.add(package)
            for imported in imports:  # the import of `a.b` executes `a`, too
                waiting += accumulate(imported.split("."), "{}.{}".format)
    for package in packages:
        spec = _find(package, main) if package else None
        for folder in (spec and spec.submodule_search_locations) or ():
            for path in _data_files(Path(folder)):
                hashes[f"{package}/{path.relative_to(folder).as_posix()}"] = digest_bytes(path.read_bytes())
    roots = {name for name in libraries if "." not in name}
    return dict(sorted(hashes.items())), frozenset(roots - OWN - sys.stdlib_module_names)


@cache
def _find(module: str, main: str) -> ModuleSpec | None:
    """Find a source module that `main` imports; None for a library or if there is no such module."""
    if module.endswith(".py"):
        return spec_from_file_location(Path(module).stem, module)
    if parent := _parent(module):
        package = _find(parent, main)
        folders = package and package.submodule_search_locations
        return PathFinder.find_spec(module.rpartition(".")[2], folders) if folders else None
    if module in OWN:
        return find_spec(module)
    beside = [str(Path(main).parent)] if main.endswith(".py") else []
    if module in sys.stdlib_module_names:
        spec = PathFinder.find_spec(module, beside)
        return spec if spec and spec.has_location else None
    spec = PathFinder.find_spec(module, [*beside, *sys.path])
    if spec is None or not spec.has_location:
        with suppress(ImportError, ValueError):
            editable = find_spec(module)  # found by another finder than that of the path
            spec = editable if editable and (editable.has_location or not spec) else spec
    is_plugin = module == main.split(".")[0]
    return spec if spec and (is_plugin or not _is_library(module, spec)) else None


def _is_library(root: str, spec: ModuleSpec) -> bool:
    """Return True if a top-level module is in a folder of installed distributions, which excludes editable ones."""
    place = Path(next(iter(spec.submodule_search_locations or [str(spec.origin)])))
    return root in top_level_modules() and any(place.parent.glob("*.dist-info"))


def _data_files(folder: Path) -> Iterator[Path]:
    """Yield the data files of a package, also in folders that are no packages."""
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in ("__pycache__", "py.typed"):
            continue
        if path.is_dir() and not (path / "__init__.py").exists():
            yield from _data_files(path)
        elif path.is_file() and path.suffix not in (".py", ".pyi"):
            yield path


@cache
def _parsed(data: bytes, package: str) -> tuple[str, list[str]]:
    """Return the result of `_parse`, from the cache if the file was parsed before."""
    key = digest([digest_bytes(data), package, sys.version, _parser()])
    code, imports = remembered(default_cache() / "code" / f"{key}.json", lambda: _parse(data, package))
    return code, imports


@cache
def _parser() -> list[str]:
    """Return the hashes of the files that `_parse` depends on, besides Python."""
    files = [__file__, *(str(spec.origin) for name in sorted(PUBLIC) if (spec := find_spec(name)))]
    return [digest_bytes(Path(file).read_bytes()) for file in files]


def _parse(data: bytes, package: str) -> tuple[str, list[str]]:
    """Return the hash of the code of a module (empty without code), and the full names that it imports."""
    try:
        tree = _WithEffect().visit(ast.parse(data))
    except (SyntaxError, ValueError):
        return digest_bytes(data), []
    imports = list(dict.fromkeys(name for node in ast.walk(tree) for name in _imports(node, package)))
    return digest_bytes(ast.dump(tree).encode()) if tree.body else "", imports


class _WithEffect(ast.NodeTransformer):
    """Remove docstrings and code for type checkers, and replace public names by their modules of origin."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        match node.test:
            case ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
                return node.orelse
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.ImportFrom]:
        origins = _origins(node.module) if node.module in PUBLIC else {}
        return [
            ast.ImportFrom(module, [ast.alias(name, alias.asname or alias.name)], node.level)
            for alias in node.names
            for module, name in [origins.get(alias.name, (node.module, alias.name))]
        ]


@cache
def _origins(module: str) -> Mapping[str, tuple[str | None, str]]:
    """Return the module and name of origin of each name in a public module."""
    spec = find_spec(module)
    assert spec and spec.origin
    lines = ast.parse(Path(spec.origin).read_bytes()).body
    imports = [line for line in lines if isinstance(line, ast.ImportFrom)]
    return {alias.asname or alias.name: (line.module, alias.name) for line in imports for alias in line.names}


def _imports(node: ast.AST, package: str) -> list[str]:
    """Return the full names of modules, or of names in modules, that a syntax node imports."""
    match node:
        case ast.Import(names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module, names, level):
            with suppress(ImportError):  # a file outside packages
                base = resolve_name("." * level + (module or ""), package)
                return [f"{base}.{alias.name}" for alias in names]
        case ast.Call(
            func=ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(str(name)), *_],
        ):
            with suppress(ImportError):
                return [resolve_name(name, package)]
    return []


def _parent(module: str) -> str:
    return "" if module.endswith(".py") else module.rpartition(".")[0]
