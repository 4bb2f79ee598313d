from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench.data import Pair, TestCollection
from bench.data.formats import Source, parser
from bench.data.formats.bitext import aligned_lines, aligned_lines_test, documents_of_lines, tab_separated, tmx, verses
from bench.data.formats.qa import afriqa, qed_passages, qed_relevance, squad, squad_passages, squad_relevance
from bench.data.formats.reading import lines
from bench.errors import BenchError

SWH = Pair("swh", "eng")
ENG = Pair("eng", "eng")


def put(path: Path, content: str | bytes) -> tuple[Path, ...]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return (path,)


def aligned(folder: Path, queries: str | bytes, documents: str | bytes) -> Source:
    return Source("mine", {"queries": put(folder / "q", queries), "documents": put(folder / "d", documents)})


def json_lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    (path,) = put(tmp_path / "f", "\ufeffone\u2028still one\r\n\ntwo\x0bstill two\x85\nlast")
    assert lines(path) == ["one\u2028still one", "", "two\x0bstill two\x85", "last"]


@pytest.mark.parametrize(("content", "complaint"), [(b"a\nb\xff\n", "f: line 2: not UTF-8"), (b"\n \n", "f is empty")])
def test_unreadable_text_is_refused_with_its_place(tmp_path: Path, content: bytes, complaint: str) -> None:
    (path,) = put(tmp_path / "f", content)
    with pytest.raises(BenchError, match=complaint):
        lines(path)


def test_aligned_lines_are_a_bitext(tmp_path: Path) -> None:
    bitext = aligned_lines(aligned(tmp_path, "a\r\nb\r\n", "\ufeffA\nB"), SWH)
    assert (bitext.query_side, bitext.document_side, bitext.sources) == (("a", "b"), ("A", "B"), ("mine", "mine"))


def test_unequal_files_are_refused_with_both_lengths(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"q has 2 lines, but .*d has 1"):
        aligned_lines(aligned(tmp_path, "a\nb\n", "A\n"), SWH)


def test_aligned_lines_are_a_test_with_ids_in_the_order_of_lines(tmp_path: Path) -> None:
    numbers = "".join(f"{number}\n" for number in range(1, 13))
    test = aligned_lines_test(aligned(tmp_path, numbers, numbers.replace("1", "one ")), SWH)
    assert list(test.query_ids) == sorted(test.query_ids)
    assert test.query_ids[0] == "01" and test.queries[11] == "12" and test.documents[0] == "one "
    assert all(test.qrels[key] == {key: 1} for key in test.query_ids)
    assert test.oracle_queries is None


def test_a_test_with_an_empty_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="d: line 2: empty"):
        aligned_lines_test(aligned(tmp_path, "a\nb\n", "A\n\n"), SWH)


def three_files(folder: Path, queries: str, documents: str, ids: str) -> Source:
    files = dict(aligned(folder, queries, documents).files)
    return Source("mine", {**files, "document-ids": put(folder / "ids", ids)})


def test_the_document_of_its_translation_is_relevant_to_a_line(tmp_path: Path) -> None:
    source = three_files(tmp_path, "a\r\nb\r\nc\r\na\r\n", "A\nB \nC\nD\n", "x\nx\ny\nz\n")
    test = documents_of_lines(source, SWH)
    assert (test.query_ids, test.queries) == (("1", "2", "3", "4"), ("a", "b", "c", "a"))
    assert (test.document_ids, test.documents) == (("x", "y", "z"), ("A B", "C", "D"))
    assert test.oracle_queries == ("A", "B ", "C", "D")
    # The two lines "a" cannot be told apart, so each may find the document of either.
    assert test.qrels == {"1": {"x": 1, "z": 1}, "2": {"x": 1}, "3": {"y": 1}, "4": {"z": 1, "x": 1}}


@pytest.mark.parametrize(
    ("documents", "ids", "complaint"),
    [
        ("A\nB\n", "x\n", r"q has 2 lines, but .*ids has 1"),
        ("A\nB\n", "x\n\n", "ids: line 2: empty"),
        ("A\n \n", "x\nx\n", "d: line 2: empty"),
    ],
)
def test_lines_without_a_document_are_refused(tmp_path: Path, documents: str, ids: str, complaint: str) -> None:
    with pytest.raises(BenchError, match=complaint):
        documents_of_lines(three_files(tmp_path, "a\nb\n", documents, ids), SWH)


def bible(folder: Path, queries: list[str], documents: list[str], references: int | None = None) -> Source:
    count = len(queries) if references is None else references
    return Source(
        "bible",
        {
            "queries": put(folder / "q", "\n".join(queries) + "\n"),
            "documents": put(folder / "d", "\n".join(documents) + "\n"),
            "references": put(folder / "vref", "".join(f"GEN 1:{verse}\n" for verse in range(1, count + 1))),
        },
    )


@pytest.mark.parametrize(
    ("queries", "documents", "rows"),
    [
        (["a", "b"], ["A", "B"], [("a", "A"), ("b", "B")]),
        (["a", "", "c"], ["A", "B", ""], [("a", "A")]),
        (["a+b", "<range>", "c"], ["A", "B", "C"], [("a+b", "A B"), ("c", "C")]),
        (["a", "b", "c"], ["A+B", "<range>", "C"], [("a b", "A+B"), ("c", "C")]),
        (["a+b", "<range>"], ["A+B", "<range>"], [("a+b", "A+B")]),
        # Ranges of the two sides that overlap make one group.
        (["a+b", "<range>", "c"], ["A", "B+C", "<range>"], [("a+b c", "A B+C")]),
        # A side that lacks a part of the group does not say the same as the other.
        (["a+b", "<range>", "c"], ["A", "", "C"], [("c", "C")]),
        (["", "<range>", "c"], ["A", "B", "C"], [("c", "C")]),
    ],
)
def test_verses_merged_on_one_side_are_joined_on_the_other(
    tmp_path: Path, queries: list[str], documents: list[str], rows: list[tuple[str, str]]
) -> None:
    bitext = verses(bible(tmp_path, queries, documents), SWH)
    assert list(zip(bitext.query_side, bitext.document_side, strict=True)) == rows


def test_verses_of_another_numbering_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"q has 2 lines, but .*vref has 3 verses"):
        verses(bible(tmp_path, ["a", "b"], ["A", "B"], references=3), SWH)


def test_a_merged_verse_needs_a_verse_above(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="d: line 1: <range>"):
        verses(bible(tmp_path, ["a", "b"], ["<range>", "B"]), SWH)


def bible_in_xml(folder: Path, segments: dict[str, str]) -> Source:
    """In Swahili; the English side has the first three verses of Mark, the last two of them merged."""
    body = "".join(f'<seg id="{key}" type="verse">\n  {text}\n</seg>' for key, text in segments.items())
    return Source(
        "bible",
        {
            "queries": put(folder / "q.xml", f'<cesDoc><div id="b.MAR.1" type="chapter">{body}</div></cesDoc>'),
            "documents": put(folder / "d", "A\nB+C\n<range>\n"),
            "references": put(folder / "vref", "MRK 1:1\nMRK 1:2\nMRK 1:3\n"),
        },
        options={"books": {"MAR": "MRK"}},
    )


def test_verses_in_xml_are_found_by_their_ids(tmp_path: Path) -> None:
    segments = {"b.MAR.1.3": "c", "b.MAR.1.1": "a &amp; a", "b.MAR.1.2": "b", "b.MAR.1.4": "in no reference"}
    bitext = verses(bible_in_xml(tmp_path, segments), SWH)
    assert list(zip(bitext.query_side, bitext.document_side, strict=True)) == [("a & a", "A"), ("b c", "B+C")]


@pytest.mark.parametrize(
    ("segments", "complaint"),
    [
        ({"b.MAR.1": "a"}, r"q.xml: the segment id 'b.MAR.1' is no verse"),
        ({"b.MAR.1.1": "a", "b.MRK.1.1": "b"}, r"q.xml: the id 'MRK 1:1' occurs twice"),
        ({"b.LUK.1.1": "a"}, r"q.xml has none of the verses of .*vref"),
    ],
)
def test_xml_that_is_no_such_bible_is_refused(tmp_path: Path, segments: dict[str, str], complaint: str) -> None:
    with pytest.raises(BenchError, match=complaint):
        verses(bible_in_xml(tmp_path, segments), SWH)


def table(folder: Path, text: str, **options: Any) -> Source:
    return Source("mine", {"rows": put(folder / "f", text)}, options=options)


@pytest.mark.parametrize(
    ("text", "options", "rows"),
    [
        ("a\tA\nb\tB\n", {}, [("a", "A"), ("b", "B")]),
        ("A\tby me\ta\r\n", {"query": 3, "document": 1}, [("a", "A")]),
        ("Swahili\tEnglish\na\tA\n", {"header": True}, [("a", "A")]),
        # Quotation marks belong to the text, unless the card says that cells are written as in CSV.
        ('"a"\t"A ""B"""\n', {}, [('"a"', '"A ""B"""')]),
        ('"a"\t"A ""B"""\nb "c"\tC\n', {"quoted": True}, [("a", 'A "B"'), ('b "c"', "C")]),
    ],
)
def test_options_choose_the_columns_of_the_pair(
    tmp_path: Path, text: str, options: dict[str, Any], rows: list[tuple[str, str]]
) -> None:
    bitext = tab_separated(table(tmp_path, text, **options), SWH)
    assert list(zip(bitext.query_side, bitext.document_side, strict=True)) == rows


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("a\tA\nb\n", {}, "f: line 2: 1 cells, but line 1 has 2"),
        ("a\tA\n\n", {}, "f: line 2: 1 cells, but line 1 has 2"),
        ("a\tA\n", {"query": 3}, "f: line 1: 2 cells, but the card names column 3"),
        ('a\tA\n"b\tB\n', {"quoted": True}, "f: line 2: unexpected end of data"),
        ("a\tA\n", {"qery": 3}, "mine: options: unknown key 'qery'; did you mean query?"),
        ("a\tA\n", {"query": 0}, "mine: options: query = 0: "),
    ],
)
def test_lines_without_their_cells_are_refused(
    tmp_path: Path, text: str, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BenchError, match=complaint.replace("?", r"\?")):
        tab_separated(table(tmp_path, text, **options), SWH)


def memory(path: Path, units: str, header: str = "") -> tuple[Path, ...]:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m.tmx", f'<?xml version="1.0"?>{header}<tmx version="1.4"><body>{units}</body></tmx>')
    return (path,)


def unit(key: str, **texts: str) -> str:
    variants = "".join(f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in texts.items())
    return f'<tu tuid="{key}">{variants}</tu>'


CODES = {"swh": "sw", "eng": "en", "amh": "am"}


def test_a_memory_gives_the_units_with_both_languages(tmp_path: Path) -> None:
    units = unit("1", sw="a &amp; b", en="A <b>and</b>\n  B") + unit("2", sw="c") + unit("3", EN="D", SW="d")
    source = Source("m", {"memories": memory(tmp_path / "m.zip", units)}, CODES)
    bitext = tmx(source, SWH)
    assert (bitext.query_side, bitext.document_side) == (("a & b", "d"), ("A and B", "D"))


def test_memories_are_joined_through_a_third_language(tmp_path: Path) -> None:
    first = memory(tmp_path / "1.zip", unit("1", am="a", om="x") + unit("2", am="b", om="y"))
    second = memory(tmp_path / "2.zip", unit("2", en="B", om="y") + unit("3", en="C", om="z"))
    bitext = tmx(Source("m", {"memories": first + second}, CODES), Pair("amh", "eng"))
    assert (bitext.query_side, bitext.document_side) == (("b",), ("B",))


def test_a_memory_without_the_language_is_refused_with_its_languages(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="'sw' and 'en'; the languages in its files are am, om"):
        tmx(Source("m", {"memories": memory(tmp_path / "m.zip", unit("1", am="a", om="x"))}, CODES), SWH)


def test_a_memory_that_unfolds_entities_is_refused(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE t [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    with pytest.raises(BenchError, match="declares XML entities"):
        tmx(Source("m", {"memories": memory(tmp_path / "m.zip", unit("1", sw="&b;", en="A"), bomb)}, CODES), SWH)


def test_a_broken_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="line 1 of its XML: mismatched tag"):
        tmx(Source("m", {"memories": memory(tmp_path / "m.zip", "<tu>")}, CODES), SWH)
    with pytest.raises(BenchError, match="not a readable zip archive"):
        tmx(Source("m", {"memories": put(tmp_path / "n.zip", "no zip")}, CODES), SWH)
    with zipfile.ZipFile(tmp_path / "o.zip", "w"):
        pass
    with pytest.raises(BenchError, match=r"0 \.tmx files"):
        tmx(Source("m", {"memories": (tmp_path / "o.zip",)}, CODES), SWH)


def question(key: str, context: str | None, text: str = "q") -> dict[str, Any]:
    return {"id": key, "context": context, "question_lang": f"{text}{key}", "question_translated": f"Q{key}"}


def test_afriqa_searches_the_contexts_of_all_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    test_file = put(tmp_path / "test", json_lines(question("7", "B"), question("3", None), question("5", "C")))
    train_file = put(tmp_path / "train", json_lines(question("7", "A"), question("8", "B"), question("9", "")))
    with caplog.at_level("INFO", logger="bench.data.formats.qa"):
        test = afriqa(Source("afriqa", {"queries": test_file, "documents": train_file + test_file}), SWH)
    assert test.documents == ("A", "B", "C")
    assert test.query_ids == ("7", "5")
    assert (test.queries, test.oracle_queries) == (("q7", "q5"), ("Q7", "Q5"))
    texts = dict(zip(test.document_ids, test.documents, strict=True))
    assert {
        key: {texts[document]: grade for document, grade in judged.items()} for key, judged in test.qrels.items()
    } == {
        "7": {"B": 1},
        "5": {"C": 1},
    }
    assert "left out 1 questions without a context" in caplog.text


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (json_lines(question("1", "A")) + "{\n", "f: line 2: not JSON"),
        (json_lines(question("1", "A")) + "[1]\n", "f: line 2: not a JSON object"),
        (json_lines({**question("1", "A"), "question_lang": 3}), "f: line 1: no text under 'question_lang'"),
        (json_lines({**question("1", "A"), "question_translated": " "}), "line 1: no text under 'question_translated'"),
        (json_lines({**question("1", "\ud800")}), "line 1: half of a surrogate pair"),
        (json_lines(question("1", "A"), question("1", "B")), "f: line 2: the id '1' occurs twice"),
    ],
)
def test_malformed_rows_are_refused_with_their_place(tmp_path: Path, content: str, complaint: str) -> None:
    path = put(tmp_path / "f", content)
    with pytest.raises(BenchError, match=complaint):
        afriqa(Source("afriqa", {"queries": path, "documents": path}), SWH)


def test_a_question_without_its_context_among_the_documents_is_refused(tmp_path: Path) -> None:
    files = {
        "queries": put(tmp_path / "q", json_lines(question("1", "A"))),
        "documents": put(tmp_path / "d", json_lines(question("1", "B"))),
    }
    with pytest.raises(BenchError, match="q: line 1: its context is in none of the files"):
        afriqa(Source("afriqa", files), SWH)


def test_qed_pairs_questions_with_paragraphs(tmp_path: Path) -> None:
    rows = [{"question_text": text, "paragraph_text": paragraph} for text, paragraph in ("aX", "bY", "cX")]
    source = Source(
        "qed", {"examples": put(tmp_path / "1", json_lines(*rows)) + put(tmp_path / "2", json_lines(rows[0]))}
    )
    relevance = qed_relevance(source, ENG)
    assert (relevance.queries, relevance.positives) == (("a", "b", "c", "a"), ("X", "Y", "X", "X"))
    assert set(relevance.pairs) == {ENG}
    assert qed_passages(source, "eng") == ("X", "Y")


def articles(*paragraphs: dict[str, Any]) -> str:
    return json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]} for paragraph in paragraphs]})


def test_squad_pairs_questions_with_contexts(tmp_path: Path) -> None:
    text = articles(
        {"context": "X", "qas": [{"question": "a"}, {"question": "b"}]},
        {"context": "Y", "qas": []},
        {"context": "X", "qas": [{"question": "c"}]},
    )
    source = Source("squad", {"articles": put(tmp_path / "f", "\ufeff" + text)})
    relevance = squad_relevance(source, "eng")
    assert (relevance.queries, relevance.positives) == (("a", "b", "c"), ("X", "X", "X"))
    assert squad_passages(source, "eng") == ("X", "Y")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{\n!", "f: line 2: not JSON"),
        ("[]", "f: not SQuAD's JSON: no list under 'data'"),
        ('{"data": [1]}', r"f: data\[0\]: not SQuAD's JSON: no list under 'paragraphs'"),
        (articles({"qas": []}), r"f: data\[0\].paragraphs\[0\]: no text under 'context'"),
        (articles({"context": "X", "qas": [{}]}), r"data\[0\].paragraphs\[0\].qas\[0\]: no text under 'question'"),
        ("[" * 100_000, "f: "),
    ],
)
def test_malformed_squad_json_is_refused_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BenchError, match=complaint):
        squad_relevance(Source("squad", {"articles": put(tmp_path / "f", text)}), "eng")


def asked(**questions: str) -> list[dict[str, str]]:
    return [{"id": key, "question": text} for key, text in questions.items()]


def squad_test(folder: Path, queries: str, documents: str) -> Source:
    return Source("mine", {"queries": put(folder / "q", queries), "documents": put(folder / "d", documents)})


def test_the_context_of_the_same_id_is_relevant_to_a_question(tmp_path: Path) -> None:
    documents = articles(
        {"context": "X", "qas": asked(one="A", two="B")},
        {"context": "Y", "qas": asked(three="C", four="B")},
        {"context": "X", "qas": asked(five="E")},
        {"context": "nobody asks", "qas": []},
    )
    # Its own contexts do not matter, and it may lack questions.
    queries = articles({"context": "x", "qas": asked(five="e", four="d", three="c", two="b")})
    test = squad(squad_test(tmp_path, queries, documents), SWH)
    assert (test.query_ids, test.queries) == (("five", "four", "three", "two"), ("e", "d", "c", "b"))
    assert test.oracle_queries == ("E", "B", "C", "B")
    assert (test.document_ids, test.documents) == (("mine-1", "mine-2", "mine-3"), ("X", "Y", "nobody asks"))
    # Questions two and four read the same in English.
    both = {"mine-1": 1, "mine-2": 1}
    assert test.qrels == {"five": {"mine-1": 1}, "four": both, "three": {"mine-2": 1}, "two": both}


def test_questions_that_read_the_same_share_their_contexts(tmp_path: Path) -> None:
    documents = articles({"context": "X", "qas": asked(one="A")}, {"context": "Y", "qas": asked(two="B")})
    test = squad(squad_test(tmp_path, articles({"context": "x", "qas": asked(one="a", two="a")}), documents), SWH)
    assert test.qrels == {"one": {"mine-1": 1, "mine-2": 1}, "two": {"mine-2": 1, "mine-1": 1}}


@pytest.mark.parametrize(
    ("queries", "documents", "complaint"),
    [
        (asked(one="a"), asked(two="A"), r"q: data\[0\].paragraphs\[0\].qas\[0\]: no question has the id 'one'"),
        (asked(one="a") * 2, asked(one="A"), r"q: data\[0\].paragraphs\[0\].qas\[1\]: the id 'one' occurs twice"),
        (asked(one="a"), asked(one="A") * 2, r"d: data\[0\].paragraphs\[0\].qas\[1\]: the id 'one' occurs twice"),
        ([{"question": "a"}], asked(one="A"), r"q: data\[0\].paragraphs\[0\].qas\[0\]: no text under 'id'"),
    ],
)
def test_questions_that_do_not_correspond_are_refused(
    tmp_path: Path, queries: list[dict[str, str]], documents: list[dict[str, str]], complaint: str
) -> None:
    texts = [articles({"context": "X", "qas": questions}) for questions in (queries, documents)]
    with pytest.raises(BenchError, match=complaint):
        squad(squad_test(tmp_path, *texts), SWH)


def test_a_missing_or_ambiguous_part_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="names no files under 'documents'"):
        aligned_lines(Source("mine", {"queries": put(tmp_path / "q", "a\n")}), SWH)
    both = put(tmp_path / "q", "a\n") * 2
    with pytest.raises(BenchError, match="names 2 files under 'queries'"):
        aligned_lines(Source("mine", {"queries": both, "documents": both}), SWH)


def test_unknown_formats_and_roles_are_refused() -> None:
    assert parser("verses", "bitext").__module__ == verses.__module__
    with pytest.raises(BenchError, match="unknown format 'verse'; did you mean verses"):
        parser("verse", "bitext")
    with pytest.raises(BenchError, match="format 'qed' has no role 'test'; it has relevance, passages"):
        parser("qed", "test")


@dataclass(frozen=True)
class Options:
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError("seed must not be negative")


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the generator, which has tests of its own."""
    module: Any = ModuleType("bench.data.conlang")
    module.ConlangOptions = Options
    module.test = lambda code, options: TestCollection(
        "generated", Pair(code, "eng"), ("q",), (f"seed {options.seed}",), ("d",), ("text",), {"q": {"d": 1}}
    )
    module.dev = lambda code, options: TestCollection(
        "generated", Pair(code, "eng"), ("q",), ("of development",), ("d",), ("text",), {"q": {"d": 1}}
    )
    monkeypatch.setitem(sys.modules, "bench.data.conlang", module)
    monkeypatch.setattr("bench.data.conlang", module, raising=False)


@pytest.mark.usefixtures("generator")
def test_the_generated_world_gets_the_options_of_its_card() -> None:
    parse = parser("conlang", "test")
    found = parse(Source("mine", {}, options={"seed": 3}), Pair("qaa", "eng"))
    assert (found.name, found.pair, found.queries) == ("mine", Pair("qaa", "eng"), ("seed 3",))
    found = parse(Source("mine", {}, options={"seed": 3, "split": "dev"}), Pair("qaa", "eng"))
    assert (found.name, found.queries) == ("mine", ("of development",))
    with pytest.raises(BenchError, match="unknown split of conlang 'train'"):
        parse(Source("conlang", {}, options={"split": "train"}), Pair("qaa", "eng"))
    with pytest.raises(BenchError, match="unknown option of conlang 'sed'; did you mean seed"):
        parse(Source("conlang", {}, options={"sed": 1}), Pair("qaa", "eng"))
    with pytest.raises(BenchError, match="conlang: options: seed must not be negative"):
        parse(Source("conlang", {}, options={"seed": -1}), Pair("qaa", "eng"))
