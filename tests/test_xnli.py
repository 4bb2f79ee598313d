from __future__ import annotations

from pathlib import Path

import pytest

from bench.data import Pair
from bench.data.formats import Source, xnli
from bench.errors import BenchError

SWH = Pair("swh", "eng")
ENGLISH = [
    ("It rains.", "Something falls.", "entailment"),
    ("It rains.", "It is dry.", "contradiction"),
    ("It pours.", "The day is long.", "neutral"),
    ("It pours.", "Something falls.", "entailment"),
    ("I agree.", "We are of one mind.", "entailment"),
    ("I agree.", "I say yes.", "entailment"),
    ("Nobody came.", "Three came.", "contradiction"),
]
# Two English premises have one translation, and so have two hypotheses.
SWAHILI = [
    ("Mvua.", "Kitu kinaanguka.", "entailment"),
    ("Mvua.", "Ni kavu.", "contradiction"),
    ("Mvua.", "Siku ndefu.", "neutral"),
    ("Mvua.", "Kuna kitu.", "entailment"),
    ("Ndiyo.", "Ndiyo tu.", "entailment"),
    ("Ndiyo.", "Kuna kitu.", "entailment"),
    ("Hapana.", "Watatu.", "contradiction"),
]
Rows = list[tuple[str, str, str]]


def put(path: Path, rows: Rows, columns: int = 3) -> tuple[Path, ...]:
    path.write_text("".join("\t".join(row[:columns]) + "\n" for row in rows), encoding="utf-8")
    return (path,)


def source(
    folder: Path, swahili: Rows = SWAHILI, english: Rows = ENGLISH, columns: int = 3, **options: object
) -> Source:
    files = {"queries": put(folder / "sw", swahili, columns), "documents": put(folder / "en", english, columns)}
    return Source("mine", {**files, "english": files["documents"]}, options=options)


def test_each_english_premise_has_one_query(tmp_path: Path) -> None:
    test = xnli.premises(source(tmp_path, columns=2), SWH)
    assert test.queries == ("Mvua.", "Mvua.", "Ndiyo.", "Hapana.")
    assert test.documents == ("It rains.", "It pours.", "I agree.", "Nobody came.")
    assert test.query_ids == test.document_ids == ("1", "2", "3", "4")
    assert test.qrels == {"1": {"1": 1, "2": 1}, "2": {"2": 1, "1": 1}, "3": {"3": 1}, "4": {"4": 1}}
    assert test.oracle_queries is None


def test_the_entailing_premises_are_relevant_to_a_hypothesis(tmp_path: Path) -> None:
    test = xnli.entailment(source(tmp_path), SWH)
    assert dict(zip(test.query_ids, test.queries, strict=True)) == {
        "1": "Kitu kinaanguka.",
        "4": "Kuna kitu.",
        "5": "Ndiyo tu.",
        "6": "Kuna kitu.",
    }
    assert test.oracle_queries == ("Something falls.", "Something falls.", "We are of one mind.", "I say yes.")
    assert dict(zip(test.document_ids, test.documents, strict=True)) == {
        "1": "It rains.",
        "2": "It pours.",
        "3": "I agree.",
        "4": "Nobody came.",
    }
    # 1 and 4 read the same in English, 4 and 6 in Swahili.
    assert test.qrels == {"1": {"1": 1, "2": 1}, "4": {"1": 1, "2": 1, "3": 1}, "5": {"3": 1}, "6": {"2": 1, "3": 1}}


def test_premises_are_split_by_their_number_and_keep_it(tmp_path: Path) -> None:
    test = xnli.entailment(source(tmp_path, first=3, last=4), SWH)
    assert (test.document_ids, test.documents) == (("3", "4"), ("I agree.", "Nobody came."))
    assert test.query_ids == ("5", "6")
    assert test.qrels == {"5": {"3": 1}, "6": {"3": 1}}

    bitext = xnli.bitext(source(tmp_path, first=1, last=2), SWH)
    assert list(zip(bitext.query_side, bitext.document_side, strict=True)) == [
        ("Mvua.", "It rains."),
        ("Kitu kinaanguka.", "Something falls."),
        ("Mvua.", "It pours."),
        ("Kuna kitu.", "Something falls."),
    ]
    relevance = xnli.relevance(source(tmp_path, first=1, last=2), SWH)
    assert (relevance.pairs[0], relevance.sources) == (SWH, ("mine", "mine"))
    assert relevance.queries == ("Kitu kinaanguka.", "Kuna kitu.")
    assert relevance.positives == ("It rains.", "It pours.")


def test_two_languages_need_not_have_english_among_them(tmp_path: Path) -> None:
    both = source(tmp_path, first=1, last=2)
    swahili = Source("mine", {**both.files, "documents": both.files["queries"]}, options=both.options)
    bitext = xnli.bitext(swahili, Pair("swh", "swh"))
    assert bitext.query_side == bitext.document_side == xnli.bitext(both, SWH).query_side
    relevance = xnli.relevance(swahili, Pair("swh", "swh"))
    assert relevance.queries == ("Kitu kinaanguka.", "Kuna kitu.")
    assert relevance.positives == ("Mvua.", "Mvua.")  # of two premises that are told apart in English


def test_lines_of_one_premise_need_not_be_neighbours(tmp_path: Path) -> None:
    order = [0, 2, 4, 6, 1, 3, 5]
    shuffled = source(tmp_path, [SWAHILI[row] for row in order], [ENGLISH[row] for row in order])
    assert xnli.entailment(shuffled, SWH).documents == ("It rains.", "It pours.", "I agree.", "Nobody came.")
    bitext = xnli.bitext(shuffled, SWH)
    assert bitext.document_side[:3] == ("It rains.", "Something falls.", "It pours.")


def replaced(rows: Rows, number: int, row: tuple[str, ...]) -> Rows:
    return [*rows[: number - 1], row, *rows[number:]]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("swahili", "complaint"),
    [
        (SWAHILI[:-1], "sw has 6 lines, but .*en has 7"),
        (replaced(SWAHILI, 2, ("Mvua.", "Ni kavu.")), "sw: line 2: expected premise <tab> hypothesis <tab> label"),
        (replaced(SWAHILI, 2, ("Mvua.", " ", "neutral")), "sw: line 2: expected premise <tab> hypothesis <tab> label"),
        (replaced(SWAHILI, 2, ("Mvua.", "Ni kavu.", "-")), "sw: line 2: the label '-' is none of entailment, neutral"),
        (replaced(SWAHILI, 2, ("Mvua.", "Ni kavu.", "neutral")), "sw: line 2: the label 'neutral' is 'contradiction'"),
        (
            replaced(SWAHILI, 4, ("Hapana.", "Kuna.", "entailment")),
            "sw: line 4: not the premise of line 3, but .*en has",
        ),
    ],
)
def test_malformed_files_are_refused_with_their_line(tmp_path: Path, swahili: Rows, complaint: str) -> None:
    with pytest.raises(BenchError, match=complaint):
        xnli.entailment(source(tmp_path, swahili), SWH)


def test_labels_do_not_belong_in_the_unlabelled_part(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"sw: line 1: expected premise <tab> hypothesis$"):
        xnli.premises(source(tmp_path), SWH)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"first": 0}, "mine: options: 0 to 4 are not premises; there are 4"),
        ({"last": 5}, "mine: options: 1 to 5 are not premises"),
        ({"first": 3, "last": 2}, "mine: options: 3 to 2 are not premises"),
        ({"first": True}, "mine: options: True to 4 are not premises"),
        ({"frist": 1}, "unknown option of mine 'frist'; did you mean first"),
    ],
)
def test_a_split_of_premises_that_do_not_exist_is_refused(
    tmp_path: Path, options: dict[str, object], complaint: str
) -> None:
    with pytest.raises(BenchError, match=complaint):
        xnli.entailment(source(tmp_path, **options), SWH)
