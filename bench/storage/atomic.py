"""Files and folders that appear under their names only when they are complete."""

import gzip
import io
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO

ABANDONED = 24 * 3600.0
"""Age in seconds of temporary files that belong to a killed process."""


def sweep(folder: Path) -> None:
    """Delete temporary files and folders of killed processes in a folder, if it exists."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that appears under its name when the block ends without an error. Text is UTF-8 with LF.

    Makes missing folders. Raises `OSError` with the name of the file.
    """
    temporary = _beside(path)
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "\n")
    try:
        with temporary.open(mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_gzip(path: Path) -> Iterator[TextIO]:
    """Open gzipped text as `atomic_write`, without a time stamp, so that the same text gives the same bytes."""
    with atomic_write(path, "wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        text = io.TextIOWrapper(packed, encoding="utf-8", newline="\n")
        yield text
        text.flush()
        text.detach()


def open_gzip(path: Path) -> TextIO:
    return gzip.open(path, "rt", encoding="utf-8", newline="")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make a temporary folder that is renamed to `path` when the block ends without an error, unless that exists."""
    partial = _beside(path)
    partial.mkdir()
    try:
        yield partial
        try:
            partial.replace(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
