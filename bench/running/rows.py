"""The methods of a comparison: every setting with its value, and what is planned by.

Only a method's class knows its defaults. What it says is remembered under a key of its code, so that planning imports
no method that it has asked before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.cache import default_cache
from bench.code import plugin_libraries
from bench.errors import BenchError, CellFailed, describe
from bench.fingerprint import code_digest, digest, library_versions
from bench.options import read_config
from bench.registry import MethodEntry
from bench.request import Request
from bench.sealed import remembered
from bench.spec import Configured, MethodSpec, NamedMethod, parse_methods
from bench.values import spelled

if TYPE_CHECKING:
    from bench.encoders.encoder import Encoder
    from bench.evaluation.retriever import Retriever
    from bench.training.method import Method

Call = Callable[..., Any]
"""Calls a function with arguments, perhaps in another process."""
DOCUMENTS = "documents"
"""The setting that combined methods share: who encodes documents."""


def here(function: Call, *arguments: Any) -> Any:
    """Call a function in this process."""
    return function(*arguments)


@dataclass(frozen=True)
class Row:
    """A method, or several that train one student together, with what is planned by."""

    methods: tuple[MethodSpec, ...]
    modules: tuple[str, ...] = field(compare=False)
    """The modules of the methods."""
    depends_on: frozenset[str] = field(compare=False)
    scorings: tuple[str, ...] = field(compare=False)
    oracle: bool = field(compare=False)
    models: tuple[str, ...] = field(compare=False)
    """Models that are used besides the teacher."""
    own: bool = field(compare=False)
    """True if every method belongs to this project; false with a plugin."""
    settings: Mapping[str, Mapping[str, Any]] = field(compare=False)
    """The settings of each method, by its name. Settings that only this row has are left out."""
    asked: bool = field(default=True, compare=False)
    """True if a user asked for it; reference rows join unasked."""

    @property
    def name(self) -> str:
        return "+".join(method.name for method in self.methods)


def expand(
    methods: Iterable[str], settings: Mapping[str, Mapping[str, Any]], call: Call = here
) -> tuple[tuple[str, ...], list[str]]:
    """Return the methods named, with those that are installed in place of `all`, and a line for each that is left out.

    Methods that would need a download and plugins that are broken are left out; `call` asks the classes of plugins.
    """
    methods = tuple(methods)
    if registry.ALL not in methods:
        return methods, []
    from bench.encoders.models import at_hand

    found, notes = [], [f"skipped: {line}" for line in registry.conflicts()]
    for entry in registry.known().values():
        if entry.is_variant or entry.reference:
            continue
        try:
            row = make_row(entry.name, settings, call=call)
        except Exception as error:
            if entry.package == registry.OWN:
                raise
            about = "" if isinstance(error, BenchError) else f"method '{entry.name}': "
            notes.append(f"skipped: {about}{describe(error)}")
            continue
        if absent := next((model for model in row.models if not at_hand(model)), None):
            notes.append(f"skipped: {entry.name}: it needs {absent}, which is not on this machine; named, it is tried")
        else:
            found.append(entry.name)
    named = (found if name == registry.ALL else [name] for name in methods)
    return tuple(dict.fromkeys(name for names in named for name in names)), notes


def make_row(text: str, settings: Mapping[str, Mapping[str, Any]], *, asked: bool = True, call: Call = here) -> Row:
    """Return the method, or the combination, that a text names, with the settings of methods by name.

    `call` asks the class of a plugin. Raises `BenchError` for settings that a method does not have, and for methods
    that cannot be combined.
    """
    named = [(registry.find_method(each.name), each) for each in parse_methods(text)]
    facts = [_facts(entry, each, settings, call) for entry, each in named]
    names = [entry.name for entry, _ in named]
    if len(named) == 1:
        weight = facts[0]["settings"].get("weight", 1)
        if facts[0]["trained"] and weight != 1:
            raise BenchError(f"method '{names[0]}': weight means something only where methods are combined with +")
    for name, fact in zip(names, facts, strict=True):
        if len(named) > 1 and not fact["trained"]:
            raise BenchError(f"method '{name}' trains no student, so it cannot be combined with others")
        if names.count(name) > 1:
            raise BenchError(f"method '{name}' is combined with itself")
    for fact in facts[1:]:  # one student serves all parts, and so does who encodes documents
        fact["settings"][DOCUMENTS] = facts[0]["settings"][DOCUMENTS]
        fact["changed"] = [key for key in fact["changed"] if key != DOCUMENTS]
        fact["shown"] = [key for key in fact["shown"] if key != DOCUMENTS]
    return Row(
        tuple(_method(entry, fact) for (entry, _), fact in zip(named, facts, strict=True)),
        modules=tuple(entry.module for entry, _ in named),
        depends_on=frozenset(what for fact in facts for what in fact["depends_on"]),
        scorings=tuple(facts[0]["scorings"]),
        oracle=any(fact["oracle"] for fact in facts),
        models=tuple(model for fact in facts for model in fact["models"]),
        own=all(entry.package == registry.OWN for entry, _ in named),
        settings={name: fact["shared"] for name, fact in zip(names, facts, strict=True)},
        asked=asked,
    )


def make_rows(request: Request, call: Call = here) -> list[Row]:
    """Return the reference rows and the methods asked for, each once.

    Raises `BenchError` if two methods share a name, and as `make_row`.
    """
    asked = [make_row(text, request.method, call=call) for text in request.methods]
    unasked = [make_row(name, request.method, asked=False) for name in registry.references()]
    modules: dict[str, str] = {}
    rows: dict[tuple[MethodSpec, ...], Row] = {}
    for row in [*unasked, *asked]:
        for method, module in zip(row.methods, row.modules, strict=True):
            if modules.setdefault(method.name, module) != module:
                raise BenchError(f"two methods are called '{method.name}'; rename one, or run them in separate calls")
        rows[row.methods] = row
    return list(rows.values())


def _method(entry: MethodEntry, fact: Mapping[str, Any]) -> MethodSpec:
    told = Configured(tuple(sorted(fact["settings"].items())), tuple(fact["changed"]))
    return MethodSpec(
        told.settings,
        told.changed,
        name=entry.name,
        shown=tuple(fact["shown"]),
        uses=tuple(fact["uses"]),
        place=f"{entry.module}:{entry.attribute}" if entry.module.endswith(".py") else "",
    )


def _facts(
    entry: MethodEntry, named: NamedMethod, settings: Mapping[str, Mapping[str, Any]], call: Call
) -> dict[str, Any]:
    shared = {**settings.get(entry.base, {}), **dict(entry.settings), **settings.get(entry.name, {})}
    own = dict(named.settings)
    project = entry.package == registry.OWN
    code = [code_digest(entry.module), {} if project else plugin_libraries(entry.module)]
    key = digest([str(entry), shared, own, code, code_digest("bench.training.method"), library_versions("pydantic")])
    where = here if project else call
    try:
        return _remembered(key, where, entry, shared, own)
    except CellFailed as error:
        raise BenchError(f"method '{entry.name}': {error}") from error


def _remembered(
    key: str, where: Call, entry: MethodEntry, shared: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[str, Any]:
    return dict(remembered(default_cache() / "methods" / f"{key}.json", lambda: where(ask, entry, shared, own)))


def ask(entry: MethodEntry, shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the class of a method says of itself under given settings, as a JSON value.

    Raises `BenchError` if it cannot be imported or does not have such settings.
    """
    from bench.training.method import TrainedMethod

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
        "uses": list(method.uses),
        "depends_on": sorted(method.depends_on),
        "scorings": list(loaded.scorings),
        "oracle": bool(loaded.oracle),
        "models": list(map(str, method.models)),
        "trained": issubclass(loaded, TrainedMethod),
    }


def make_method(methods: Iterable[MethodSpec]) -> Method:
    """Return the method, or the combination, ready to `fit`. Raises `BenchError` for one that is not installed, and for
    settings that it does not have.
    """
    from bench.training.combination import Combination
    from bench.training.method import TrainedMethod

    specs = tuple(methods)
    made = [method_class(spec)(settings_of(spec)) for spec in specs]
    if len(made) == 1:
        return made[0]
    trained = [method for method in made if isinstance(method, TrainedMethod)]
    return Combination(trained, [spec.name for spec in specs])


def method_class(spec: MethodSpec) -> type[Method]:
    """Return the class of a method. Raises `BenchError` if it is not installed or cannot be imported."""
    return registry.find_method(spec.place or spec.name).load()


def settings_of(spec: MethodSpec) -> Any:
    """Return the configuration of a method. Raises `BenchError` for a setting that it does not have."""
    return read_config(method_class(spec).Config, dict(spec.settings), f"method '{spec.name}'")


def load_retriever(methods: Iterable[MethodSpec], folder: Path, teacher: Encoder) -> Retriever:
    """Return the retriever that was saved in a folder. Combined methods all make the one student's."""
    return method_class(next(iter(methods))).load(folder, teacher)


def with_recipe(usual: Mapping[str, Any], recipe: Mapping[str, Any]) -> Configured:
    """Return a recipe with the settings that are no defaults of its encoder."""
    changed = tuple(key for key, value in recipe.items() if spelled(value) != spelled(usual[key]))
    return Configured(tuple(sorted(recipe.items())), changed)
