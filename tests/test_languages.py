import pytest

from bench.data import Pair
from bench.data.languages import name, parse_language, parse_pair
from bench.errors import BenchError

SPELLINGS = (
    "swh=swh sw=swh swa=swh EN=eng am=amh yo=yor ha=hau zu=zul so=som tl=tgl fil=tgl mr=mar km=khm ur=urd ar=arb "
    "zh=cmn ger=deu ibo=ibo qaa=qaa qtz=qtz mul=mul"
)


@pytest.mark.parametrize("spelling", SPELLINGS.split())
def test_every_spelling_of_a_language_has_one_canonical_code(spelling: str) -> None:
    written, _, canonical = spelling.partition("=")
    assert parse_language(written) == parse_language(f" {written} ") == canonical


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("swahili", "swh (Swahili)"),
        ("eg", "eng"),
        ("xx", "ISO 639-3"),
        *((code, "") for code in ("", "qua!", "qza", "bnt", "iw")),
    ],
)
def test_an_unknown_language_is_refused_with_a_hint(written: str, hint: str) -> None:
    with pytest.raises(BenchError) as error:
        parse_language(written)
    assert hint in str(error.value) and (not hint or f"unknown language '{written}'" in str(error.value))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("swh", "Swahili"),
        ("ell", "Modern Greek"),
        ("tl", "Tagalog"),
        ("mul", "Multiple languages"),
        ("qaa", "artificial language qaa"),
    ],
)
def test_names_are_for_display(code: str, expected: str) -> None:
    assert name(code) == expected


@pytest.mark.parametrize("written", ["swh-eng", "sw-en", "SWA-eng"])
def test_a_pair_is_queries_then_documents(written: str) -> None:
    assert parse_pair(written) == Pair("swh", "eng")


@pytest.mark.parametrize(
    ("written", "trained"), [("de-en", "de-en"), ("de-de", "de-en"), ("de-mul", "de-en"), ("de-es", "de-es")]
)
def test_documents_in_the_own_or_in_many_languages_are_searched_by_who_was_trained_with_english(
    written: str, trained: str
) -> None:
    assert parse_pair(written).training == parse_pair(trained)


@pytest.mark.parametrize("written", ["sw", "sw-", "-en", "sw-en-fr", "sw_en", ""])
def test_a_malformed_pair_is_told_what_a_pair_looks_like(written: str) -> None:
    with pytest.raises(BenchError, match="as in swh-eng"):
        parse_pair(written)
