"""Cards: the description, files and roles of a collection, as TOML.

A card is a file in the folder `datasets` (in an installed package, `bench.carddata`). A new collection in a known
format needs a card and no code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from bench.data import Pair, formats
from bench.data.languages import Language, PairText
from bench.errors import BenchError, unknown
from bench.options import parse_toml, read_config
from bench.storage.reading import read_text

Role = Literal["bitext", "relevance", "test", "passages"]

IR_DATASETS = "ir_datasets"
"""The source of cards of the library ir_datasets, which downloads and verifies their data."""
_SOURCE = r"[\w.-]+/[\w.-]+@[0-9a-f]{40}"


def _split(path: str) -> tuple[str | None, str]:
    """Return the repository and commit of a path that names them, else None, and the path inside the repository."""
    match = re.fullmatch(rf"({_SOURCE}):(.*)", path)
    return (match[1], match[2]) if match else (None, path)


def _relative(path: str) -> str:
    """Return a path of a file, perhaps with its repository. Raises `ValueError` if it leaves the folder."""
    source, inner = _split(path)
    parts = PurePosixPath(inner).parts
    if not parts or parts[0] == "/" or ".." in parts or re.search(r"[\\\0]", path):
        raise ValueError(f"'{path}' is not a relative path inside the repository")
    if source is not None:
        _repository(source)
    return path


def _repository(source: str) -> str:
    """Return a source. Raises `ValueError` if its owner or repository is the name of another folder."""
    if {".", ".."} & set(re.split("[/@]", source)):
        raise ValueError(f"'{source}' is not owner/repository@commit")
    return source


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
NAME = r"^[a-z0-9][a-z0-9.-]*$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
RelativePath = Annotated[str, AfterValidator(_relative)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
OneOrMore = Annotated[tuple[RelativePath, ...], BeforeValidator(lambda path: [path] if isinstance(path, str) else path)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Table):
    """One `[[data]]` entry: a role that the collection offers, with its files and their format.

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
        needed, misplaced = ("languages", "pairs") if self.role == "passages" else ("pairs", "languages")
        if not getattr(self, needed):
            raise ValueError(f"role '{self.role}' needs '{needed}'")
        for name in (misplaced, *(["distractors"] if self.role != "test" else [])):
            if getattr(self, name):
                raise ValueError(f"role '{self.role}' has no '{name}'")
        formats.get_format(self.format, self.role).check_files(self.files)
        return self

    @property
    def keys(self) -> tuple[Pair | str, ...]:
        """The pairs or languages of the data."""
        return self.pairs or self.languages


class Mix(_Table):
    """The standard training data of pairs, as a list of collections."""

    pairs: tuple[PairText, ...] = Field(min_length=1)
    bitext: tuple[Name, ...] = ()
    relevance: tuple[Name, ...] = ()
    caps: dict[Name, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)
    """Maximum number of rows of a collection, a random sample."""

    @model_validator(mode="after")
    def _caps_what_it_has(self) -> Mix:
        if others := self.caps.keys() - set(self.bitext):
            raise ValueError(f"caps: {min(others)} is not in 'bitext'")
        return self


class Mteb(_Table):
    """The task of MTEB for a collection."""

    task: Text
    split: Text = "test"
    order: Literal["query-document", "document-query"] = "query-document"
    """The order of the two languages in the names of its subsets."""
    scripts: dict[Language, Text] = Field(default_factory=dict)
    """The script of a language, such as `Cyrl`, if the task has it in several."""


class Card(_Table):
    """A collection, a mix of collections, or both."""

    name: Name
    description: Text
    licence: Text
    non_commercial: bool = False
    citation: Text | None = None
    caveats: Text | None = None
    """One or two sentences for readers of results."""
    measures: tuple[Text, ...] = ()
    """Additional measures of the collection."""
    mteb: Mteb | None = None
    development: bool = False
    """True for a collection to choose settings on. `bench tune` accepts no others."""
    source: (
        Annotated[str, StringConstraints(pattern=f"^({IR_DATASETS}|{_SOURCE})$"), AfterValidator(_repository)] | None
    ) = None
    """`owner/repository@commit` on GitHub, or IR_DATASETS; None for local files, generated data and mixes."""
    folder: Text | None = None
    """The folder of local files, relative to the card; in a card of the project, to the mirror or the cache. They are
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
            if entry.files and self.generated:
                raise ValueError("'source' or 'folder' is missing, but [[data]] names files")
            if (entry.format == "ir-datasets") != (self.source == IR_DATASETS):
                raise ValueError(f"format 'ir-datasets' goes with source '{IR_DATASETS}', and only with it")
            for key in entry.keys:
                if (entry.role, key) in offered:
                    raise ValueError(f"two [[data]] entries offer {entry.role} for {key}")
                offered.add((entry.role, key))
                used.update(_relative(path) for paths in self.files(entry, key).values() for path in paths)
        if self.folder is None and (missing := sorted(used - set(self.sha256))):
            raise ValueError(f"sha256 of {missing[0]} is missing")
        if unused := sorted(set(self.sha256) - used):
            raise ValueError(f"sha256 names {unused[0]}, which no [[data]] uses")
        return self

    def origin(self, path: str) -> tuple[str, str, str]:
        """Return `owner/repository`, commit and path there of a file. Raises `BenchError` if the card has no source."""
        other, inner = _split(path)
        source = other or self.source
        if source is None:
            raise BenchError(f"{self.name} has no source to take files from")
        repository, commit = source.split("@")
        return repository, commit, inner

    @property
    def generated(self) -> bool:
        """True if this program makes the data, so that there are no files."""
        return self.source is None and self.folder is None

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that this collection offers, each once, in the card's order."""
        return tuple(dict.fromkeys(entry.role for entry in self.data))

    def keys(self, role: Role) -> tuple[Pair | str, ...]:
        """Return the pairs, or for passages the languages, of the collection's data in a role."""
        return tuple(key for entry in self.data if entry.role == role for key in entry.keys)

    def pairs(self, role: Role) -> tuple[Pair, ...]:
        """Return the pairs of the collection's data in a role; none for passages."""
        return tuple(key for key in self.keys(role) if isinstance(key, Pair))

    def entry(self, role: Role, key: Pair | str) -> Data:
        """Return the entry with the data in this role for a pair or language. Raises `BenchError` if there is none."""
        for entry in self.data:
            if entry.role == role and key in entry.keys:
                return entry
        others = ", ".join(map(str, self.keys(role))) or "none at all"
        raise BenchError(f"{self.name} has no {role} for {key}; it has {others}")

    def code(self, language: str) -> str:
        """Return the code that the collection uses for a canonical language."""
        return self.codes.get(language, language)

    def files(self, entry: Data, key: Pair | str) -> dict[str, tuple[str, ...]]:
        """Return the files of an entry for a pair or language, relative to the repository or folder."""
        return {part: tuple(self._filled(path, key) for path in paths) for part, paths in entry.files.items()}

    def options(self, entry: Data, key: Pair | str) -> dict[str, Any]:
        """Return the options of an entry for a pair or language."""
        return {name: self._filled(value, key) for name, value in entry.options.items()}

    def _filled(self, value: Any, key: Pair | str) -> Any:
        """Return a text without placeholders, and other values as they are."""
        if isinstance(value, str):
            for placeholder, language in (vars(key) if isinstance(key, Pair) else {"language": key}).items():
                value = value.replace(f"{{{placeholder}}}", self.code(language))
        return value


def load_cards(extra_folder: Path | None = None) -> dict[str, Card]:
    """Return the cards of the project and of a user's own folder by name. Raises `BenchError` for an unusable card."""
    cards = {card.name: card for card in _read_cards(builtin_folder())}
    if extra_folder is not None:
        for card in _read_cards(extra_folder):
            if card.name in cards:
                raise BenchError(f"{extra_folder}: a card named '{card.name}' exists already; choose another name")
            for entry in card.data:
                what = f"{extra_folder}/{card.name}.toml: options of {entry.role}"
                formats.get_format(entry.format, entry.role).read_options(card.options(entry, entry.keys[0]), what)
            if card.folder is not None:
                place = extra_folder.absolute() / Path(card.folder).expanduser()
                card = card.model_copy(update={"folder": str(place)})
            cards[card.name] = card
    for card in cards.values():
        _check_references(card, cards)
    return cards


def get_card(name: str, cards: Mapping[str, Card] | None = None) -> Card:
    """Return the card of this name among `cards` (all by default). Raises `BenchError` with a suggestion."""
    cards = load_cards() if cards is None else cards
    if name not in cards:
        raise unknown("collection", name, cards)
    return cards[name]


def builtin_folder() -> Traversable:
    """Return the folder of the project's cards and of their statistics."""
    # The wheel has the folder `datasets` under this name, since no module may be called `datasets`.
    try:
        return resources.files("bench.carddata")
    except ModuleNotFoundError:
        return Path(__file__).parents[2] / "datasets"


def _read_cards(folder: Traversable) -> Iterator[Card]:
    if not folder.is_dir():
        raise BenchError(f"the folder of cards {folder} does not exist")
    shown = [file for file in folder.iterdir() if file.name.endswith(".toml") and not file.name.startswith(".")]
    files = {file.name.removesuffix(".toml"): file for file in shown}
    for name, file in sorted(files.items()):
        card = _read_card(read_text(file), str(file))
        if name != card.name:
            raise BenchError(f"{file}: name: '{card.name}' differs from the file's name; rename one of them")
        yield card


@cache
def _read_card(text: str, place: str) -> Card:
    return read_config(Card, parse_toml(text, place), place)


def _check_references(card: Card, cards: Mapping[str, Card]) -> None:
    """Raise `BenchError` unless every collection that the card names exists and offers the role."""
    references: list[tuple[str, Role, tuple[str, ...], tuple[Pair, ...]]] = [
        (f"data[{index}].distractors", "passages", entry.distractors, entry.pairs)
        for index, entry in enumerate(card.data)
    ]
    if mix := card.mix:
        references += [("mix.bitext", "bitext", mix.bitext, ()), ("mix.relevance", "relevance", mix.relevance, ())]
    for key, role, names, pairs in references:
        for name in names:
            place = f"{card.name}.toml: {key}"
            if name not in cards:
                raise BenchError(f"{place}: {unknown('collection', name, cards)}")
            lacking = [f" in {pair.document}" for pair in pairs if pair.document not in cards[name].keys(role)]
            if lacking or role not in cards[name].roles:
                raise BenchError(f"{place}: {name} offers no {role}{''.join(lacking[:1])}")
