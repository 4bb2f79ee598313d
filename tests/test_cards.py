"""Cards of collections, what is refused in them, and the counts beside them against counting by hand."""

import hashlib
import json
import re
from dataclasses import astuple
from pathlib import Path

import count_collections
import pytest
from conftest import Cli
from tokenizers import Tokenizer, models, pre_tokenizers
from world import World

from bench.data import Pair, counts
from bench.data.cards import Card, builtin_folder, get_card, load_cards
from bench.data.files import Resolver
from bench.data.formats import get_format
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
    assert (card.pairs("bitext"), card.pairs("test")) == ((SWH, Pair("hau", "eng")), ())
    assert card.origin("swa/a.txt") == ("owner/repo", "0123456789abcdef0123456789abcdef01234567", "swa/a.txt")
    assert card.files(card.entry("bitext", SWH), SWH) == {"queries": ("swa/a.txt",), "documents": ("swa/b.txt",)}
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
        (
            '"aligned-lines"',
            '"aligned-line"',
            "data[0]: unknown format 'aligned-line'; did you mean aligned-lines or json-lines?",
        ),
        ('role = "bitext"', 'role = "bitexts"', "data[0].role = 'bitexts': "),
        (
            'queries = "{query}/a.txt"',
            'query = "{query}/a.txt"',
            "data[0]: unknown key of files 'query'; did you mean que",
        ),
        (
            ', documents = "{query}/b.txt"',
            "",
            "data[0]: files.documents is missing; this format needs queries, documents",
        ),
        ('"{query}/b.txt"', '["a", "b"]', "data[0]: files.documents names several files; this format takes one"),
        (
            "[sha256]",
            "options = { header = true }\n[sha256]",
            "options of bitext: this format has no options; remove he",
        ),
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
        ('"{query}/a.txt"', '"../{query}/a.txt"', "files.queries[0]: '../{query}/a.txt' is not a relative path"),
        ('"{query}/a.txt"', f'"{OTHER.replace("b/", "/b/")}"', "c.txt' is not a relative path inside the repository"),
        ('swh = "swa"', 'swh = "../../swa"', "'../../swa/a.txt' is not a relative path"),
        ('swh = "swa"', 'swh = "/swa"', "'/swa/a.txt' is not a relative path"),
        ("owner/repo@", "../..@", "'../..@0123"),
        ("owner/repo@", "owner/..@", "is not owner/repository@commit"),
        ('"{query}/a.txt"', f'"{OTHER.replace("other/repo.txt", "../..")}"', "is not owner/repository@commit"),
        ("[[data]]", "[[data]", "not TOML"),
        (VALID, VALID.partition("source")[0], "needs [[data]] or [mix]"),
        (
            'role = "bitext"',
            'role = "test"\ndistractors = ["tatoeba"]',
            "tatoeba offers no passages in eng",
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
    assert expected in str(error.value) and "mine.toml" in str(error.value) and "\n" not in str(error.value)


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
    with pytest.raises(BenchError, match="unknown collection 'tatoba'; did you mean tatoeba"):
        get_card("tatoba")


BUILTIN = load_cards()


@pytest.mark.parametrize("card", BUILTIN.values(), ids=lambda card: card.name)
def test_every_builtin_card_is_whole(card: Card) -> None:
    for entry in card.data:
        get_format(entry.format, entry.role).read_options(card.options(entry, entry.keys[0]), card.name)
        assert entry.files or entry.format in ("conlang", "ir-datasets")
        for path in (path for key in entry.keys for paths in card.files(entry, key).values() for path in paths):
            assert "{" not in path and (card.folder or len(card.sha256[path]) == 64)
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


@pytest.mark.real
def test_every_file_of_every_card_is_the_one_that_the_card_means(real: Resolver) -> None:
    for card in BUILTIN.values():
        for path in card.sha256:
            assert real.path(card, path).is_file()


SIDES = {
    "q": "nyumba ni kubwa\nሰላም ለዓለም\nnyumba\n",
    "d": "the house is big\npeace to the world\nhouse\n",
}


@pytest.fixture
def tokenizer() -> Tokenizer:
    """A word piece per letter."""
    made = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return made


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.aligned("mine", "test bitext", SIDES["q"], SIDES["d"])
    return world


def count(world: World, tokenizer: Tokenizer) -> list[counts.Counts]:
    return list(count_collections.count(world.cards["mine"], world.resolver, world.cards, tokenizer))


def test_counts_by_hand(world: World, tokenizer: Tokenizer) -> None:
    test, bitext = count(world, tokenizer)
    assert astuple(test)[:6] == ("mine", "test", "swh-eng", 3, 3, 1.0)
    assert (test.query_words, test.document_words) == (2.0, 3.0)  # 3 + 2 + 1 and 4 + 4 + 1
    # 15, 8 and 6 characters; 16, 18 and 5.
    assert (test.query_pieces, test.document_pieces) == (9.7, 13.0)
    assert (test.query_script, test.document_script) == ("latin", "latin")
    assert astuple(bitext)[1:] == ("bitext", *astuple(test)[2:])


def test_what_is_written_can_be_read_and_what_is_not_at_hand_is_not_counted(
    world: World, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = count(world, tokenizer)
    count_collections.write(tmp_path, rows, world.cards.values(), world.resolver)
    monkeypatch.setattr(counts, "builtin_folder", lambda: tmp_path)
    assert counts.read_counts() == rows
    assert counts.read_sizes() == {("mine", name): len(text.encode()) for name, text in SIDES.items()}
    world.file("mine", "q").unlink()
    assert count(world, tokenizer) == []


def test_every_file_of_a_card_has_its_size_and_every_role_its_row() -> None:
    files = {(card.name, path) for card in BUILTIN.values() for path in card.sha256}
    assert counts.read_sizes().keys() == files
    counted = [card for card in BUILTIN.values() if card.sha256 or card.generated]
    offered = {
        (card.name, entry.role, str(key))
        for card in counted
        for entry in card.data
        for key in entry.keys
        if count_collections.is_counted(key)
    }
    names = {card.name for card in counted}
    rows = counts.read_counts()
    assert {(row.collection, row.role, row.key) for row in rows if row.collection in names} == offered


def test_listing_shows_them(cli: Cli) -> None:
    row = next(row for row in json.loads(cli("ls", "datasets", "--json").out) if row["dataset"] == "afriqa")
    assert (row["queries"], row["documents"]) == ("253 - 325", "15,232")
    lines = cli("ls", "datasets", "tatoeba").out.splitlines()
    assert "latin / latin" in next(line for line in lines if "swh-eng" in line and "390" in line)
    for arguments in (["ls", "datasets"], ["ls", "datasets", "lafand-mt"]):
        assert "NON-COMMERCIAL" in cli(*arguments).out


def test_one_collection_says_what_is_at_hand_and_what_would_be_downloaded(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BENCH_MIRROR", raising=False)
    sizes = {path: size for (name, path), size in counts.read_sizes().items() if name == "tatoeba"}
    there = next(iter(sizes))
    place = tmp_path / "mirror" / load_cards()["tatoeba"].origin(there)[0] / there
    place.parent.mkdir(parents=True)
    place.touch()
    out = cli("ls", "datasets", "tatoeba", "--mirror", tmp_path / "mirror").out
    assert f"available: 1 files, {sizes[there] / 2**20:.1f} MiB" in out
    assert f"to download: {len(sizes) - 1} files, {sum(sizes.values()) / 2**20 - sizes[there] / 2**20:.1f} MiB" in out


@pytest.mark.real
@pytest.mark.usefixtures("mirror")
def test_the_numbers_beside_the_cards_are_what_is_counted(tmp_path: Path) -> None:
    count_collections.main(tmp_path)
    for name in (counts.COUNTS, counts.SIZES):
        committed = (builtin_folder() / name).read_text(encoding="utf-8")
        assert (tmp_path / name).read_text(encoding="utf-8") == committed
