from __future__ import annotations

import errno
import hashlib
import http.server
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bench.data.download
from bench.data.download import CHUNK, LIMITS, CannotDownload, Limits, OtherBytes, download

CONTENT = random.Random(0).randbytes(100_000)
OTHER = random.Random(1).randbytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Limits(attempts=3, first_wait=1.0, longest_wait=60.0, timeout=10.0)


class Answer:
    """How the server answers one request: whole, from where it is asked to begin, unless told otherwise."""

    def __init__(
        self,
        content: bytes = CONTENT,
        *,
        cut: int | None = None,
        then: Callable[[Handler], None] = lambda handler: None,
        ranges: bool = True,
        length: bool = True,
        content_range: str | None = None,
    ) -> None:
        self.content, self.cut, self.then = content, cut, then
        self.ranges, self.length, self.content_range = ranges, length, content_range

    def __call__(self, handler: Handler) -> None:
        start = handler.first_byte if self.ranges else 0
        if start >= len(self.content):
            Status(416)(handler)
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        if self.length:
            handler.send_header("Content-Length", str(len(body)))
        if start:
            usual = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
            handler.send_header("Content-Range", self.content_range or usual)
        handler.end_headers()
        handler.send(body[: self.cut])
        self.then(handler)


class Status:
    """An answer without a body."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status, self.headers = status, headers

    def __call__(self, handler: Handler) -> None:
        handler.send_response(self.status)
        for name, value in self.headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    @property
    def first_byte(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers.get("Range"))
        self.server.encodings.append(self.headers.get("Accept-Encoding"))
        self.server.sent.append(0)
        (self.server.script.pop(0) if self.server.script else self.server.otherwise)(self)

    def send(self, content: bytes) -> None:
        self.server.sent[-1] += len(content)  # before the client can have it, and ask for more
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Answers by `script`, then by `otherwise`; remembers of each request the range asked for and the bytes sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Callable[[Handler], None]] = []
        self.otherwise: Callable[[Handler], None] = Answer()
        self.ranges: list[str | None] = []
        self.encodings: list[str | None] = []
        self.sent: list[int] = []
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/some%20folder/file.txt"

    def handle_error(self, *arguments: object) -> None:
        pass  # the client may have left


def stall(handler: Handler) -> None:
    handler.server.closing.wait(10)


def reset(handler: Handler) -> None:
    """Cut the connection with a RST, as a router or a killed server does."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, none of which takes any time."""
    seconds: list[float] = []
    monkeypatch.setattr(bench.data.download, "sleep", seconds.append)
    return seconds


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "file.txt"


def partial_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.{SHA256[:12]}.part")


def put_partial(target: Path, content: bytes) -> Path:
    target.parent.mkdir()
    partial_of(target).write_bytes(content)
    return partial_of(target)


def get(server: Server | str, target: Path, limits: Limits = QUICK, **arguments: Any) -> None:
    """Download, and see that the target is right and alone in its folder."""
    download(server if isinstance(server, str) else server.url, target, SHA256, limits=limits, **arguments)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def refused(error: type[Exception], server: Server | str, target: Path, limits: Limits = QUICK) -> Any:
    """Download, and see that it fails and leaves nothing under the target's name; the error."""
    with pytest.raises(error) as raised:
        download(server if isinstance(server, str) else server.url, target, SHA256, limits=limits)
    assert not target.exists()
    assert {path.name for path in target.parent.iterdir()} <= {partial_of(target).name, f".{target.name}.lock"}
    assert "\n" not in str(raised.value)
    return raised.value


def test_a_file_arrives_alone_and_its_progress_is_told(server: Server, target: Path) -> None:
    told: list[tuple[int, int | None]] = []
    get(server, target, on_bytes=lambda done, total: told.append((done, total)))
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)
    assert server.ranges == [None]
    assert server.encodings == ["identity"]


def test_a_file_whose_length_the_server_does_not_tell(server: Server, target: Path) -> None:
    server.otherwise = Answer(length=False)
    told: list[tuple[int, int | None]] = []
    get(server, target, on_bytes=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(CONTENT), None)


def test_a_target_that_is_there_is_left_as_it_is(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"mine")
    download(server.url, target, SHA256)
    assert target.read_bytes() == b"mine"
    assert server.ranges == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_followed(status: int, server: Server, target: Path) -> None:
    server.script = [Status(status, Location="/elsewhere"), Answer(cut=60_000), Status(status, Location="/elsewhere")]
    get(server, target)
    assert server.ranges == [None, None, "bytes=60000-", "bytes=60000-"]
    assert set(server.encodings) == {"identity"}


def test_an_endless_redirect_fails_at_once(server: Server, target: Path, waits: list[float]) -> None:
    server.otherwise = Status(302, Location="/elsewhere")
    assert "redirects" in str(refused(CannotDownload, server, target))
    assert waits == []


@pytest.mark.parametrize("cut", [1, CHUNK, 60_000, len(CONTENT) - 1])
def test_a_truncated_body_is_continued_where_it_ended(cut: int, server: Server, target: Path) -> None:
    server.script = [Answer(cut=cut)]
    told: list[tuple[int, int | None]] = []
    why: list[tuple[str, float]] = []
    get(
        server,
        target,
        on_bytes=lambda done, total: told.append((done, total)),
        on_wait=lambda reason, seconds: why.append((reason, seconds)),
    )
    assert server.ranges == [None, f"bytes={cut}-"]
    assert server.sent == [cut, len(CONTENT) - cut]
    assert told == sorted(told) and {total for _, total in told} == {len(CONTENT)}
    assert [seconds for _, seconds in why] == [1.0]


def test_a_body_that_ends_cleanly_but_short_is_continued(server: Server, target: Path) -> None:
    # The length of a range is that of its Content-Range, whatever Content-Length says.
    server.script = [Answer(cut=50_000), Answer(CONTENT[:70_000], content_range=f"bytes 50000-69999/{len(CONTENT)}")]
    get(server, target)
    assert server.ranges == [None, "bytes=50000-", "bytes=70000-"]


def test_a_truncated_body_of_a_server_without_ranges_is_asked_for_again(server: Server, target: Path) -> None:
    server.script = [Answer(cut=60_000), Answer(ranges=False)]
    get(server, target)
    assert server.ranges == [None, "bytes=60000-"]
    assert server.sent == [60_000, len(CONTENT)]


def test_a_server_without_ranges_that_breaks_off_each_time_is_given_up(server: Server, target: Path) -> None:
    server.otherwise = Answer(cut=60_000, ranges=False)
    error = refused(CannotDownload, server, target)
    assert error.gave_up
    assert server.sent == [60_000] * QUICK.attempts


def test_progress_makes_patient(server: Server, target: Path, waits: list[float]) -> None:
    server.otherwise = Answer(cut=10_000)
    get(server, target, QUICK._replace(attempts=2))
    assert server.sent == [10_000] * 10
    assert waits == [1.0] * 9


def test_a_stalled_server_is_left(server: Server, target: Path) -> None:
    server.script = [Answer(cut=5 * CHUNK, then=stall), stall]
    get(server, target, QUICK._replace(timeout=0.25))
    assert server.ranges == [None, f"bytes={5 * CHUNK}-", f"bytes={5 * CHUNK}-"]


def test_a_server_that_stalls_for_good_is_given_up(server: Server, target: Path) -> None:
    server.otherwise = stall
    assert "timed out" in str(refused(CannotDownload, server, target, Limits(attempts=2, timeout=0.05)))


def test_a_connection_that_is_reset_mid_body_is_continued(server: Server, target: Path) -> None:
    arrived = threading.Event()

    def reset_when_arrived(handler: Handler) -> None:
        arrived.wait(10)
        reset(handler)

    def on_bytes(done: int, total: int | None) -> None:
        if done >= CHUNK:
            arrived.set()

    server.script = [Answer(cut=60_000, then=reset_when_arrived), reset]
    get(server, target, on_bytes=on_bytes)
    first, second, third = server.ranges
    assert first is None and second is not None and second == third
    begin = int(second.removeprefix("bytes=").removesuffix("-"))
    assert CHUNK <= begin <= 60_000
    assert server.sent == [60_000, 0, len(CONTENT) - begin]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_a_refusal_fails_at_once(status: int, server: Server, target: Path, waits: list[float]) -> None:
    server.otherwise = Status(status)
    error = refused(CannotDownload, server, target)
    assert f"cannot download {server.url}: the server answers {status}" in str(error)
    assert not error.gave_up
    assert (len(server.ranges), waits) == (1, [])


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_error_is_tried_again(status: int, server: Server, target: Path, waits: list[float]) -> None:
    server.script = [Status(status), Status(status)]
    get(server, target)
    assert waits == [1.0, 2.0]


def test_waits_double_up_to_a_limit_until_the_download_gives_up(
    server: Server, target: Path, waits: list[float]
) -> None:
    server.otherwise = Status(503)
    error = refused(CannotDownload, server, target, LIMITS._replace(attempts=6, longest_wait=10.0))
    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0]
    assert "503" in str(error) and "6 attempts" in str(error)
    assert error.gave_up


def test_the_server_may_ask_for_a_longer_wait_within_limits(server: Server, target: Path, waits: list[float]) -> None:
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.script = [Status(429, Retry_After=value) for value in ("7", "0", date, "86400")]
    get(server, target, QUICK._replace(attempts=5))
    assert waits == [7.0, 2.0, 4.0, 60.0]


def test_other_bytes_are_refused_and_not_kept(server: Server, target: Path) -> None:
    server.otherwise = Answer(OTHER)
    assert "sha256 differs" in str(refused(OtherBytes, server, target))
    assert len(server.ranges) == 1
    assert not partial_of(target).exists()


def test_what_an_earlier_process_left_is_continued(server: Server, target: Path) -> None:
    put_partial(target, CONTENT[:30_000])
    get(server, target)
    assert server.ranges == ["bytes=30000-"]
    assert server.sent == [len(CONTENT) - 30_000]


def test_a_file_that_an_earlier_process_had_whole_is_not_asked_for(server: Server, target: Path) -> None:
    put_partial(target, CONTENT)
    get(server, target)
    assert server.ranges == []


@pytest.mark.parametrize("stale", [OTHER[:30_000], OTHER, OTHER + b"more"])
def test_wrong_bytes_of_an_earlier_process_cost_one_clean_attempt(stale: bytes, server: Server, target: Path) -> None:
    put_partial(target, stale)
    get(server, target)
    assert server.ranges == [f"bytes={len(stale)}-", None]  # by 416 where there is nothing after the stale bytes


def test_one_clean_attempt_and_not_more(server: Server, target: Path) -> None:
    put_partial(target, CONTENT[:30_000])
    server.otherwise = Answer(OTHER)
    server.script = [Answer(OTHER), Answer(OTHER, cut=50_000)]  # even if the clean one was continued, too
    refused(OtherBytes, server, target)
    assert server.ranges == ["bytes=30000-", None, "bytes=50000-"]
    assert not partial_of(target).exists()


@pytest.mark.parametrize("answer", [Status(416), Answer(content_range="bytes 7-9/100000"), Answer(content_range="?")])
def test_a_server_that_cannot_continue_is_asked_for_all(
    answer: Callable[[Handler], None], server: Server, target: Path, waits: list[float]
) -> None:
    put_partial(target, CONTENT[:30_000])
    server.script = [answer]
    get(server, target)
    assert server.ranges == ["bytes=30000-", None]
    assert waits == []


def test_a_range_that_nobody_asked_for_is_no_answer(server: Server, target: Path) -> None:
    server.otherwise = Status(206)
    refused(CannotDownload, server, target)
    server.otherwise = Status(416)
    refused(CannotDownload, server, target)


def test_a_closed_port_is_given_up_and_named(target: Path, server: Server, waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = refused(CannotDownload, f"http://127.0.0.1:{port}/file", target)
    assert error.gave_up
    assert waits == [1.0, 2.0]
    assert "0x" not in str(error)  # no address of an object, which would differ from run to run
    if sys.platform == "linux":
        assert "Connection refused" in str(error)


def test_an_address_that_is_none_fails_at_once(target: Path, waits: list[float]) -> None:
    refused(CannotDownload, "nothing://here", target)
    assert waits == []


def test_no_sequence_of_faults_makes_a_wrong_file(server: Server, tmp_path: Path) -> None:
    rng = random.Random(2)
    outcomes = set()
    for number in range(40):
        target = tmp_path / str(number) / "file.txt"
        server.script.clear()
        for _ in range(rng.randrange(6)):
            cut = Answer(cut=rng.randrange(len(CONTENT)), ranges=rng.random() < 0.7)
            server.script.append(rng.choice((Status(503), Status(416), cut, cut)))
        if rng.random() < 0.5:
            put_partial(target, rng.choice([CONTENT, OTHER])[: rng.randrange(len(CONTENT))])
        try:
            download(server.url, target, SHA256, limits=QUICK)
        except CannotDownload:
            assert not target.exists()
            outcomes.add("given up")
        else:
            assert target.read_bytes() == CONTENT
            outcomes.add("whole")
    assert outcomes == {"given up", "whole"}


def test_two_at_once_make_one_download(server: Server, target: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(handler: Handler) -> None:
        begun.set()
        go_on.wait(10)
        Answer()(handler)

    server.script = [slow]
    threads = [threading.Thread(target=download, args=(server.url, target, SHA256)) for _ in range(3)]
    threads[0].start()
    assert begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.02)  # until the others wait for the lock
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert len(server.ranges) == 1


def test_a_killed_process_is_continued_by_the_next(server: Server, target: Path) -> None:
    server.script = [Answer(cut=60_000, then=stall)]
    code = f"import sys; from bench.data.download import *; download({server.url!r}, Path(sys.argv[1]), {SHA256!r})"
    root = str(Path(bench.data.download.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen([sys.executable, "-c", code, str(target)], env=environment) as process:
        deadline = time.monotonic() + 30
        while not (partial_of(target).exists() and partial_of(target).stat().st_size >= CHUNK):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert not target.exists()
    kept = partial_of(target).stat().st_size
    get(server, target)
    assert server.ranges == [None, f"bytes={kept}-"]


def test_a_full_disk_is_no_network_error(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    class Full:
        """A file on a disk with room for two chunks."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *arguments: object) -> None:
            self.file.close()

        def write(self, content: bytes) -> int:
            if self.file.tell() + len(content) > 2 * CHUNK:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return int(self.file.write(content))

    open_file = Path.open

    def open_on_full_disk(path: Path, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        file = open_file(path, mode, *arguments, **keywords)
        return Full(file) if mode in ("ab", "wb") else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_on_full_disk)
        assert refused(OSError, server, target).errno == errno.ENOSPC
    assert waits == []
    assert partial_of(target).stat().st_size == 2 * CHUNK
    get(server, target)
    assert server.ranges == [None, f"bytes={2 * CHUNK}-"]
