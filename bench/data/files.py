"""Local files of collections, from a mirror folder, the cache or a download. Every file is verified."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from bench.data.cards import Card
from bench.errors import BenchError, MissingFile
from bench.progress import Display
from bench.storage.atomic import atomic_write
from bench.storage.hashing import digest_bytes
from bench.storage.sealed import default_cache, sha256_of

RAW = "https://raw.githubusercontent.com"
MIB = 1 << 20


@dataclass(frozen=True)
class Resolver:
    """A finder of the files of collections, which downloads missing files and verifies their sha256.

    `mirror` is a folder with the layout `<owner>/<repo>/<path>`. The `cache` (None is `default_cache()`) has the layout
    `<owner>/<repo>/<commit>/<path>`. With `offline`, no socket is opened. `display` shows licences and progress.
    """

    mirror: Path | None = None
    cache: Path | None = None
    offline: bool = False
    display: Display = field(default_factory=lambda: Display(quiet=True), repr=False, compare=False)
    derived: Path | None = None
    """The folder of derived data; None means `cache`."""
    _announced: set[str] = field(default_factory=set, repr=False, compare=False)
    _unreachable: set[str] = field(default_factory=set, repr=False, compare=False)
    """Hosts whose last download failed after all attempts. The next file gets one attempt."""

    def __post_init__(self) -> None:
        if self.mirror is not None and not self.mirror.is_dir():
            raise BenchError(f"the mirror folder {self.mirror} does not exist; correct --mirror or BENCH_MIRROR")

    def available(self, card: Card, relative: str) -> bool:
        """Return True if the file is in the mirror or the cache. Reads no content and opens no socket."""
        return any(place.is_file() for place in self._places(card, relative))

    def path(self, card: Card, relative: str) -> Path:
        """Return the local path of a file, after a download if necessary.

        Raises `MissingFile` for an unavailable file, `BenchError` for another sha256 than that of the card, and
        `OSError` if the cache cannot be written.
        """
        places = self._places(card, relative)
        place = next((place for place in places if place.is_file()), places[-1])
        if not place.is_file():
            if card.folder is not None:
                cure = f"put it there, since it is not downloaded; see bench ls datasets {card.name}"
            else:
                cure = "run once without --offline, or give a folder that has it with --mirror"
            if self.offline or card.folder is not None:
                looked = " and ".join(map(str, places))
                raise MissingFile(f"{card.name}: {relative} is missing; looked for {looked}; {cure}")
            self._download(place, card, relative)
        if relative in card.sha256 and (actual := sha256_of(place)) != card.sha256[relative]:
            raise BenchError(
                f"{card.name}: {place} is not the file of the card: sha256 {actual[:12]}… instead of "
                f"{card.sha256[relative][:12]}…; delete it and run again"
            )
        return place

    def announce(self, card: Card) -> None:
        """Show the licence of data before their first download."""
        if card.name not in self._announced:
            self._announced.add(card.name)
            licence = f"licence: {' '.join(card.licence.split())}"
            if card.non_commercial:
                self.display.warn(f"{card.name}: NON-COMMERCIAL use only; {licence}")
            else:
                self.display.say(f"{card.name}: {licence}")

    def _places(self, card: Card, relative: str) -> list[Path]:
        """Return the possible paths of a file in order of preference, the last in the cache."""
        cache = self.cache or default_cache()
        if card.folder is not None:
            return list(dict.fromkeys(base / card.folder / relative for base in (self.mirror, cache) if base))
        repository, commit, inner = card.origin(relative)
        cached = cache / repository / commit / inner
        return [cached] if self.mirror is None else [self.mirror / repository / inner, cached]

    def _download(self, target: Path, card: Card, relative: str) -> None:
        from bench.data import download  # here, because it imports requests

        self.announce(card)
        cache = (self.cache or default_cache()).resolve()
        if not target.resolve().is_relative_to(cache):
            raise BenchError(f"{card.name}: {target} leads out of the cache {cache} through a link; remove the link")
        repository, commit, inner = card.origin(relative)
        url = f"{RAW}/{repository}/{commit}/{quote(inner)}"
        label, attempts = f"{card.name}: {target.name}", 1 if RAW in self._unreachable else download.ATTEMPTS
        try:
            content = download.download(url, label, self.display, attempts=attempts)
        except download.DownloadError as error:
            if error.temporary:
                self._unreachable.add(RAW)
            raise
        self._unreachable.discard(RAW)
        if digest_bytes(content) != card.sha256[relative]:
            raise BenchError(
                f"{label}: the file at {url} has changed: its sha256 differs from that of the card; "
                "give a folder that has it with --mirror"
            )
        with atomic_write(target, "wb") as file:
            file.write(content)
