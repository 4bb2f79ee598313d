import json
from pathlib import Path
from typing import Any

import pytest
from world import World, training_world

from bench.data import Pair, TestCollection, formats
from bench.data.cards import load_cards
from bench.data.loading import available, load_rows, load_test, read
from bench.data.training_data import default_mix, training_data
from bench.errors import BenchError, MissingFile

SWH = Pair("swh", "eng")
ENG = Pair("eng", "eng")
HAU = Pair("hau", "eng")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def usual(tmp_path: Path) -> World:
    return training_world(tmp_path)


def test_empty_and_repeated_rows_are_dropped(world: World) -> None:
    bitext = load_rows(
        world.aligned("b", "bitext", "a\na\n \nc\na\n", "A\nA\nB\n\nA2\n"), "bitext", SWH, world.resolver
    )
    assert (bitext.query_side, bitext.document_side) == (("a", "a"), ("A", "A2"))
    relevance = load_rows(world.squad("s", ("q", "X"), ("q", "X"), ("q", "Y")), "relevance", ENG, world.resolver)
    assert (relevance.queries, relevance.positives, relevance.sources) == (("q", "q"), ("X", "Y"), ("s", "s"))


def test_distractors_follow_the_own_documents_each_text_once(world: World) -> None:
    world.squad("one", ("?", "Lagos."), ("?", "Ibadan."))
    world.squad("two", ("?", "Ibadan."), ("?", "Kano."), ("?", "Kano."))
    card = world.afriqa(distractors=["one", "two"])
    test = load_test(card, SWH, world.resolver, world.cards)
    assert test.documents == ("Lagos.", "Ibadan.", "Kano.")
    assert test.document_ids == ("questions-1", "one-2", "two-2")
    assert test.qrels == {"0": {"questions-1": 1}}
    assert read(world.cards["two"], "passages", "eng", world.resolver) == ("Ibadan.", "Kano.")


@pytest.mark.parametrize(
    ("query", "documents", "judged", "complaint"),
    [
        ("q", ("d",), {"d": 0}, "query 'q' has no relevant document"),
        ("q", ("d",), {"e": 1}, "query 'q' has no relevant document"),
        ("q", ("d", "e", "d"), {"d": 1}, "the document id 'd' occurs twice"),
        *(
            (key, ("d",), {"d": 1}, f"the query id '{key}' is empty or has white space")
            for key in ("a b", "b ", "c\u00a0")
        ),
    ],
)
def test_a_collection_that_cannot_be_scored_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, query: str, documents: tuple[str, ...], judged: Any, complaint: str
) -> None:
    test = TestCollection("t", SWH, (query,), ("?",), documents, documents, {query: judged})
    monkeypatch.setattr(formats, "parse", lambda *_: test)
    card = world.aligned("t", "test", "a\n", "A\n")
    with pytest.raises(BenchError, match=f"t swh-eng: {complaint}"):
        load_test(card, SWH, world.resolver, world.cards)


def test_availability_includes_the_distractors(world: World) -> None:
    world.squad("one", ("?", "Ibadan."))
    card = world.afriqa(distractors=["one"])
    assert available(card, "test", SWH, world.resolver, world.cards)
    world.file("one", "f").unlink()
    assert not available(card, "test", SWH, world.resolver, world.cards)


def exact(rows: int) -> dict[str, int]:
    return {"exact": rows, "near": 0, "contained": 0}


def test_training_data_composes_a_mix_and_removes_what_any_test_of_the_pair_judges_by(usual: World) -> None:
    data = training_data(["usual"], [SWH], usual.resolver, usual.cards)
    assert data.bitext.query_side == ("moja", "mbili", "tano")
    assert data.bitext.sources == ("news", "news", "bible")
    assert data.relevance.queries == ("why", "how")
    assert data.report == {
        "bitext": {
            "news": {"read": 5, "dropped": 1, "leaked": 2, "kept": 2},
            "bible": {"read": 1, "dropped": 0, "leaked": 0, "kept": 1},
        },
        "relevance": {"squad": {"read": 4, "dropped": 0, "leaked": 2, "kept": 2}},
        "leakage": {
            "sentences": {"bitext": exact(1), "relevance": exact(0)},
            "questions": {"bitext": exact(1), "relevance": exact(2)},
        },
        "not_checked": {},
        "skipped": [],
    }


def test_leaks_that_are_kept_are_counted_all_the_same(usual: World) -> None:
    clean = training_data(["usual"], [SWH], usual.resolver, usual.cards)
    data = training_data(["usual"], [SWH], usual.resolver, usual.cards, keep_leaks=True)
    assert data.bitext.query_side == ("moja", "mbili", "Eko", "nne", "tano")
    assert len(data.relevance) == 4
    assert data.report["leakage"] == clean.report["leakage"]
    assert data.report["bitext"]["news"] == {"read": 5, "dropped": 1, "leaked": 0, "kept": 4}


def test_a_pair_that_two_collections_have_counts_once_for_the_first(world: World) -> None:
    world.aligned("one", "bitext", "moja\nmbili\n", "one\ntwo\n")
    world.aligned("two", "bitext", "mbili\nmbili\ntatu\n", "two\nzwei\nthree\n")
    data = training_data(["one", "two"], [SWH], world.resolver, world.cards)
    assert data.bitext.query_side == ("moja", "mbili", "mbili", "tatu")
    assert data.report["bitext"] == {
        "one": {"read": 2, "dropped": 0, "leaked": 0, "kept": 2},
        "two": {"read": 3, "dropped": 1, "leaked": 0, "kept": 2},
    }


@pytest.mark.parametrize(
    ("names", "news"), [(["few"], 1), (["few", "more"], 2), (["few", "usual"], 2), (["news", "few"], 2), (["usual"], 2)]
)
def test_a_cap_holds_for_what_is_clean_unless_the_collection_is_named_without(
    usual: World, names: list[str], news: int
) -> None:
    mix = {"pairs": ["swh-eng"], "bitext": ["news", "bible"], "relevance": ["squad"]}
    usual.add("few", mix={**mix, "caps": {"news": 1}})
    usual.add("more", mix={**mix, "caps": {"news": 2}})
    data = training_data(names, [SWH], usual.resolver, usual.cards)
    assert data.bitext.sources == ("news",) * news + ("bible",)
    if names == ["few"]:
        assert data.report["bitext"]["news"] == {"read": 5, "dropped": 1, "leaked": 2, "capped": 1, "kept": 1}
    assert data.report["bitext"]["bible"] == {"read": 1, "dropped": 0, "leaked": 0, "kept": 1}


def test_together_pairs_are_clean_of_each_others_tests(usual: World) -> None:
    entry = {"format": "aligned-lines", "pairs": ["hau-eng"], "files": {"queries": "q", "documents": "d"}}
    usual.add("hausa", {"q": "ɗaya\nhuɗu\n", "d": "one\nTranslation: four\n"}, data=[{"role": "bitext", **entry}])
    usual.add("hausa-test", {"q": "uku\n", "d": "three\n"}, data=[{"role": "test", **entry}])
    usual.add("three", {"q": "tatu\n", "d": "Three!\n"}, data=[{"role": "bitext", **entry, "pairs": ["swh-eng"]}])
    alone = training_data(["usual", "hausa", "three"], [SWH], usual.resolver, usual.cards)
    data = training_data(["usual", "hausa", "three"], [SWH, HAU], usual.resolver, usual.cards)
    assert "tatu" in alone.bitext.query_side  # what repeats the Hausa test harms no student of Swahili
    assert data.pairs == (SWH, HAU)
    assert data.bitext.between(SWH).query_side == ("moja", "mbili", "tano")
    assert data.bitext.between(HAU).query_side == ("ɗaya",)
    assert data.report["bitext"]["three"] == {"read": 1, "dropped": 0, "leaked": 1, "kept": 0}
    assert data.report["bitext"]["hausa hau-eng"] == {"read": 2, "dropped": 0, "leaked": 1, "kept": 1}
    assert list(data.report["leakage"]) == ["sentences", "questions", "hausa-test hau-eng"]
    swahili = training_data(["usual", "three"], [SWH], usual.resolver, usual.cards, unseen=HAU)
    assert swahili.pairs == (SWH,)
    assert swahili.bitext.query_side == ("moja", "mbili", "tano")
    assert list(swahili.report["leakage"]) == ["sentences", "questions", "hausa-test hau-eng"]


def test_judgments_are_taken_within_and_between_the_languages_of_a_pair(usual: World) -> None:
    article = {"data": [{"paragraphs": [{"context": "Kwa sababu.", "qas": [{"question": "kwa nini"}]}]}]}
    pairs = ["swh-swh", "eng-swh", "hau-hau"]
    entry = {"role": "relevance", "format": "squad", "pairs": pairs, "files": {"articles": "f"}}
    usual.add("judged", {"f": json.dumps(article)}, data=[entry])
    data = training_data(["usual", "judged"], [SWH], usual.resolver, usual.cards)
    swahili, mixed = Pair("swh", "swh"), Pair("eng", "swh")
    assert data.relevance.pairs == (ENG, ENG, mixed, swahili)
    assert data.relevance.between(swahili).queries == data.relevance.between(mixed).queries == ("kwa nini",)
    assert list(data.report["relevance"]) == ["squad", "judged eng-swh", "judged swh-swh"]
    assert data.report["skipped"] == ["judged has no relevance for eng-eng"]


def test_named_collections_and_mixes_are_united(usual: World) -> None:
    data = training_data(["bible", "squad", "bible"], [SWH], usual.resolver, usual.cards)
    assert data.bitext.sources == ("bible",)
    assert set(data.relevance.sources) == {"squad"}
    report = training_data(["bible", "usual"], [SWH], usual.resolver, usual.cards).report
    assert list(report["bitext"]) == ["bible", "news"]
    assert json.loads(json.dumps(report)) == report


def test_a_missing_test_is_reported_as_not_checked_and_missing_training_data_are_an_error(usual: World) -> None:
    usual.file("sentences", "q").unlink()
    data = training_data(["usual"], [SWH], usual.resolver, usual.cards)
    ((name, reason),) = data.report["not_checked"].items()
    assert name == "sentences" and "owner/sentences/q" in reason
    assert "nne" in data.bitext.query_side
    usual.file("news", "q").unlink()
    with pytest.raises(MissingFile):
        training_data(["usual"], [SWH], usual.resolver, usual.cards)


def test_what_a_mix_lacks_for_a_pair_is_skipped_with_a_line(usual: World) -> None:
    data = training_data(["usual"], [HAU], usual.resolver, usual.cards)
    assert len(data.bitext) == 0
    assert len(data.relevance) == 4
    assert data.report["skipped"] == ["news has no bitext for hau-eng", "bible has no bitext for hau-eng"]


def test_nothing_to_train_on_is_an_error(usual: World) -> None:
    for names, complaint in (
        (["sentences"], "nothing to train on for swh-eng: sentences offers neither bitext nor relevance"),
        (["bibel"], "unknown collection 'bibel'; did you mean bible"),
        ([], "no collection is named"),
    ):
        with pytest.raises(BenchError, match=complaint):
            training_data(names, [SWH], usual.resolver, usual.cards)


def test_the_default_mix_is_the_card_that_names_the_pair(world: World) -> None:
    cards = load_cards()
    assert default_mix(SWH, cards) == "standard"
    assert default_mix(Pair("qaa", "eng"), cards) == "conlang"
    with pytest.raises(BenchError, match="no mix names fon-eng"):
        default_mix(Pair("fon", "eng"), cards)
    world.add("one", mix={"pairs": ["swh-eng"]})
    world.add("two", mix={"pairs": ["swh-eng"]})
    with pytest.raises(BenchError, match="several mixes name swh-eng: one, two"):
        default_mix(SWH, world.cards)
