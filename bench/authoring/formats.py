"""The page of file formats, made from the code, and `bench new-card`: a card for a user's own files."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel

from bench.data import Pair
from bench.data.cards import Card, Role, load_cards
from bench.data.files import Resolver
from bench.data.formats import FORMATS, Format
from bench.data.loading import read
from bench.data.own import FORMS, card_of, own_path
from bench.errors import BenchError
from bench.inspection.pages import settings_table
from bench.storage.atomic import atomic_write

INTRODUCTION = """# Formats

`bench ls formats --output docs` writes this page from the code.

## Files and folders without a card

    bench run --methods contrastive --train notes.tsv --datasets quiz --pairs swh-eng

`--train` and `--datasets` take paths of files and folders. Their form is recognised by their content. A pair may follow
a path: `notes.tsv:swh-eng`. Otherwise the pairs are those of `--pairs`. Files may be gzipped, and must be UTF-8.

| form | option | content |
|---|---|---|
"""
CARDS = """
`bench new-card NAME --train notes.tsv --datasets quiz --pairs swh-eng` writes a card of such files, to share them or to
change how they are read. `--cards cards --datasets NAME --train NAME` uses it.

## Formats of cards

Each `[[data]]` entry of a card has a `role` and a `format`. `files` has the keys below. Keys with a plus may name
several files, in a list. `options` has the keys of the tables. `{query}`, `{document}` and `{language}` in file names
and options stand for the languages.
"""


def formats_table() -> list[list[str]]:
    """Return the rows of `bench ls formats`: format, role, keys of files, keys of options."""
    return [
        [name, role, format.files.replace(" ", ", ") or "-", ", ".join(_options(format)) or "-"]
        for name, role, format in _formats()
    ]


def formats_page() -> str:
    """Return the page of formats as Markdown."""
    parts = [INTRODUCTION + "".join(f"| {form} | `{option}` | {text} |\n" for form, option, text in FORMS) + CARDS]
    for name, members in groupby(_formats(), key=lambda each: each[0]):
        parts.append(f"### {name}\n")
        models: dict[type[BaseModel], None] = {}
        for _, role, format in members:
            text = re.sub(r"\s*(Raises|Errors are)\b.*", "", format.parse.__doc__, flags=re.DOTALL)
            about = re.sub("^(Return|Yield|Parse) ", "", " ".join(text.split()))
            keys = ", ".join(f"`{part}`" for part in format.files.split())
            parts.append(f"**{role}**{f', files {keys}' if keys else ''}: {about}\n")
            models |= {format.options: None} if format.options else {}
        parts += ["\n".join(settings_table(model, "option")) + "\n" for model in models]
    return "\n".join(parts)


def _formats() -> Iterator[tuple[str, str, Format]]:
    found = ((name, role, format) for role, formats in FORMATS.items() for name, format in formats.items())
    return iter(sorted(found, key=lambda each: each[0]))


def _options(format: Format) -> list[str]:
    return [field.alias or name for name, field in format.options.model_fields.items()] if format.options else []


def write_card(
    name: str, paths: Mapping[str, Sequence[str]], pairs: Sequence[Pair], licence: str | None, folder: Path
) -> Path:
    """Write the card of files of the options `--train` and `--datasets` to `folder/name.toml`, and return its path.

    All files are read. Raises `BenchError` for unknown forms and malformed files, and if the card exists.
    """
    target = folder.absolute() / f"{name}.toml"
    if name in load_cards() or target.exists():
        raise BenchError(f"a card named '{name}' exists already; choose another name")
    parts = [
        card_of(path, option, [pair] if pair else pairs, {}, name)
        for option, texts in paths.items()
        for path, pair in map(own_path, texts)
    ]
    if not parts:
        raise BenchError("name files or folders with --train or --datasets")
    base = Path(os.path.commonpath([str(part.folder) for part in parts]))
    card = _joined(parts, base)
    for entry in card.data:
        for key in entry.keys:
            read(card, entry.role, key, Resolver(offline=True))
    values = card.model_dump(mode="json", exclude_defaults=True)
    values |= {"licence": licence or values["licence"], "folder": os.path.relpath(base, target.parent)}
    with atomic_write(target) as file:
        file.write(tomli_w.dumps(values))
    return target


def _joined(parts: Sequence[Card], base: Path) -> Card:
    """Return one card with the data of several, whose files are relative to `base`."""
    data: list[dict[str, Any]] = []
    codes: dict[str, str] = {}
    offered: set[tuple[Role, object]] = set()
    for part in parts:
        codes |= part.codes
        prefix = Path(os.path.relpath(str(part.folder), base))
        for entry in part.data:
            if (entry.role, entry.keys) not in offered:  # both names of two aligned files are one collection
                offered.add((entry.role, entry.keys))
                files = {name: [(prefix / path).as_posix() for path in paths] for name, paths in entry.files.items()}
                data.append({**entry.model_dump(mode="json", exclude_defaults=True), "files": files})
    values = parts[0].model_dump(mode="json", exclude_defaults=True)
    return Card.model_validate({**values, "folder": str(base), "codes": codes, "data": data})
