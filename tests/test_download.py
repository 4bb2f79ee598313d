"""Downloads against a server that fails in every way, the resolver that decides on them, and `bench fetch`."""

import errno
import hashlib
import http.server
import os
import random
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
import urllib3.util.retry
from world import World

from bench.data import Pair, download, files
from bench.data.cards import Card
from bench.data.download import ATTEMPTS, DownloadError
from bench.data.fetch import fetch
from bench.data.files import Resolver
from bench.errors import BenchError, MissingFile
from bench.progress import Display
from bench.storage.atomic import atomic_write
from bench.storage.sealed import default_cache

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PATH = "some folder/swa.txt"


class Handler(http.server.BaseHTTPRequestHandler):
    server: "Server"

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        assert self.headers["Accept-Encoding"] == "identity"
        (self.server.script.pop(0) if self.server.script else self.server.otherwise)(self)

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


Answer = Callable[[Handler], None]


def body(content: bytes = CONTENT, cut: int | None = None) -> Answer:
    return lambda handler: handler.answer(200, content[:cut], Content_Length=str(len(content)))


def status(code: int, **headers: str) -> Answer:
    return lambda handler: handler.answer(code, b"", **headers)


def stall(handler: Handler) -> None:
    body(cut=50_000)(handler)
    handler.server.closing.wait(10)


def reset(handler: Handler) -> None:
    """Cut the connection with a RST, as a router or a killed server does."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


class Server(http.server.ThreadingHTTPServer):
    """Answers by `script`, then by `otherwise`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Answer] = []
        self.otherwise: Answer = body()
        self.requests: list[str] = []
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/some%20folder/file.txt"

    def handle_error(self, *arguments: object) -> None:
        pass  # the client may have left


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, none of which takes any time."""
    seconds: list[float] = []
    monkeypatch.setattr(urllib3.util.retry, "time", SimpleNamespace(sleep=seconds.append, time=time.time))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return seconds


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(files, "RAW", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture
def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


def get(server: Server) -> bytes:
    return download.download(server.url, "mine", Display())


def refused(url: str, **options: Any) -> DownloadError:
    """Download; it fails with one line."""
    with pytest.raises(DownloadError) as raised:
        download.download(url, "mine", Display(), **options)
    assert "\n" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize(
    "faults",
    [
        [],
        *([status(code, Location="/elsewhere")] for code in (301, 302, 307, 308)),
        [body(cut=1)],
        [body(cut=60_000), body(cut=len(CONTENT) - 1)],
        [reset, reset],
        [status(503), body(cut=60_000), reset, status(500), body(cut=0)],
    ],
)
def test_file_arrives_whole_whatever_fails_before(faults: list[Answer], server: Server) -> None:
    server.script = list(faults)
    assert get(server) == CONTENT
    assert len(server.requests) == len(faults) + 1


def test_stalled_server_is_left(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    server.script = [stall]
    assert get(server) == CONTENT
    server.otherwise = stall
    assert refused(server.url, attempts=2).temporary


def test_refusals_endless_redirects_and_addresses_that_are_none_fail_at_once(
    server: Server, waits: list[float]
) -> None:
    for count, code in enumerate((400, 401, 403, 404, 410, 416, 501), start=1):
        server.otherwise = status(code)
        error = refused(server.url)
        assert f"cannot download {server.url}: the server answers {code}" in str(error)
        assert not error.temporary and len(server.requests) == count
    server.otherwise = status(302, Location="/elsewhere")
    assert "redirects" in str(refused(server.url))
    assert not refused("nothing://here").temporary
    assert waits == []


@pytest.mark.parametrize("code", sorted(download.TEMPORARY))
def test_temporary_error_is_tried_again_until_the_last_attempt(
    code: int, server: Server, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    server.otherwise = status(code)
    error = refused(server.url)
    assert error.temporary and f"the server answers {code}" in str(error)
    assert len(server.requests) == ATTEMPTS
    assert waits == [2.0, 4.0, 8.0]  # the second attempt follows at once
    assert capsys.readouterr().err.splitlines() == [f"mine: the server answers {code}; trying again"] * 4


def test_server_may_request_a_wait_within_limits(server: Server, waits: list[float]) -> None:
    server.script = [status(429, Retry_After=value) for value in ("7", "0", "Wed, 21 Oct 2015 07:28:00 GMT", "86400")]
    get(server)
    assert waits == [7.0, 2.0, 4.0, 60.0]


def test_body_that_always_breaks_off_or_has_no_end_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.otherwise = body(cut=60_000)
    error = refused(server.url)
    assert error.temporary and "the connection broke off 5 times" in str(error)
    assert len(server.requests) == ATTEMPTS
    server.otherwise = body()
    monkeypatch.setattr(download, "LARGEST", 200_000)
    assert "it has more than" in str(refused(server.url))


def test_progress_is_shown(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("bench.progress.INTERVAL", 0.0)
    get(server)
    assert capsys.readouterr().err.startswith("  mine: 64/293 KiB")


def make_card(name: str = "mine", **fields: Any) -> Card:
    """A card of one file, which two collections may share."""
    data = {"role": "bitext", "format": "tmx", "pairs": ["swh-eng"], "files": {"memories": PATH}}
    about = {"name": name, "description": "d", "licence": "l", "source": f"owner/repo@{COMMIT}", "data": [data]}
    return Card.model_validate({**about, "sha256": {PATH: SHA256}, **fields})


CARD = make_card()


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_the_mirror_comes_before_the_cache_which_is_bench_home(
    mirror: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(cache))
    assert default_cache() == cache
    monkeypatch.delenv("BENCH_HOME")
    assert default_cache().is_absolute()
    cached = put(cache / "owner/repo" / COMMIT / PATH)
    resolver = Resolver(mirror, cache, offline=True)
    assert resolver.path(CARD, PATH) == cached
    mirrored = put(mirror / "owner/repo" / PATH)
    assert resolver.path(CARD, PATH) == mirrored


def test_offline_names_the_file_the_places_and_the_cure(mirror: Path, cache: Path, server: Server) -> None:
    resolver = Resolver(mirror, cache, offline=True)
    assert not resolver.available(CARD, PATH)
    with pytest.raises(MissingFile) as error:
        resolver.path(CARD, PATH)
    assert all(part in str(error.value) for part in (PATH, str(mirror), str(cache), "--offline", "--mirror"))
    assert "\n" not in str(error.value) and server.requests == []


def test_a_download_lands_in_the_cache_once(cache: Path, server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    path = Resolver(None, cache).path(CARD, PATH)
    assert path == cache / "owner/repo" / COMMIT / PATH
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert server.requests == [f"/owner/repo/{COMMIT}/some%20folder/swa.txt"]
    assert Resolver(None, cache, offline=True).path(CARD, PATH) == path
    assert capfd.readouterr() == ("", "")


def test_a_download_leaves_the_cache_through_no_link(tmp_path: Path, cache: Path, server: Server) -> None:
    (tmp_path / "outside").mkdir()
    (cache / "owner").mkdir(parents=True)
    (cache / "owner/repo").symlink_to(tmp_path / "outside")
    with pytest.raises(BenchError, match=r"leads out of the cache .* through a link; remove the link"):
        Resolver(None, cache).path(CARD, PATH)
    assert list((tmp_path / "outside").iterdir()) == []
    assert server.requests == []
    (tmp_path / "link").symlink_to(tmp_path / "outside")  # of the cache itself, which is the user's
    assert Resolver(None, tmp_path / "link").path(CARD, PATH).read_bytes() == CONTENT


def test_a_file_that_the_host_lacks_or_has_changed_is_refused(cache: Path, server: Server) -> None:
    server.script = [status(404), body(b"other")]
    with pytest.raises(MissingFile, match=r"^mine: swa.txt: cannot download http.* 404 .*; give a folder .* --mirror$"):
        Resolver(None, cache).path(CARD, PATH)
    with pytest.raises(BenchError, match=r"sha256 differs.*--mirror$") as error:
        Resolver(None, cache).path(CARD, PATH)
    assert not isinstance(error.value, MissingFile)
    assert not cache.exists()


def test_a_host_that_is_not_there_is_tried_with_patience_only_once(
    cache: Path, waits: list[float], closed_port: str, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(files, "RAW", closed_port)
    resolver = Resolver(None, cache, display=Display(quiet=True))
    for _ in range(2):  # the second file gets one attempt
        with pytest.raises(MissingFile, match=r"cannot download http.*run again later, or .*--mirror$") as error:
            resolver.path(CARD, PATH)
        assert "\n" not in str(error.value) and "0x" not in str(error.value)  # no address of an object
        assert waits == [2.0, 4.0, 8.0]
    if sys.platform == "linux":
        assert "Connection refused" in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_is_not_a_missing_file(cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*arguments: Any, **keywords: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "atomic_write", fill)
    with pytest.raises(OSError, match="No space left"):
        Resolver(None, cache).path(CARD, PATH)


@pytest.mark.parametrize("quiet", [False, True])
def test_the_licence_is_shown_once_before_the_first_download(
    cache: Path, server: Server, capsys: pytest.CaptureFixture[str], quiet: bool
) -> None:
    free = make_card("free", licence="CC BY\n4.0")
    bound = make_card("bound", licence="CC BY-NC 4.0", non_commercial=True)
    resolver = Resolver(None, cache, display=Display(quiet=quiet))
    for card in (free, bound, free):
        resolver.path(card, PATH).unlink()
    with pytest.raises(MissingFile):
        Resolver(None, cache, offline=True, display=Display()).path(free, PATH)
    captured = capsys.readouterr()
    lines = ["free: licence: CC BY 4.0", "bound: NON-COMMERCIAL use only; licence: CC BY-NC 4.0"]
    assert captured.err.splitlines() == lines[quiet:]
    assert captured.out == ""


def test_a_file_with_other_bytes_and_a_mirror_that_does_not_exist_are_refused(mirror: Path, cache: Path) -> None:
    wrong = put(mirror / "owner/repo" / PATH, b"something else")
    with pytest.raises(BenchError, match=f"{wrong} is not the file of the card") as error:
        Resolver(mirror, cache, offline=True).path(CARD, PATH)
    assert not isinstance(error.value, MissingFile)
    with pytest.raises(BenchError, match="does not exist"):
        Resolver(mirror=mirror / "nowhere")


@pytest.mark.parametrize(("mode", "old", "new"), [("w", "ẹ\n", "half"), ("wb", b"\x00\n", b"half")])
def test_an_atomic_write_appears_whole_or_not_at_all(tmp_path: Path, mode: str, old: Any, new: Any) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path, mode) as file:
        file.write(old)
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_write(path, mode) as file:
        file.write(new)
        raise RuntimeError
    assert path.read_bytes() == (old if mode == "wb" else old.encode())
    assert list(path.parent.iterdir()) == [path]
    if sys.platform != "win32":  # the permissions of any new file
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(put(tmp_path / "plain").stat().st_mode)


SWH = Pair("swh", "eng")
HAU = Pair("hau", "eng")
FRA = Pair("swh", "fra")


def entry(role: str, **fields: Any) -> dict[str, Any]:
    """A [[data]] entry whose files are named after its role."""
    path = f"{role}/{{query}}-{{document}}" if "pairs" in fields else f"{role}/{{language}}"
    format, parts = {
        "bitext": ("tmx", ["memories"]),
        "test": ("aligned-lines", ["queries", "documents"]),
        "relevance": ("squad", ["articles"]),
        "passages": ("squad", ["articles"]),
    }[role]
    return {"role": role, "format": format, "files": dict.fromkeys(parts, path), **fields}


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


def test_all_files_of_a_collection_once_and_damaged_and_missing_files_are_counted_as_failed(world: Host) -> None:
    assert world.fetch("bible", "bible", "generated") == 0
    assert world.requested == ["bible/bitext/swh-eng", "bible/bitext/hau-eng"]
    assert world.table() == {"bible": ["2", "0.0", "0", "2", "0"], "generated": ["generated", "-", "-", "-", "-"]}
    assert world.fetch("bible", offline=True) == 0
    assert world.table() == {"bible": ["2", "0.0", "2", "0", "0"]}
    (world.cache / "owner" / "bible" / ("0" * 40) / "bitext/hau-eng").write_bytes(b"other")
    assert world.fetch("bible") == 1
    assert world.table() == {"bible": ["2", "0.0", "1", "0", "1"]}
    world.requested.clear()
    assert world.fetch("news", pairs=[SWH], offline=True) == 1
    assert world.requested == []
    assert world.table() == {"news": ["1", "0.0", "0", "0", "1"]}


ENGLISH = "questions/relevance/eng-eng questions/passages/eng"


@pytest.mark.parametrize(
    ("names", "pair", "files"),
    [
        ("bible questions", HAU, f"bible/bitext/hau-eng {ENGLISH}"),
        ("questions", FRA, "questions/relevance/fra-fra questions/passages/fra"),
        ("test", HAU, "test/test/hau-eng questions/passages/eng"),
        ("mix news", SWH, f"bible/bitext/swh-eng news/bitext/swh-eng {ENGLISH}"),
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
    reasons = ("404", "relevance/eng"), ("sha256 differs", "relevance/fra"), ("No space left", "passages/eng")
    for line, words in zip(lines, reasons, strict=True):
        assert line.startswith("questions: ") and all(word in line for word in words)
    assert len(world.requested) == 6
    assert "questions" in captured.out and "bible" in captured.out


def test_unknown_names_and_pairs_are_refused_before_anything_is_fetched(world: Host) -> None:
    with pytest.raises(BenchError, match="unknown collection 'bibel'; did you mean bible"):
        world.fetch("test", "bibel")
    with pytest.raises(BenchError, match="unknown pair 'swa-eng'; did you mean swh-eng"):
        world.fetch("bible", "questions", pairs=[SWH, Pair("swa", "eng")])
    with pytest.raises(BenchError, match=r"unknown pair 'swh-deu'; known: \*-eng, \*-fra"):
        world.fetch("questions", pairs=[Pair("swh", "deu")])
    assert world.requested == []
