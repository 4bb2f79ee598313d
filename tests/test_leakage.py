from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import Bitext, Pair, Relevance, TestCollection
from bench.data.leakage import Leak, count_rows, find_leaks, protected, remove
from bench.data.normalise import normalise

SWH = Pair("swh", "eng")
ENG = Pair("eng", "eng")


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
    both = frozenset({"q1", "q2"})
    texts = {"mbwa yuko wapi": frozenset({"q1"}), "paka": frozenset({"q2"}), "the dog is here": both}
    assert protected(collection()) == texts
    assert protected(collection(("Where is the dog?", "..."))) == {**texts, "where is the dog": frozenset({"q1"})}


def test_of_a_mining_collection_only_the_gold_pairs_are_protected() -> None:
    """Of both parts: those to tune on and those to test."""
    mining = replace(
        collection(),
        query_ids=("q1", "q2", "q3"),
        queries=("Mbwa yuko wapi?", "Paka", "Kuku"),
        qrels={"q1": {"d1": 1}, "q3": {"d3": 1}},
        tuning=("q1", "q2"),
    )
    assert set(protected(mining)) == {"mbwa yuko wapi", "kuku", "the dog is here", "judged but not relevant"}


def test_bitext_rows_go_if_either_side_is_protected() -> None:
    bitext = Bitext(
        ("mbwa yuko wapi", "Ng'ombe", "Mbuzi", "Kondoo"),
        ("Some dog", "THE DOG IS HERE!", "A distractor.", "A sheep"),
        ("a", "a", "b", "b"),
        (SWH,) * 4,
    )
    tests = {"t": protected(collection()), "u": {"some dog", "a sheep"}}
    leaks = find_leaks(bitext, tests)
    assert leaks == [
        Leak(0, 0, "t", "mbwa yuko wapi", "exact", 1.0),
        Leak(0, 1, "u", "some dog", "exact", 1.0),
        Leak(1, 1, "t", "the dog is here", "exact", 1.0),
        Leak(3, 1, "u", "a sheep", "exact", 1.0),
    ]
    assert remove(bitext, leaks) == Bitext.of(SWH, ["Mbuzi"], ["A distractor."], "b")
    assert count_rows(leaks, [*tests, "v"]) == {
        "t": {"exact": 2, "near": 0, "contained": 0},
        "u": {"exact": 2, "near": 0, "contained": 0},
        "v": {"exact": 0, "near": 0, "contained": 0},
    }


def test_relevance_rows_go_if_query_or_positive_is_protected() -> None:
    relevance = Relevance(
        ("Where is the dog?", "which passage", "fine"),
        ("Somewhere.", "The dog is here", "A distractor."),
        ("a", "b", "c"),
        (ENG,) * 3,
    )
    leaks = find_leaks(relevance, {"t": protected(collection(("where is the dog", "cat")))})
    assert remove(relevance, leaks) == Relevance.of(ENG, ["fine"], ["A distractor."], "c")


def test_near_copies_leak_on_either_side_and_a_row_counts_once_by_its_worst() -> None:
    sentence = "the ferry to the northern islands leaves at six in the morning"
    longer = f"Bring warm clothes. {sentence}, and it is never late."
    bitext = Bitext.of(
        SWH,
        (f"{sentence} sharp", longer, sentence, "Kivuko"),
        ("a", "b", sentence.replace("leaves", "leave"), "The ferry leaves."),
        "s",
    )
    tests = {"t": {sentence}}
    leaks = find_leaks(bitext, tests)
    kinds = [(leak.row, leak.side, leak.kind) for leak in leaks]
    assert kinds == [(0, 0, "near"), (1, 0, "contained"), (2, 0, "exact"), (2, 1, "near")]
    assert all((leak.similarity == 1) == (leak.kind != "near") for leak in leaks)
    assert count_rows(leaks, tests) == {"t": {"exact": 1, "near": 1, "contained": 1}}
    assert remove(bitext, leaks).query_side == ("Kivuko",)


def test_without_tests_everything_stays() -> None:
    bitext = Bitext.of(SWH, ["a"], ["b"], "c")
    assert find_leaks(bitext, {}) == []
    assert remove(bitext, []) == bitext
