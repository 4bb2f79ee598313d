"""The identity of a run: the method, the training data, and the test collection.

Experiments, manifests, tables, comparisons, the gate and the report use it. A new dimension of an experiment is a
field with its column. Dimensions of the bitext are in `bench.data.bitext_subsets.BitextSubset`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from bench.data.bitext_subsets import BitextSubset
from bench.data.languages import Pairs, PairText
from bench.errors import unknown
from bench.options import spelled, toml_value
from bench.recipe import Budget
from bench.storage.hashing import digest

BudgetText = Annotated[Budget, BeforeValidator(lambda value: Budget.parse(str(value))), PlainSerializer(str)]


def _sorted_settings(value: Any) -> tuple[tuple[str, Any], ...]:
    pairs = value.items() if isinstance(value, Mapping) else value
    return tuple(sorted((str(key), _hashable(each)) for key, each in pairs))


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _sorted_settings(value)
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


Settings = Annotated[tuple[tuple[str, Any], ...], BeforeValidator(_sorted_settings), PlainSerializer(dict)]
"""Settings sorted by name."""


@dataclass(frozen=True)
class Configured:
    """All settings with their values, and the names of settings that differ from the default."""

    settings: Settings = ()
    changed: tuple[str, ...] = field(default=(), compare=False)

    def texts(self, names: Iterable[str], prefix: str = "") -> list[str]:
        """Return some settings as `key=value`."""
        values = dict(self.settings)
        return [f"{prefix}{name}={spelled(values[name])}" for name in names]


@dataclass(frozen=True)
class MethodSpec(Configured):
    """A method with all of its settings."""

    name: str = field(kw_only=True)
    shown: tuple[str, ...] = field(default=(), compare=False)
    """The settings for tables: changed settings, and settings that a method always shows."""
    supervision: tuple[str, ...] = field(default=(), compare=False)
    """The kinds of training data."""
    place: str = field(default="", compare=False)
    """`path/to/file.py:Class` if the method is in a file."""
    joined: bool = False
    """True if a part of a fusion trains one student with the part before it."""


class NamedMethod(NamedTuple):
    """A method as a user writes it: its name and its settings."""

    name: str
    settings: dict[str, Any]
    joined: bool = False
    """True if it is in brackets and not the first method in them."""


Part = TypeVar("Part", MethodSpec, NamedMethod)


def parse_methods(text: str) -> list[NamedMethod]:
    """Parse `optical`, `optical:epsilon=0.1:special_tokens=true`, `path/to/file.py:Class:key=value`, or a sum of them.

    In a fusion, brackets enclose methods that train one student, as in `fusion+psq+[contrastive+distillation]`.
    """
    methods, inside = [], False
    for part in re.split(r"\+(?=[A-Za-z_./~[])", text):
        joined, inside = inside, inside or part.startswith("[")
        closes = inside and part.count("]") > part[1:].count("[")
        name, *settings = re.split(r":(?=[^:=]+=)", part.removeprefix("[").removesuffix("]" if closes else ""))
        pairs = (setting.partition("=") for setting in settings)
        values = {key.strip(): toml_value(value.strip()) for key, _, value in pairs}
        methods.append(NamedMethod(name, values, joined))
        inside = inside and not closes
    return methods


def grouped(methods: Iterable[Part]) -> list[list[Part]]:
    """Return the methods grouped by brackets; a method without brackets is a group."""
    groups: list[list[Part]] = []
    for method in methods:
        if method.joined and groups:
            groups[-1].append(method)
        else:
            groups.append([method])
    return groups


def joined_names(methods: Iterable[Part]) -> str:
    """Return the names of methods without settings, as `parse_methods` reads them."""
    groups = [[method.name for method in group] for group in grouped(methods)]
    return "+".join(names[0] if len(names) == 1 else f"[{'+'.join(names)}]" for names in groups)


MULTILINGUAL = "multilingual"


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """A training and its evaluation on one collection.

    Without a dataset it is a training. Without a seed it is a system. Fields that do not apply to the method are None
    or empty.
    """

    methods: tuple[MethodSpec, ...]
    """A method, several methods that train one student, or a fusion and its parts."""
    dataset: str = ""
    pair: PairText | None = None
    """The pair of the test collection."""
    encoder: str
    """A known name, an id of the Hugging Face hub, or the absolute path of a folder."""
    scoring: str = ""
    index: str = ""
    """The FAISS index of approximate search; empty for exact search."""
    pairs: Pairs = ()
    """The pairs of the training."""
    unseen: PairText | None = None
    """The tested pair, if the training has other languages. Its test collections count as leakage, too."""
    train: tuple[str, ...] = ()
    """The collections and mixes of the training."""
    recipe: Configured = field(default_factory=Configured)
    leakage: Literal["remove", "keep"] = "remove"
    subset: BitextSubset = field(default_factory=BitextSubset)
    budget: BudgetText | None = None
    seed: int | None = None

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> RunSpec:
        """Return the spec of a value of `dump`. Raises pydantic's `ValidationError`."""
        return _ADAPTER.validate_python(value)

    def dump(self) -> dict[str, Any]:
        """Return a JSON value. Younger fields have no entry for their default, so that older manifests stay valid."""
        value = dict(_ADAPTER.dump_python(self, mode="json"))
        return {name: each for name, each in value.items() if each or name not in ("index", "unseen")}

    @cached_property
    def key(self) -> dict[str, Any]:
        """The JSON value for equality, without texts for display and places of files."""
        compared = {each.name for each in fields(MethodSpec) if each.compare}
        value = self.dump()
        value["methods"] = [{k: v for k, v in each.items() if k in compared} for each in value["methods"]]
        value["recipe"] = value["recipe"]["settings"]
        return value

    @cached_property
    def fingerprint(self) -> str:
        """The hash of `key`."""
        return digest(self.key)

    @property
    def training(self) -> RunSpec:
        """The spec of the training."""
        return replace(self, dataset="", pair=None, scoring="", index="")

    @property
    def system(self) -> RunSpec:
        """The run without its seed."""
        return replace(self, seed=None)

    @cached_property
    def columns(self) -> dict[str, str]:
        """The texts of the run in a table; empty if a column does not apply."""
        return {column.name: column.text(self) for column in COLUMNS}

    @property
    def board(self) -> tuple[str, ...]:
        """The values that must be equal for a comparison of two runs."""
        return tuple(self.columns[name] for name in BOARD)

    def has_conditions_of(self, other: RunSpec) -> bool:
        """Return True if both runs have the same training data and budget, as far as their methods have any."""
        ours, theirs = (spec.train and (spec.train, spec.subset) for spec in (self, other))
        budgets = {spec.budget for spec in (self, other)} - {None}
        return len(budgets) < 2 and (ours == theirs or not (ours and theirs))

    @property
    def method(self) -> str:
        """The name of the method or of the combination."""
        return joined_names(self.methods)

    @property
    def name(self) -> str:
        """The method and its settings."""
        return f"{self.method} {self.columns['config']}".strip()

    @property
    def label(self) -> str:
        """The name of its folder."""
        students, seed = _students(self), "" if self.seed is None else f"seed{self.seed}"
        pair = str(self.pair or self.unseen or self.pairs[0])
        if students == MULTILINGUAL and self.pair is None:
            pair = f"{len(self.pairs)}languages-{self.pairs[0].document}"
        training = (self.method, pair, Path(self.encoder).name, students, self.subset.folder(), seed)
        test = (self.dataset, self.scoring, self.index.replace(":", "."))
        return ".".join(filter(None, (*training, *test)))

    def matches(self, text: str) -> bool:
        """Return True if `text` names the run, as in a leaderboard or on the command line.

        Settings can be in any order and spelling, and can include defaults.
        """
        first, *words = text.split() or [""]
        named = parse_methods(first)
        parts: dict[str, Configured] = {method.name: method for method in self.methods}
        if [(each.name, each.joined) for each in named] != [(each.name, each.joined) for each in self.methods]:
            return False
        requested = {f"{each.name}.{key}": value for each in named for key, value in each.settings.items()}
        for word in words:
            key, _, value = word.partition("=")
            requested[key if "." in key or key == "leakage" else f"{self.method}.{key}"] = value
        parts["recipe"] = self.recipe
        values = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.settings}
        changed = {f"{name}.{key}" for name, part in parts.items() for key in part.changed}
        if self.leakage == "keep":
            changed.add("leakage")
        values["leakage"] = self.leakage
        fits = changed <= requested.keys() <= values.keys()
        return fits and all(_plain(values[key]) == _plain(value) for key, value in requested.items())


_ADAPTER: TypeAdapter[RunSpec] = TypeAdapter(RunSpec)


@dataclass(frozen=True)
class Column:
    """A column of every table that lists runs."""

    name: str
    text: Callable[[RunSpec], str]
    apart: Callable[[RunSpec], str] | None = None
    """Return the text that distinguishes runs of the same name; None if they never differ in the column."""
    number: bool = False
    """True if texts are sorted as numbers, empty texts last."""


def _config(spec: RunSpec) -> str:
    alone = len(spec.methods) == 1
    parts = [method.texts(method.shown, "" if alone else f"{method.name}.") for method in spec.methods]
    parts += [spec.recipe.texts(spec.recipe.changed, "recipe."), ["leakage=keep"] if spec.leakage == "keep" else []]
    return " ".join(chain(*parts))


def _supervision(spec: RunSpec) -> str:
    uses = dict.fromkeys(use for method in spec.methods for use in method.supervision)
    if "bitext" not in uses and dict(spec.recipe.settings).get("initialisation") == "translations":
        uses["bitext (start)"] = None
    return " + ".join(uses)


def _scoring(spec: RunSpec) -> str:
    return f"{spec.scoring} {spec.index}".strip()


def _students(spec: RunSpec) -> str:
    if spec.unseen:
        return "+".join(map(str, spec.pairs))
    return MULTILINGUAL if len(spec.pairs) > 1 else ""


def _subset_column(name: str) -> Column:
    return Column(name, lambda spec: spec.subset.texts[name], lambda spec: f"bitext {spec.subset}", number=True)


COLUMNS = (
    Column("method", lambda spec: spec.method),
    Column("config", _config),
    Column("supervision", _supervision, lambda spec: f"trains on {_supervision(spec) or 'nothing'}"),
    Column("dataset", lambda spec: spec.dataset),
    Column("pair", lambda spec: str(spec.pair or " + ".join(map(str, spec.pairs)))),
    Column("encoder", lambda spec: spec.encoder),
    Column("scoring", _scoring, lambda spec: f"scoring {_scoring(spec) or 'default'}"),
    Column("students", _students, lambda spec: f"{_students(spec) or 'bilingual'} students"),
    Column("train", lambda spec: " + ".join(spec.train), lambda spec: f"train {' + '.join(spec.train) or 'default'}"),
    _subset_column("bitext_size"),
    _subset_column("bitext_noise"),
    Column("budget", lambda spec: str(spec.budget or ""), lambda spec: f"budget {spec.budget or 'default'}"),
    Column("seed", lambda spec: "" if spec.seed is None else str(spec.seed), number=True),
)
SYSTEM = [column.name for column in COLUMNS if column.name != "seed"]
BOARD = ("dataset", "pair", "encoder")
"""The columns that must be equal for a comparison of two runs."""


def select(text: str, specs: Sequence[RunSpec], where: str) -> list[RunSpec]:
    """Return the specs that match a text. Raises `BenchError`, with suggestions, if there is none."""
    exact = [spec for spec in specs if spec.name == text]
    if found := exact or [spec for spec in specs if spec.matches(text)]:
        return found
    raise unknown(where, text, dict.fromkeys(spec.name for spec in specs))


def _plain(value: Any) -> str:
    """Return the text of a setting in one spelling, such as 0.5 for `.5`, `0.50` and 5e-1."""
    try:
        return str(float(spelled(value)))
    except ValueError:
        return spelled(value).lower()
