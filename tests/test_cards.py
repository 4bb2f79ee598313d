from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.data import Pair
from bench.data.cards import Card, get_card, load_cards
from bench.data.files import Resolver
from bench.data.formats import parser
from bench.errors import BenchError
from bench.evaluation.measures import parse_measures

CARD = """
name = "mine"
description = "A collection"
licence = "CC0 1.0"
source = "owner/repo@0123456789abcdef0123456789abcdef01234567"
codes = { swh = "swa" }

[[data]]
role = "bitext"
format = "aligned-lines"
pairs = ["sw-en", "hau-eng"]
files = { queries = "{query}/a.txt", documents = "{query}/b.txt" }

[sha256]
"""
MIX = 'name = "mine"\ndescription = "d"\nlicence = "l"\n[mix]\npairs = ["swh-eng"]\n'
PATHS = ["swa/a.txt", "swa/b.txt", "hau/a.txt", "hau/b.txt"]
VALID = CARD + "".join(f'"{path}" = "{"0" * 64}"\n' for path in PATHS)
SWH = Pair("swh", "eng")


def write(folder: Path, text: str, name: str = "mine") -> Path:
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_card_in_a_folder_of_ones_own_is_enough_for_a_new_collection(tmp_path: Path) -> None:
    card = load_cards(write(tmp_path, VALID))["mine"]
    assert card.roles == ("bitext",)
    assert card.pairs("bitext") == (SWH, Pair("hau", "eng"))
    assert card.pairs("test") == ()
    assert card.origin("swa/a.txt") == ("owner/repo", "0123456789abcdef0123456789abcdef01234567", "swa/a.txt")
    assert card.files(card.entry("bitext", SWH), SWH) == {"queries": ("swa/a.txt",), "documents": ("swa/b.txt",)}


def test_a_pair_that_the_card_lacks_is_told_what_there_is(tmp_path: Path) -> None:
    card = load_cards(write(tmp_path, VALID))["mine"]
    with pytest.raises(BenchError, match="mine has no bitext for yor-eng; it has swh-eng, hau-eng"):
        card.entry("bitext", Pair("yor", "eng"))
    with pytest.raises(BenchError, match="mine has no test for swh-eng; it has none at all"):
        card.entry("test", SWH)


OTHER = f"other/repo.txt@{'1' * 40}:b/c.txt"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("licence =", "license =", "unknown key 'license'; did you mean licence"),
        ("format =", "fromat =", "unknown key of data[0] 'fromat'; did you mean format?"),
        ('"aligned-lines"', '"aligned-line"', "data[0]: unknown format 'aligned-line'; did you mean aligned-lines?"),
        ('role = "bitext"', 'role = "bitexts"', "data[0].role = 'bitexts': "),
        ('role = "bitext"', 'role = "passages"', "data[0]: role 'passages' needs 'languages'"),
        ('"hau-eng"', '"hau"', "data[0].pairs[1]: 'hau' is not a language pair"),
        ('"hau-eng"', '"xx-eng"', "data[0].pairs[1]: unknown language 'xx'"),
        ('"hau-eng"', '"swh-eng"', "two [[data]] entries offer bitext for swh-eng"),
        ("codes = { swh", "codes = { xx", "codes.xx: unknown language 'xx'"),
        ("@0123", "@", "source = "),
        ('description = "A collection"\n', "", "description is missing"),
        ('name = "mine"', 'name = "yours"', "name: 'yours' differs from the file's name"),
        ('"hau/a.txt" =', '"hau/c.txt" =', "sha256 of hau/a.txt is missing"),
        ("[sha256]", f'[sha256]\n"other.txt" = "{"0" * 64}"', "sha256 names other.txt, which no [[data]] uses"),
        ("0" * 64, "0" * 63, "sha256.swa/a.txt = "),
        (
            '"{query}/a.txt"',
            '"../{query}/a.txt"',
            "data[0].files.queries[0]: '../{query}/a.txt' is not a relative path",
        ),
        (
            '"{query}/a.txt"',
            f'"{OTHER.replace("b/", "/b/")}"',
            "/b/c.txt' is not a relative path inside the repository",
        ),
        ("[[data]]", "[[data]", "not TOML"),
        (VALID, VALID.partition("source")[0], "needs [[data]] or [mix]"),
        (
            'role = "bitext"',
            'role = "test"\ndistractors = ["tatoeba"]',
            "data[0].distractors: tatoeba offers no passages in eng",
        ),
        (VALID, MIX + 'bitext = ["ebibel"]', "mix.bitext: unknown collection 'ebibel'; did you mean ebible"),
        (VALID, MIX + 'bitext = ["tatoeba"]', "mix.bitext: tatoeba offers no bitext"),
        (VALID, MIX + 'bitext = ["ebible"]\ncaps = { tatoeba = 5 }', "caps: tatoeba is not in 'bitext'"),
        (VALID, MIX + 'bitext = ["ebible"]\ncaps = { ebible = 0 }', "mix.caps.ebible = 0: "),
    ],
)
def test_a_malformed_card_gives_one_line_with_file_and_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in VALID
    with pytest.raises(BenchError) as error:
        load_cards(write(tmp_path, VALID.replace(old, new, 1)))
    message = str(error.value)
    assert "\n" not in message
    assert "mine.toml" in message
    assert expected in message


def test_a_file_may_come_from_another_repository(tmp_path: Path) -> None:
    text = VALID.replace('documents = "{query}/b.txt"', f'documents = "{OTHER}"').replace("swa/b.txt", OTHER)
    card = load_cards(write(tmp_path, text.replace(f'"hau/b.txt" = "{"0" * 64}"\n', "")))["mine"]
    assert card.origin(OTHER) == ("other/repo.txt", "1" * 40, "b/c.txt")
    mirror = tmp_path / "mirror"
    for repository in ("owner/repo", "other/repo.txt"):
        (mirror / repository / "b").mkdir(parents=True)
        (mirror / repository / "b" / "c.txt").write_text(repository)
    whole = card.model_copy(update={"sha256": {OTHER: hashlib.sha256(b"other/repo.txt").hexdigest()}})
    assert Resolver(mirror, offline=True).path(whole, OTHER) == mirror / "other/repo.txt/b/c.txt"
    with pytest.raises(BenchError, match=rf"cache/other/repo.txt/{'1' * 40}/b/c.txt"):
        Resolver(cache=tmp_path / "cache", offline=True).path(whole, OTHER)


def test_a_folder_of_cards_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="does not exist"):
        load_cards(tmp_path / "nowhere")
    (tmp_path / "mine.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(BenchError, match="not UTF-8"):
        load_cards(tmp_path)
    write(tmp_path, VALID)
    write(tmp_path, VALID.replace('"mine"', '"tatoeba"'), "tatoeba")
    with pytest.raises(BenchError, match="'tatoeba' exists already"):
        load_cards(tmp_path)


def test_an_unknown_collection_gets_a_suggestion() -> None:
    with pytest.raises(BenchError, match="unknown collection 'tatoba'; did you mean tatoeba"):
        get_card("tatoba")


BUILTIN = load_cards()


@pytest.mark.parametrize("card", BUILTIN.values(), ids=lambda card: card.name)
def test_every_builtin_card_is_whole(card: Card) -> None:
    for entry in card.data:
        assert parser(entry.format, entry.role)
        assert entry.files or entry.format in ("conlang", "ir-datasets")
        for key in entry.keys:
            for paths in card.files(entry, key).values():
                for path in paths:
                    assert "{" not in path
                    assert card.folder or len(card.sha256[path]) == 64
    assert not card.non_commercial or re.search("NC|non-commercial", card.licence) or card.mix is not None


def test_the_cards_fit_each_other_and_the_measures() -> None:
    for card in BUILTIN.values():
        assert parse_measures(card.measures) == list(card.measures)
        if card.mix is not None:
            parts = [BUILTIN[name] for name in (*card.mix.bitext, *card.mix.relevance)]
            assert card.non_commercial == any(part.non_commercial for part in parts)
            for pair in card.mix.pairs:
                assert any(pair in part.keys("bitext") for part in parts), pair


def test_the_folder_of_cards_is_no_package() -> None:
    folder = Path(__file__).parent.parent / "datasets"
    if folder.is_dir():
        assert {file.suffix for file in folder.iterdir()} == {".toml", ".csv"}


def test_reading_cards_imports_nothing_heavy() -> None:
    code = (
        "import sys, bench.data.loading as l; l.load_cards(); "
        "print([m for m in ('torch', 'numpy', 'pandas', 'requests') if m in sys.modules])"
    )
    spec = importlib.util.find_spec("bench")
    assert spec is not None and spec.origin is not None
    root = str(Path(spec.origin).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


@pytest.mark.real
def test_every_file_of_every_card_is_the_one_that_the_card_means(real: Resolver) -> None:
    for card in BUILTIN.values():
        for path in card.sha256:
            assert real.path(card, path).is_file()
