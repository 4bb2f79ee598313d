"""Small collections whose files are written by hand: a mirror, and a card for each collection."""

import hashlib
import json
from pathlib import Path
from typing import Any

import tomli_w

from bench.data import Pair
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.data.own import with_own


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write texts by their paths below a folder, and return the folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode("utf-8"))
    return folder


def with_tests(cards: dict[str, Card], paths: list[str], pairs: list[Pair]) -> dict[str, Card]:
    """Return the cards and those of a user's own test collections, by their paths."""
    known, names = with_own(cards, paths, [], pairs)
    return {**cards, **{path: known[names[path]] for path in paths}}


class World:
    """A mirror and the cards of its collections, also as a folder of cards."""

    def __init__(self, root: Path) -> None:
        self.root, self.mirror, self.cache = root, root / "mirror", root / "cache"
        self.cards: dict[str, Card] = {}
        self.mirror.mkdir()
        (root / "cards").mkdir()
        self.resolver = Resolver(self.mirror, self.cache, offline=True)

    @property
    def options(self) -> list[str]:
        """The options of a command that reads these collections."""
        return ["--cards", str(self.root / "cards"), "--mirror", str(self.mirror)]

    def file(self, name: str, path: str) -> Path:
        return self.mirror / "owner" / name / path

    def add(self, name: str, files: dict[str, str | bytes] | None = None, **fields: Any) -> Card:
        hashes = {}
        for path, text in (files or {}).items():
            content = text if isinstance(text, bytes) else text.encode()
            self.file(name, path).parent.mkdir(parents=True, exist_ok=True)
            self.file(name, path).write_bytes(content)
            hashes[path] = hashlib.sha256(content).hexdigest()
        source = {"source": f"owner/{name}@{'0' * 40}"} if files else {}
        card = {"name": name, "description": "d", "licence": "l", **source, **fields, "sha256": hashes}
        self.cards[name] = Card.model_validate(card)
        (self.root / "cards" / f"{name}.toml").write_text(tomli_w.dumps(card))
        return self.cards[name]

    def aligned(self, name: str, roles: str, queries: str, documents: str | bytes, pair: str = "swh-eng") -> Card:
        entry = {"format": "aligned-lines", "pairs": [pair], "files": {"queries": "q", "documents": "d"}}
        data = [{"role": role, **entry} for role in roles.split()]
        return self.add(name, {"q": queries, "d": documents}, data=data)

    def squad(self, name: str, *rows: tuple[str, str]) -> Card:
        paragraphs = [{"context": context, "qas": [{"question": question}]} for question, context in rows]
        entry = {"format": "squad", "files": {"articles": "f"}}
        return self.add(
            name,
            {"f": json.dumps({"data": [{"paragraphs": paragraphs}]})},
            data=[
                {"role": "relevance", "pairs": ["eng-eng"], **entry},
                {"role": "passages", "languages": ["eng"], **entry},
            ],
        )

    def afriqa(self, **fields: Any) -> Card:
        row = {"id": "0", "context": "Lagos.", "question_lang": "Eko?", "question_translated": "Which city?"}
        entry = {"role": "test", "format": "afriqa", "pairs": ["swh-eng"], **fields}
        entry["files"] = {"queries": "f", "documents": "f"}
        return self.add("questions", {"f": json.dumps(row) + "\n"}, data=[entry])


def training_world(root: Path) -> World:
    """Two bitexts and judgments, which repeat texts of two tests, and a mix of them called `usual`."""
    world = World(root)
    world.aligned("news", "bitext", "moja\nmbili\nmbili\nEko\nnne\n", "one\ntwo\ntwo\nthree\nTranslation four\n")
    world.aligned("bible", "bitext", "tano\n", "five\n")
    world.squad("squad", ("which city", "Elsewhere."), ("who", "LAGOS"), ("why", "Because."), ("how", "Distractor."))
    world.aligned("sentences", "test", "si kitu\nnne\n", "nothing\ntranslation, four!\n")
    world.afriqa()
    mix = {"pairs": ["swh-eng", "hau-eng"], "bitext": ["news", "bible"], "relevance": ["squad"]}
    world.add("usual", mix=mix)
    return world
