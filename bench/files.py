"""Where a collection's files come from: a mirror folder, the local cache, or a download; always verified."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import platformdirs

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.cards import Card

RAW = "https://raw.githubusercontent.com"


class MissingFile(BenchError):
    """A file of a collection is neither at hand nor to be had."""


def default_cache() -> Path:
    """`BENCH_HOME`, else the platform's cache folder for this program."""
    home = os.environ.get("BENCH_HOME")
    return Path(home) if home else platformdirs.user_cache_path("bench")


@dataclass(frozen=True)
class Resolver:
    """Finds the files of collections; whatever it returns has the sha256 that the card states.

    `mirror` is a folder laid out `<owner>/<repo>/<path>`. `cache` has the commit as one more level
    (`<owner>/<repo>/<commit>/<path>`), so that two versions of a card never share a file; None means
    `default_cache()`. With `offline`, no socket is ever opened.
    """

    mirror: Path | None = None
    cache: Path | None = None
    offline: bool = False
    _verified: set[Path] = field(default_factory=set, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.mirror is not None and not self.mirror.is_dir():
            raise BenchError(f"the mirror folder {self.mirror} does not exist; correct --mirror or BENCH_MIRROR")

    def available(self, card: Card, relative: str) -> bool:
        """Whether the file is in the mirror or the cache; looks at no contents and opens no socket."""
        return any(place.is_file() for place in self._places(card, relative))

    def path(self, card: Card, relative: str) -> Path:
        """The local path of one of the card's files, downloaded if need be.

        Raises MissingFile if it is not at hand and cannot or may not be downloaded, BenchError if its
        bytes are not those that the card states.
        """
        places = self._places(card, relative)
        for place in places:
            if place.is_file():
                return self._verify(place, card, relative)
        if self.offline:
            looked = " and ".join(str(place) for place in places)
            raise MissingFile(
                f"{card.name}: {relative} is missing; looked for {looked}; "
                "run once without --offline, or give a folder that has it with --mirror"
            )
        return self._download(places[-1], card, relative)

    def _places(self, card: Card, relative: str) -> list[Path]:
        """Where the file may lie, in order of preference; the last is in the cache."""
        cached = (self.cache or default_cache()) / card.repository / card.commit / relative
        return [cached] if self.mirror is None else [self.mirror / card.repository / relative, cached]

    def _verify(self, path: Path, card: Card, relative: str) -> Path:
        if path not in self._verified:
            found = sha256_of(path)
            if found != card.sha256[relative]:
                raise BenchError(
                    f"{card.name}: {path} is not the file of the card: sha256 {found[:12]}… instead of "
                    f"{card.sha256[relative][:12]}…; delete it and run again"
                )
            self._verified.add(path)
        return path

    def _download(self, target: Path, card: Card, relative: str) -> Path:
        # Imported here because it takes longer than all else in this module and is rarely needed.
        import pooch  # type: ignore[import-untyped]

        pooch.get_logger().setLevel(logging.WARNING)
        url = f"{RAW}/{card.repository}/{card.commit}/{quote(relative)}"
        progress = sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None
        downloader = pooch.HTTPDownloader(progressbar=progress)
        try:
            # pooch downloads to a temporary file beside the target, verifies it and only then renames it.
            pooch.retrieve(url, f"sha256:{card.sha256[relative]}", target.name, target.parent, downloader=downloader)
        except OSError as error:  # the base of all that requests raises, too
            reason = " ".join(str(error).split())
            raise MissingFile(f"{card.name}: cannot download {url}: {reason}") from error
        except ValueError as error:
            raise BenchError(f"{card.name}: {url} is not the file of the card: its sha256 differs") from error
        self._verified.add(target)
        return target


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
