"""Collections of the user's own in BEIR's and TREC's layout: by path, by a card with a folder; what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Cli
from small_bench import rows

from bench.data import Pair, TestCollection
from bench.data.cards import load_cards
from bench.data.fetch import fetch
from bench.data.files import Resolver
from bench.data.folders import with_folders
from bench.data.loading import available, load_test
from bench.errors import BenchError
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


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
    return folder


def load(folder: Path) -> TestCollection:
    cards = with_folders({}, [str(folder)], [SWH])
    return load_test(cards[str(folder)], SWH, Resolver(offline=True), cards)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(BEIR, id="beir"),
        pytest.param({**BEIR, "qrels/test.tsv": QRELS_TSV.partition("\n")[2]}, id="no header"),
        pytest.param({**BEIR, "qrels/dev.tsv": "nonsense"}, id="test before other splits"),
        pytest.param({**BEIR, "corpus.jsonl": "\ufeff" + CORPUS_JSONL.replace("\n", "\r\n\r\n")}, id="BOM and CRLF"),
        pytest.param(TREC, id="trec"),
        pytest.param({name: "\ufeff" + text.replace("\n", "\r\n") for name, text in TREC.items()}, id="TREC, CRLF"),
        pytest.param({**TREC, "topics.txt": TOPICS_SGML}, id="SGML"),
        pytest.param({**TREC, "topics.txt": TOPICS_XML}, id="closed tags"),
        pytest.param(
            {**TREC, "topics.txt": QUERIES_JSONL, "corpus.tsv": CORPUS_JSONL.replace("_id", "docid")}, id="JSON"
        ),
        pytest.param({**TREC, "corpus.tsv": CORPUS_JSONL.replace('"text"', '"contents"')}, id="contents"),
    ],
)
def test_every_layout_is_the_same_collection(tmp_path: Path, files: dict[str, str]) -> None:
    test = load(write(tmp_path / "mine", files))
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
    "mine has 0 files called corpus* or collection*; a collection is BEIR's": {"topics": "", "qrels": ""},
    "mine has 2 files called qrels*": {**TREC, "qrels.dev": QRELS_TREC},
    "mine/qrels has no test.tsv and 2 other files": {**WHOLE, "qrels/a.tsv": "", "qrels/b.tsv": ""},
    "mine/qrels has no test.tsv and 0 other files": WHOLE,
    "corpus.tsv is empty": {**TREC, "corpus.tsv": "\n"},
    "corpus.tsv: line 2: 1 columns instead of two": swap("corpus.tsv", "d2\t", "d2 "),
    "corpus.tsv: line 2: the text is empty": swap("corpus.tsv", DOCUMENTS["d2"], " "),
    "corpus.tsv: line 3: the id 'd1' occurs twice": swap("corpus.tsv", "d3", "d1"),
    "corpus.jsonl: line 3: not JSON": swap("corpus.jsonl", '"d3",', '"d3"', BEIR),
    "corpus.jsonl: line 1: no id under _id or id or": swap("corpus.jsonl", "_id", "key", BEIR),
    "corpus.jsonl: line 1: no text under": swap("corpus.jsonl", '"text": "G', '"txt": "G', BEIR),
    "corpus.jsonl: line 1: no text under 'title'": swap("corpus.jsonl", '"Food"', "7", BEIR),
    "corpus.tsv: line 2: not JSON": swap("corpus.tsv", "d2\t", '{"'),
    "topics.txt: line 2: the id 'q1' occurs twice": swap("topics.txt", "q2", "q1"),
    "queries.jsonl: line 2: the text is empty": swap("queries.jsonl", QUERIES["q2"], "", BEIR),
    "topics.txt: line 8: a topic without <num>": {**TREC, "topics.txt": NO_NUMBER},
    "topics.txt: no <top> with a <num>": {**TREC, "topics.txt": "<topics></topics>"},
    "qrels.txt: line 4: 3 columns instead of 4": swap("qrels.txt", "q2 0 ", "q2 "),
    "test.tsv: line 1: 4 columns instead of 3": {**BEIR, "qrels/test.tsv": QRELS_TREC},
    "test.tsv: line 2: the grade 'two' is no whole number": swap("qrels/test.tsv", "d1\t2", "d1\ttwo", BEIR),
    "qrels.txt: line 4: the query 'q9' is not in the collection": swap("qrels.txt", "q2", "q9"),
    "qrels.txt: line 4: the document 'd9' is not in the ": swap("qrels.txt", "d2", "d9"),
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
        (["--datasets", "{0}"], "are not known; name them, as in --pairs swh-eng"),
        (["--datasets", "{0}", "--pairs", "swh-eng,hau-eng"], "are not known"),
        (["--datasets", "no/where", "--pairs", "swh-eng"], "the folder no/where does not exist"),
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
    found = with_folders(known, ["tatoeba", "./tatoeba", "a/Tatoeba", "b/tatoeba", "b/my data"], [SWH])
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
        (lambda card: card.replace('"trec"', '"ir-datasets"'), "format 'ir-datasets' goes with source 'ir_datasets'"),
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
    files = ciral.files(ciral.entry("test", pair), pair)
    texts = {"queries": "1\tWho came?\n", "documents": '{"docid": "d#1", "title": "T", "text": "Watu."}\n'}
    write(
        tmp_path / "mirror/CIRAL", {files[part][0]: text for part, text in {**texts, "qrels": "1 Q0 d#1 1\n"}.items()}
    )
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
