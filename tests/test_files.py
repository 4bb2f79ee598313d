from __future__ import annotations

import errno
import hashlib
import http.server
import os
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.atomic import atomic_write
from bench.cache import default_cache
from bench.data import download, files
from bench.data.cards import Card
from bench.data.files import MissingFile, Resolver
from bench.errors import BenchError
from bench.progress import Display
from bench.sealed import sha256_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"habari\n"
PATH = "some folder/swa.txt"


def make_card(name: str = "mine", **fields: Any) -> Card:
    """A card of one file, which two collections may share."""
    data = {"role": "bitext", "format": "aligned-lines", "pairs": ["swh-eng"], "files": {"queries": PATH}}
    return Card.model_validate(
        {
            "name": name,
            "description": "d",
            "licence": "l",
            "source": f"owner/repo@{COMMIT}",
            "data": [data],
            "sha256": {PATH: hashlib.sha256(CONTENT).hexdigest()},
            **fields,
        }
    )


@pytest.fixture
def card() -> Card:
    return make_card()


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


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxy: None) -> Iterator[Path]:
    """A local stand-in for the download host; the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(files, "RAW", f"http://127.0.0.1:{httpd.server_port}")
        yield folder
        httpd.shutdown()


@pytest.fixture
def dead_host(monkeypatch: pytest.MonkeyPatch, no_proxy: None) -> list[float]:
    """A download host that refuses every connection; the waits between attempts, none of which takes any time."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setattr(files, "RAW", f"http://127.0.0.1:{closed.getsockname()[1]}")
    waits: list[float] = []
    monkeypatch.setattr(download, "sleep", waits.append)
    return waits


def test_the_mirror_comes_before_the_cache(card: Card, mirror: Path, cache: Path) -> None:
    cached = put(cache / "owner/repo" / COMMIT / PATH)
    resolver = Resolver(mirror, cache, offline=True)
    assert resolver.path(card, PATH) == cached
    mirrored = put(mirror / "owner/repo" / PATH)
    assert resolver.path(card, PATH) == mirrored


def test_offline_names_the_file_the_places_and_the_cure(card: Card, mirror: Path, cache: Path) -> None:
    resolver = Resolver(mirror, cache, offline=True)
    assert not resolver.available(card, PATH)
    with pytest.raises(MissingFile) as error:
        resolver.path(card, PATH)
    message = str(error.value)
    for part in (PATH, str(mirror), str(cache), "--offline", "--mirror"):
        assert part in message
    assert "\n" not in message


def test_offline_opens_no_socket(card: Card, cache: Path, server: Path) -> None:
    put(server / "owner/repo" / COMMIT / PATH)
    with pytest.raises(MissingFile):
        Resolver(None, cache, offline=True).path(card, PATH)


def test_a_download_lands_in_the_cache_once(card: Card, cache: Path, server: Path) -> None:
    served = put(server / "owner/repo" / COMMIT / PATH)
    found = Resolver(None, cache).path(card, PATH)
    assert found == cache / "owner/repo" / COMMIT / PATH
    assert found.read_bytes() == CONTENT
    assert [file.name for file in found.parent.iterdir()] == [found.name]
    served.unlink()
    assert Resolver(None, cache, offline=True).path(card, PATH) == found


def test_a_download_of_other_bytes_is_refused_and_leaves_nothing(card: Card, cache: Path, server: Path) -> None:
    put(server / "owner/repo" / COMMIT / PATH, b"something else")
    with pytest.raises(BenchError, match="sha256 differs"):
        Resolver(None, cache).path(card, PATH)
    assert [file.name for file in cache.rglob("*") if file.is_file()] == [".swa.txt.lock"]


def test_a_file_that_the_host_lacks_is_missing(card: Card, cache: Path, server: Path) -> None:
    with pytest.raises(MissingFile, match="cannot download") as error:
        Resolver(None, cache).path(card, PATH)
    assert "\n" not in str(error.value)


def test_a_host_that_is_not_there_is_tried_with_patience_only_once(
    card: Card, cache: Path, dead_host: list[float]
) -> None:
    resolver = Resolver(None, cache)
    for expected in (4, 4):  # the second file gets one attempt
        with pytest.raises(MissingFile, match=r"^mine: cannot download http.*--mirror$") as error:
            resolver.path(card, PATH)
        assert "\n" not in str(error.value)
        assert len(dead_host) == expected
    assert not [file for file in cache.rglob("*") if file.name == "swa.txt"]


def test_what_another_process_put_there_meanwhile_is_verified(
    card: Card, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "download", lambda url, target, *rest, **keywords: put(target, b"something else"))
    with pytest.raises(BenchError, match="is not the file of the card"):
        Resolver(None, cache).path(card, PATH)


def test_a_full_disk_is_not_a_missing_file(card: Card, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*arguments: Any, **keywords: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download, "download", fill)
    with pytest.raises(OSError) as error:
        Resolver(None, cache).path(card, PATH)
    assert error.value.errno == errno.ENOSPC


def test_the_licence_is_told_once_before_the_first_download(
    cache: Path, server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(server / "owner/repo" / COMMIT / PATH)
    free = make_card("free", licence="CC BY\n4.0")
    bound = make_card("bound", licence="CC BY-NC 4.0", non_commercial=True)
    resolver = Resolver(None, cache, display=Display())
    for card in (free, bound, free):
        resolver.path(card, PATH).unlink()
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "free: licence: CC BY 4.0",
        "bound: NON-COMMERCIAL use only; licence: CC BY-NC 4.0",
    ]
    assert captured.out == ""


def test_a_quiet_display_still_warns_of_a_non_commercial_licence(
    cache: Path, dead_host: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    resolver = Resolver(None, cache, display=Display(quiet=True))
    for card in (make_card("free"), make_card("bound", non_commercial=True)):
        with pytest.raises(MissingFile):
            resolver.path(card, PATH)
    assert capsys.readouterr().err == "bound: NON-COMMERCIAL use only; licence: l\n"


def test_no_licence_is_told_of_what_is_at_hand_or_of_what_may_not_be_had(
    card: Card, mirror: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(mirror / "owner/repo" / PATH)
    Resolver(mirror, cache, display=Display()).path(card, PATH)
    with pytest.raises(MissingFile):
        Resolver(None, cache, offline=True, display=Display()).path(card, PATH)
    assert capsys.readouterr().err == ""


def test_without_a_display_a_download_is_silent(
    card: Card, cache: Path, server: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(server / "owner/repo" / COMMIT / PATH)
    Resolver(None, cache).path(card, PATH)
    assert capsys.readouterr() == ("", "")


def test_waits_and_progress_are_told(
    card: Card, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(url: str, target: Path, sha256: str, on_bytes: download.OnBytes, **keywords: Any) -> None:
        on_bytes(0, None)  # some servers tell the size only later
        on_bytes(files.MIB, None)
        keywords["on_wait"]("the server answers 503", 4.0)
        on_bytes(files.MIB, 4 * files.MIB)
        on_bytes(3 * files.MIB, 4 * files.MIB)
        put(target)

    monkeypatch.setattr(download, "download", fake)
    monkeypatch.setattr("bench.progress.PLAIN_INTERVAL", 0.0)
    Resolver(None, cache, display=Display()).path(card, PATH)
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:3] == [
        "mine: swa.txt: downloading; the server does not tell its size",
        "mine: swa.txt: the server answers 503; trying again in 4 s",
    ]
    assert [line.split(",")[0] for line in lines[3:]] == ["  mine: swa.txt: 1/4 MiB", "  mine: swa.txt: 3/4 MiB"]


def test_a_file_with_other_bytes_is_refused_wherever_it_lies(card: Card, mirror: Path, cache: Path) -> None:
    wrong = put(mirror / "owner/repo" / PATH, b"something else")
    with pytest.raises(BenchError, match="is not the file of the card") as error:
        Resolver(mirror, cache, offline=True).path(card, PATH)
    assert str(wrong) in str(error.value)
    assert not isinstance(error.value, MissingFile)


def test_a_mirror_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="does not exist"):
        Resolver(mirror=tmp_path / "nowhere")


def test_the_cache_is_bench_home_if_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.delenv("BENCH_HOME")
    assert default_cache().is_absolute()


def test_sha256_is_that_of_the_standard(tmp_path: Path) -> None:
    # The digest of "abc" in FIPS 180-4.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(put(tmp_path / "abc", b"abc")) == expected


def test_an_atomic_write_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as file:
        file.write("ẹ\n")
        assert not path.exists()
    assert path.read_bytes() == "ẹ\n".encode()

    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write("half")
        raise RuntimeError
    assert path.read_bytes() == "ẹ\n".encode()
    assert [found.name for found in path.parent.iterdir()] == ["file.txt"]


def test_an_atomic_write_takes_bytes_too(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "file", "wb") as file:
        file.write(b"\x00")
    assert (tmp_path / "file").read_bytes() == b"\x00"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_an_atomic_write_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    plain = put(tmp_path / "plain")
    with atomic_write(tmp_path / "atomic") as file:
        file.write("")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
