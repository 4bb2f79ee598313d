"""Every reader of users' files, each with small valid files: the seeds of tests that damage them."""

from __future__ import annotations

import json
import resource
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import test_cards
import test_external
import test_trec_folders
from test_formats import BUCC, CODES, articles, context, json_lines, paragraph, question, xnli, zipped

from bench.data import Pair, TestCollection, formats
from bench.data.cards import Card, load_cards
from bench.data.files import Resolver
from bench.data.formats.qrels import read_qrels
from bench.data.formats.reading import Source
from bench.data.loading import load_rows, load_test
from bench.data.own import with_own
from bench.errors import BenchError
from bench.evaluation.run_files import read_run, read_trec_run
from bench.gate.baseline import Baseline, Value
from bench.options import read_options
from bench.request import Request, Suite
from bench.results.mteb import read_results

SWH = Pair("swh", "eng")
SECONDS, BYTES = 10, 1 << 30
"""The limits of reading or refusing a small file: time, and memory beyond that of the tests themselves."""


@dataclass(frozen=True)
class Reader:
    """Valid files by their names, and the function that reads them in a folder."""

    files: Mapping[str, bytes]
    read: Callable[[Path], object]
    layout: bool = False
    """True if it looks for files by their names, so that a file that it cannot open is another one's business."""
    about: tuple[str, ...] = field(default=("mine",))
    """Other things that a message may name, in place of a file."""

    def write(self, folder: Path, **changed: bytes) -> None:
        for name, content in {**self.files, **changed}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def refusal(self, folder: Path) -> str:
        """Return the line that refuses the files; empty if they are read. Any other error is the test's."""
        try:
            self.read(folder)
        except BenchError as error:
            message = str(error)
            assert len(message.splitlines()) == 1 and len(message) <= 1000
            names = (*(Path(name).name for name in self.files), *self.about)
            assert any(name in message for name in names), message
            return message
        return ""


def parse(parts: Mapping[str, str], format: str, role: str, options: Mapping[str, Any], folder: Path) -> Any:
    """Return all that a parser reads from the files of `folder`; `parts` has the part of each file."""
    paths: dict[str, tuple[Path, ...]] = {}
    for name, part in parts.items():
        paths[part] = (*paths.get(part, ()), folder / name)
    key: Any = "eng" if role == "passages" else SWH
    found = formats.parse(format, role, Source("mine", paths, CODES, options), key)
    return (found.summary, list(found.documents)) if isinstance(found, TestCollection) else list(found)


def parsed(name: str, files: Mapping[str, str | bytes], **options: Any) -> Reader:
    """Return the reader `format role`; files are called `part` or `part/file`."""
    format, role = name.split(",")[0].split()
    contents = {(path.partition("/")[2] or path): content for path, content in files.items()}
    parts = {(path.partition("/")[2] or path): path.partition("/")[0] for path in files}
    encoded = {path: text.encode() if isinstance(text, str) else text for path, text in contents.items()}
    return Reader(encoded, partial(parse, parts, format, role, options))


def folder_of(folder: Path) -> object:
    cards, names = with_own({}, [str(folder)], [], [SWH])
    test = load_test(cards[names[str(folder)]], SWH, Resolver(offline=True), cards)
    return test.summary, list(test.documents)


def training_of(folder: Path) -> object:
    (path,) = (str(path) for path in folder.glob("own.*") if path.suffix != ".en")
    cards, names = with_own({}, [], [path], [SWH])
    return load_rows(cards[names[path]], "bitext", SWH, Resolver(offline=True))


def cards_of(folder: Path) -> object:
    """Return the cards of a folder, without the project's own, which take long to read."""
    (folder.parent / "none").mkdir(exist_ok=True)
    with patch("bench.data.cards.builtin_folder", lambda: folder.parent / "none"):
        return load_cards(folder)


XML = """<?xml version="1.0" encoding="utf-8"?>
<cesDoc><text><body>
<seg id="b.MAR.1.1" type="verse"> moja </seg>
<seg id="b.MAR.1.3" type="verse">tatu &amp; nne</seg>
</body></text></cesDoc>
"""
MEMORY = """<?xml version="1.0" encoding="utf-8"?>
<tmx version="1.4"><body>
<tu tuid="1"><tuv xml:lang="sw"><seg>moja</seg></tuv><tuv xml:lang="en"><seg>one</seg></tuv></tu>
</body></tmx>
"""
ALIGNED = {"queries": "moja\nmbili\n", "documents": "one\ntwo\n"}
VERSES = {"queries": "moja\n<range>\n\n", "documents": "1\n2\n3\n", "references": "A\nB\nC\n"}
VERSES_XML = {"queries/q.xml": XML, "documents": "one\n<range>\nthree\n", "references": "MRK 1:1\nMRK 1:2\nMRK 1:3\n"}
QUOTED = 'English\tSwahili\n"""one"", he said"\tmoja\ntwo\t"mbili"\n'
QED = json_lines(*({"question_text": "?", "paragraph_text": text} for text in "ab"))
AFRIQA = json_lines(question("1", "here"), question("2", None))
SQUAD = articles(context("X", one="A"), context("Y", two="B"))
TWO = articles(paragraph("Mara keeps bees.", "She sells honey.", k=("What?", "honey")))
BEIR = {
    "queries": json_lines({"_id": "q1", "text": "wapi?"}),
    "documents": json_lines({"_id": "d1", "title": "t", "text": "here"}, {"_id": "d2", "text": "there"}),
    "qrels": "query-id\tcorpus-id\tscore\nq1\td1\t1\n",
}
RUN = b"q1 Q0 d1 1 3.5 mine\nq1 Q0 d2 2 -3e-1 mine\nq2 Q0 d1 1 1 my tag\n"
QRELS = b"q1 0 d1 1\nq1 0 d2 -1\nq2\t0\td2\t3\n"
MTEB = test_external.mteb(test_external.row("swa-eng", ndcg_at_10=0.5), test=[test_external.row("swa-eng", 1)])
NOTES = {
    "name": "notes",
    "description": "d",
    "licence": "l",
    "mteb": {"task": "NotesRetrieval", "split": "dev"},
    "folder": ".",
    "data": [{"role": "test", "format": "trec", "pairs": ["swh-eng"], "files": dict.fromkeys(BEIR, "q")}],
}
CONFIG = """
pairs = ["qaa-eng"]
datasets = ["conlang"]
seeds = [0, 1]
budget = "60steps"
[method.optical]
epsilon = 0.1
[recipe]
batch_size = 16
"""


def trec(make: Callable[[], Mapping[str, str]], queries: str, documents: str, qrels: str) -> dict[str, str]:
    """Return files of `test_trec_folders` by part."""
    files = make()
    return {f"{part}/{name}": files[name] for part, name in zip(BEIR, (queries, documents, qrels), strict=True)}


def baseline() -> bytes:
    values = (
        Value("a b c", "nDCG@10", 0.5, 0.1, (0.5, 0.6), {"q1": 0.5}),
        Value("a b c", "counts.queries", 3, 0, (3,)),
    )
    content = {"suite": Suite(seeds=(3, 4)).model_dump(mode="json"), "made_by": {"libraries": {}}, "history": []}
    return json.dumps({**content, "values": [vars(value) for value in values]}).encode()


INNER = {"query": "translation.sw", "document": "translation.en"}
PARSERS = {
    name: parsed(name, files, **options)
    for name, files, options in (
        ("aligned-lines bitext", ALIGNED, {}),
        ("aligned-lines test", ALIGNED, {}),
        ("documents-of-lines test", {**ALIGNED, "document-ids": "x\ny\n"}, {}),
        ("verses bitext", VERSES, {}),
        ("verses bitext, XML", VERSES_XML, {"books": {"MAR": "MRK"}}),
        ("tab-separated bitext", {"rows": "moja\tone\tby me\nmbili\ttwo\tby you\n"}, {}),
        ("tab-separated bitext, quoted", {"rows": QUOTED}, {"query": 2, "document": 1, "header": True, "quoted": True}),
        ("tmx bitext", {"memories": zipped("a.tmx", MEMORY)}, {}),
        ("tmx bitext, plain", {"memories": MEMORY}, {}),
        ("json-lines bitext", {"rows": json_lines({"translation": {"sw": "moja", "en": "one"}})}, INNER),
        ("json-lines relevance", {"rows": json_lines({"query": "nini?", "positive": ["one", {"text": "two"}]})}, {}),
        ("xnli-entailment bitext", xnli(), {}),
        ("xnli-entailment relevance", xnli(), {}),
        ("xnli-entailment test", {part: xnli()[part] for part in ALIGNED}, {}),
        ("xnli-premises test", {part: xnli(columns=2)[part] for part in ALIGNED}, {}),
        ("qed relevance", {"examples": QED}, {}),
        ("qed passages", {"examples": QED}, {}),
        ("squad relevance", {"articles": SQUAD}, {}),
        ("squad passages", {"articles": SQUAD}, {}),
        ("squad test", {"queries": SQUAD, "documents": SQUAD}, {}),
        ("lareqa test", {"queries/de.json": TWO, "documents/en.json": TWO}, {}),
        ("afriqa test", {"queries": AFRIQA, "documents": AFRIQA}, {}),
        ("bucc-mining test", BUCC, {}),
        ("bucc-retrieval test", BUCC, {}),
        ("beir test", BEIR, {}),
        ("trec test", {**BEIR, "qrels": "q1 0 d1 1\n"}, {}),
        ("trec test, SGML", trec(test_trec_folders.terrier, "query-text.trec", "corpus/doc-text-1.trec", "qrels"), {}),
        ("trec test, SMART", trec(test_trec_folders.cranfield, "cran.qry", "cran.all.1400", "cranqrel"), {}),
        ("trec test, NPL", trec(test_trec_folders.vaswani, "query-text", "doc-text", "rlv-ass"), {}),
    )
}
OTHERS = {
    "run": Reader({"run.txt": RUN}, lambda folder: read_trec_run(folder / "run.txt", 100)),
    "own run": Reader({"run.txt": RUN}, lambda folder: read_run(folder / "run.txt")),
    "qrels": Reader({"qrels.txt": QRELS}, lambda folder: read_qrels(folder / "qrels.txt")),
    "MTEB": Reader(
        {"e5.json": MTEB.encode()}, lambda folder: read_results(folder / "e5.json", Card.model_validate(NOTES))
    ),
    "baseline": Reader({"b.json": baseline()}, lambda folder: Baseline.read(folder / "b.json")),
    "card": Reader({"mine.toml": test_cards.VALID.encode()}, cards_of),
    "mix": Reader({"mine.toml": test_cards.MIX.encode()}, cards_of),
    "config": Reader(
        {"c.toml": CONFIG.encode()},
        lambda folder: read_options(Request, Namespace(config=folder / "c.toml", methods=("bm25",))),
    ),
    "own TSV": Reader({"own.tsv": b"moja\tone\n"}, training_of),
    "own JSON Lines": Reader({"own.jsonl": b'{"sw": "moja", "en": "one"}'}, training_of),
    "own TMX": Reader({"own.tmx": MEMORY.encode()}, training_of),
    "own lines": Reader({"own.sw": b"moja\n", "own.en": b"one\n"}, training_of),
    "folder, BEIR": Reader(
        {"queries.jsonl": BEIR["queries"].encode(), "corpus.jsonl": BEIR["documents"].encode()}
        | {"qrels/test.tsv": BEIR["qrels"].encode()},
        folder_of,
        layout=True,
    ),
}
READERS = {**PARSERS, **OTHERS}


class TooLong(BaseException):
    """The end of a time limit, which no reader may take for an error of the file."""


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let this process have only so much more memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def limited_time(*, waiting: bool = False) -> Iterator[None]:
    """Raise `TooLong` in a block that computes too long, or with `waiting` that takes too long."""

    def stop(*_: object) -> None:
        raise TooLong(f"more than {SECONDS} s")

    timer, number = (signal.ITIMER_REAL, signal.SIGALRM) if waiting else (signal.ITIMER_PROF, signal.SIGPROF)
    before = signal.signal(number, stop)
    signal.setitimer(timer, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, before)
