"""A user's own training files and folders, recognised by their content; what is refused before anything is computed."""

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Cli
from small_bench import Command, rows
from test_formats import zipped
from test_own_collections import BEIR
from world import write

from bench.data import Pair
from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.data.formats import FORMATS
from bench.data.loading import load_rows, load_test
from bench.data.own import card_of, with_own
from bench.errors import BenchError

SWH, FRA = Pair("swh", "eng"), Pair("fra", "eng")
TEXTS = {"sw": ["moja", "mbili"], "en": ["one", "two"], "fr": ["un", "deux"]}
"""Three languages, by the codes in the files."""
BITEXT = {SWH: [("moja", "one"), ("mbili", "two")], FRA: [("un", "one"), ("deux", "two")]}


def json_lines(*objects: Any) -> str:
    return "".join(json.dumps(each) + "\n" for each in objects)


def columns(*codes: str) -> list[tuple[str, ...]]:
    return list(zip(*(TEXTS[code] for code in codes), strict=True))


def tsv(*codes: str, header: str = "") -> str:
    return header + "".join("\t".join(row) + "\n" for row in columns(*codes))


def objects(*codes: str) -> list[dict[str, str]]:
    return [dict(zip(codes, row, strict=True)) for row in columns(*codes)]


def tmx(*codes: str) -> str:
    units = []
    for row in objects(*codes):
        variants = (f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in row.items())
        units.append(f"<tu>{''.join(variants)}</tu>")
    return f'<tmx version="1.4"><body>{"".join(units)}</body></tmx>'.replace('"sw"', '"sw-TZ"')


def lines(code: str) -> str:
    return "".join(f"{text}\n" for text in TEXTS[code])


PAIRS = objects("sw", "en")
FORMS: dict[str, tuple[dict[str, str], str, tuple[Pair, ...]]] = {
    "two columns": ({"a.tsv": tsv("sw", "en")}, "a.tsv", (SWH,)),
    "two columns, pair of the path": ({"a.tsv": tsv("sw", "en")}, "a.tsv:sw-en", ()),
    "columns named by language": ({"a.tsv": tsv("en", "fr", "sw", header="eng\tfra\tswh\n")}, "a.tsv", (SWH, FRA)),
    "two named columns": ({"a.txt": tsv("en", "sw", header="en\tsw\n")}, "a.txt", ()),
    "JSON Lines": ({"a.jsonl": json_lines(*objects("en", "sw", "fr"))}, "a.jsonl", (SWH, FRA)),
    "JSON Lines with an id": ({"a.jsonl": json_lines(*({"id": "x", **row} for row in PAIRS))}, "a.jsonl", (SWH,)),
    "translation": ({"a.jsonl": json_lines(*({"translation": row} for row in PAIRS))}, "a.jsonl", ()),
    "TMX": ({"a.tmx": tmx("sw", "en", "fr")}, "a.tmx", (SWH, FRA)),
    "aligned lines": ({"a.sw": lines("sw"), "a.en": lines("en"), "a.md": "x"}, "a.sw", ()),
    "aligned lines by their beginning": ({"a.sw": lines("sw"), "a.en": lines("en")}, "a", ()),
    "aligned lines in three languages": ({f"b/a.{code}": lines(code) for code in TEXTS}, "b", (SWH, FRA)),
    "Hugging Face": (
        {"README.md": "x", "data/train-0.jsonl": json_lines(PAIRS[0])}
        | {"data/train-1.jsonl": json_lines(PAIRS[1]), "data/test-0.jsonl": json_lines(PAIRS[0])},
        "",
        (SWH,),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_bitext(tmp_path: Path, form: str) -> None:
    files, name, pairs = FORMS[form]
    text = str(write(tmp_path / "mine", files)) + f"/{name}"
    cards, names = with_own({}, [], [text], pairs)
    card = cards[names[text]]
    assert card.pairs("bitext") == (pairs or (SWH,))
    for pair in card.pairs("bitext"):
        found = load_rows(card, "bitext", pair, Resolver(offline=True))
        assert list(zip(found.query_side, found.document_side, strict=True)) == BITEXT[pair]


@pytest.mark.parametrize("rows", [PAIRS, [{"translation": row} for row in PAIRS]], ids=["texts", "translation"])
def test_parquet_is_the_same_bitext(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    for number, row in enumerate(rows):
        pd.DataFrame([row]).to_parquet(tmp_path / f"train-{number}.parquet")
    (tmp_path / "README.md").write_text("x")
    found = load_rows(card_of(tmp_path, "--train", [SWH], {}, "mine"), "bitext", SWH, Resolver(offline=True))
    assert list(zip(found.query_side, found.document_side, strict=True)) == BITEXT[SWH]


def test_parquet_without_its_library_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pd.DataFrame(PAIRS).to_parquet(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BenchError, match=re.escape("needs pyarrow: pip install 'pyarrow>=")):
        card_of(tmp_path / "a.parquet", "--train", [SWH], {})


@pytest.mark.parametrize("pack", ["gzip", "zip"])
def test_packed_files_are_recognised(tmp_path: Path, pack: str) -> None:
    text = tmx("sw", "en")
    (tmp_path / "a.tmx.x").write_bytes(gzip.compress(text.encode()) if pack == "gzip" else zipped("a.tmx", text))
    card = card_of(tmp_path / "a.tmx.x", "--train", [], {})
    assert len(load_rows(card, "bitext", SWH, Resolver(offline=True))) == 2


def test_both_names_of_aligned_files_are_one_collection(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", {"a.sw": lines("sw"), "a.en": lines("en")})
    cards, names = with_own({}, [], [f"{folder}/a.sw", f"{folder}/a.en", f"{folder}/a"], [SWH])
    assert set(names.values()) == cards.keys() == {"a"}


JUDGED = {
    "query": {"query": "nini?", "positive": "one", "negative": "two"},
    "anchor": {"anchor": "nini?", "positive": "one"},
    "lists": {"query": "nini?", "pos": ["one"], "neg": ["two"]},
    "passages": {"query_id": 1, "query": "nini?", "positive_passages": [{"docid": "1", "title": "", "text": "one"}]},
}


@pytest.mark.parametrize("keys", JUDGED)
def test_judgments_are_recognised_by_their_keys(tmp_path: Path, keys: str) -> None:
    write(tmp_path, {"a.jsonl": json_lines(JUDGED[keys])})
    found = load_rows(card_of(tmp_path / "a.jsonl", "--train", [SWH], {}), "relevance", SWH, Resolver(offline=True))
    assert (found.queries, found.positives) == (("nini?",), ("one",))


REFUSED: dict[str, tuple[dict[str, str], str, tuple[Pair, ...]]] = {
    "are not known; name its pair, as in --pairs swh-eng, or a.tsv:swh-eng": ({"a.tsv": tsv("sw", "en")}, "a.tsv", ()),
    "are not known; name its pair": ({"a.tsv": tsv("sw", "en")}, "a.tsv", (SWH, FRA)),
    "a.tsv has 3 columns; let its first line have language codes": ({"a.tsv": tsv("sw", "en", "fr")}, "a.tsv", (SWH,)),
    "a.tmx has eng, fra, and no text for swh-eng": ({"a.tmx": tmx("fr", "en")}, "a.tmx", (SWH,)),
    "a.tmx has fra, swh; name the query and the document language": ({"a.tmx": tmx("fr", "sw")}, "a.tmx", ()),
    "a.jsonl has the keys x, y; expected two language codes": ({"a.jsonl": '{"x": 1, "y": 2}'}, "a.jsonl", (SWH,)),
    "a.json is a JSON list; write JSON Lines": ({"a.json": "[\n{}]"}, "a.json", (SWH,)),
    "a.parquet cannot be read after row 0": ({"a.parquet": "PAR1"}, "a.parquet", (SWH,)),
    "a.arrow is Arrow, which is not read; write it as Parquet": ({"a.arrow": "ARROW1"}, "a.arrow", (SWH,)),
    "a.txt: its form is not known; expected TMX": ({"a.txt": "moja\n"}, "a.txt", (SWH,)),
    "a.sw: its form is not known": ({"a.sw": "moja\n"}, "a.sw", (SWH,)),
    "has no file whose form is known": ({"a.md": "x"}, "", (SWH,)),
    "there is no file or folder": ({"a.md": "x"}, "nowhere", (SWH,)),
    "a.tsv is empty": ({"a.tsv": "\n"}, "a.tsv", (SWH,)),
    "unknown language 'xx'": ({"a.tsv": tsv("sw", "en")}, "a.tsv:xx-en", ()),
}


@pytest.mark.parametrize("complaint", REFUSED)
def test_what_is_not_recognised_is_refused_with_its_cure(tmp_path: Path, complaint: str) -> None:
    files, name, pairs = REFUSED[complaint]
    folder = write(tmp_path / "mine", files)
    with pytest.raises(BenchError) as error:
        with_own({}, [], [f"{folder}/{name}"], pairs)
    assert complaint in str(error.value) and str(folder) in str(error.value) + str(folder) * ("xx" in complaint)


def test_an_afriqa_language_without_a_card_is_a_file_or_a_card_of_a_few_lines(tmp_path: Path) -> None:
    row = {"id": "1", "context": "Lusaka.", "question_lang": "Ni mukuni?", "question_translated": "Which city?"}
    name = "gold_span_passages.afriqa.bem.en.test.json"
    write(tmp_path / "data", {name: json_lines(row)})
    card = card_of(tmp_path / "data" / name, "--datasets", [Pair("bem", "eng")], {})
    text = f"""
name = "afriqa-bem"
description = "AfriQA in Bemba"
licence = "CC BY 4.0"
folder = "../data"
[[data]]
role = "test"
format = "afriqa"
pairs = ["bem-eng"]
files = {{ queries = "{name}", documents = "{name}" }}
"""
    cards = load_cards(write(tmp_path / "cards", {"afriqa-bem.toml": text}))
    tests = [load_test(each, Pair("bem", "eng"), Resolver(offline=True), cards) for each in (card, cards["afriqa-bem"])]
    assert [test.queries for test in tests] == [("Ni mukuni?",)] * 2
    assert [list(test.documents) for test in tests] == [["Lusaka."]] * 2


NEW_CARD: dict[str, tuple[dict[str, str], list[str]]] = {
    "two columns and BEIR": (
        {"data/notes.tsv": tsv("sw", "en"), **{f"data/quiz/{name}": text for name, text in BEIR.items()}},
        ["--train", "data/notes.tsv", "--test", "data/quiz", "--pairs", "swh-eng"],
    ),
    "TMX": ({"data/a.tmx": tmx("sw", "en")}, ["--train", "data/a.tmx"]),
    "aligned lines": ({"b/a.sw": lines("sw"), "b/a.en": lines("en")}, ["--train", "b/a.sw", "b/a.en"]),
}


@pytest.mark.parametrize("form", NEW_CARD)
def test_a_new_card_has_the_data_of_its_files(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    files, arguments = NEW_CARD[form]
    monkeypatch.chdir(write(tmp_path, files))
    said = cli("new-card", "mine", *arguments, "--licence", "CC0 1.0")
    assert 'licence = "CC0 1.0"' in said.out and str(tmp_path) not in said.out
    card = load_cards(tmp_path / "cards")["mine"]
    found = load_rows(card, "bitext", SWH, Resolver(offline=True))
    assert list(zip(found.query_side, found.document_side, strict=True)) == BITEXT[SWH]
    if "--test" in arguments:
        assert load_test(card, SWH, Resolver(offline=True)).query_ids == ("q1", "q2")
    assert "a card named 'mine' exists already" in cli("new-card", "mine", *arguments, code=2).line("bench: ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name files or folders with --train or --datasets"),
        (["--train", "a.tsv", "--pairs", "sw-en"], "a.tsv: line 2: 1 cells, but line 1 has 2"),
        (["--train", "a.tsv"], "are not known; name its pair"),
    ],
)
def test_a_card_that_could_not_be_read_is_not_written(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    monkeypatch.chdir(write(tmp_path, {"a.tsv": "a\tA\nb\n"}))
    assert complaint in cli("new-card", "mine", *arguments, code=2).line("bench: ")
    assert not (tmp_path / "cards/mine.toml").exists()


def test_the_page_of_formats_is_that_of_the_code(tmp_path: Path, cli: Cli) -> None:
    cli("ls", "formats", "--output", tmp_path)
    page = Path(__file__).parents[1] / "docs" / "formats.md"
    assert (tmp_path / "formats.md").read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
    names = {name for formats in FORMATS.values() for name in formats}
    assert names <= set(cli("ls", "formats").out.split())


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options of a run with a bitext and a test collection of the user's own, in the working directory."""
    bitext = "".join(f"neno {i} na {i * i}\tword {i} and {i * i}\n" for i in range(40))
    write(tmp_path, {"notes.tsv": bitext, **{f"quiz/{name}": text for name, text in BEIR.items()}})
    monkeypatch.chdir(tmp_path)
    return ["--train", "notes.tsv", "--test", "quiz", "--pairs", "swh-eng", "--results", "results", "--quiet"]


def test_own_files_run_and_are_reproduced(own: list[str], command: Command) -> None:
    more = ["--encoder", str(command.encoder), "--device", "cpu", "--budget", "2steps"]
    assert command.call("run", "--methods", "distillation", *own, *more).code == 0
    (row,) = [row for row in rows(Path("results")) if row["method"] == "distillation" and row["measure"] == "nDCG@10"]
    assert (row["dataset"], row["pair"], row["train"]) == ("quiz", "swh-eng", "notes")
    (cell,) = Path("results/cells").glob("distillation.*")
    said = command.call("reproduce", str(cell))
    assert "the same numbers; the run is the same, to the last byte" in said.out


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("notes.tsv", "a\tA\nb\n", "notes.tsv: line 2: 1 cells, but line 1 has 2"),
        ("quiz/corpus.jsonl", "{}", "corpus.jsonl: line 1: no id under _id"),
    ],
)
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_files_are_checked_before_anything_is_computed(
    own: list[str], cli: Cli, dry: list[str], name: str, text: str, complaint: str
) -> None:
    Path(name).write_text(text)
    said = cli("run", "--methods", "distillation", *own, "--encoder", "tiny", *dry, code=2)
    assert complaint in said.line("bench: ")
    assert not list(Path("results").glob("cells/*"))


def test_a_dry_run_verifies_files_and_refuses_missing_ones_offline(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from world import World

    world = World(tmp_path)
    world.aligned("mine", "test bitext", lines("sw"), lines("en"))
    run = ["run", "--methods", "distillation", "--datasets", "mine", "--train", "mine", *world.options, "--dry-run"]
    cli(*run, "--encoder", "tiny")
    world.file("mine", "q").write_text("other\nwords\n")
    assert "q is not the file of the card: sha256" in cli(*run, "--encoder", "tiny", code=2).line("bench: ")
    world.file("mine", "q").unlink()
    cli(*run, "--encoder", "tiny")  # a run would download it
    assert "mine: q is missing" in cli(*run, "--encoder", "tiny", "--offline", code=2).line("bench: ")


def test_a_dry_run_refuses_an_encoder_as_a_run_does(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for dry in (["--dry-run"], []):
        said = cli("run", "--methods", "zero-shot", "--encoder", folder, *dry, code=2)
        assert "broken has no safetensors weights" in said.line("bench: ")
    absent = ["run", "--methods", "zero-shot", "--encoder", "owner/absent", "--dry-run"]
    assert "owner/absent is not on this machine; a run downloads it" in cli(*absent).out
    assert "--offline forbids a download" in cli(*absent, "--offline", code=2).line("bench: ")
