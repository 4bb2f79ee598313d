"""Canonical codes of languages and language pairs, and their fields in pydantic models.

The canonical form is an ISO 639-3 code of an individual language (`swh`, not `sw` or `swa`). Cards map it to the codes
of their files.
"""

import difflib
import re
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from bench.data import Pair
from bench.errors import BenchError
from bench.options import items

# Collections use the code of a macrolanguage for its dominant member.
# `fil` is the standardised form of Tagalog, and collections use either code.
_DOMINANT = (
    "ara=arb aze=azj est=ekk fas=pes fil=tgl kur=kmr lav=lvs mlg=plt mon=khk msa=zsm nep=npi ori=ory orm=gaz pus=pbt "
    "sqi=als swa=swh uzb=uzn yid=ydd zho=cmn"
)
_CANONICAL = dict(codes.split("=") for codes in _DOMINANT.split())

# Languages of suggestions. Among all eight thousand languages, every typo is near one of them.
_COMMON = (
    "afr amh arb azj bam bem ben bul cmn deu ell eng ewe fon fra gaz hau heb hin ibo ind ita jpn kan khm kin "
    "kor lin lug mal mar mya npi nya pan pes por rus sna som sot spa swh tam tel tgl tha tir tsn tur twi ukr urd vie "
    "wol xho yor zsm zul"
)

_PRIVATE_USE = re.compile(r"q[a-t][a-z]")


@cache
def parse_language(text: str) -> str:
    """Return the canonical ISO 639-3 code of a language for its 639-1, 639-2 or 639-3 code.

    Private-use codes, `qaa` to `qtz`, do not change. Raises `BenchError` with a suggestion for an unknown code.
    """
    code = text.strip().lower()
    if _PRIVATE_USE.fullmatch(code):
        return code
    # Imported here, because the import takes longer than `bench --help`.
    from iso639 import Lang
    from iso639.exceptions import DeprecatedLanguageValue, InvalidLanguageValue

    individual = ""
    try:
        if len(code) in (2, 3):  # Lang() also accepts names
            individual = Lang(code).pt3  # empty for families of languages
    except DeprecatedLanguageValue as error:
        if error.change_to:
            raise BenchError(f"language code '{code}' was retired; use {error.change_to}") from None
    except InvalidLanguageValue:
        pass
    if not individual:
        raise _unknown_language(text)
    return _CANONICAL.get(individual, individual)


@cache
def parse_pair(text: str) -> Pair:
    """Return the pair of a text such as `swh-eng` or `sw-en`. Raises `BenchError` for another text."""
    languages = text.strip().split("-")
    if len(languages) != 2 or not all(languages):
        raise BenchError(
            f"'{text}' is not a language pair; write the language of the queries, a hyphen and the language "
            "of the documents, as in swh-eng"
        )
    return Pair(*map(parse_language, languages))


def _pair(value: Any) -> Pair:
    return value if isinstance(value, Pair) else parse_pair(str(value))


Language = Annotated[str, BeforeValidator(lambda value: parse_language(str(value)))]
PairText = Annotated[Pair, BeforeValidator(_pair), PlainSerializer(str)]
Pairs = Annotated[
    tuple[Pair, ...],
    BeforeValidator(lambda value: tuple(dict.fromkeys(map(_pair, items(value))))),
    PlainSerializer(lambda pairs: [str(pair) for pair in pairs]),
]


def name(code: str) -> str:
    """Return the English name of a language, for display. Raises `BenchError` for an unknown code."""
    code = parse_language(code)
    if _PRIVATE_USE.fullmatch(code):
        return f"artificial language {code}"
    from iso639 import Lang

    # Remarks as in "Swahili (individual language)" and "Modern Greek (1453-)" are left out.
    return re.sub(r" \(.*\)$", "", Lang(code).name)


def _unknown_language(text: str) -> BenchError:
    """Return the error for an unknown language, with suggestions by code or name, such as swh for 'swahili'."""
    labels = {spelling: code for code in _COMMON.split() for spelling in (code, name(code).lower())}
    near = dict.fromkeys(labels[match] for match in difflib.get_close_matches(text.lower(), labels, n=2, cutoff=0.6))
    hint = "use an ISO 639-3 or 639-1 code, such as swh or sw"
    if near:
        hint = "did you mean " + " or ".join(f"{code} ({name(code)})" for code in near) + "?"
    return BenchError(f"unknown language '{text}'; {hint}")
