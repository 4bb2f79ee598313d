"""What a parser gets: the local files of one card's entry, and what the card says about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import BenchError


@dataclass(frozen=True)
class Source:
    """The files of a collection for one pair or language, under the names that its format gives them."""

    name: str
    files: Mapping[str, tuple[Path, ...]]
    codes: Mapping[str, str] = field(default_factory=dict)
    """Canonical language -> the code that the files themselves use, where it differs."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def code(self, language: str) -> str:
        """The code that the files use for a canonical language."""
        return self.codes.get(language, language)

    def many(self, part: str) -> tuple[Path, ...]:
        """The files under a name; raises BenchError if the card names none."""
        if not self.files.get(part):
            raise BenchError(f"{self.name}: the card names no files under '{part}', which its format needs")
        return self.files[part]

    def one(self, part: str) -> Path:
        """The only file under a name; raises BenchError if the card names none or several."""
        paths = self.many(part)
        if len(paths) > 1:
            raise BenchError(f"{self.name}: the card names {len(paths)} files under '{part}'; its format takes one")
        return paths[0]
