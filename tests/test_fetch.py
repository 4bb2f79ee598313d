from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from bench.data import Pair, download, files
from bench.data.cards import Card
from bench.data.fetch import fetch
from bench.data.files import Resolver
from bench.errors import BenchError
from bench.progress import Display

SWH = Pair("swh", "eng")
HAU = Pair("hau", "eng")
FRA = Pair("swh", "fra")


def entry(role: str, **fields: Any) -> dict[str, Any]:
    """A [[data]] entry whose files are named after its role."""
    usual = {"bitext": "aligned-lines", "test": "aligned-lines", "relevance": "squad", "passages": "squad"}[role]
    keys = "{query}-{document}" if "pairs" in fields else "{language}"
    return {"role": role, "format": usual, "files": {"queries": f"{role}/{keys}"}, **fields}


class World:
    """Cards, a host that has their files, and what was asked of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.host, self.cache, self.capsys = folder / "host", folder / "cache", capsys
        self.cards: dict[str, Card] = {}
        self.asked: list[str] = []
        monkeypatch.setattr(download, "download", self.download)
        self.add("bible", entry("bitext", pairs=["swh-eng", "hau-eng"]), licence="CC0")
        self.add("news", entry("bitext", pairs=["swh-eng"]), licence="CC BY-NC", non_commercial=True)
        self.add(
            "questions", entry("relevance", pairs=["eng-eng", "fra-fra"]), entry("passages", languages=["eng", "fra"])
        )
        self.add("test", entry("test", pairs=["swh-eng", "hau-eng"], distractors=["questions"]))
        generated = {"role": "bitext", "format": "conlang", "pairs": ["qaa-eng"]}
        self.add("generated", generated, source=None)
        mix = {"pairs": ["swh-eng"], "bitext": ["bible", "news"], "relevance": ["questions"]}
        self.add("mix", mix=mix, source=None)

    def add(self, name: str, *entries: dict[str, Any], **fields: Any) -> None:
        card: dict[str, Any] = {"name": name, "description": "d", "licence": "l", "source": f"owner/{name}@{'0' * 40}"}
        card |= {"data": entries, **fields}
        hashes = {}
        for path in self.paths(entries):
            content = f"{name} {path}".encode()
            place = self.host / "owner" / name / ("0" * 40) / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            hashes[path] = hashlib.sha256(content).hexdigest()
        self.cards[name] = Card.model_validate({**card, "sha256": hashes})

    @staticmethod
    def paths(entries: Sequence[dict[str, Any]]) -> list[str]:
        return [
            f"{entry['role']}/{key}"
            for entry in entries
            if "files" in entry
            for key in entry.get("pairs", entry.get("languages", ()))
        ]

    def download(self, url: str, *_: Any, **__: Any) -> bytes:
        path = unquote(url.removeprefix(f"{files.RAW}/"))
        self.asked.append(path)
        served = self.host / path
        if not served.exists():
            raise download.DownloadError("questions", url, "the server answers 404 Not Found")
        if not served.read_bytes():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return served.read_bytes()

    def fetch(self, *names: str, pairs: Sequence[Pair] = (), **options: Any) -> int:
        display = Display()
        return fetch(names, pairs, self.cards, Resolver(cache=self.cache, display=display, **options), display)

    def fetched(self) -> list[str]:
        """What the host was asked for, as `<collection>/<path>`."""
        return [path.removeprefix("owner/").replace(f"{'0' * 40}/", "") for path in self.asked]

    def table(self) -> dict[str, list[str]]:
        """The printed numbers of each collection."""
        lines = [line.split() for line in self.capsys.readouterr().out.splitlines()]
        return {words[0]: words[-5:] for words in lines if words and words[0] in self.cards}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> World:
    return World(tmp_path, monkeypatch, capsys)


def test_all_files_of_a_collection_once(world: World) -> None:
    assert world.fetch("bible", "bible", "generated") == 0
    assert world.fetched() == ["bible/bitext/swh-eng", "bible/bitext/hau-eng"]
    assert world.table() == {"bible": ["2", "0.0", "0", "2", "0"], "generated": ["generated", "-", "-", "-", "-"]}
    assert world.fetch("bible", offline=True) == 0
    assert world.table() == {"bible": ["2", "0.0", "2", "0", "0"]}


@pytest.mark.parametrize(
    ("names", "pair", "files"),
    [
        ("bible questions", HAU, "bible/bitext/hau-eng questions/relevance/eng-eng questions/passages/eng"),
        ("questions", FRA, "questions/relevance/fra-fra questions/passages/fra"),
        ("test", HAU, "test/test/hau-eng questions/passages/eng"),
        (
            "mix news",
            SWH,
            "bible/bitext/swh-eng news/bitext/swh-eng questions/relevance/eng-eng questions/passages/eng",
        ),
    ],
)
def test_the_files_of_a_pair_with_distractors_and_members_of_mixes(
    world: World, names: str, pair: Pair, files: str
) -> None:
    assert world.fetch(*names.split(), pairs=[pair]) == 0
    assert world.fetched() == files.split()
    owners = [file.partition("/")[0] for file in files.split()]
    counts = {name: str(owners.count(name)) for name in owners}
    assert world.table() == {name: [count, "0.0", "0", count, "0"] for name, count in counts.items()}


def test_licences_are_shown_before_and_in_the_table(world: World) -> None:
    world.fetch("mix")
    captured = world.capsys.readouterr()
    assert captured.err.splitlines() == [
        "bible: licence: CC0",
        "news: NON-COMMERCIAL use only; licence: CC BY-NC",
        "questions: licence: l",
    ]
    assert "CC0" in captured.out and "NON-COMMERCIAL: CC BY-NC" in captured.out


def test_a_file_that_fails_does_not_stop_the_others(world: World) -> None:
    root = world.host / "owner" / "questions" / ("0" * 40)
    (root / "relevance/eng-eng").unlink()
    (root / "relevance/fra-fra").write_bytes(b"other")
    (root / "passages/eng").write_bytes(b"")  # stands for a full disk
    assert world.fetch("questions", "bible") == 1
    captured = world.capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if "licence" not in line]
    assert len(lines) == 3 and all(line.startswith("questions: ") for line in lines)
    assert "404" in lines[0] and "relevance/eng" in lines[0]
    assert "sha256 differs" in lines[1] and "relevance/fra" in lines[1]
    assert "No space left" in lines[2] and "passages/eng" in lines[2]
    assert len(world.asked) == 6
    assert "questions" in captured.out and "bible" in captured.out


def test_damaged_and_missing_files_are_counted_as_failed(world: World) -> None:
    world.fetch("bible")
    damaged = world.cache / "owner" / "bible" / ("0" * 40) / "bitext/hau-eng"
    damaged.write_bytes(b"other")
    world.capsys.readouterr()
    assert world.fetch("bible") == 1
    assert world.table() == {"bible": ["2", "0.0", "1", "0", "1"]}
    world.asked.clear()
    assert world.fetch("news", pairs=[SWH], offline=True) == 1
    assert world.asked == []
    assert world.table() == {"news": ["1", "0.0", "0", "0", "1"]}


def test_unknown_names_and_pairs_are_refused_before_anything_is_fetched(world: World) -> None:
    with pytest.raises(BenchError, match="unknown collection 'bibel'; did you mean bible"):
        world.fetch("test", "bibel")
    with pytest.raises(BenchError, match="unknown pair 'swa-eng'; did you mean swh-eng"):
        world.fetch("bible", "questions", pairs=[SWH, Pair("swa", "eng")])
    with pytest.raises(BenchError, match=r"unknown pair 'swh-deu'; known: \*-eng, \*-fra"):
        world.fetch("questions", pairs=[Pair("swh", "deu")])
    assert world.asked == []
