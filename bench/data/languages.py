"""Languages and language pairs as users write them, made canonical.

The canonical form is an ISO 639-3 code of an individual language (`swh`, not `sw` or `swa`).
Which code a collection's files use is its card's business.
"""

from __future__ import annotations

import difflib
import re

from bench.data import Pair
from bench.errors import BenchError

# A macrolanguage covers several languages; a collection that names one means its dominant member.
# `fil` is no macrolanguage, but the standardised form of Tagalog: collections use either code.
_CANONICAL = {
    "ara": "arb",
    "aze": "azj",
    "est": "ekk",
    "fas": "pes",
    "fil": "tgl",
    "kur": "kmr",
    "lav": "lvs",
    "mlg": "plt",
    "mon": "khk",
    "msa": "zsm",
    "nep": "npi",
    "ori": "ory",
    "orm": "gaz",
    "pus": "pbt",
    "sqi": "als",
    "swa": "swh",
    "uzb": "uzn",
    "yid": "ydd",
    "zho": "cmn",
}

# The languages that suggestions are made from; with all eight thousand, every typo is some language.
_COMMON = (
    "afr amh arb azj bam bem ben bul cmn deu ell eng ewe fon fra gaz hau heb hin ibo ind ita jpn kan khm kin "
    "kor lin lug mal mar mya npi nya pan pes por rus sna som sot spa swh tam tel tgl tha tir tsn tur twi ukr urd vie "
    "wol xho yor zsm zul"
)

_PRIVATE_USE = re.compile(r"q[a-t][a-z]")


def parse_language(text: str) -> str:
    """The canonical ISO 639-3 code of a language given by its 639-1, 639-2 or 639-3 code.

    Private-use codes (`qaa` to `qtz`) stand for artificial languages and stay as they are.
    Raises BenchError, with a suggestion, for a code that stands for no language.
    """
    code = text.strip().lower()
    if _PRIVATE_USE.fullmatch(code):
        return code
    found = _iso_639_3(code)
    if found is None:
        raise _unknown_language(text)
    return _CANONICAL.get(found, found)


def parse_pair(text: str) -> Pair:
    """The pair written `swh-eng` or `sw-en`: the language of the queries, then that of the documents.

    Raises BenchError for a malformed pair or an unknown language.
    """
    languages = text.strip().split("-")
    if len(languages) != 2 or not all(languages):
        raise BenchError(
            f"'{text}' is not a language pair; write the language of the queries, a hyphen and the language "
            "of the documents, as in swh-eng"
        )
    return Pair(*map(parse_language, languages))


def name(code: str) -> str:
    """The English name of a language, for display; raises BenchError for an unknown code."""
    code = parse_language(code)
    if _PRIVATE_USE.fullmatch(code):
        return f"artificial language {code}"
    from iso639 import Lang

    # "Swahili (individual language)", "Modern Greek (1453-)": the remark only serves the standard.
    return re.sub(r" \(.*\)$", "", Lang(code).name)


def _iso_639_3(code: str) -> str | None:
    """The ISO 639-3 code for any ISO 639 code of a language; None for anything else."""
    # Imported here because reading its tables takes longer than all else that `bench --help` needs.
    from iso639 import Lang
    from iso639.exceptions import DeprecatedLanguageValue, InvalidLanguageValue

    # Lang() also takes names; only codes are accepted here, so that every language has one spelling.
    if len(code) not in (2, 3):
        return None
    try:
        return Lang(code).pt3 or None
    except DeprecatedLanguageValue as error:
        if error.change_to:
            raise BenchError(f"language code '{code}' was retired; use {error.change_to}") from None
        return None
    except InvalidLanguageValue:
        return None


def _unknown_language(text: str) -> BenchError:
    """Like `errors.unknown`, but near in code or in name: 'swahili' leads to swh."""
    labels = {spelling: code for code in _COMMON.split() for spelling in (code, name(code).lower())}
    near = dict.fromkeys(labels[match] for match in difflib.get_close_matches(text.lower(), labels, n=2, cutoff=0.6))
    if near:
        hint = "did you mean " + " or ".join(f"{code} ({name(code)})" for code in near) + "?"
    else:
        hint = "use an ISO 639-3 or 639-1 code, such as swh or sw"
    return BenchError(f"unknown language '{text}'; {hint}")
