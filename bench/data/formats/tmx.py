"""Translation memories (TMX 1.4), each the only member of a zip archive."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO

from bench.data import Bitext, Pair
from bench.data.formats.reading import Source, elements, text_inside
from bench.errors import BenchError

# Far above any translation memory; a limit for small malicious archives that unpack to large files.
_MAX_BYTES = 1 << 28
# With other compression methods zipfile unpacks whole blocks of any size.
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def bitext(source: Source, pair: Pair) -> Bitext:
    """Return the translation units with both languages, from the files `memories`.

    Units of several memories are joined on their `tuid`, so two memories with a common third language give a bitext,
    too. Of two texts in one language under one `tuid`, the first counts. Raises `BenchError` for an unreadable archive
    or XML, and if no unit has both languages.
    """
    units: dict[str, dict[str, str]] = {}
    for path in source.many("memories"):
        _read_memory(path, units)
    query, document = source.code(pair.query).lower(), source.code(pair.document).lower()
    rows = [(unit[query], unit[document]) for unit in units.values() if query in unit and document in unit]
    if not rows:
        languages = sorted({language for unit in units.values() for language in unit})
        raise BenchError(
            f"{source.name}: no unit has both '{query}' and '{document}'; the languages in its files are "
            f"{', '.join(languages) or 'none'}"
        )
    return Bitext.of(pair, (text for text, _ in rows), (text for _, text in rows), source.name)


def _read_memory(path: Path, units: dict[str, dict[str, str]]) -> None:
    """Add the units of an archive to `units`: tuid -> language in lower case -> text."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.lower().endswith(".tmx")]
            if len(members) != 1:
                raise BenchError(f"{path}: {len(members)} .tmx files in the archive instead of one")
            if members[0].file_size > _MAX_BYTES:
                raise BenchError(f"{path}: {members[0].filename} would unfold to {members[0].file_size:,} bytes")
            if members[0].compress_type not in _BOUNDED:
                raise BenchError(f"{path}: {members[0].filename} is neither stored nor deflated; zip it again")
            with archive.open(members[0]) as file:
                _read_units(path, file, units)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise BenchError(f"{path}: not a zip archive that can be read: {error}") from error


def _read_units(path: Path, file: IO[bytes], units: dict[str, dict[str, str]]) -> None:
    for number, element in enumerate(elements(path, file, "tu"), start=1):
        unit = units.setdefault(element.get("tuid") or f"{path}#{number}", {})
        for variant in element.iter("tuv"):
            language = variant.get(_LANGUAGE) or variant.get("lang")
            segment = variant.find("seg")
            if language and segment is not None:
                unit.setdefault(language.lower(), text_inside(path, segment))
