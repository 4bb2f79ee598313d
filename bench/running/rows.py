"""The methods of a comparison with their configurations: what the rows of a leaderboard are made by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.errors import BenchError, describe
from bench.options import read_config
from bench.registry import MethodEntry, Spec
from bench.request import Request

if TYPE_CHECKING:
    from bench.encoders.encoder import Encoder
    from bench.evaluation.retriever import Retriever
    from bench.training.method import Method, MethodConfig


@dataclass(frozen=True)
class Part:
    """A method with its configuration, alone or combined with others."""

    entry: MethodEntry
    method: type[Method]
    config: MethodConfig
    shared: MethodConfig
    """The configuration without the settings that this row alone has."""
    usual: MethodConfig
    """What it would be configured by if nothing were said."""

    def make(self) -> Method:
        return self.method(self.config)

    @property
    def changes(self) -> list[str]:
        """The values of the configuration that are not usual, or always shown, as `key=value`."""
        usual, shown = self.usual.model_dump(), self.config.always_shown
        return [
            f"{key}={value}" for key, value in self.config.model_dump().items() if value != usual[key] or key in shown
        ]


@dataclass(frozen=True)
class Row:
    """A method, or several that train one student together."""

    parts: tuple[Part, ...]
    asked: bool = True
    """Whether a user asked for it; reference rows join unasked."""

    @property
    def name(self) -> str:
        return "+".join(part.entry.name for part in self.parts)

    @property
    def config(self) -> str:
        """What is not usual of it, for people."""
        if len(self.parts) == 1:
            return " ".join(self.parts[0].changes)
        return " ".join(f"{part.entry.name}.{change}" for part in self.parts for change in part.changes)

    @property
    def uses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(use for part in self.parts for use in part.make().uses))

    @property
    def depends_on(self) -> frozenset[str]:
        return frozenset(what for part in self.parts for what in part.make().depends_on)

    @property
    def scorings(self) -> tuple[str, ...]:
        return self.parts[0].method.scorings

    @property
    def oracle(self) -> bool:
        return any(part.method.oracle for part in self.parts)

    def make(self) -> Method:
        """The method, ready to `fit`."""
        from bench.training.combination import Combination
        from bench.training.method import TrainedMethod

        methods = [part.make() for part in self.parts]
        if len(methods) == 1:
            return methods[0]
        trained = [method for method in methods if isinstance(method, TrainedMethod)]
        return Combination(trained, [part.entry.name for part in self.parts])

    def load(self, folder: Path, teacher: Encoder) -> Retriever:
        """The retriever that was saved there. Combined methods all make the one student's."""
        return self.parts[0].method.load(folder, teacher)


def expand(methods: Iterable[str], settings: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, ...], list[str]]:
    """The methods named, with those that are installed in place of `all`, and a line for each that is left out.

    Left out is what would need a download, and plugins that are broken.
    """
    methods = tuple(methods)
    if registry.ALL not in methods:
        return methods, []
    entries, useless = registry.usable()
    found, notes = [], [f"skipped: {line}" for line in useless]
    for entry in entries.values():
        if entry.is_variant or entry.reference:
            continue
        try:
            part = _part(Spec(entry.name), settings)
            lacking = part.method.missing(part.config)
        except Exception as error:
            if entry.package == registry.OWN:
                raise
            notes.append(f"skipped: method '{entry.name}': {describe(error)}")
            continue
        if lacking:
            notes.append(f"skipped: {entry.name}: {lacking}; asked for by name it is tried")
        else:
            found.append(entry.name)
    named = (found if name == registry.ALL else [name] for name in methods)
    return tuple(dict.fromkeys(name for names in named for name in names)), notes


def make_row(text: str, settings: Mapping[str, Mapping[str, Any]], *, asked: bool = True) -> Row:
    """The method, or the combination, that a text asks for, with the settings of methods by name.

    Raises `BenchError` for settings that a method does not have, and for what cannot be combined.
    """
    return Row(_parts(registry.parse_spec(text), settings), asked)


def make_rows(request: Request) -> list[Row]:
    """The reference rows and the methods asked for, each once.

    Raises `BenchError` if two methods share a name, for settings that a method does not have, and for what cannot be
    combined.
    """
    asked = [make_row(text, request.method) for text in request.methods]
    unasked = [make_row(name, request.method, asked=False) for name in registry.references()]
    named: dict[str, MethodEntry] = {}
    rows: dict[tuple[Part, ...], Row] = {}
    for row in [*unasked, *asked]:
        for part in row.parts:
            if named.setdefault(part.entry.name, part.entry) != part.entry:
                raise BenchError(
                    f"two methods are called '{part.entry.name}'; rename one, or run them in separate calls"
                )
        rows[row.parts] = row
    return list(rows.values())


def _parts(specs: Iterable[Spec], settings: Mapping[str, Mapping[str, Any]]) -> tuple[Part, ...]:
    from bench.training.method import TrainedMethod

    parts = [_part(spec, settings) for spec in specs]
    names = [part.entry.name for part in parts]
    if len(parts) == 1:
        if getattr(parts[0].config, "weight", 1) != 1 and issubclass(parts[0].method, TrainedMethod):
            raise BenchError(f"method '{names[0]}': weight means something only where methods are combined with +")
        return tuple(parts)
    for part in parts:
        if not issubclass(part.method, TrainedMethod):
            raise BenchError(f"method '{part.entry.name}' trains no student, so it cannot be combined with others")
        if names.count(part.entry.name) > 1:
            raise BenchError(f"method '{part.entry.name}' is combined with itself")
    # One student serves all parts, and so does who encodes documents.
    documents = {"documents": parts[0].config.documents}  # type: ignore[attr-defined]
    followers = [
        replace(part, config=part.config.model_copy(update=documents), usual=part.usual.model_copy(update=documents))
        for part in parts[1:]
    ]
    return (parts[0], *followers)


def _part(spec: Spec, settings: Mapping[str, Mapping[str, Any]]) -> Part:
    entry = registry.find_method(spec.name)
    method, what = entry.load(), f"method '{entry.name}'"
    shared = {**settings.get(entry.base, {}), **dict(entry.settings), **settings.get(entry.name, {})}
    return Part(
        entry,
        method,
        read_config(method.Config, {**shared, **dict(spec.settings)}, what),
        read_config(method.Config, shared, what),
        read_config(method.Config, dict(entry.settings), what),
    )
