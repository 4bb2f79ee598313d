"""Test collections without a card: folders of the reader's own, as BEIR or TREC lay them out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.data import Pair
from bench.data.cards import Card
from bench.errors import BenchError

PARTS = {"queries": ("topics*",), "documents": ("corpus*", "collection*"), "qrels": ("qrels*",)}
"""The files of a folder in TREC's layout, one of each."""


def with_folders(cards: Mapping[str, Card], names: Sequence[str], pairs: Sequence[Pair]) -> dict[str, Card]:
    """The cards, and a card for each name that is the path of a folder, by that name.

    A name is one if no card has it, and it has a slash in it or there is such a folder. The collection in it gets the
    folder's name, with those of the folders around it as far as another collection has that already. Raises BenchError
    if there is no such folder, it does not hold what it should, or not one pair is given.
    """
    found = dict(cards)
    for name in names:
        if name in cards or not ("/" in name or Path(name).is_dir()):
            continue
        folder = Path(name).expanduser().absolute()
        if not folder.is_dir():
            raise BenchError(f"the folder {name} does not exist; name a collection (see bench ls datasets) or a folder")
        if len(pairs) != 1:
            raise BenchError(f"the folder {name} does not say its languages; name them, as in --pairs swh-eng")
        format, files = _layout(folder)
        taken = {card.name for card in found.values()}
        own = _plain(folder.name)
        for parent in folder.parents:
            own = own if own not in taken else f"{_plain(parent.name)}-{own}"
        found[name] = Card.model_validate(
            {
                "name": own,
                "description": f"The collection in {folder}",
                "licence": "not known: a folder of the reader's own",
                "folder": str(folder),
                "data": [{"role": "test", "format": format, "pairs": [str(pairs[0])], "files": files}],
            }
        )
    return found


def _layout(folder: Path) -> tuple[str, dict[str, str]]:
    """The format of what is in a folder, and its files."""
    if (folder / "corpus.jsonl").is_file() and (folder / "queries.jsonl").is_file():
        qrels = sorted(path.name for path in folder.glob("qrels/*.tsv"))
        if "test.tsv" not in qrels and len(qrels) != 1:
            raise BenchError(f"{folder}/qrels has neither test.tsv nor a single other file; which one is meant?")
        qrels_file = "test.tsv" if "test.tsv" in qrels else qrels[0]
        return "beir", {"queries": "queries.jsonl", "documents": "corpus.jsonl", "qrels": f"qrels/{qrels_file}"}
    files = {}
    for part, patterns in PARTS.items():
        candidates = sorted(path.name for pattern in patterns for path in folder.glob(pattern) if path.is_file())
        if len(candidates) != 1:
            raise BenchError(
                f"{folder} has {len(candidates)} files called {' or '.join(patterns)}; a collection is BEIR's "
                "corpus.jsonl, queries.jsonl and qrels/test.tsv, or one topics*, one corpus* and one qrels*"
            )
        files[part] = candidates[0]
    return "trec", files


def _plain(name: str) -> str:
    """The name with nothing but what a collection's name may have in it."""
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip(".-") or "folder"
