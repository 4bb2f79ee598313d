"""Test collections without a card: a user's own folders in BEIR's or TREC's layout."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.data import Pair
from bench.data.cards import Card
from bench.errors import BenchError

PARTS = {"queries": ("topics*",), "documents": ("corpus*", "collection*"), "qrels": ("qrels*",)}
"""The files of a folder in TREC's layout, one of each."""


def with_folders(cards: Mapping[str, Card], names: Sequence[str], pairs: Sequence[Pair]) -> dict[str, Card]:
    """Return the cards, and one for each name without a card that is a path, by that name. The collection gets the
    folder's name, preceded by those of parents if it is taken. Raises `BenchError` for a folder of another layout, and
    unless exactly one pair is given.
    """
    result = dict(cards)
    for name in names:
        if name in cards or not ("/" in name or Path(name).is_dir()):
            continue
        folder = Path(name).expanduser().absolute()
        if not folder.is_dir():
            raise BenchError(f"the folder {name} does not exist; name a collection (see bench ls datasets) or a folder")
        if len(pairs) != 1:
            raise BenchError(f"the languages of the folder {name} are not known; name them, as in --pairs swh-eng")
        format, files = _layout(folder)
        taken = {card.name for card in result.values()}
        own = _plain(folder.name)
        for parent in folder.parents:
            own = own if own not in taken else f"{_plain(parent.name)}-{own}"
        result[name] = Card.model_validate(
            {
                "name": own,
                "description": f"The collection in {folder}",
                "licence": "not known: a folder of the user's own",
                "folder": str(folder),
                "data": [{"role": "test", "format": format, "pairs": [str(pairs[0])], "files": files}],
            }
        )
    return result


def _layout(folder: Path) -> tuple[str, dict[str, str]]:
    """Return the format of a folder, and its files."""
    if (folder / "corpus.jsonl").is_file() and (folder / "queries.jsonl").is_file():
        qrels = sorted(path.name for path in folder.glob("qrels/*.tsv"))
        if "test.tsv" not in qrels and len(qrels) != 1:
            raise BenchError(f"{folder}/qrels has no test.tsv and {len(qrels)} other files; it needs a single file")
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
    """Return the name with only the characters that are allowed in the name of a collection."""
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip(".-") or "folder"
