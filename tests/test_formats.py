"""The parsers of all formats against small files that were worked out by hand, and files that they refuse."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_bench import SIZES

from bench.data import Pair, TestCollection, formats
from bench.data.formats import get_format
from bench.data.formats.reading import Source, lines
from bench.errors import BenchError

SWH = Pair("swh", "eng")
ENG = Pair("eng", "eng")
Files = Mapping[str, str | bytes]
"""Contents by part, or by part and file name, as in `documents/en.json`."""


def parse(
    folder: Path,
    format: str,
    role: str,
    files: Files,
    pair: Pair | str = SWH,
    codes: Mapping[str, str] | None = None,
    **options: Any,
) -> Any:
    """Return what the parser reads from these files: a `TestCollection`, or a list of rows or texts."""
    paths: dict[str, tuple[Path, ...]] = {}
    for name, content in files.items():
        part, _, file = name.partition("/")
        path = folder / (file or part)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        paths[part] = (*paths.get(part, ()), path)
    parsed = formats.parse(format, role, Source("mine", paths, codes or {}, options), pair)
    if role in ("bitext", "relevance"):
        return [(first, second) for first, second, _ in parsed]
    return parsed if role == "test" else list(parsed)


def json_lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def by_id(ids: Sequence[str], texts: Sequence[str]) -> dict[str, str]:
    return dict(zip(ids, texts, strict=True))


def test_every_parser_of_the_table_exists() -> None:
    for names in formats.FORMATS.values():
        for format in names.values():
            assert callable(format.parse)
            assert bool(format.options) == bool(format.model)


def test_unknown_formats_and_roles_are_refused() -> None:
    with pytest.raises(BenchError, match="unknown format 'verse'; did you mean verses"):
        get_format("verse", "bitext")
    with pytest.raises(BenchError, match="format 'qed' has no role 'test'; it has relevance, passages"):
        get_format("qed", "test")


def test_a_missing_or_ambiguous_part_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="names no files under 'documents'"):
        parse(tmp_path, "aligned-lines", "bitext", {"queries": "a\n"})
    with pytest.raises(BenchError, match="names 2 files under 'queries'"):
        parse(tmp_path, "aligned-lines", "bitext", {"queries/1": "a\n", "queries/2": "b\n"})


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("\ufeffone\u2028still one\r\n\ntwo\x0bstill two\x85\nlast", newline="")
    assert lines(tmp_path / "f") == ["one\u2028still one", "", "two\x0bstill two\x85", "last"]


def test_aligned_lines_are_a_test_with_ids_in_the_order_of_lines(tmp_path: Path) -> None:
    numbers = "".join(f"{number}\n" for number in range(1, 13))
    files = {"queries": numbers, "documents": numbers.replace("1", "one ")}
    test = parse(tmp_path, "aligned-lines", "test", files)
    assert list(test.query_ids) == sorted(test.query_ids)
    assert test.query_ids[0] == "01" and test.queries[11] == "12" and test.documents[0] == "one "
    assert all(test.qrels[key] == {key: 1} for key in test.query_ids)
    assert test.oracle_queries is None


def test_the_document_of_its_translation_is_relevant_to_a_line(tmp_path: Path) -> None:
    files = {"queries": "a\r\nb\r\nc\r\na\r\n", "documents": "A\nB \nC\nD\n", "document-ids": "x\nx\ny\nz\n"}
    test = parse(tmp_path, "documents-of-lines", "test", files)
    assert by_id(test.query_ids, test.queries) == {"1": "a", "2": "b", "3": "c", "4": "a"}
    assert by_id(test.document_ids, test.documents) == {"x": "A B", "y": "C", "z": "D"}
    assert test.oracle_queries == ("A", "B ", "C", "D")
    # The two lines "a" cannot be told apart, so each may find the document of either.
    assert test.qrels == {"1": {"x": 1, "z": 1}, "2": {"x": 1}, "3": {"y": 1}, "4": {"z": 1, "x": 1}}


def bible(queries: Sequence[str], documents: Sequence[str], references: int | None = None) -> Files:
    verses = range(1, (references or len(queries)) + 1)
    names = {"queries": queries, "documents": documents, "references": [f"GEN 1:{verse}" for verse in verses]}
    return {name: "".join(f"{line}\n" for line in lines) for name, lines in names.items()}


def bible_in_xml(segments: dict[str, str]) -> Files:
    """In Swahili; the English side has the first three verses of Mark, the last two of them merged."""
    body = "".join(f'<seg id="{key}" type="verse">\n  {text}\n</seg>' for key, text in segments.items())
    return {
        "queries/q.xml": f'<cesDoc><div id="b.MAR.1" type="chapter">{body}</div></cesDoc>',
        "documents": "A\nB+C\n<range>\n",
        "references": "MRK 1:1\nMRK 1:2\nMRK 1:3\n",
    }


MARK = {"books": {"MAR": "MRK"}}


def zipped(name: str, text: str | bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


def memory(**units: dict[str, str]) -> bytes:
    """Return a zipped translation memory: texts by language, by unit."""
    body = "".join(
        f'<tu tuid="{key}">'
        + "".join(f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in texts.items())
        + "</tu>"
        for key, texts in units.items()
    )
    return zipped("m.tmx", f'<?xml version="1.0"?><tmx version="1.4"><body>{body}</body></tmx>')


CODES = {"swh": "sw", "eng": "en", "amh": "am"}


def question(key: str, context: str | None, **changes: Any) -> dict[str, Any]:
    row = {"id": key, "context": context, "question_lang": f"q{key}", "question_translated": f"Q{key}"}
    return {**row, **changes}


def test_afriqa_searches_the_contexts_of_all_files(tmp_path: Path) -> None:
    queries = json_lines(question("7", "B"), question("3", None), question("5", "C"))
    train = json_lines(question("7", "A"), question("8", "B"), question("9", ""))
    files = {"queries/test": queries, "documents/train": train, "documents/test": queries}
    test = parse(tmp_path, "afriqa", "test", files)
    assert by_id(test.document_ids, test.documents) == {"mine-1": "A", "mine-2": "B", "mine-3": "C"}
    assert by_id(test.query_ids, test.queries) == {"7": "q7", "5": "q5"}
    assert test.oracle_queries == ("Q7", "Q5")
    assert test.qrels == {"7": {"mine-2": 1}, "5": {"mine-3": 1}}
    assert test.left_out == 1


def articles(*paragraphs: dict[str, Any]) -> str:
    return json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]} for paragraph in paragraphs]})


def context(text: str, **questions: str) -> dict[str, Any]:
    return {"context": text, "qas": [{"id": key, "question": question} for key, question in questions.items()]}


def test_the_context_of_the_same_id_is_relevant_to_a_question(tmp_path: Path) -> None:
    documents = articles(
        context("X", one="A", two="B"),
        context("Y", three="C", four="B"),
        context("X", five="E"),
        context("nobody asks"),
    )
    # Its own contexts do not matter, and it may lack questions.
    queries = articles(context("x", five="e", four="d", three="c", two="b"))
    test = parse(tmp_path, "squad", "test", {"queries": queries, "documents": documents})
    assert by_id(test.query_ids, test.queries) == {"five": "e", "four": "d", "three": "c", "two": "b"}
    assert test.oracle_queries == ("E", "B", "C", "B")
    assert by_id(test.document_ids, test.documents) == {"mine-1": "X", "mine-2": "Y", "mine-3": "nobody asks"}
    # Questions two and four read the same in English.
    both = {"mine-1": 1, "mine-2": 1}
    assert test.qrels == {"five": {"mine-1": 1}, "four": both, "three": {"mine-2": 1}, "two": both}


def test_questions_that_read_the_same_share_their_contexts(tmp_path: Path) -> None:
    documents = articles(context("X", one="A"), context("Y", two="B"))
    files = {"queries": articles(context("x", one="a", two="a")), "documents": documents}
    test = parse(tmp_path, "squad", "test", files)
    assert test.qrels == {"one": {"mine-1": 1, "mine-2": 1}, "two": {"mine-2": 1, "mine-1": 1}}


BUCC = {
    "queries": "zh-1\t下雨了。\nzh-2\t没有人来。\nzh-3\t我同意。 \nzh-4\t下雨了。\nzh-5\t天亮了。\n",
    "documents": "en-1\tI agree.\nen-2\tA dog.\nen-3\tIt rains.\nen-4\tIt is raining.\n",
    "gold": "zh-3\ten-1\nzh-1\ten-3\nzh-1\ten-4\n",
}


def test_mining_has_all_sentences_and_every_other_one_for_tuning(tmp_path: Path) -> None:
    assert parse(tmp_path, "bucc-mining", "test", BUCC) == TestCollection(
        name="mine",
        pair=SWH,
        query_ids=("zh-1", "zh-2", "zh-3", "zh-4", "zh-5"),
        queries=("下雨了。", "没有人来。", "我同意。 ", "下雨了。", "天亮了。"),
        document_ids=("en-1", "en-2", "en-3", "en-4"),
        documents=("I agree.", "A dog.", "It rains.", "It is raining."),
        qrels={"zh-1": {"en-3": 1, "en-4": 1}, "zh-3": {"en-1": 1}},
        tuning=("zh-1", "zh-3", "zh-5"),
    )


def test_translations_are_relevant_to_gold_sentences(tmp_path: Path) -> None:
    test = parse(tmp_path, "bucc-retrieval", "test", BUCC)
    assert test.task == "retrieval" and test.oracle_queries is None
    assert by_id(test.query_ids, test.queries) == {"zh-3": "我同意。 ", "zh-1": "下雨了。"}
    assert len(test.documents) == 4
    assert test.qrels == {"zh-1": {"en-3": 1, "en-4": 1}, "zh-3": {"en-1": 1}}


# In Swahili, two premises have one translation, and so have two hypotheses.
XNLI = [
    ("Mvua.|Kitu kinaanguka.|entailment", "It rains.|Something falls.|entailment"),
    ("Mvua.|Ni kavu.|contradiction", "It rains.|It is dry.|contradiction"),
    ("Mvua.|Siku ndefu.|neutral", "It pours.|The day is long.|neutral"),
    ("Mvua.|Kuna kitu.|entailment", "It pours.|Something falls.|entailment"),
    ("Ndiyo.|Ndiyo tu.|entailment", "I agree.|We are of one mind.|entailment"),
    ("Ndiyo.|Kuna kitu.|entailment", "I agree.|I say yes.|entailment"),
    ("Hapana.|Watatu.|contradiction", "Nobody came.|Three came.|contradiction"),
]
PREMISES = {"1": "It rains.", "2": "It pours.", "3": "I agree.", "4": "Nobody came."}


def xnli(rows: Sequence[tuple[str, str]] = XNLI, columns: int = 3, line: int = 0, text: str = "") -> dict[str, str]:
    """Return the files; line `line` in Swahili is replaced by `text`."""
    swahili, english = (["\t".join(row.split("|")[:columns]) for row in side] for side in zip(*rows, strict=True))
    if line:
        swahili[line - 1] = text.replace("|", "\t")
    files = {"queries": swahili, "documents": english, "english": english}
    return {part: "".join(f"{row}\n" for row in side) for part, side in files.items()}


def test_each_english_premise_has_one_query(tmp_path: Path) -> None:
    test = parse(tmp_path, "xnli-premises", "test", xnli(columns=2))
    assert by_id(test.document_ids, test.documents) == PREMISES
    assert by_id(test.query_ids, test.queries) == {"1": "Mvua.", "2": "Mvua.", "3": "Ndiyo.", "4": "Hapana."}
    assert test.qrels == {"1": {"1": 1, "2": 1}, "2": {"2": 1, "1": 1}, "3": {"3": 1}, "4": {"4": 1}}
    assert test.oracle_queries is None


def test_the_entailing_premises_are_relevant_to_a_hypothesis(tmp_path: Path) -> None:
    test = parse(tmp_path, "xnli-entailment", "test", xnli())
    asked = {"1": "Kitu kinaanguka.", "4": "Kuna kitu.", "5": "Ndiyo tu.", "6": "Kuna kitu."}
    assert by_id(test.query_ids, test.queries) == asked
    assert test.oracle_queries == ("Something falls.", "Something falls.", "We are of one mind.", "I say yes.")
    assert by_id(test.document_ids, test.documents) == PREMISES
    # 1 and 4 read the same in English, 4 and 6 in Swahili.
    assert test.qrels == {"1": {"1": 1, "2": 1}, "4": {"1": 1, "2": 1, "3": 1}, "5": {"3": 1}, "6": {"2": 1, "3": 1}}


def test_premises_are_split_by_their_number_and_keep_it(tmp_path: Path) -> None:
    test = parse(tmp_path, "xnli-entailment", "test", xnli(), first=3, last=4)
    assert by_id(test.document_ids, test.documents) == {"3": "I agree.", "4": "Nobody came."}
    assert test.qrels == {"5": {"3": 1}, "6": {"3": 1}}


def test_lines_of_one_premise_need_not_be_neighbours(tmp_path: Path) -> None:
    shuffled = xnli([XNLI[row] for row in (0, 2, 4, 6, 1, 3, 5)])
    test = parse(tmp_path, "xnli-entailment", "test", shuffled)
    assert by_id(test.document_ids, test.documents) == PREMISES
    bitext = parse(tmp_path, "xnli-entailment", "bitext", shuffled)
    assert [document for _, document in bitext[:3]] == ["It rains.", "Something falls.", "It pours."]


def paragraph(*sentences: str, **questions: tuple[str, str]) -> dict[str, Any]:
    """The sentences as a context, and questions by id, each with the answer that it has in the context."""
    text = " ".join(sentences)
    starts = [text.index(sentence) for sentence in sentences]
    return {
        "context": text,
        "sentences": list(sentences),
        "sentence_breaks": [[start, start + len(each)] for start, each in zip(starts, sentences, strict=True)],
        "qas": [
            {"id": key, "question": question, "answers": [{"text": answer, "answer_start": text.index(answer)}]}
            for key, (question, answer) in questions.items()
        ],
    }


LAREQA = {
    "en": articles(
        paragraph("Mara keeps bees.", "She sells honey.", k1=("What does she sell?", "honey"), k2=("Who?", "Mara")),
        paragraph("The mill is old."),
    ),
    "de": articles(
        paragraph("Die Mühle ist alt.", "Sie steht still.", k4=("Wie alt ist sie?", "alt")),
        paragraph("Mara hat Bienen.", "Sie verkauft Honig.", k1=("Was verkauft sie?", "Honig"), k2=("Wer?", "Mara")),
    ),
    "es": articles(
        paragraph("Mara vende miel.", k1=("¿Qué vende?", "miel")),
        paragraph("El molino es viejo.", k4=("¿Cómo es?", "viejo")),
    ),
}


def lareqa(folder: Path, pair: str, *documents: str) -> TestCollection:
    """Return the collection with German questions."""
    files = {"queries/de.json": LAREQA["de"]}
    files |= {f"documents/{code}.json": LAREQA[code] for code in documents}
    codes = {"deu": "de", "eng": "en", "spa": "es"}
    test: TestCollection = parse(folder, "lareqa", "test", files, Pair(*pair.split("-")), codes)
    return test


def test_the_answering_sentences_of_every_language_are_relevant(tmp_path: Path) -> None:
    test = lareqa(tmp_path, "deu-mul", "en", "de", "es")
    assert by_id(test.query_ids, test.queries) == {"k4": "Wie alt ist sie?", "k1": "Was verkauft sie?", "k2": "Wer?"}
    assert by_id(test.document_ids, test.documents) == {
        "en-1": "Mara keeps bees. Mara keeps bees. She sells honey.",
        "en-2": "She sells honey. Mara keeps bees. She sells honey.",
        "en-3": "The mill is old. The mill is old.",
        "de-1": "Die Mühle ist alt. Die Mühle ist alt. Sie steht still.",
        "de-2": "Sie steht still. Die Mühle ist alt. Sie steht still.",
        "de-3": "Mara hat Bienen. Mara hat Bienen. Sie verkauft Honig.",
        "de-4": "Sie verkauft Honig. Mara hat Bienen. Sie verkauft Honig.",
        "es-1": "Mara vende miel. Mara vende miel.",
        "es-2": "El molino es viejo. El molino es viejo.",
    }
    assert list(test.document_languages) == ["eng"] * 3 + ["deu"] * 4 + ["spa"] * 2
    assert test.qrels == {
        "k4": {"de-1": 1, "es-2": 1},
        "k1": {"en-2": 1, "de-4": 1, "es-1": 1},
        "k2": {"en-1": 1, "de-3": 1},
    }
    assert test.oracle_queries is None


@pytest.mark.parametrize(
    ("pair", "code", "qrels", "oracles"),
    [
        ("deu-eng", "en", {"k1": {"en-2": 1}, "k2": {"en-1": 1}}, ("What does she sell?", "Who?")),
        ("deu-spa", "es", {"k4": {"es-2": 1}, "k1": {"es-1": 1}}, ("¿Cómo es?", "¿Qué vende?")),
        ("deu-deu", "de", {"k4": {"de-1": 1}, "k1": {"de-4": 1}, "k2": {"de-3": 1}}, None),
    ],
)
def test_a_question_without_an_answer_in_the_documents_is_left_out(
    tmp_path: Path, pair: str, code: str, qrels: Any, oracles: Any
) -> None:
    test = lareqa(tmp_path, pair, code)
    assert (test.qrels, test.oracle_queries, test.left_out) == (qrels, oracles, 3 - len(qrels))
    assert not test.document_languages


def test_sentences_that_read_the_same_stay_two_candidates_and_so_do_questions(tmp_path: Path) -> None:
    """As the published counts have it; here neither question may find the other's sentence."""
    twins = articles(*(paragraph("It rains.", "So be it.", **{key: ("Why?", "rains")}) for key in ("k1", "k2")))
    test = parse(tmp_path, "lareqa", "test", {"queries/en.json": twins, "documents/en.json": twins}, ENG)
    assert len(test.documents) == 4 and len(set(test.documents)) == 2
    assert test.qrels == {"k1": {"en-1": 1}, "k2": {"en-3": 1}}


QED = [{"question_text": text, "paragraph_text": paragraph} for text, paragraph in ("aX", "bY", "cX")]
SQUAD = "\ufeff" + articles(context("X", one="a", two="b"), context("Y"), context("X", three="c"))
QUOTED = '"a"\t"A ""B"""\n'
SEGMENTS = {"b.MAR.1.3": "c", "b.MAR.1.1": "a &amp; a", "b.MAR.1.2": "b", "b.MAR.1.4": "in no reference"}
MEMORY = memory(a={"sw": "a &amp; b", "en": "A <b>and</b>\n  B"}, b={"sw": "c"}, c={"EN": "D", "SW": "d"})
AMHARIC = {  # and English, joined through a third language
    "memories/1.zip": memory(one={"am": "a", "om": "x"}, two={"am": "b", "om": "y"}),
    "memories/2.zip": memory(two={"en": "B", "om": "y"}, three={"en": "C", "om": "z"}),
}
ROWS: Mapping[str, Sequence[tuple[Files, dict[str, Any], Sequence[str]]]] = {
    "aligned-lines bitext": [({"queries": "a\r\nb\r\n", "documents": "\ufeffA\nB"}, {}, ["a|A", "b|B"])],
    "verses bitext": [
        (bible(["a", "b"], ["A", "B"]), {}, ["a|A", "b|B"]),
        (bible(["a", "", "c"], ["A", "B", ""]), {}, ["a|A"]),
        # Verses that are merged on one side are joined on the other.
        (bible(["a+b", "<range>", "c"], ["A", "B", "C"]), {}, ["a+b|A B", "c|C"]),
        (bible(["a", "b", "c"], ["A+B", "<range>", "C"]), {}, ["a b|A+B", "c|C"]),
        (bible(["a+b", "<range>"], ["A+B", "<range>"]), {}, ["a+b|A+B"]),
        # Ranges of the two sides that overlap make one group.
        (bible(["a+b", "<range>", "c"], ["A", "B+C", "<range>"]), {}, ["a+b c|A B+C"]),
        # A side that lacks a part of the group does not say the same as the other.
        (bible(["a+b", "<range>", "c"], ["A", "", "C"]), {}, ["c|C"]),
        (bible(["", "<range>", "c"], ["A", "B", "C"]), {}, ["c|C"]),
        (bible_in_xml(SEGMENTS), MARK, ["a & a|A", "b c|B+C"]),
    ],
    "tab-separated bitext": [
        ({"rows": "a\tA\nb\tB\n"}, {}, ["a|A", "b|B"]),
        ({"rows": "A\tby me\ta\r\n"}, {"query": 3, "document": 1}, ["a|A"]),
        ({"rows": "Swahili\tEnglish\na\tA\n"}, {"header": True}, ["a|A"]),
        # Quotation marks belong to the text, unless the card says that cells are written as in CSV.
        ({"rows": QUOTED}, {}, ['"a"|"A ""B"""']),
        ({"rows": f'{QUOTED}b "c"\tC\n'}, {"quoted": True}, ['a|A "B"', 'b "c"|C']),
    ],
    "tmx bitext": [
        ({"memories": MEMORY}, {"codes": CODES}, ["a & b|A and B", "d|D"]),
        (AMHARIC, {"pair": Pair("amh", "eng"), "codes": CODES}, ["b|B"]),
        ({"memories": zipfile.ZipFile(io.BytesIO(MEMORY)).read("m.tmx")}, {"codes": CODES}, ["a & b|A and B", "d|D"]),
    ],
    "json-lines bitext": [
        ({"rows": json_lines({"sw": "a", "en": "A", "id": 1})}, {"codes": CODES}, ["a|A"]),
        (
            {f"rows/{name}": json_lines({"translation": {"sw": name, "en": name.upper()}}) for name in "ab"},
            {"query": "translation.sw", "document": "translation.en"},
            ["a|A", "b|B"],
        ),
        ({"rows": json_lines({"t.q": "b", "d": "B"})}, {"query": "t.q", "document": "d"}, ["b|B"]),
    ],
    "json-lines relevance": [
        (
            {
                "rows": json_lines(
                    {"query": "a", "positive": "X", "negative": "Y"}, {"query": "b", "positive": ["X", "Z"]}
                )
            },
            {},
            ["a|X", "b|X", "b|Z"],
        ),
        (
            {"rows": json_lines({"q": "a", "p": [{"title": "T", "text": "X"}, {"title": None, "text": "Y"}]})},
            {"query": "q", "positive": "p"},
            ["a|T X", "a|Y"],
        ),
    ],
    "qed relevance": [
        ({"examples/1": json_lines(*QED), "examples/2": json_lines(QED[0])}, {}, ["a|X", "b|Y", "c|X", "a|X"])
    ],
    "qed passages": [({"examples": json_lines(*QED)}, {"pair": "eng"}, ["X", "Y", "X"])],
    "squad relevance": [({"articles": SQUAD}, {}, ["a|X", "b|X", "c|X"])],
    "squad passages": [({"articles": SQUAD}, {"pair": "eng"}, ["X", "Y", "X"])],
    # Premises are split by their number.
    "xnli-entailment bitext": [
        (
            xnli(),
            {"first": 1, "last": 2},
            ["Mvua.|It rains.", "Kitu kinaanguka.|Something falls.", "Mvua.|It pours.", "Kuna kitu.|Something falls."],
        ),
        (
            {**xnli(), "documents": xnli()["queries"]},  # English need not be one of the two languages
            {"first": 1, "last": 2, "pair": Pair("swh", "swh")},
            [f"{text}|{text}" for text in ("Mvua.", "Kitu kinaanguka.", "Mvua.", "Kuna kitu.")],
        ),
    ],
    "xnli-entailment relevance": [
        (xnli(), {"first": 1, "last": 2}, ["Kitu kinaanguka.|It rains.", "Kuna kitu.|It pours."]),
        (
            {**xnli(), "documents": xnli()["queries"]},
            {"first": 1, "last": 2, "pair": Pair("swh", "swh")},
            ["Kitu kinaanguka.|Mvua.", "Kuna kitu.|Mvua."],  # of two premises in English
        ),
    ],
}


@pytest.mark.parametrize(
    ("format", "files", "options", "rows"), [(name, *case) for name, cases in ROWS.items() for case in cases]
)
def test_rows_and_texts_are_those_worked_out_by_hand(
    tmp_path: Path, format: str, files: Files, options: dict[str, Any], rows: Sequence[str]
) -> None:
    found = parse(tmp_path, *format.split(), files, **options)
    assert ["|".join(row) if isinstance(row, tuple) else row for row in found] == rows


def test_the_generated_collection_has_a_development_part(tmp_path: Path) -> None:
    qaa = Pair("qaa", "eng")
    test, dev = (parse(tmp_path, "conlang", "test", {}, qaa, split=split, **SIZES) for split in ("test", "dev"))
    assert (test.name, test.pair, len(test.queries), len(dev.queries)) == ("mine", qaa, 20, 10)
    assert not set(test.queries) & set(dev.queries)


LINES = {"queries": "a\nb\n", "documents": "A\nB\n", "document-ids": "x\nx\n"}
AFRIQA = {"queries/f": json_lines(question("1", "A")), "documents/f": json_lines(question("1", "A"))}
GOOD = paragraph("It rains.", "So be it.", k=("Why?", "rains"))
QUESTION = GOOD["qas"][0]
CELLS = "expected premise <tab> hypothesis <tab> label"


def rows_of_afriqa(content: str) -> Files:
    return {"queries/f": content, "documents/f": content}


def squad_test(queries: dict[str, Any], documents: dict[str, Any]) -> Files:
    return {"queries": articles(queries), "documents": articles(documents)}


def twice(paragraph: dict[str, Any]) -> dict[str, Any]:
    return {**paragraph, "qas": paragraph["qas"] * 2}


MALFORMED: Mapping[str, Sequence[tuple[Files, dict[str, Any], str]]] = {
    "aligned-lines bitext": [
        ({**LINES, "queries": b"a\nb\xff\n"}, {}, "queries: line 2: not UTF-8"),
        ({**LINES, "queries": b"\n \n"}, {}, "queries is empty"),
        ({**LINES, "documents": "A\n"}, {}, "queries has 2 lines, but .*documents has 1"),
    ],
    "aligned-lines test": [({**LINES, "documents": "A\n\n"}, {}, "documents: line 2: empty")],
    "documents-of-lines test": [
        ({**LINES, "document-ids": "x\n"}, {}, "queries has 2 lines, but .*document-ids has 1"),
        ({**LINES, "document-ids": "x\n\n"}, {}, "document-ids: line 2: empty"),
        ({**LINES, "documents": "A\n \n"}, {}, "documents: line 2: empty"),
    ],
    "verses bitext": [
        (bible(["a", "b"], ["A", "B"], references=3), {}, "queries has 2 lines, but .*references has 3 verses"),
        (bible(["a", "b"], ["<range>", "B"]), {}, "documents: line 1: <range>"),
        (bible_in_xml({"b.MAR.1": "a"}), MARK, r"q.xml: the segment id 'b.MAR.1' is no verse"),
        (bible_in_xml({"b.MAR.1.1": "a", "b.MRK.1.1": "b"}), MARK, "q.xml: the id 'MRK 1:1' occurs twice"),
        (bible_in_xml({"b.LUK.1.1": "a"}), MARK, "q.xml has none of the verses of .*references"),
    ],
    "tab-separated bitext": [
        ({"rows": "a\tA\nb\n"}, {}, "rows: line 2: 1 cells, but line 1 has 2"),
        ({"rows": "a\tA\n\n"}, {}, "rows: line 2: 0 cells, but line 1 has 2"),
        ({"rows": "a\tA\n"}, {"query": 3}, "rows: line 1: 2 cells, but the card names column 3"),
        ({"rows": 'a\tA\n"b\tB\n'}, {"quoted": True}, "rows: line 2: unexpected end of data"),
        ({"rows": "a\tA\n"}, {"qery": 3}, r"mine: options: unknown key 'qery'; did you mean query\?"),
        ({"rows": "a\tA\n"}, {"query": 0}, "mine: options: query = 0: "),
    ],
    "tmx bitext": [
        ({"memories": memory(a={"am": "a", "om": "x"})}, {}, "'swh' and 'eng'; the languages in its files are am, om"),
        ({"memories": zipped("m.tmx", "<tmx><tu></tmx>")}, {}, "line 1 of its XML: mismatched tag"),
        ({"memories": b"PK\x03\x04 no zip"}, {}, "not a readable zip archive"),
        ({"memories": "no zip"}, {}, "memories: line 1 of its XML: syntax error"),
        ({"memories": zipped("__MACOSX/._m.tmx", "")}, {}, r"0 \.tmx files"),
        ({"memories": zipped("readme", "")}, {}, r"0 \.tmx files"),
    ],
    "json-lines bitext": [
        ({"rows": json_lines({"swh": "a", "eng": "A"}, {"swh": "b"})}, {}, "rows: line 2: no text under 'eng'"),
        ({"rows": json_lines({"swh": "a", "eng": "A"})}, {"query": "t.sw"}, "rows: line 1: no text under 'sw'"),
        ({"rows": "[1]"}, {}, "rows: line 1: not a JSON object"),
    ],
    "json-lines relevance": [
        ({"rows": json_lines({"query": "a"})}, {}, "rows: line 1: no text under 'positive'"),
        ({"rows": json_lines({"query": "a", "positive": []})}, {}, "rows: line 1: no text under 'positive'"),
        ({"rows": json_lines({"query": "a", "positive": ["X", 3]})}, {}, "rows: line 1: no text under 'positive'"),
    ],
    "afriqa test": [
        (rows_of_afriqa(json_lines(question("1", "A")) + "{\n"), {}, "f: line 2: not JSON"),
        (rows_of_afriqa(json_lines(question("1", "A")) + "[1]\n"), {}, "f: line 2: not a JSON object"),
        (rows_of_afriqa(json_lines(question("1", "A", question_lang=3))), {}, "line 1: no text under 'question_lang'"),
        (rows_of_afriqa(json_lines(question("1", "A", question_translated=" "))), {}, "1: no text under 'question_tr"),
        (rows_of_afriqa(json_lines(question("1", "\ud800"))), {}, "line 1: a lone surrogate"),
        (rows_of_afriqa(json_lines(question("1", "A"), question("1", "B"))), {}, "line 2: the id '1' occurs twice"),
        ({**AFRIQA, "documents/d": "{}\n", "queries/q": "{}"}, {}, "names 2 files under 'queries'"),
        ({"queries": AFRIQA["queries/f"], "documents": json_lines(question("1", "B"))}, {}, "its context is in none"),
    ],
    "squad relevance": [
        ({"articles": "{\n!"}, {}, "articles: not JSON: .*: line 2 column 1"),
        ({"articles": "[]"}, {}, "articles: not SQuAD's JSON: no list under 'data'"),
        ({"articles": '{"data": [1]}'}, {}, r"articles: data\[0\]: not SQuAD's JSON: no list under 'paragraphs'"),
        ({"articles": articles({"qas": []})}, {}, r"data\[0\].paragraphs\[0\]: no text under 'context'"),
        ({"articles": articles({"context": "X", "qas": [{}]})}, {}, r"paragraphs\[0\].qas\[0\]: no text under 'ques"),
        ({"articles": "[" * 100_000}, {}, "articles: "),
    ],
    "squad test": [
        (squad_test(context("x", one="a"), context("X", two="A")), {}, r"queries: .*qas\[0\]: no question has the id"),
        (squad_test(twice(context("x", one="a")), context("X", one="A")), {}, r"queries: .*qas\[1\]: the id 'one' occ"),
        (squad_test(context("x", one="a"), twice(context("X", one="A"))), {}, r"documents: .*qas\[1\]: the id 'one'"),
        (squad_test({"context": "x", "qas": [{"question": "a"}]}, context("X")), {}, r"qas\[0\]: no text under 'id'"),
    ],
    **{
        f"bucc-{task} test": [
            ({**BUCC, "queries": "zh-1\tone\nzh-2\n"}, {}, "queries: line 2: expected id <tab> sentence"),
            ({**BUCC, "documents": "en-1\tone\ttwo\n"}, {}, "documents: line 1: expected id <tab> sentence"),
            ({**BUCC, "documents": "en-1\t \n"}, {}, "documents: line 1: expected id <tab> sentence"),
            ({**BUCC, "queries": "zh-1\tone\nzh-1\ttwo\n"}, {}, "queries: line 2: the id 'zh-1' occurs twice"),
            ({**BUCC, "gold": "zh-1 en-1\n"}, {}, "gold: line 1: expected id <tab> id"),
            ({**BUCC, "gold": "zh-1\ten-1\nzh-9\ten-1\n"}, {}, "gold: line 2: .*queries has no sentence 'zh-9'"),
            ({**BUCC, "gold": "zh-1\tzh-1\n"}, {}, "gold: line 1: .*documents has no sentence 'zh-1'"),
        ]
        for task in ("mining", "retrieval")
    },
    "xnli-premises test": [(xnli(), {}, "line 1: expected premise <tab> hypothesis$")],
    "xnli-entailment test": [
        ({**xnli(), "queries": xnli(XNLI[:-1])["queries"]}, {}, "queries has 6 lines, but .*documents has 7"),
        (xnli(line=2, text="Mvua.|Ni kavu."), {}, f"queries: line 2: {CELLS}"),
        (xnli(line=2, text="Mvua.| |neutral"), {}, f"queries: line 2: {CELLS}"),
        (xnli(line=2, text="Mvua.|Ni kavu.|-"), {}, "queries: line 2: the label '-' is none of entailment, neutral"),
        (xnli(line=2, text="Mvua.|Ni kavu.|neutral"), {}, "line 2: the label 'neutral' is 'contradiction'"),
        (xnli(line=4, text="Hapana.|Kuna.|entailment"), {}, "line 4: not the premise of line 3, but .*documents has"),
        (xnli(), {"first": 0}, "mine: options: first = 0: "),
        (xnli(), {"last": 5}, "mine: options: 1 to 5 are not premises; there are 4"),
        (xnli(), {"first": 3, "last": 2}, "mine: options: 3 to 2 are not premises"),
        (xnli(), {"first": True}, "mine: options: first = True: "),
        (xnli(), {"frist": 1}, "mine: options: unknown key 'frist'; did you mean first"),
    ],
    "lareqa test": [
        (
            {"queries/q.json": articles(GOOD), "documents/en.json": articles(GOOD), "documents/en.txt": "x"},
            {},
            "en.txt: another file of 'documents' is called en too",
        ),
        *(
            ({f"{part}/en.json": articles({**GOOD, **change}) for part in ("queries", "documents")}, {}, complaint)
            for change, complaint in [
                (
                    {"sentence_breaks": [[0, 9]]},
                    r"paragraphs\[0\]: not LAReQA's JSON: 'sentence_breaks' has no start and",
                ),
                (
                    {"sentence_breaks": [[0, 9], [10, "19"]]},
                    "'sentence_breaks' has no start and end for every sentence",
                ),
                ({"sentence_breaks": [[0, 2], [10, 19]]}, r"qas\[0\]: the answer at 3 starts in no sentence"),
                ({"sentences": None}, "not SQuAD's JSON: no list under 'sentences'"),
                ({"sentences": ["It rains.", " "]}, "no text under 'sentences'"),
                ({"qas": [QUESTION, QUESTION]}, r"qas\[1\]: the id 'k' occurs twice"),
                ({"qas": [{**QUESTION, "answers": []}]}, r"qas\[0\]: no answer under 'answers'"),
                ({"qas": [{**QUESTION, "answers": [{}]}]}, r"qas\[0\]: the answer at None starts in no sentence"),
                ({"qas": []}, "none of its questions has an answer in the files under 'documents'"),
            ]
        ),
    ],
    "conlang test": [
        ({}, {"scale": 0.0}, "mine: options: scale = 0.0: Input should be greater than 0"),
        ({}, {"scale": float("nan")}, "mine: options: scale = nan"),
        ({}, {"split": "train"}, "mine: options: split = 'train': Input should be 'test' or 'dev'"),
        ({}, {"sed": 1}, "mine: options: unknown key 'sed'; did you mean seed"),
    ],
}


@pytest.mark.parametrize(
    ("format", "files", "options", "complaint"), [(name, *case) for name, cases in MALFORMED.items() for case in cases]
)
def test_a_malformed_file_or_option_is_one_line_with_its_place(
    tmp_path: Path, format: str, files: Files, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BenchError, match=complaint) as error:
        parse(tmp_path, *format.split(), files, **options)
    assert "\n" not in str(error.value)
