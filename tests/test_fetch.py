from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from world import World

from bench.data import Pair, download, files
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


class Host(World):
    """A host that has the files of the mirror, and the paths that were requested from it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(root)
        self.capsys = capsys
        self.requested: list[str] = []
        monkeypatch.setattr(download, "download", self.download)
        self.offer("bible", entry("bitext", pairs=["swh-eng", "hau-eng"]), licence="CC0")
        self.offer("news", entry("bitext", pairs=["swh-eng"]), licence="CC BY-NC", non_commercial=True)
        self.offer(
            "questions", entry("relevance", pairs=["eng-eng", "fra-fra"]), entry("passages", languages=["eng", "fra"])
        )
        self.offer("test", entry("test", pairs=["swh-eng", "hau-eng"], distractors=["questions"]))
        self.add("generated", data=[{"role": "bitext", "format": "conlang", "pairs": ["qaa-eng"]}])
        self.add("mix", mix={"pairs": ["swh-eng"], "bitext": ["bible", "news"], "relevance": ["questions"]})

    def offer(self, name: str, *entries: dict[str, Any], **fields: Any) -> None:
        keys = [(entry["role"], key) for entry in entries for key in entry.get("pairs", entry.get("languages"))]
        self.add(name, {f"{role}/{key}": f"{name} {role}/{key}" for role, key in keys}, data=entries, **fields)

    def download(self, url: str, *_: Any, **__: Any) -> bytes:
        _, name, _, path = unquote(url.removeprefix(f"{files.RAW}/")).split("/", 3)
        self.requested.append(f"{name}/{path}")
        served = self.file(name, path)
        if not served.exists():
            raise download.DownloadError("questions", url, "the server answers 404 Not Found")
        if not served.read_bytes():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return served.read_bytes()

    def fetch(self, *names: str, pairs: Sequence[Pair] = (), **options: Any) -> int:
        display = Display()
        return fetch(names, pairs, self.cards, Resolver(cache=self.cache, display=display, **options), display)

    def table(self) -> dict[str, list[str]]:
        """The printed numbers of each collection."""
        lines = [line.split() for line in self.capsys.readouterr().out.splitlines()]
        return {words[0]: words[-5:] for words in lines if words and words[0] in self.cards}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, monkeypatch, capsys)


def test_all_files_of_a_collection_once(world: Host) -> None:
    assert world.fetch("bible", "bible", "generated") == 0
    assert world.requested == ["bible/bitext/swh-eng", "bible/bitext/hau-eng"]
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
    world: Host, names: str, pair: Pair, files: str
) -> None:
    assert world.fetch(*names.split(), pairs=[pair]) == 0
    assert world.requested == files.split()
    owners = [file.partition("/")[0] for file in files.split()]
    counts = {name: str(owners.count(name)) for name in owners}
    assert world.table() == {name: [count, "0.0", "0", count, "0"] for name, count in counts.items()}


def test_licences_are_shown_before_and_in_the_table(world: Host) -> None:
    world.fetch("mix")
    captured = world.capsys.readouterr()
    assert captured.err.splitlines() == [
        "bible: licence: CC0",
        "news: NON-COMMERCIAL use only; licence: CC BY-NC",
        "questions: licence: l",
    ]
    assert "CC0" in captured.out and "NON-COMMERCIAL: CC BY-NC" in captured.out


def test_a_file_that_fails_does_not_stop_the_others(world: Host) -> None:
    world.file("questions", "relevance/eng-eng").unlink()
    world.file("questions", "relevance/fra-fra").write_bytes(b"other")
    world.file("questions", "passages/eng").write_bytes(b"")  # stands for a full disk
    assert world.fetch("questions", "bible") == 1
    captured = world.capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if "licence" not in line]
    assert len(lines) == 3 and all(line.startswith("questions: ") for line in lines)
    assert "404" in lines[0] and "relevance/eng" in lines[0]
    assert "sha256 differs" in lines[1] and "relevance/fra" in lines[1]
    assert "No space left" in lines[2] and "passages/eng" in lines[2]
    assert len(world.requested) == 6
    assert "questions" in captured.out and "bible" in captured.out


def test_damaged_and_missing_files_are_counted_as_failed(world: Host) -> None:
    world.fetch("bible")
    damaged = world.cache / "owner" / "bible" / ("0" * 40) / "bitext/hau-eng"
    damaged.write_bytes(b"other")
    world.capsys.readouterr()
    assert world.fetch("bible") == 1
    assert world.table() == {"bible": ["2", "0.0", "1", "0", "1"]}
    world.requested.clear()
    assert world.fetch("news", pairs=[SWH], offline=True) == 1
    assert world.requested == []
    assert world.table() == {"news": ["1", "0.0", "0", "0", "1"]}


def test_unknown_names_and_pairs_are_refused_before_anything_is_fetched(world: Host) -> None:
    with pytest.raises(BenchError, match="unknown collection 'bibel'; did you mean bible"):
        world.fetch("test", "bibel")
    with pytest.raises(BenchError, match="unknown pair 'swa-eng'; did you mean swh-eng"):
        world.fetch("bible", "questions", pairs=[SWH, Pair("swa", "eng")])
    with pytest.raises(BenchError, match=r"unknown pair 'swh-deu'; known: \*-eng, \*-fra"):
        world.fetch("questions", pairs=[Pair("swh", "deu")])
    assert world.requested == []
