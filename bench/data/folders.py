"""Test collections without a card: a user's own folders in BEIR's or TREC's layout."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.data import Pair
from bench.data.cards import Card
from bench.errors import BenchError

PARTS = {
    "queries": ("topics*", "queries*", "query-text*", "*.qry*"),
    "documents": ("corpus*", "collection*", "documents*", "doc-text*", "*.all*"),
    "qrels": ("qrels*", "cranqrel", "*qrel*.txt*", "rlv-ass*"),
}
"""Names of the files of a folder in TREC's layout, by preference, and as Vaswani and Cranfield are published."""


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


def _layout(folder: Path) -> tuple[str, dict[str, list[str]]]:
    """Return the format of a folder, and its files."""
    beir = [next(_files_of(folder, f"{name}.jsonl", f"{name}.jsonl.gz"), "") for name in ("queries", "corpus")]
    splits = {name.split(".")[0]: f"qrels/{name}" for name in _files_of(folder / "qrels", "*.tsv.gz", "*.tsv")}
    if all(beir) and splits:
        if "test" not in splits and len(splits) > 1:
            raise BenchError(f"{folder}/qrels has no test.tsv and {len(splits)} other files; it needs a single file")
        qrels = splits.get("test") or next(iter(splits.values()))
        return "beir", {"queries": beir[:1], "documents": beir[1:], "qrels": [qrels]}
    return "trec", {part: _files(folder, part) for part in PARTS}


def _files_of(folder: Path, *patterns: str) -> Iterator[str]:
    """Yield the names of the files that match a pattern, in the order of the patterns."""
    return (path.name for pattern in patterns for path in _shown(folder, pattern) if path.is_file())


def _files(folder: Path, part: str) -> list[str]:
    """Return the file of a part, or all files in the folder of a corpus."""
    patterns = PARTS[part]
    matches = ([path for path in _shown(folder, name) if path.is_file() or part == "documents"] for name in patterns)
    found = next(filter(None, matches), [])
    if len(found) != 1:
        raise BenchError(
            f"{folder} has {len(found)} files called {' or '.join(patterns)}; a collection is BEIR's "
            "corpus.jsonl, queries.jsonl and qrels/test.tsv, or one topics*, one corpus* and one qrels*"
        )
    if found[0].is_dir():
        found = [path for path in _shown(found[0], "**/*") if path.is_file()]
        if not found:
            raise BenchError(f"{folder} has no file in the folder of its corpus")
    return [str(path.relative_to(folder)) for path in found]


def _shown(folder: Path, pattern: str) -> list[Path]:
    """Return the paths that match a pattern, without hidden ones such as those that macOS adds to every file."""
    paths = sorted(folder.glob(pattern))
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _plain(name: str) -> str:
    """Return the name with only the characters that are allowed in the name of a collection."""
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip(".-") or "folder"
