"""Cards: what a collection is, where its files are and which roles it can play, as TOML.

A card is a file in the checkout's folder `datasets` (in an installed package, `bench.carddata`). A new
collection in a known format is a new card and no code.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from bench.data import Pair, formats
from bench.data.languages import parse_language, parse_pair
from bench.errors import BenchError, unknown

Role = Literal["bitext", "relevance", "test", "passages"]

IR_DATASETS = "ir_datasets"
"""The source of cards whose data the library of that name downloads, verifies and reads."""


def _as_value_error(parse: Any) -> Any:
    """The parser with its BenchError turned into the ValueError that pydantic adds the key to."""

    def validate(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("must be a text")
        try:
            return parse(value)
        except BenchError as error:
            raise ValueError(str(error)) from None

    return validate


_SOURCE = r"[\w.-]+/[\w.-]+@[0-9a-f]{40}"


def _split(path: str) -> tuple[str | None, str]:
    """The repository and commit that a path names, if it does, and the path there."""
    match = re.fullmatch(rf"({_SOURCE}):(.*)", path)
    return (match[1], match[2]) if match else (None, path)


def _stays_inside(path: str) -> str:
    inner = PurePosixPath(_split(path)[1])
    if inner.is_absolute() or ".." in inner.parts or "\\" in path:
        raise ValueError(f"'{path}' is not a relative path inside the repository")
    return path


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
Language = Annotated[str, BeforeValidator(_as_value_error(parse_language))]
PairText = Annotated[Pair, BeforeValidator(_as_value_error(parse_pair))]
RelativePath = Annotated[str, AfterValidator(_stays_inside)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
OneOrMore = Annotated[
    tuple[RelativePath, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Table):
    """One `[[data]]` entry: a role that the collection offers, and the files and format it comes from.

    In `files` and `options`, the placeholders {query}, {document} and {language} stand for this collection's own codes.
    A file of another repository than the card's source is written `owner/repository@commit:path`.
    `pairs` belong to bitext, relevance and tests, `languages` to passages. A test's `distractors` name
    collections whose passages in the document language join its corpus.
    """

    role: Role
    format: str
    pairs: tuple[PairText, ...] = ()
    languages: tuple[Language, ...] = ()
    files: dict[str, OneOrMore] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    distractors: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _fits_its_role(self) -> Data:
        if self.role == "passages":
            missing, misplaced = ("languages", "pairs") if not self.languages else ("", "pairs")
        else:
            missing, misplaced = ("pairs", "languages") if not self.pairs else ("", "languages")
        if missing:
            raise ValueError(f"role '{self.role}' needs '{missing}'")
        if getattr(self, misplaced):
            raise ValueError(f"role '{self.role}' has no '{misplaced}'")
        if self.distractors and self.role != "test":
            raise ValueError(f"role '{self.role}' has no 'distractors'")
        try:
            formats.parser(self.format, self.role)
        except BenchError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def keys(self) -> tuple[Pair | str, ...]:
        """The pairs or languages that this entry has data for."""
        return self.pairs or self.languages


class Mix(_Table):
    """The collections that a method trains on by default, for these pairs."""

    pairs: tuple[PairText, ...] = Field(min_length=1)
    bitext: tuple[Name, ...] = ()
    relevance: tuple[Name, ...] = ()
    caps: dict[Name, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)
    """At most so many pairs of a collection, a random sample: no one source need dominate the others."""

    @model_validator(mode="after")
    def _caps_what_it_has(self) -> Mix:
        for name in self.caps:
            if name not in self.bitext:
                raise ValueError(f"caps: {name} is not in 'bitext'")
        return self


class Card(_Table):
    """A collection, a mix of collections, or both."""

    name: Name
    description: Text
    licence: Text
    non_commercial: bool = False
    citation: Text | None = None
    caveats: Text | None = None
    """What a reader of results should know about this collection, in a sentence or two."""
    measures: tuple[Text, ...] = ()
    """What its field scores it by, besides the default measures."""
    source: Annotated[str, StringConstraints(pattern=f"^({IR_DATASETS}|{_SOURCE})$")] | None = None
    """`owner/repository@commit` on GitHub, or IR_DATASETS; None for local files, generated data and mixes."""
    folder: Text | None = None
    """Where local files are, relative to the card; in a card of the project, to the mirror or the cache. They are
    never downloaded, and need no sha256.
    """
    codes: dict[Language, Text] = Field(default_factory=dict)
    data: tuple[Data, ...] = ()
    mix: Mix | None = None
    sha256: dict[RelativePath, Sha256] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_whole(self) -> Card:
        if not self.data and self.mix is None:
            raise ValueError("a card needs [[data]] or [mix]")
        if self.source is not None and self.folder is not None:
            raise ValueError("'source' and 'folder' exclude each other")
        offered: set[tuple[str, Pair | str]] = set()
        used: set[str] = set()
        for entry in self.data:
            if entry.files and self.source is None and self.folder is None:
                raise ValueError("'source' or 'folder' is missing, but [[data]] names files")
            if (entry.format == "ir-datasets") != (self.source == IR_DATASETS):
                raise ValueError(f"format 'ir-datasets' goes with source '{IR_DATASETS}', and only with it")
            for key in entry.keys:
                if (entry.role, key) in offered:
                    raise ValueError(f"two [[data]] entries offer {entry.role} for {key}")
                offered.add((entry.role, key))
                used.update(path for paths in self.files(entry, key).values() for path in paths)
        missing = sorted(used - set(self.sha256))
        if missing and self.folder is None:
            raise ValueError(f"sha256 of {missing[0]} is missing")
        if unused := sorted(set(self.sha256) - used):
            raise ValueError(f"sha256 names {unused[0]}, which no [[data]] uses")
        return self

    def origin(self, path: str) -> tuple[str, str, str]:
        """`owner/repository`, commit and the path there of one of the card's files; BenchError without a source."""
        other, inner = _split(path)
        source = other or self.source
        if source is None:
            raise BenchError(f"{self.name} has no source to take files from")
        repository, commit = source.split("@")
        return repository, commit, inner

    @property
    def generated(self) -> bool:
        """Whether there is nothing to have at hand: the data are made by this program."""
        return self.source is None and self.folder is None

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that this collection offers, each once, in the card's order."""
        return tuple(dict.fromkeys(entry.role for entry in self.data))

    def pairs(self, role: Role) -> tuple[Pair, ...]:
        """The pairs that the collection offers for a role; none for passages."""
        return tuple(pair for entry in self.data if entry.role == role for pair in entry.pairs)

    def languages(self, role: Role) -> tuple[str, ...]:
        """The languages that the collection offers for a role; none but for passages."""
        return tuple(language for entry in self.data if entry.role == role for language in entry.languages)

    def offers(self, role: Role, key: Pair | str) -> bool:
        """Whether the collection has data in this role for a pair, or a language for passages."""
        return any(entry.role == role and key in entry.keys for entry in self.data)

    def entry(self, role: Role, key: Pair | str) -> Data:
        """The entry with the data in this role for a pair or language; raises BenchError if there is none."""
        for entry in self.data:
            if entry.role == role and key in entry.keys:
                return entry
        others = [str(other) for entry in self.data if entry.role == role for other in entry.keys]
        has = f"it has {', '.join(others)}" if others else "it has none at all"
        raise BenchError(f"{self.name} has no {role} for {key}; {has}")

    def code(self, language: str) -> str:
        """This collection's own code of a canonical language."""
        return self.codes.get(language, language)

    def files(self, entry: Data, key: Pair | str) -> dict[str, tuple[str, ...]]:
        """The entry's files for a pair or language, placeholders filled, relative to the repository or folder."""
        return {part: tuple(self._filled(path, key) for path in paths) for part, paths in entry.files.items()}

    def options(self, entry: Data, key: Pair | str) -> dict[str, Any]:
        """The entry's options for a pair or language, placeholders filled."""
        return {
            name: self._filled(value, key) if isinstance(value, str) else value for name, value in entry.options.items()
        }

    def _filled(self, text: str, key: Pair | str) -> str:
        if isinstance(key, Pair):
            codes = {"{query}": self.code(key.query), "{document}": self.code(key.document)}
        else:
            codes = {"{language}": self.code(key)}
        for placeholder, code in codes.items():
            text = text.replace(placeholder, code)
        return text


def load_cards(extra_folder: Path | None = None) -> dict[str, Card]:
    """All cards by name: those of the project and those of a folder of the user's own.

    Raises BenchError, in one line that names file and key, for a card that cannot be used.
    """
    cards = {card.name: card for card in map(_read_card, _card_files(builtin_folder()))}
    if extra_folder is not None:
        for file in _card_files(extra_folder):
            card = _read_card(file)
            if card.name in cards:
                raise BenchError(f"{file}: a card named '{card.name}' exists already; choose another name")
            cards[card.name] = _in_place(card, extra_folder)
    for card in cards.values():
        _check_references(card, cards)
    return cards


def get_card(name: str, cards: Mapping[str, Card] | None = None) -> Card:
    """The card of this name among `cards` (all by default); raises BenchError with a suggestion."""
    cards = load_cards() if cards is None else cards
    if name not in cards:
        raise unknown("collection", name, cards)
    return cards[name]


def builtin_folder() -> Traversable:
    """The folder of the project's cards, and of what travels with them."""
    # The wheel maps the checkout's folder `datasets` to this name; nothing called `datasets` may be importable.
    try:
        return resources.files("bench.carddata")
    except ModuleNotFoundError:
        return Path(__file__).parents[2] / "datasets"


def _card_files(folder: Traversable) -> Iterator[Traversable]:
    if not folder.is_dir():
        raise BenchError(f"the folder of cards {folder} does not exist")
    files = (file for file in folder.iterdir() if file.name.endswith(".toml"))
    return iter(sorted(files, key=lambda file: file.name.removesuffix(".toml")))


def _read_card(file: Traversable) -> Card:
    try:
        card = Card.model_validate(tomllib.loads(file.read_bytes().decode("utf-8")))
    except UnicodeDecodeError as error:
        raise BenchError(f"{file}: not UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"{file}: not TOML: {error}") from error
    except ValidationError as error:
        raise BenchError(f"{file}: {_one_line(error)}") from error
    if file.name != f"{card.name}.toml":
        raise BenchError(f"{file}: name: '{card.name}' differs from the file's name; rename one of them")
    return card


def _in_place(card: Card, folder: Path) -> Card:
    """The card with its own folder, if it has one, seen from the folder that the card is in."""
    if card.folder is None:
        return card
    return card.model_copy(update={"folder": str(folder.absolute() / Path(card.folder).expanduser())})


_MODELS: Mapping[str, type[BaseModel]] = {"data": Data, "mix": Mix}


def _one_line(error: ValidationError) -> str:
    """The first of pydantic's complaints, as `key: what is wrong`."""
    complaints = error.errors()
    # An unknown key explains best, because what is missing is often the same key spelt right.
    first = next((item for item in complaints if item["type"] == "extra_forbidden"), complaints[0])
    location = [part for part in first["loc"] if part != "[key]"]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if first["type"] == "extra_forbidden":
        model = _MODELS.get(str(location[0]), Card) if len(location) > 1 else Card
        near = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(model.model_fields)}"
        message = f"unknown key; {hint}"
    elif first["type"] == "missing":
        message = "is missing"
    else:
        message = re.sub(r"^Value error, ", "", first["msg"])
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    return f"{key}: {message}{more}" if key else f"{message}{more}"


def _check_references(card: Card, cards: Mapping[str, Card]) -> None:
    """That every collection which the card names exists and offers what it is named for."""
    for index, entry in enumerate(card.data):
        for name in entry.distractors:
            other = _referenced(card, f"data[{index}].distractors", name, cards)
            for pair in entry.pairs:
                if not other.offers("passages", pair.document):
                    raise BenchError(
                        f"{card.name}.toml: data[{index}].distractors: {name} has no passages in {pair.document}"
                    )
    if card.mix is not None:
        roles: tuple[tuple[Role, tuple[str, ...]], ...] = (
            ("bitext", card.mix.bitext),
            ("relevance", card.mix.relevance),
        )
        for role, names in roles:
            for name in names:
                if role not in _referenced(card, f"mix.{role}", name, cards).roles:
                    raise BenchError(f"{card.name}.toml: mix.{role}: {name} offers no {role}")


def _referenced(card: Card, key: str, name: str, cards: Mapping[str, Card]) -> Card:
    try:
        return get_card(name, cards)
    except BenchError as error:
        raise BenchError(f"{card.name}.toml: {key}: {error}") from None
