"""The methods of a comparison, with the values of all settings and the facts that an experiment needs.

Defaults and facts of a class are stored in a file under a hash of its code, so a call with nothing to do imports
neither the method nor torch.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.dependencies.fingerprint import code_digest, library_versions, plugin_libraries
from bench.errors import FAILURES, BenchError, CellFailed, describe
from bench.options import read_config, spelled
from bench.recipe import SHARED
from bench.registry import MethodEntry
from bench.request import Request
from bench.spec import Configured, MethodSpec, NamedMethod, grouped, joined_names, parse_methods
from bench.storage.hashing import digest
from bench.storage.sealed import default_cache, remembered

if TYPE_CHECKING:
    from bench.encoders.encoder import Encoder
    from bench.evaluation.retriever import Retriever
    from bench.training.method import Method

Call = Callable[..., Any]
"""A call of a function, possibly in another process."""
Settings = Mapping[str, Mapping[str, Any]]
"""Settings by the name of a method."""


@dataclass(frozen=True)
class ResolvedMethod:
    """A method, several methods that train one student, or a fusion, with the facts that an experiment needs."""

    methods: tuple[MethodSpec, ...]
    modules: tuple[str, ...] = field(compare=False)
    depends_on: frozenset[str] = field(compare=False)
    scorings: tuple[str, ...] = field(compare=False)
    oracle: bool = field(compare=False)
    models: tuple[str, ...] = field(compare=False)
    own: bool = field(compare=False)
    """True if every method belongs to this project."""
    settings: Settings = field(compare=False)
    """The settings of each method that are not part of its name."""
    asked: bool = field(default=True, compare=False)
    """True for methods of the request, False for reference rows and parts of fusions."""
    parts: tuple[ResolvedMethod, ...] = field(default=(), compare=False)
    """The parts of a fusion."""

    @property
    def name(self) -> str:
        return joined_names(self.methods)


def expand(methods: Iterable[str], settings: Settings, call: Call = operator.call) -> tuple[tuple[str, ...], list[str]]:
    """Return the methods, with `all` replaced by those without a download, and a message for each other method."""
    methods = tuple(methods)
    if registry.ALL not in methods:
        return methods, []
    from bench.encoders.models import at_hand

    found, notes = [], [f"skipped: {line}" for line in registry.conflicts()]
    for entry in registry.known().values():
        if entry.is_variant or entry.reference or entry.fusion:
            continue
        try:
            row = resolve_method(entry.name, settings, call=call)
        except BenchError as error:
            if entry.package == registry.OWN:
                raise
            notes.append(f"skipped: {error}")
            continue
        if absent := next((model for model in row.models if not at_hand(model)), None):
            notes.append(f"skipped: {entry.name}: it needs {absent}, which is not here; name the method to download it")
        else:
            found.append(entry.name)
    named = (found if name == registry.ALL else [name] for name in methods)
    return tuple(dict.fromkeys(name for names in named for name in names)), notes


def resolve_method(text: str, settings: Settings, *, asked: bool = True, call: Call = operator.call) -> ResolvedMethod:
    """Return the method or combination of a text, with the given settings by name of a method.

    Raises `BenchError` for unknown settings, and for methods that cannot be combined.
    """
    named = parse_methods(text)
    fusions = [registry.find_method(each.name).fusion for each in named]
    if not any(fusions):
        return _resolve(named, settings, asked=asked, call=call)
    first, *groups = grouped(named)
    if len(first) > 1 or len(groups) < 2 or fusions != [True] + [False] * (len(named) - 1):
        raise BenchError("fusion comes first, and two or more methods follow it, as in fusion+psq+contrastive")
    fusion = _resolve(first, settings, asked=asked, call=call)
    parts = tuple(_resolve(group, settings, asked=False, call=call) for group in groups)
    rows = fusion, *parts
    methods = [replace(method, joined=number > 0) for row in rows for number, method in enumerate(row.methods)]
    _refuse_repeated(method.name for method in methods)
    return replace(
        fusion,
        methods=tuple(methods),
        modules=tuple(module for row in rows for module in row.modules),
        depends_on=frozenset(what for row in rows for what in row.depends_on),
        oracle=any(row.oracle for row in rows),
        models=tuple(model for row in rows for model in row.models),
        own=all(row.own for row in rows),
        settings={name: values for row in rows for name, values in row.settings.items()},
        parts=parts,
    )


def _refuse_repeated(names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise BenchError(f"method '{name}' is combined with itself")


def _resolve(named: Sequence[NamedMethod], settings: Settings, *, asked: bool, call: Call) -> ResolvedMethod:
    entries = [registry.find_method(each.name) for each in named]
    facts = [_facts(entry, settings, each.settings, call) for entry, each in zip(entries, named, strict=True)]
    names = [entry.name for entry in entries]
    first, *others = facts
    if not others and first["trained"] and first["settings"]["weight"] != 1:
        raise BenchError(f"method '{names[0]}': the setting weight is for methods that are combined with +")
    for name, fact in zip(names, facts, strict=True):
        if others and not fact["trained"]:
            cure = f"write fusion+{'+'.join(names)} to fuse the rankings"
            raise BenchError(f"method '{name}' trains no student; {cure}")
    _refuse_repeated(names)
    if others:  # the first part decides, since all train one student
        common = {key: first["settings"][key] for key in SHARED}
        for number, (entry, each) in enumerate(zip(entries[1:], named[1:], strict=True), start=1):
            facts[number] = _facts(entry, settings, {**each.settings, **common}, call)
            for part in ("changed", "shown"):
                facts[number][part] = [key for key in facts[number][part] if key not in SHARED]
    return ResolvedMethod(
        tuple(
            MethodSpec(
                tuple(sorted(fact["settings"].items())),
                tuple(fact["changed"]),
                name=entry.name,
                shown=tuple(fact["shown"]),
                supervision=tuple(fact["supervision"]),
                place=f"{entry.module}:{entry.attribute}" if entry.module.endswith(".py") else "",
            )
            for entry, fact in zip(entries, facts, strict=True)
        ),
        modules=tuple(entry.module for entry in entries),
        depends_on=frozenset(what for fact in facts for what in fact["depends_on"]),
        scorings=tuple(first["scorings"]),
        oracle=any(fact["oracle"] for fact in facts),
        models=tuple(model for fact in facts for model in fact["models"]),
        own=all(entry.package == registry.OWN for entry in entries),
        settings={name: fact["shared"] for name, fact in zip(names, facts, strict=True)},
        asked=asked,
    )


def resolve_methods(request: Request, call: Call = operator.call) -> list[ResolvedMethod]:
    """Return the reference rows and the methods of a request. Raises `BenchError` if two methods share a name."""
    rows = [resolve_method(name, request.method, asked=False) for name in registry.references()]
    rows += [resolve_method(text, request.method, call=call) for text in request.methods]
    modules: dict[str, str] = {}
    for row in rows:
        for method, module in zip(row.methods, row.modules, strict=True):
            if modules.setdefault(method.name, module) != module:
                raise BenchError(f"two methods are called '{method.name}'; rename one, or run them in separate calls")
    return list({row.methods: row for row in rows}.values())


def _facts(entry: MethodEntry, settings: Settings, own: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Return the facts about a method, stored by its code and settings."""
    shared = {**settings.get(entry.base, {}), **dict(entry.settings), **settings.get(entry.name, {})}
    project = entry.package == registry.OWN
    libraries = {} if project else plugin_libraries(entry.module)
    code = [code_digest(entry.module), code_digest("bench.training.method"), library_versions("pydantic"), libraries]
    path = default_cache() / "methods" / f"{digest([str(entry), shared, own, code])}.json"
    load = operator.call if project else call
    try:
        return dict(remembered(path, lambda: load(ask, entry, shared, own)))
    except FAILURES as error:
        if project or (isinstance(error, BenchError) and not isinstance(error, CellFailed)):
            raise
        raise BenchError(f"method '{entry.name}': {describe(error)}") from error


def ask(entry: MethodEntry, shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Import a method and return the facts for planning, as JSON. Raises `BenchError` for invalid settings."""
    from bench.training.loop import TrainedMethod

    loaded, what = entry.load(), f"method '{entry.name}'"
    config = read_config(loaded.Config, {**shared, **own}, what)
    usual = read_config(loaded.Config, dict(entry.settings), what).model_dump(mode="json")
    values = config.model_dump(mode="json")
    changed = [key for key, value in values.items() if value != usual[key]]
    method = loaded(config)
    return {
        "settings": values,
        "changed": changed,
        "shown": [key for key in values if key in changed or key in config.always_shown],
        "shared": read_config(loaded.Config, shared, what).model_dump(mode="json", exclude_none=True),
        "supervision": list(method.supervision),
        "depends_on": sorted(method.depends_on),
        "scorings": list(loaded.scorings),
        "oracle": bool(loaded.oracle),
        "models": list(map(str, method.models)),
        "trained": issubclass(loaded, TrainedMethod),
    }


def make_method(methods: Iterable[MethodSpec]) -> Method:
    """Return the method or combination, ready to `fit`. Raises `BenchError` for unknown methods and settings."""
    from bench.training.combination import Combination
    from bench.training.loop import TrainedMethod

    specs = tuple(methods)
    made = [method_class(spec)(settings_of(spec)) for spec in specs]
    if len(made) == 1:
        return made[0]
    trained = [method for method in made if isinstance(method, TrainedMethod)]
    if len(trained) < len(made):
        return made[0]  # a fusion
    return Combination(trained, [spec.name for spec in specs])


def method_class(spec: MethodSpec) -> type[Method]:
    return registry.find_method(spec.place or spec.name).load()


def settings_of(spec: MethodSpec) -> Any:
    """Return the configuration of a method. Raises `BenchError` for unknown settings."""
    return read_config(method_class(spec).Config, dict(spec.settings), f"method '{spec.name}'")


def load_retriever(methods: Iterable[MethodSpec], folder: Path, teacher: Encoder) -> Retriever:
    """Return the retriever of a folder. The first of combined methods loads it."""
    return method_class(next(iter(methods))).load(folder, teacher)


def with_recipe(usual: Mapping[str, Any], recipe: Mapping[str, Any]) -> Configured:
    """Return a recipe as settings; changed settings differ from the `usual` recipe of the encoder."""
    changed = tuple(key for key, value in recipe.items() if spelled(value) != spelled(usual[key]))
    return Configured(tuple(sorted(recipe.items())), changed)
