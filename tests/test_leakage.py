from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import Bitext, Pair, Relevance, TestCollection
from bench.data.leakage import normalise, protected, remove_bitext, remove_relevance

SWH = Pair("swh", "eng")


def collection(oracle: tuple[str, ...] | None = None) -> TestCollection:
    return TestCollection(
        name="t",
        pair=SWH,
        query_ids=("q1", "q2"),
        queries=("Mbwa yuko wapi?", "Paka"),
        document_ids=("d1", "d2", "d3"),
        documents=("The dog is here.", "A distractor.", "Judged, but not relevant."),
        qrels={"q1": {"d1": 1, "d3": 0}, "q2": {"d1": 1}},
        oracle_queries=oracle,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The dog is here.", "the dog is  here"),
        ("Don't!", "don\u2019t"),
        ("\ufb01sh", "FISH"),
        ("Stra\u00dfe", "STRASSE"),
        ("zero\u200bwidth", "zerowidth"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u00abyes\u00bb \u2014 no\u2026", "yes no"),
    ],
)
def test_copies_of_one_sentence_are_the_same_text(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The dog", "The dogs"),
        ("\u0915\u093f", "\u0915"),  # a Devanagari vowel sign is a letter's part, not punctuation
        ("\u1ecdm\u1ecd", "omo"),  # Yoruba's dots below tell words apart
        ("5", "6"),
    ],
)
def test_different_sentences_stay_different(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@given(st.text())
def test_normalising_keeps_no_space_to_spare(text: str) -> None:
    assert normalise(text) == " ".join(normalise(text).split())
    assert normalise(text) == normalise(f"  {text} ")


def test_queries_oracles_and_relevant_documents_are_protected_and_no_others() -> None:
    assert protected(collection()) == {"mbwa yuko wapi", "paka", "the dog is here"}
    assert protected(collection(("Where is the dog?", "..."))) == {
        "mbwa yuko wapi",
        "paka",
        "the dog is here",
        "where is the dog",
    }


def test_of_a_mining_collection_only_the_gold_pairs_are_protected() -> None:
    """Of both parts: those to tune on and those to test."""
    mining = replace(
        collection(),
        query_ids=("q1", "q2", "q3"),
        queries=("Mbwa yuko wapi?", "Paka", "Kuku"),
        qrels={"q1": {"d1": 1}, "q3": {"d3": 1}},
        tuning=("q1", "q2"),
    )
    assert protected(mining) == {"mbwa yuko wapi", "kuku", "the dog is here", "judged but not relevant"}


def test_bitext_rows_go_if_either_side_is_protected() -> None:
    bitext = Bitext(
        ("mbwa yuko wapi", "Ng'ombe", "Mbuzi", "Kondoo"),
        ("Some dog", "THE DOG IS HERE!", "A distractor.", "A sheep"),
        ("a", "a", "b", "b"),
    )
    kept, counts = remove_bitext(bitext, {"t": protected(collection()), "u": frozenset({"some dog", "a sheep"})})
    assert kept == Bitext(("Mbuzi",), ("A distractor.",), ("b",))
    assert counts == {"t": 2, "u": 2}


def test_relevance_rows_go_if_query_or_positive_is_protected() -> None:
    relevance = Relevance(
        "eng",
        ("Where is the dog?", "which passage", "fine"),
        ("Somewhere.", "The dog is here", "A distractor."),
        ("a", "b", "c"),
    )
    kept, counts = remove_relevance(relevance, {"t": protected(collection(("where is the dog", "cat")))})
    assert kept == Relevance("eng", ("fine",), ("A distractor.",), ("c",))
    assert counts == {"t": 2}


def test_without_tests_everything_stays() -> None:
    bitext = Bitext(("a",), ("b",), ("c",))
    assert remove_bitext(bitext, {}) == (bitext, {})
