"""Where a collection's files come from: a mirror folder, the local cache, or a download; always verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from bench.cache import default_cache
from bench.data import download
from bench.errors import BenchError
from bench.sealed import sha256_of

if TYPE_CHECKING:
    from bench.data.cards import Card
    from bench.progress import Display, Stage

RAW = "https://raw.githubusercontent.com"
MIB = 1 << 20


class MissingFile(BenchError):
    """A file of a collection is neither at hand nor to be had."""


@dataclass(frozen=True)
class Resolver:
    """Finds the files of collections; whatever it returns has the sha256 that the card states.

    `mirror` is a folder laid out `<owner>/<repo>/<path>`. `cache` has the commit as one more level
    (`<owner>/<repo>/<commit>/<path>`), so that two versions of a card never share a file; None means
    `default_cache()`. Files of a card's own folder are taken as they are, unless it states their sha256.
    With `offline`, no socket is ever opened. `display` is told what is downloaded, and
    the licence of each collection before its first file is; without one, all of it is silent.
    """

    mirror: Path | None = None
    cache: Path | None = None
    offline: bool = False
    display: Display | None = field(default=None, repr=False, compare=False)
    derived: Path | None = None
    """The folder of data that are derived from the files; None means `cache`."""
    _verified: set[Path] = field(default_factory=set, repr=False, compare=False)
    _announced: set[str] = field(default_factory=set, repr=False, compare=False)
    """The names of the cards whose licence the user was told."""
    _unreachable: set[str] = field(default_factory=set, repr=False, compare=False)
    """Hosts that failed until the download gave up; until one succeeds, they get one attempt per file."""

    def __post_init__(self) -> None:
        if self.mirror is not None and not self.mirror.is_dir():
            raise BenchError(f"the mirror folder {self.mirror} does not exist; correct --mirror or BENCH_MIRROR")

    def available(self, card: Card, relative: str) -> bool:
        """Whether the file is in the mirror or the cache; looks at no contents and opens no socket."""
        return any(place.is_file() for place in self._places(card, relative))

    def path(self, card: Card, relative: str) -> Path:
        """The local path of one of the card's files, downloaded if need be.

        Raises MissingFile if it is not at hand and cannot or may not be downloaded, BenchError if its
        bytes are not those that the card states, OSError if it cannot be written to the cache.
        """
        places = self._places(card, relative)
        for place in places:
            if place.is_file():
                return self._verify(place, card, relative)
        if self.offline or card.folder is not None:
            looked = " and ".join(str(place) for place in places)
            cure = "run once without --offline, or give a folder that has it with --mirror"
            if card.folder is not None:
                cure = f"put it there, for it is not downloaded; see bench ls datasets {card.name}"
            raise MissingFile(f"{card.name}: {relative} is missing; looked for {looked}; {cure}")
        self._download(places[-1], card, relative)
        return self._verify(places[-1], card, relative)

    def _places(self, card: Card, relative: str) -> list[Path]:
        """Where the file may lie, in order of preference; the last is in the cache."""
        if card.folder is not None:
            bases = filter(None, (self.mirror, self.cache or default_cache()))
            return list(dict.fromkeys(base / card.folder / relative for base in bases))
        repository, commit, inner = card.origin(relative)
        cached = (self.cache or default_cache()) / repository / commit / inner
        return [cached] if self.mirror is None else [self.mirror / repository / inner, cached]

    def _verify(self, path: Path, card: Card, relative: str) -> Path:
        if path not in self._verified and relative in card.sha256:
            found = sha256_of(path)
            if found != card.sha256[relative]:
                raise BenchError(
                    f"{card.name}: {path} is not the file of the card: sha256 {found[:12]}… instead of "
                    f"{card.sha256[relative][:12]}…; delete it and run again"
                )
            self._verified.add(path)
        return path

    def _download(self, target: Path, card: Card, relative: str) -> None:
        self.announce(card)
        limits = download.LIMITS._replace(attempts=1) if RAW in self._unreachable else download.LIMITS
        repository, commit, inner = card.origin(relative)
        url = f"{RAW}/{repository}/{commit}/{quote(inner)}"
        mirror = "give a folder that has it with --mirror"
        try:
            with _shown(self.display, f"{card.name}: {target.name}") as (on_bytes, on_wait):
                download.download(url, target, card.sha256[relative], on_bytes, on_wait=on_wait, limits=limits)
        except download.CannotDownload as error:
            if error.gave_up:
                self._unreachable.add(RAW)
            cure = f"run again later to go on, or {mirror}" if error.gave_up else mirror
            raise MissingFile(f"{card.name}: {error}; {cure}") from error
        except download.OtherBytes as error:
            raise BenchError(f"{card.name}: {error}; {mirror}") from error
        self._unreachable.discard(RAW)

    def announce(self, card: Card) -> None:
        """Tell the user, once, under which licence the data of the card are about to be downloaded."""
        if self.display is None or card.name in self._announced:
            return
        self._announced.add(card.name)
        licence = f"licence: {' '.join(card.licence.split())}"
        if card.non_commercial:
            self.display.warn(f"{card.name}: NON-COMMERCIAL use only; {licence}")
        else:
            self.display.say(f"{card.name}: {licence}")


@contextmanager
def _shown(display: Display | None, label: str) -> Iterator[tuple[download.OnBytes, download.OnWait]]:
    """What tells a download's progress, in MiB, and its waits to the display, if there is one."""
    stage: Stage | None = None
    told = False

    def on_bytes(done: int, total: int | None) -> None:
        nonlocal stage, told
        if display is None:
            return
        if stage is None and total is not None:
            stage = stack.enter_context(display.stage(label, total / MIB, "MiB"))
        if stage is not None:
            stage.update(done / MIB)
        elif not told:
            told = True
            display.say(f"{label}: downloading; the server does not tell its size")

    def on_wait(reason: str, seconds: float) -> None:
        if display is not None:
            display.say(f"{label}: {reason}; trying again in {seconds:.0f} s")

    with ExitStack() as stack:
        yield on_bytes, on_wait
