"""Stored files with checksums, which are verified when a file is read.

A *sealed file* ends in the sha256 of its content and of its place (the names of its folder and of itself). This detects
flipped bits, truncation and exchanged files. A *sealed folder* has a manifest, written last, with the sha256 of every
other file and of the manifest itself.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import platformdirs
from filelock import FileLock

from bench.errors import BenchError
from bench.storage.atomic import atomic_folder, atomic_write
from bench.storage.hashing import digest

MANIFEST = "manifest.json"
CHECKSUM = "sha256"
FILES = "files"
SEAL = 66
"""Bytes at the end of a sealed file: a line end, 64 hexadecimal digits, a line end."""
PROBE = 1 << 16
"""Number of bytes that are written to test if a disk is full."""


def default_cache() -> Path:
    """Return the folder of downloaded and derived files: `BENCH_HOME`, or else the platform's cache folder.

    Raises `BenchError` if the user has no home folder.
    """
    if home := os.environ.get("BENCH_HOME"):
        return Path(home)
    with suppress(RuntimeError):  # old versions of platformdirs return ~
        if (folder := platformdirs.user_cache_path("bench")).is_absolute():
            return folder
    raise BenchError("there is no home folder for the cache; set BENCH_HOME to a folder")


def cache_problems() -> list[str]:
    """Return a message if no file can be written to the cache, or else nothing."""
    folder = default_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE))
    except (OSError, ValueError) as error:
        return [
            f"the cache {folder} cannot be written: {getattr(error, 'strerror', None) or error}; "
            "missing data are computed again in each call; set BENCH_HOME to another folder"
        ]
    return []


class Damaged(BenchError):
    """A stored file is missing, unreadable or changed."""


def write_sealed(path: Path, data: bytes) -> None:
    """Write a sealed file atomically. A folder in its place is deleted."""
    if path.is_dir():
        remove(path)
    with atomic_write(path, "wb") as file:
        file.writelines((data, _seal(path, data)))


def keep_sealed(path: Path, data: bytes) -> None:
    """Write a sealed file if possible, for data that can be computed again."""
    with suppress(OSError):
        write_sealed(path, data)


def read_sealed(path: Path) -> bytes:
    """Return the content of a sealed file. Raises `Damaged`, also for a missing file."""
    with _reading(path), path.open("rb") as file:
        data = file.read(max(0, os.fstat(file.fileno()).st_size - SEAL))
        if file.read() != _seal(path, data):
            raise Damaged(f"{path} is damaged")
    return data


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror}") from error


def _seal(path: Path, data: bytes) -> bytes:
    state = hashlib.sha256(f"{path.parent.name}/{path.name}\n".encode())
    state.update(data)
    return f"\n{state.hexdigest()}\n".encode()


def remembered(path: Path, make: Callable[[], Any]) -> Any:
    """Return the JSON value of a sealed file, or make the value and store it if the file is missing or damaged."""
    try:
        return json.loads(read_sealed(path))
    except Damaged:
        text = json.dumps(make(), ensure_ascii=False)
    keep_sealed(path, text.encode())
    return json.loads(text)


def seal(folder: Path, content: Mapping[str, Any], *, leave_out: Collection[str] = ()) -> None:
    """Write the manifest of a folder: `content`, and the sha256 of itself and of all files except `leave_out`."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    listed = [name for name in paths if name.parts[0] not in {MANIFEST, *leave_out} and not name.match(".*.tmp")]
    files = {name.as_posix(): sha256_of(paths[name]) for name in listed}
    value = json.loads(json.dumps({**content, FILES: files}, ensure_ascii=False, default=str))
    with atomic_write(folder / MANIFEST) as file:
        json.dump({**value, CHECKSUM: digest(value)}, file, indent=2, ensure_ascii=False)
        file.write("\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a sealed folder. Raises `Damaged` if it is missing or changed."""
    path = folder / MANIFEST
    with _reading(path):
        data = path.read_bytes()
    try:
        value = dict(json.loads(data))
        if value.pop(CHECKSUM, None) == digest(value):
            return value
    except (ValueError, TypeError, RecursionError) as error:
        raise Damaged(f"{path} is damaged: it is not JSON") from error
    raise Damaged(f"{path} is damaged, or was written by an earlier version")


def verify(folder: Path, manifest: Mapping[str, Any], below: str = "", *, missing_ok: bool = False) -> None:
    """Raise `Damaged` for the first changed file of a sealed folder whose relative path starts with `below`."""
    for name, expected in manifest[FILES].items():
        if not name.startswith(below) or (missing_ok and not os.path.lexists(folder / name)):
            continue
        with _reading(folder / name):
            if sha256_of(folder / name) != expected:
                raise Damaged(f"{folder / name} is damaged")


def read_whole(folder: Path) -> dict[str, Any]:
    """Return the manifest of a sealed folder. Raises `Damaged` if any file has changed."""
    manifest = read_manifest(folder)
    verify(folder, manifest)
    return manifest


def sealed_folder(
    folder: Path, make: Callable[[Path], Mapping[str, Any] | None], on_damage: Callable[[str], None]
) -> None:
    """Make a sealed folder unless it exists unchanged; one process at a time makes it.

    `make` fills a temporary folder and returns further content of its manifest. `on_damage` is called with a message
    about damage.
    """
    with suppress(Damaged):
        read_whole(folder)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        try:
            read_whole(folder)
        except Damaged as error:
            if folder.exists():
                on_damage(str(error))
                remove(folder)
            with atomic_folder(folder) as partial:
                seal(partial, make(partial) or {})


def remove(path: Path) -> None:
    """Delete a file or folder, if it exists; the manifest of a folder first."""
    if path.is_dir() and not path.is_symlink():
        with suppress(OSError):
            (path / MANIFEST).unlink()
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
