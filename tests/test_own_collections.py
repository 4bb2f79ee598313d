"""Collections of the user's own in BEIR's and TREC's layout, and through ir_datasets; what is refused."""

import itertools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from small_bench import rows
from world import with_tests, write

from bench.data import Pair
from bench.data.cards import IR_DATASETS, Card, load_cards
from bench.data.fetch import fetch
from bench.data.files import Resolver
from bench.data.loading import available, load_rows, load_test
from bench.data.training_data import training_data
from bench.errors import BenchError, MissingFile
from bench.progress import Display
from bench.storage.sealed import read_manifest

SWH = Pair("swh", "eng")
QUERIES = {"q1": "Mbuzi hula nini?", "q2": "Soko hufunguliwa lini?", "q3": "Nani alikuja?"}
DOCUMENTS = {"d1": "Food Goats eat thorns.", "d2": "The market opens at dawn.", "d3": "Rain – on the hills."}
QRELS = {"q1": {"d1": 2, "d3": 0}, "q2": {"d2": 1}}

CORPUS_JSONL = """{"_id": "d1", "title": "Food", "text": "Goats eat thorns."}
{"_id": "d2", "title": "", "text": "The market opens at dawn."}
{"_id": "d3", "text": "Rain \\u2013 on the hills."}
"""
CORPUS_TSV = "".join(f"{key}\t{text}\n" for key, text in DOCUMENTS.items())
QUERIES_JSONL = "".join(json.dumps({"_id": key, "text": text, "metadata": {}}) + "\n" for key, text in QUERIES.items())
TOPICS_TSV = "".join(f"{key}\t{text}\n" for key, text in QUERIES.items())
TOPICS_SGML = "\n".join(
    f"<top>\n<num> Number: {key}\n<title> {text}\n\n<desc> Description:\nNot this.\n</top>"
    for key, text in QUERIES.items()
)
TOPICS_XML = "<topics>" + "".join(
    f"<top><num>{key}</num><title>{text.replace(' ', chr(10), 1)}</title></top>" for key, text in QUERIES.items()
)
QRELS_TSV = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td3\t0\nq2\td2\t1\n"
QRELS_TREC = "q1 0 d1 2\nq1\tQ0\td3\t0\n\nq2 0 d2 1\n"

BEIR = {"corpus.jsonl": CORPUS_JSONL, "queries.jsonl": QUERIES_JSONL, "qrels/test.tsv": QRELS_TSV}
TREC = {"corpus.tsv": CORPUS_TSV, "topics.txt": TOPICS_TSV, "qrels.txt": QRELS_TREC}


LAYOUTS = {
    "beir": BEIR,
    "no header": {**BEIR, "qrels/test.tsv": QRELS_TSV.partition("\n")[2]},
    "test before other splits": {**BEIR, "qrels/dev.tsv": "nonsense"},
    "BOM and CRLF": {**BEIR, "corpus.jsonl": "\ufeff" + CORPUS_JSONL.replace("\n", "\r\n\r\n")},
    "trec": TREC,
    "TREC, CRLF": {name: "\ufeff" + text.replace("\n", "\r\n") for name, text in TREC.items()},
    "SGML": {**TREC, "topics.txt": TOPICS_SGML},
    "closed tags": {**TREC, "topics.txt": TOPICS_XML},
    "JSON": {**TREC, "topics.txt": QUERIES_JSONL, "corpus.tsv": CORPUS_JSONL.replace("_id", "docid")},
    "contents": {**TREC, "corpus.tsv": CORPUS_JSONL.replace('"text"', '"contents"')},
    "text before contents": {**BEIR, "corpus.jsonl": CORPUS_JSONL.replace('"text"', '"contents": "other", "text"')},
    "contents beside no text": {**BEIR, "corpus.jsonl": CORPUS_JSONL.replace('"text"', '"text": "", "contents"')},
    "_id before id": {**BEIR, "corpus.jsonl": CORPUS_JSONL.replace('"_id"', '"id": "other", "_id"')},
    "numbers that are not read": {**BEIR, "corpus.jsonl": CORPUS_JSONL.replace('"_id"', '"rank": NaN, "_id"')},
    "indented": {**BEIR, "corpus.jsonl": CORPUS_JSONL.replace("{", "  { ")},
    "hidden files": {**BEIR, **{f"{path}/._test.tsv": "x" for path in (".", "qrels")}, "._corpus.jsonl": "x"}
    | {"qrels/dev.tsv": QRELS_TSV, "qrels/._dev.tsv": "x", ".DS_Store": "x"},
    "hidden files of a corpus": {
        **{name: TREC[name] for name in ("topics.txt", "qrels.txt")},
        **{f"corpus/{name}": "x" for name in (".DS_Store", "._1.tsv", ".cache/1.tsv", "a/._1.tsv")},
        "corpus/a/1.tsv": CORPUS_TSV,
        "._topics.txt": "x",
        ".qrels.txt": "x",
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_collection(tmp_path: Path, layout: str) -> None:
    folder = str(write(tmp_path / "mine", LAYOUTS[layout]))
    cards = with_tests({}, [folder], [SWH])
    test = load_test(cards[folder], SWH, Resolver(offline=True), cards)
    assert (test.name, test.pair) == ("mine", SWH)
    assert dict(zip(test.query_ids, test.queries, strict=True)) == {key: QUERIES[key] for key in QRELS}
    assert (test.document_ids, list(test.documents)) == (tuple(DOCUMENTS), list(DOCUMENTS.values()))
    assert (test.documents[1:], test.documents[-1]) == (list(DOCUMENTS.values())[1:], DOCUMENTS["d3"])
    assert (test.qrels, test.left_out) == (QRELS, 1)


def swap(name: str, old: str, new: str, files: dict[str, str] = TREC) -> dict[str, str]:
    assert old in files[name]
    return {**files, name: files[name].replace(old, new, 1)}


WHOLE = {name: BEIR[name] for name in ("corpus.jsonl", "queries.jsonl")}
NO_NUMBER = TOPICS_SGML.replace("<num> Number: q2", "")
BAD: dict[str, dict[str, str]] = {
    "mine has 0 files called corpus* or collection* or": {"topics": "", "qrels": ""},
    "mine has 2 files called qrels*": {**TREC, "qrels.dev": QRELS_TREC},
    "mine/qrels has no test.tsv and 2 other files": {**WHOLE, "qrels/a.tsv": "", "qrels/b.tsv": ""},
    "mine has 0 files called qrels*": WHOLE,
    "corpus.tsv is empty": {**TREC, "corpus.tsv": "\n"},
    "corpus.tsv: line 2: 1 columns instead of two": swap("corpus.tsv", "d2\t", "d2 "),
    "corpus.tsv: line 3: the id 'd1' occurs twice": swap("corpus.tsv", "d3", "d1"),
    "corpus.jsonl: line 3: not JSON": swap("corpus.jsonl", '"d3",', '"d3"', BEIR),
    "corpus.jsonl: line 1: no id under _id or id or": swap("corpus.jsonl", "_id", "key", BEIR),
    "corpus.jsonl: line 1: no text under": swap("corpus.jsonl", '"text": "G', '"txt": "G', BEIR),
    "corpus.jsonl: line 1: no text under 'title'": swap("corpus.jsonl", '"Food"', "7", BEIR),
    "corpus.tsv: line 2: not JSON": swap("corpus.tsv", "d2\t", '{"'),
    "topics.txt: line 2: the id 'q1' occurs twice": swap("topics.txt", "q2", "q1"),
    "queries.jsonl: line 2: the text is empty": swap("queries.jsonl", QUERIES["q2"], "", BEIR),
    "topics.txt: line 8: a topic without <num>": {**TREC, "topics.txt": NO_NUMBER},
    "topics.txt: no <DOC>, <top> or <topic number=...>": {**TREC, "topics.txt": "<topics></topics>"},
    "topics.txt: line 1: <top> before another has ended": {**TREC, "topics.txt": "<top>" * 100_000},
    "topics.txt: line 1: <top> without </top>": {**TREC, "topics.txt": "<top>\n<num> 1 <title> a"},
    "topics.txt: line 2: </top> without a beginning": {**TREC, "topics.txt": "<topics>\n</top>"},
    "corpus.tsv: line 2: a document without <DOCNO>": {**TREC, "corpus.tsv": "\n<DOC>\n<TEXT>a</TEXT>\n</DOC>\n"},
    "corpus.tsv: line 4: no line with a slash ends the text": {**TREC, "corpus.tsv": "1\na\n/\n2\nb\n"},
    "corpus.jsonl: line 1: no id under _id or id or docid": swap("corpus.jsonl", '"d1"', "true", BEIR),
    "corpus.jsonl: line 1: no text under 'text'": swap("corpus.jsonl", '"Goats eat thorns."', "7", BEIR),
    "corpus.jsonl: line 1: not JSON: the key '_id' occurs twice": swap(
        "corpus.jsonl", '"title"', '"_id": "d9", "title"', BEIR
    ),
    "corpus.jsonl: line 1: not JSON: an integer of 5,000 digits": swap("corpus.jsonl", '"Food"', "9" * 5000, BEIR),
    "corpus.jsonl: line 1: a lone surrogate": swap("corpus.jsonl", "d1", "\\ud83d", BEIR),
    "corpus.jsonl: line 1: not JSON: maximum recursion depth": swap("corpus.jsonl", '"Food"', "[" * 5000, BEIR),
    "corpus.jsonl: line 1: nested more than 100 levels": swap(
        "corpus.jsonl", '"Food"', f"{'[' * 200}{']' * 200}", BEIR
    ),
    "corpus.tsv: line 1: 1 columns instead of two; expected an id and a text": {
        **TREC,
        "corpus.tsv": json.dumps([{"id": "d1", "text": "a"}], indent=1),
    },
    "corpus.tsv: line 1: a document with two <DOCNO>, 1 and 2": {
        **TREC,
        "corpus.tsv": "<DOC><DOCNO>1</DOCNO><DOCNO>2</DOCNO>a</DOC>",
    },
    "qrels.txt: line 2: 4 columns instead of 3": swap("qrels.txt", "q1 0 d1 2", "query-id corpus-id score"),
    "qrels.txt: line 4: 3 columns instead of 4": swap("qrels.txt", "q2 0 ", "q2 "),
    "test.tsv: line 1: 4 columns instead of 3": {**BEIR, "qrels/test.tsv": QRELS_TREC},
    "test.tsv: line 2: the grade 'two' is no whole number": swap("qrels/test.tsv", "d1\t2", "d1\ttwo", BEIR),
    "qrels.txt: line 4: the grade is larger than 10,000": swap("qrels.txt", "d2 1", "d2 2147483648"),
    "qrels.txt: line 1: the grade is larger than 10,000": swap("qrels.txt", "d1 2", f"d1 {'9' * 5000}"),
    "qrels.txt: line 2: the document 'd1' has another grade": swap("qrels.txt", "d3\t0", "d1 1"),
    "qrels.txt has no relevant document for any query": {**TREC, "qrels.txt": "q1 0 d1 0\n"},
}


@pytest.mark.parametrize("complaint", BAD)
def test_what_is_wrong_is_one_line_with_file_and_number(tmp_path: Path, cli: Cli, complaint: str) -> None:
    folder = write(tmp_path / "mine", BAD[complaint])
    said = cli("run", "--methods", "zero-shot", "--datasets", folder, "--pairs", "swh-eng", "--quiet", code=2)
    (line,) = said.lines
    assert line.startswith("bench: ") and complaint in line and said.out == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--datasets", "{0}"], "are not known; name its pair, as in --pairs swh-eng"),
        (["--datasets", "{0}", "--pairs", "swh-eng,hau-eng"], "are not known"),
        (
            ["--datasets", "no/where", "--pairs", "swh-eng"],
            "no/where; name one, or a collection (see bench ls dat",
        ),
    ],
)
def test_a_path_needs_a_folder_and_one_pair(tmp_path: Path, cli: Cli, arguments: list[str], complaint: str) -> None:
    folder = write(tmp_path / "mine", TREC)
    (line,) = cli("run", "--methods", "zero-shot", *(text.format(folder) for text in arguments), code=2).lines
    assert complaint in line


def test_a_card_goes_before_a_folder_of_its_name_and_no_two_share_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = load_cards()
    for name in ("tatoeba", "a/Tatoeba", "b/tatoeba", "b/my data"):
        write(tmp_path / "all" / name, TREC)
    monkeypatch.chdir(tmp_path / "all")
    found = with_tests(known, ["tatoeba", "./tatoeba", "a/Tatoeba", "b/tatoeba", "b/my data"], [SWH])
    assert found["tatoeba"] is known["tatoeba"]
    names = [found[name].name for name in ("./tatoeba", "a/Tatoeba", "b/tatoeba", "b/my data")]
    assert names == ["all-tatoeba", "a-tatoeba", "b-tatoeba", "my-data"]


CARD = """name = "mine"
description = "Questions of my own"
licence = "CC0 1.0"
folder = "../data"

[[data]]
role = "test"
format = "trec"
pairs = ["swh-eng"]
files = { queries = "topics.txt", documents = "corpus.tsv", qrels = "qrels.txt" }
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a card and, beside it, the data."""
    write(tmp_path / "data", TREC)
    return write(tmp_path / "cards", {"mine.toml": CARD})


def test_a_card_of_ones_own_takes_files_from_a_folder_as_they_are(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cards = load_cards(own)
    test = load_test(cards["mine"], SWH, Resolver(), cards)
    assert list(test.documents) == list(DOCUMENTS.values())
    assert available(cards["mine"], "test", SWH, Resolver(), cards)
    assert fetch(["mine"], [SWH], cards, Resolver(), Display(quiet=True)) == 0
    assert capsys.readouterr().out.split()[-6:] == ["1.0", "3", "0.0", "3", "0", "0"]


def test_a_file_that_its_folder_lacks_is_never_downloaded(own: Path) -> None:
    (own / "../data/qrels.txt").unlink()
    cards = load_cards(own)
    with pytest.raises(BenchError, match=r"mine: qrels\.txt is missing; looked for .*data/qrels\.txt; put it there"):
        load_test(cards["mine"], SWH, Resolver(), cards)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda card: card + f'[sha256]\n"qrels.txt" = "{"0" * 64}"\n', "is not the file of the card: sha256"),
        (lambda card: card.replace('folder = "../data"\n', ""), "'source' or 'folder' is missing"),
        (lambda card: card.replace("folder =", f'source = "a/b@{"0" * 40}"\nfolder ='), "exclude each other"),
        (lambda card: card.replace("folder =", "source ="), "source = "),
        (
            lambda card: card.replace('"trec"', '"ir-datasets"').partition("files")[0],
            "format 'ir-datasets' goes with source 'ir_datasets'",
        ),
    ],
)
def test_a_card_with_a_folder_that_cannot_be_right(own: Path, change: Callable[[str], str], complaint: str) -> None:
    write(own, {"mine.toml": change(CARD)})
    with pytest.raises(BenchError, match=complaint):
        load_test((cards := load_cards(own))["mine"], SWH, Resolver(), cards)


def test_a_folder_of_a_builtin_card_is_in_the_mirror_or_the_cache(tmp_path: Path) -> None:
    ciral, pair = load_cards()["ciral"], Pair("eng", "swh")
    (tmp_path / "mirror").mkdir()
    resolver = Resolver(tmp_path / "mirror", tmp_path / "cache")
    assert not available(ciral, "test", pair, resolver, {})
    with pytest.raises(
        BenchError, match=r"mirror/CIRAL/ciral/.* and .*cache/CIRAL/ciral/.*; see bench ls datasets ciral"
    ):
        load_test(ciral, pair, resolver, {})
    texts = {"queries": "1\tWho came?\n", "documents": '{"docid": "d#1", "title": "T", "text": "Watu."}\n'}
    texts["qrels"] = "1 Q0 d#1 1\n"
    files = ciral.files(ciral.entry("test", pair), pair)
    write(tmp_path / "mirror/CIRAL", {files[part][0]: text for part, text in texts.items()})
    test = load_test(ciral, pair, resolver, {})
    assert (test.queries, list(test.documents), test.qrels) == (("Who came?",), ["T Watu."], {"1": {"d#1": 1}})


def test_a_folder_by_path_runs_end_to_end(tmp_path: Path, encoder_folder: Path, cli: Cli) -> None:
    folders, results = [write(tmp_path / "beir", BEIR), write(tmp_path / "trec", TREC)], tmp_path / "results"
    run = ["run", "--methods", "zero-shot", "--datasets", ",".join(map(str, folders)), "--pairs", "wol-eng"]
    said = cli(*run, "--encoder", encoder_folder, "--device", "cpu", "--results", results)
    assert "beir wol-eng, 2 queries" in said.out
    assert said.line("beir wol-eng: left out 1 of 3 queries: no document is judged relevant to them")
    for path in results.glob("cells/*"):
        manifest = read_manifest(path)
        assert (manifest["queries"], manifest["queries_left_out"], manifest["documents"]) == (2, 1, 3)
    found = [(row["dataset"], row["measure"], row["value"]) for row in rows(results)]
    assert {row[0] for row in found} == {"beir", "trec"}
    assert [row[1:] for row in found if row[0] == "beir"] == [row[1:] for row in found if row[0] == "trec"]


ENG = Pair("eng", "eng")
ENGLISH = ["Goats eat thorns.", "The market opens at dawn.", "Rain fell on the hills."]
SWAHILI = ["Mbuzi hula miiba.", "Soko hufunguliwa alfajiri.", "Mvua ilinyesha milimani.", "Hakuna jibu."]
numbers = itertools.count()


class Library:
    """Datasets in the registry of ir_datasets, from files written by hand."""

    def __init__(self, folder: Path) -> None:
        import ir_datasets  # its home is set by then

        self.folder, self.api, self.formats = folder, ir_datasets, ir_datasets.formats

    def write(self, name: str, rows: Sequence[str]) -> Any:
        path = self.folder / f"{next(numbers)}-{name}"
        path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        return self.api.util.LocalDownload(path)

    def register(self, *components: Any) -> str:
        name = f"bench-test-{next(numbers)}"
        self.api.registry.register(name, self.api.Dataset(*components))
        return name

    def documents(self, texts: Sequence[str] = ENGLISH) -> Any:
        return self.formats.TsvDocs(self.write("documents", [f"d{i}\t{text}" for i, text in enumerate(texts)]))

    def queries(self, name: str, texts: Sequence[str]) -> Any:
        return self.formats.TsvQueries(self.write(name, [f"q{i}\t{text}" for i, text in enumerate(texts)]))

    def qrels(self, *rows: str) -> Any:
        return self.formats.TrecQrels(self.write("qrels", rows), {})

    def whole(self) -> str:
        """Four queries; the third has no document that is in the corpus, the last is judged not to have any."""
        qrels = self.qrels("q0 0 d0 3", "q0 0 d1 0", "q1 0 d1 1", "q2 0 elsewhere 1", "q3 0 d2 0")
        return self.register(self.documents(), self.queries("queries", SWAHILI), qrels)

    def far(self) -> str:
        """One whose documents would have to be downloaded, from where nobody answers."""
        nowhere = self.api.util.RequestsDownload("http://127.0.0.1:9/x", tries=1)
        documents = self.formats.TsvDocs(self.api.util.Download([nowhere], self.folder / "far"))
        return self.register(documents, self.queries("queries", SWAHILI), self.qrels("q0 0 d0 1"))


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def card(role: str = "test", name: str = "mine", **options: Any) -> Card:
    pair = "eng-eng" if role == "relevance" else "swh-eng"
    entry = {"role": role, "format": "ir-datasets", "options": options, "pairs": [pair]}
    about = {"name": name, "description": "d", "licence": "CC0", "source": IR_DATASETS}
    return Card.model_validate({**about, "codes": {"swh": "sw"}, "data": [entry]})


@pytest.fixture
def offline(tmp_path: Path) -> Resolver:
    return Resolver(cache=tmp_path / "cache", offline=True)


def test_queries_without_a_relevant_document_are_left_out(library: Library, offline: Resolver) -> None:
    test = load_test(card(dataset=library.whole()), SWH, offline, {})
    assert (test.query_ids, test.queries) == (("q0", "q1"), tuple(SWAHILI[:2]))
    assert (test.document_ids, list(test.documents)) == (("d0", "d1", "d2"), ENGLISH)
    assert test.qrels == {"q0": {"d0": 3, "d1": 0}, "q1": {"d1": 1}}
    assert (test.left_out, test.oracle_queries) == (2, None)


def test_documents_stay_on_the_disk_and_read_like_a_list(library: Library, offline: Resolver) -> None:
    documents = load_test(card(dataset=library.whole()), SWH, offline, {}).documents
    assert not isinstance(documents, tuple)
    assert (len(documents), documents[1], documents[-1]) == (3, ENGLISH[1], ENGLISH[2])
    for part in (slice(1, 3), slice(2, None), slice(2, 1), slice(None, None, 2), slice(None, None, -1), slice(9, 12)):
        assert documents[part] == ENGLISH[part]
    with pytest.raises(IndexError):
        documents[3]


def test_parts_of_several_datasets_and_a_chosen_field(library: Library, offline: Resolver) -> None:
    topic = (
        "<top>\n<num> Number: q0\n<title> mbuzi\n<desc> Description:\nMbuzi hula nini?\n<narr> Narrative:\n-\n</top>"
    )
    topics = library.register(library.formats.TrecQueries(library.write("sw", [topic])))
    english = library.register(library.queries("english", ["What do goats eat?", "Another."]))
    corpus = library.register(library.documents(), library.qrels("q0 0 d0 1"))
    mine = card(dataset=corpus, queries=topics, field="description", oracles=english)
    test = load_test(mine, SWH, offline, {})
    assert (test.queries, test.oracle_queries) == (("Mbuzi hula nini?",), ("What do goats eat?",))


def test_placeholders_stand_for_the_codes_of_the_card() -> None:
    mine = card(dataset="x/{query}-{document}", rows=3)
    assert mine.options(mine.entry("test", SWH), SWH) == {"dataset": "x/sw-eng", "rows": 3}


def test_training_pairs_up_to_a_number_of_rows(library: Library, offline: Resolver) -> None:
    name = library.register(
        library.documents(),
        library.queries("queries", ["a", "b", "c"]),
        library.qrels("q1 0 d2 1", "q0 0 d1 0", "q0 0 d0 1", "q2 0 d0 1"),
    )
    rows = load_rows(card("relevance", dataset=name, rows=2), "relevance", ENG, offline)
    assert (rows.queries, rows.positives) == (("b", "a"), (ENGLISH[2], ENGLISH[0]))
    assert len(load_rows(card("relevance", dataset=name), "relevance", ENG, offline)) == 3


def test_missing_data_are_refused_in_one_line_offline(library: Library, offline: Resolver) -> None:
    far = card(dataset=library.far())
    with pytest.raises(MissingFile, match=r"^mine: not downloaded; run bench fetch mine$"):
        load_test(far, SWH, offline, {})
    assert not available(far, "test", SWH, offline, {})
    assert available(card(dataset=library.whole()), "test", SWH, offline, {})


def test_a_download_is_tried_only_after_its_licence_was_shown(
    library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MissingFile, match=r"^mine: ir_datasets cannot read it: .*refused"):
        load_test(card(dataset=library.far()), SWH, Resolver(display=Display()), {})
    printed = capsys.readouterr().err
    assert printed.index("mine: licence: CC0\n") < printed.index("[INFO]")


def test_leakage_is_removed_against_local_tests_without_downloads(library: Library) -> None:
    pairs = {"near": card(name="near", dataset=library.whole()), "far": card(name="far", dataset=library.far())}
    relevance = library.register(
        library.documents(), library.queries("english", ["goats?", "rain?"]), library.qrels("q0 0 d0 1", "q1 0 d2 1")
    )
    pairs["train"] = card("relevance", name="train", dataset=relevance)
    data = training_data(["train"], [SWH], Resolver(), pairs)
    report: Any = data.report
    assert data.relevance.queries == ("rain?",)  # of the documents, only those judged relevant are protected
    none = {"exact": 0, "near": 0, "contained": 0}
    assert report["leakage"] == {"near": {"bitext": none, "relevance": {**none, "exact": 1}}}
    assert report["not_checked"] == {"far": "far: not downloaded; run bench fetch far"}


def test_fetch_downloads_through_ir_datasets(library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    cards = {"near": card(name="near", dataset=library.whole()), "far": card(name="far", dataset=library.far())}
    assert fetch(["near", "far"], [SWH], cards, Resolver(), Display(quiet=True)) == 1
    captured = capsys.readouterr()
    assert "far: ir_datasets cannot read it" in captured.err
    rows = {line.split()[0]: line.split()[1:] for line in captured.out.splitlines() if line.split()}
    assert rows["near"] == ["CC0", "by", "ir_datasets", "-", "1", "0", "0"]
    assert rows["far"] == ["CC0", "by", "ir_datasets", "-", "0", "0", "1"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"dataset": "no/such"}, "mine: ir_datasets has no dataset 'no/such', named for qrels"),
        ({"datset": "x"}, "mine: options: unknown key 'datset'; did you mean dataset"),
        ({}, "mine: ir_datasets has no dataset ''"),
    ],
)
def test_a_card_with_an_unknown_dataset_or_option_is_refused(
    offline: Resolver, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BenchError, match=complaint):
        load_test(card(**options), SWH, offline, {})


def test_documents_that_have_to_be_put_there_by_hand(library: Library, offline: Resolver) -> None:
    nowhere = library.formats.TsvDocs(library.api.util.LocalDownload(library.folder / "nowhere"))
    name = library.register(nowhere, library.queries("queries", SWAHILI), library.qrels("q0 0 d0 1"))
    with pytest.raises(MissingFile, match=r"mine: ir_datasets lacks .*nowhere, which it cannot download; see bench"):
        load_test(card(dataset=name), SWH, offline, {})


def test_without_the_library_the_error_says_what_to_install(offline: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(
        MissingFile, match=r"^mine needs ir_datasets, which is not installed: pip install 'ir_datasets>="
    ):
        load_test(card(dataset="x"), SWH, offline, {})


@pytest.mark.parametrize(
    "card", [card for card in load_cards().values() if card.source == IR_DATASETS], ids=lambda card: card.name
)
def test_every_dataset_of_a_builtin_card_is_registered(card: Card) -> None:
    import ir_datasets

    known, patterns = set(ir_datasets.registry), [pattern for pattern, _ in ir_datasets.registry._patterns]
    for options in (card.options(entry, key) for entry in card.data for key in entry.keys):
        for part in ("queries", "documents", "qrels", *(["oracles"] if "oracles" in options else [])):
            name = options.get(part) or options["dataset"]
            if name in known:
                assert ir_datasets.load(name).has({"documents": "docs", "oracles": "queries"}.get(part, part))
            else:  # loading one of those would download the list of them
                assert any(pattern.match(name) for pattern in patterns)
