"""Downloads that survive: what has arrived is kept, what fails for a while is tried again, what is wrong is refused."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import NamedTuple

from bench.errors import BenchError

CHUNK = 1 << 14
"""Bytes that are read and written at once; the most that a connection that breaks can lose."""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The HTTP statuses after which the same request may succeed a little later."""

OnBytes = Callable[[int, int | None], None]
OnWait = Callable[[str, float], None]


class Limits(NamedTuple):
    """How patient a download is; times in seconds."""

    attempts: int = 5
    """Attempts in a row that bring not one new byte."""
    first_wait: float = 1.0
    """The wait before the second attempt; it doubles with each further one."""
    longest_wait: float = 60.0
    """The longest wait, whatever the server asks for."""
    timeout: float = 30.0
    """How long the server may take to accept a connection and, again and again, to send something."""


LIMITS = Limits()


class CannotDownload(BenchError):
    """The file cannot be had; `gave_up` if it might be had later."""

    def __init__(self, url: str, reason: str, *, gave_up: bool = False) -> None:
        super().__init__(f"cannot download {url}: {reason}")
        self.gave_up = gave_up


class OtherBytes(BenchError):
    """The server has another file under this address."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url} is not the file that is meant: its sha256 differs")


class _Failed(Exception):
    """An attempt failed in a way in which the next may not; `wait` is what the server asks for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def download(
    url: str,
    target: Path,
    sha256: str,
    on_bytes: OnBytes = lambda done, total: None,
    *,
    on_wait: OnWait = lambda reason, seconds: None,
    limits: Limits | None = None,
) -> None:
    """Download a file; it appears under the target's name only when it is whole and its sha256 is right.

    A target that is there already, or that another process makes meanwhile, is left as it is. What has arrived
    is kept beside the target until the file is whole, and the next attempt, in this process or a later one, asks
    only for the rest. `on_bytes` is told the bytes that are there and the file's length, None if unknown;
    `on_wait` why an attempt failed, and the seconds until the next. `limits` are LIMITS by default.

    Raises CannotDownload if the server cannot be reached, does not answer in time or refuses, OtherBytes if
    the whole has another sha256 (nothing is kept then), and OSError if the file cannot be written.
    """
    from filelock import FileLock

    limits = LIMITS if limits is None else limits
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{sha256[:12]}.part")
    lock = target.with_name(f".{target.name}.lock")
    with FileLock(lock):
        if not target.exists():
            if not _is_whole(partial, sha256):
                joined = _receive(url, partial, on_bytes, on_wait, limits)
                if joined and not _is_whole(partial, sha256):  # perhaps only because of a piece from an earlier attempt
                    partial.unlink()
                    _receive(url, partial, on_bytes, on_wait, limits)
                if not _is_whole(partial, sha256):
                    partial.unlink()
                    raise OtherBytes(url)
            partial.replace(target)
    # Whoever still waits for the lock finds the target. While there is none, the lock must keep its inode.
    with suppress(OSError):
        lock.unlink()


def _is_whole(partial: Path, sha256: str) -> bool:
    """Whether all the right bytes have arrived; if so, they are on the disk."""
    if not partial.is_file():
        return False
    with partial.open("rb+") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            return False
        os.fsync(file.fileno())
    return True


def _receive(url: str, partial: Path, on_bytes: OnBytes, on_wait: OnWait, limits: Limits) -> bool:
    """Make attempts until the server says that the partial file is all; whether it is of several pieces."""
    furthest, failures = _size(partial), 0
    while True:
        try:
            return _attempt(url, partial, on_bytes, limits.timeout)
        except _Failed as error:
            failed = error
        # Only what no earlier attempt had is progress: a server may begin anew and break off each time.
        if _size(partial) > furthest:
            furthest, failures = _size(partial), 0
        failures += 1
        if failures >= limits.attempts:
            times = f"{limits.attempts} attempts" if limits.attempts > 1 else "1 attempt"
            raise CannotDownload(url, f"{failed} ({times})", gave_up=True) from failed
        seconds = min(max(limits.first_wait * 2 ** (failures - 1), failed.wait), limits.longest_wait)
        on_wait(str(failed), seconds)
        sleep(seconds)


def _attempt(url: str, partial: Path, on_bytes: OnBytes, timeout: float) -> bool:
    """Ask once for what is missing and append it; whether it went on from where an earlier attempt had ended."""
    # Imported here because it takes longer than all else in this module and is rarely needed.
    import requests
    from urllib3.exceptions import HTTPError

    size = _size(partial)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={size}-"} if size else {})
    try:
        with requests.get(url, headers=headers, timeout=timeout, stream=True) as response:
            status = response.status_code
            reason = f"the server answers {status} {response.reason or ''}".rstrip()
            if status in PASSING:
                raise _Failed(reason, _seconds(response.headers.get("Retry-After", "")))
            start, total = _span(status, response.headers)
            if size and (status == 416 or start not in (0, size)):
                partial.unlink()  # the server cannot go on from here
                return _attempt(url, partial, on_bytes, timeout)
            if status not in (200, 206):
                raise CannotDownload(url, reason)
            if start not in (0, size):
                raise _Failed(f"{reason} with another part of the file")
            with partial.open("ab" if start else "wb") as file:
                on_bytes(done := start, total)
                # Not response.iter_content, which drops the last bytes of a body that breaks off.
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    file.write(chunk)
                    on_bytes(done := done + len(chunk), total)
    # An OSError of the disk is neither of these; it passes.
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        raise _Failed(root_cause(error)) from error
    except requests.RequestException as error:
        raise CannotDownload(url, root_cause(error)) from error
    if total is not None and done != total:
        raise _Failed(f"the connection ended after {done:,} of {total:,} bytes")
    return start > 0


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _span(status: int, headers: Mapping[str, str]) -> tuple[int, int | None]:
    """Where in the file the body begins (-1 if that is unclear), and the file's length if the server tells it."""
    length = headers.get("Content-Length", "")
    if status != 206:
        return 0, int(length) if length.isdecimal() else None
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
    if found is None:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _seconds(retry_after: str) -> float:
    """The header's number of seconds; 0 if it has none, or a date."""
    return float(retry_after) if retry_after.strip().isdecimal() else 0.0


def root_cause(error: BaseException) -> str:
    """What the innermost of nested network errors says, in one line: the outer ones are long and say less."""
    from http.client import HTTPException

    root, inner = error, error.__cause__ or error.__context__
    while inner is not None:
        root = inner if isinstance(inner, (OSError, HTTPException)) else root
        inner = inner.__cause__ or inner.__context__
    return " ".join(str(root).split()) or type(root).__name__
