"""Folders in the layouts of Vaswani, Cranfield and Pyserini, as their publishers lay them out: they run as they are."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import ir_measures
import pytest
from conftest import Cli
from small_bench import rows
from world import with_tests

from bench.data import Pair, TestCollection
from bench.data.files import Resolver
from bench.data.loading import load_test
from bench.errors import BenchError
from bench.evaluation.run_files import read_run

PAIR = Pair("wol", "eng")
TEXT = "boundary layer of a slender wing in hypersonic flow with heat transfer and shock waves at high speed"
WORDS = TEXT.split()
LOST = "1 judged documents are not in the collection, so that no run can find them"
EMPTY = "1 documents are empty"


def sentence(seed: int) -> str:
    return " ".join(WORDS[(seed * step) % len(WORDS)] for step in range(1, 9))


TITLES = {str(i): sentence(i) for i in range(1, 31)}
BODIES = {key: f"{sentence(int(key) + 40)} .\n{sentence(int(key) + 80)} ." for key in TITLES}
QUERIES = {str(i): f"what is {sentence(i + 7)} ?" for i in range(1, 11)}
QRELS = {query: {query: 1, str(int(query) + 10): 1, str(int(query) + 20): 1} for query in QUERIES}
Files = dict[str, str]


def vaswani() -> Files:
    """The archive of Glasgow: `doc-text`, `query-text` and `rlv-ass`, beside files of terms."""
    judged = "".join(f"{query}\n  {'  '.join(documents)}\n   /\n" for query, documents in QRELS.items())
    return {
        "doc-text": "".join(f"{key}\n{text}\n   /\n" for key, text in BODIES.items()),
        "query-text": "".join(f"{key}\n{text.upper()}\n/\n" for key, text in QUERIES.items()),
        "query-vecs": "1 2 3\n",
        "rlv-ass": judged,
        "term-vocab": "1 wing\n",
    }


def terrier() -> Files:
    """Vaswani as Terrier has it: documents without an element for their text, in a folder."""
    documents = [f"<DOC>\n<DOCNO>{key}</DOCNO>\n{text}\n</DOC>\n" for key, text in BODIES.items()]
    topics = (f"<top>\n<num>{key}</num><title>\n{text}\n</title>\n</top>\n" for key, text in QUERIES.items())
    return {
        "corpus/doc-text-1.trec": "".join(documents[:20]),
        "corpus/doc-text-2.trec": "".join(documents[20:]).removesuffix("\n"),
        "query-text.trec": "".join(topics),
        "qrels": "".join(f"{query} 0 {key} {grade}\n" for query, of in QRELS.items() for key, grade in of.items()),
    }


def cranfield() -> Files:
    """`cran.all.1400`, `cran.qry` and `cranqrel`. Numbers of queries have gaps in `cran.qry` alone. A document is
    empty, one is judged that is not there, and grades are from -1 to 4.
    """
    grades = [1, 3, -1]
    judged = [
        f"{query} {key} {grade} \n"
        for query, documents in QRELS.items()
        for key, grade in zip(documents, grades, strict=True)
    ]
    return {
        "cran.all.1400": "".join(
            f".I {key}\n.T\n{TITLES[key]} .\n.A\nauthor,{key}.\n.B\nj. ae. scs. 25, 1958, 324.\n.W\n{text}\n"
            if key != "30"
            else ".I 30\n.T\n.A\n.B\n.W\n"
            for key, text in BODIES.items()
        ),
        "cran.qry": "".join(f".I {3 * int(key):03d}\n.W\n{text}\n" for key, text in QUERIES.items()),
        "cranqrel": "".join([*judged, "3 1400 2 \n"]),
        "cranqrel.readme": "",
    }


def cranfield_xml() -> Files:
    """Cranfield in TREC's form: content in some of the elements of a document, in lower case."""
    files = cranfield()
    documents = (
        f"<doc>\n<docno>\n{key}\n</docno>\n<title>\n{TITLES[key]} .\n</title>\n<author>\nauthor\n</author>\n"
        f"<bib>\nj. ae. scs.\n</bib>\n<text>\n{text}\n</text>\n</doc>\n"
        if key != "30"
        else "<doc>\n<docno>\n30\n</docno>\n<title>\n</title>\n<text>\n</text>\n</doc>\n"
        for key, text in BODIES.items()
    )
    topics = (f"<top>\n<num> {key}</num><title>\n{text}\n</title>\n</top>\n" for key, text in QUERIES.items())
    lines = (line.split() for line in files["cranqrel"].splitlines())
    return {
        "cran.all.1400.xml": "".join(documents),
        "cran.qry.xml": f'<?xml version="1.0"?>\n<xml>\n{"".join(topics)}</xml>\n',
        "cranqrel.trec.txt": "".join(f"{query} 0 {key} {grade}\n" for query, key, grade in lines) + "\n\n",
    }


def pyserini() -> Files:
    """A folder of gzipped JSON Lines, gzipped topics and qrels."""
    lines = [json.dumps({"id": key, "contents": text}) + "\n" for key, text in BODIES.items()]
    return {
        "collection/part-00.jsonl.gz": "".join(lines[:11]),
        "collection/part-01.jsonl.gz": "".join(lines[11:]),
        "topics.test.tsv.gz": "".join(f"{key}\t{text}\n" for key, text in QUERIES.items()),
        "qrels.test.txt": terrier()["qrels"],
    }


def beir() -> Files:
    """BEIR as ir_datasets downloads it: all gzipped."""
    lines = (json.dumps({"_id": key, "title": "", "text": text}) + "\n" for key, text in BODIES.items())
    judged = (f"{query}\t{key}\t{grade}\n" for query, of in QRELS.items() for key, grade in of.items())
    return {
        "corpus.jsonl.gz": "".join(lines),
        "queries.jsonl.gz": "".join(json.dumps({"_id": k, "text": text}) + "\n" for k, text in QUERIES.items()),
        "qrels/test.tsv.gz": "query-id\tcorpus-id\tscore\n" + "".join(judged),
    }


def write(folder: Path, files: Files) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return folder


def load(folder: Path) -> TestCollection:
    cards = with_tests({}, [str(folder)], [PAIR])
    return load_test(cards[str(folder)], PAIR, Resolver(offline=True), cards)


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("make", [vaswani, terrier, pyserini, beir])
def test_layouts_of_vaswani_and_pyserini_are_one_collection(tmp_path: Path, make: Callable[[], Files]) -> None:
    test = load(write(tmp_path / "mine", make()))
    assert {key: flat(text) for key, text in zip(test.document_ids, test.documents, strict=True)} == {
        key: flat(text) for key, text in BODIES.items()
    }
    assert {key: text.lower() for key, text in zip(test.query_ids, test.queries, strict=True)} == QUERIES
    assert (test.qrels, test.left_out, test.remarks) == (QRELS, 0, ())
    for part in (slice(5, 25), slice(19, 21), slice(29, 30), slice(0, 30, 7)):
        assert test.documents[part] == list(test.documents)[part]
    assert test.documents[20] == list(test.documents)[20]


@pytest.mark.parametrize("make", [cranfield, cranfield_xml])
def test_layouts_of_cranfield_are_one_collection(tmp_path: Path, make: Callable[[], Files]) -> None:
    test = load(write(tmp_path / "mine", make()))
    expected = {key: flat(f"{TITLES[key]} . {text}") for key, text in BODIES.items()} | {"30": ""}
    assert dict(zip(test.document_ids, test.documents, strict=True)) == expected
    assert dict(zip(test.query_ids, test.queries, strict=True)) == QUERIES
    assert test.qrels["3"] == {"3": 1, "13": 3, "23": -1, "1400": 2}
    assert test.remarks == (LOST, EMPTY)


@pytest.mark.parametrize("make", [vaswani, terrier, pyserini, cranfield, cranfield_xml])
def test_blank_lines_before_the_first_record_change_nothing(tmp_path: Path, make: Callable[[], Files]) -> None:
    plain, blank = (
        load(write(tmp_path / name, {file: start + text for file, text in make().items()}))
        for name, start in (("plain", ""), ("blank", "\n \n"))
    )
    assert (blank.queries, list(blank.documents), blank.qrels) == (plain.queries, list(plain.documents), plain.qrels)


def of_ir_datasets(folder: Path, name: str) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, int]]]:
    """Documents, queries and qrels, as the readers of ir_datasets find them."""
    from ir_datasets import datasets
    from ir_datasets.util import LocalDownload

    module: Any = getattr(__import__(f"{datasets.__name__}.{name}").datasets, name)
    files = {"vaswani": ("doc-text", "query-text", "rlv-ass"), "cranfield": ("cran.all.1400", "cran.qry", "cranqrel")}
    kinds = (getattr(module, f"{name.capitalize()}{part}") for part in ("Docs", "Queries", "Qrels"))
    docs, queries, qrels = (kind(LocalDownload(folder / file)) for kind, file in zip(kinds, files[name], strict=True))
    judged: dict[str, dict[str, int]] = {}
    for row in qrels.qrels_iter():
        judged.setdefault(row.query_id, {})[row.doc_id] = row.relevance

    def texts(found: Iterator[Any]) -> dict[str, str]:
        return {row[0]: flat(row.default_text()) for row in found}

    return texts(type(docs).docs_iter.__wrapped__(docs)), texts(queries.queries_iter()), judged


@pytest.mark.parametrize("make", [vaswani, cranfield])
def test_ir_datasets_reads_the_same(tmp_path: Path, make: Callable[[], Files]) -> None:
    folder = write(tmp_path / "mine", make())
    test = load(folder)
    documents, queries, qrels = of_ir_datasets(folder, make.__name__)
    assert dict(zip(test.document_ids, test.documents, strict=True)) == documents
    assert dict(zip(test.query_ids, test.queries, strict=True)) == queries
    assert test.qrels == qrels


def test_they_run_unconverted_and_are_scored_as_by_ir_measures(tmp_path: Path, encoder_folder: Path, cli: Cli) -> None:
    folders = {make.__name__: write(tmp_path / make.__name__, make()) for make in (vaswani, cranfield)}
    run = [
        "run",
        "--methods",
        "zero-shot,bm25",
        "--datasets",
        ",".join(map(str, folders.values())),
        "--pairs",
        "wol-eng",
    ]
    results = tmp_path / "results"
    said = cli(
        *run, "--encoder", encoder_folder, "--device", "cpu", "--results", results, "--measures", "nDCG@10,AP@100"
    )
    assert said.line("cranfield wol-eng: " + LOST) and said.line("cranfield wol-eng: " + EMPTY)
    values = {(row["dataset"], row["method"], row["measure"]): float(row["value"]) for row in rows(results)}
    assert len(values) == 8
    for (dataset, method, measure), value in values.items():
        (path,) = results.glob(f"cells/{method}.*{dataset}*/run.trec.gz")
        _, _, qrels = of_ir_datasets(folders[dataset], dataset)
        ranked = {query: dict(ranking) for query, ranking in read_run(path).items()}
        parsed = ir_measures.parse_measure(measure)
        expected = fmean(row.value for row in ir_measures.iter_calc([parsed], qrels, ranked))
        assert value == pytest.approx(expected, abs=1e-6)


def test_text_of_documents_by_hand(tmp_path: Path) -> None:
    corpus = (
        "<DOC><DOCNO> A-1 </DOCNO><DOCID>9</DOCID><HEADLINE>Goats</HEADLINE><AUTHOR>X</AUTHOR>"
        "<TEXT><P>eat &amp; drink,</P>\n if 3 < 4 </TEXT></DOC>\n"
        "<DOC>\n<DOCNO>A-2</DOCNO>\n<DOCHDR>header</DOCHDR>Rain\n<B>fell</B>.\n</DOC><DOC><DOCNO>A-3</DOCNO>end</DOC>"
    )
    topics = '<topics><topic number="7"><query>goats</query><title-like>x</title-like></topic></topics>'
    folder = write(tmp_path / "mine", {"topics.xml": topics, "corpus": corpus, "qrels": "7 0 A-1 1\n8 0 A-1 1\n"})
    test = load(folder)
    assert dict(zip(test.document_ids, test.documents, strict=True)) == {
        "A-1": "Goats eat & drink, if 3 < 4",
        "A-2": "Rain fell .",
        "A-3": "end",
    }
    assert (test.query_ids, test.queries) == (("7",), ("goats",))
    assert test.remarks == ("1 judged queries are not in the collection; they do not count",)


def test_a_damaged_archive_is_one_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", pyserini())
    path = folder / "collection/part-01.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BenchError, match=r"part-01\.jsonl\.gz is damaged"):
        load(folder)
