"""Counts of collections against counting by hand."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import count_collections
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from world import World

from bench.cli import main
from bench.data import counts
from bench.data.cards import builtin_folder, load_cards

FILES = {
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
    world.aligned("mine", "test bitext", FILES["q"], FILES["d"])
    return world


def count(world: World, tokenizer: Tokenizer) -> list[counts.Counts]:
    return list(count_collections.count(world.cards["mine"], world.resolver, world.cards, tokenizer))


def test_counts(world: World, tokenizer: Tokenizer) -> None:
    test, bitext = count(world, tokenizer)
    assert astuple(test)[:6] == ("mine", "test", "swh-eng", 3, 3, 1.0)
    assert (test.query_words, test.document_words) == (2.0, 3.0)  # 3 + 2 + 1 and 4 + 4 + 1
    # 15, 8 and 6 characters; 16, 18 and 5.
    assert (test.query_pieces, test.document_pieces) == (9.7, 13.0)
    assert (test.query_script, test.document_script) == ("latin", "latin")
    assert astuple(bitext)[1:] == ("bitext", *astuple(test)[2:])


def test_what_is_not_at_hand_is_not_counted(world: World, tokenizer: Tokenizer) -> None:
    world.file("mine", "q").unlink()
    assert count(world, tokenizer) == []


def test_what_is_written_can_be_read(
    world: World, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = count(world, tokenizer)
    count_collections.write(tmp_path, rows, world.cards.values(), world.resolver)
    monkeypatch.setattr(counts, "builtin_folder", lambda: tmp_path)
    assert counts.read_counts() == rows
    assert counts.read_sizes() == {("mine", name): len(text.encode()) for name, text in FILES.items()}


def test_every_file_of_a_card_has_its_size() -> None:
    files = {(card.name, path) for card in load_cards().values() for path in card.sha256}
    assert counts.read_sizes().keys() == files


def test_every_role_that_the_cards_offer_has_its_row() -> None:
    counted = [card for card in load_cards().values() if card.sha256 or card.generated]
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


def test_listing_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "datasets"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["afriqa"])
    assert {"253", "325", "15,232"} < set(line.split())
    assert main(["ls", "datasets", "tatoeba"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "swh-eng" in line and "390" in line)
    assert "latin / latin" in line


def test_one_collection_says_what_is_at_hand_and_what_would_be_downloaded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BENCH_MIRROR", raising=False)
    sizes = {path: size for (name, path), size in counts.read_sizes().items() if name == "tatoeba"}
    there = next(iter(sizes))
    place = tmp_path / "mirror" / load_cards()["tatoeba"].origin(there)[0] / there
    place.parent.mkdir(parents=True)
    place.touch()
    assert main(["ls", "datasets", "tatoeba", "--mirror", str(tmp_path / "mirror")]) == 0
    out = capsys.readouterr().out
    assert f"available: 1 files, {sizes[there] / 2**20:.1f} MiB" in out
    assert f"to download: {len(sizes) - 1} files, {sum(sizes.values()) / 2**20 - sizes[there] / 2**20:.1f} MiB" in out


def test_a_non_commercial_licence_is_shouted(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["ls", "datasets"], ["ls", "datasets", "lafand-mt"]):
        assert main(arguments) == 0
        assert "NON-COMMERCIAL" in capsys.readouterr().out


@pytest.mark.real
@pytest.mark.usefixtures("mirror")
def test_the_numbers_beside_the_cards_are_what_is_counted(tmp_path: Path) -> None:
    count_collections.main(tmp_path)
    for name in (counts.COUNTS, counts.SIZES):
        committed = (builtin_folder() / name).read_text(encoding="utf-8")
        assert (tmp_path / name).read_text(encoding="utf-8") == committed
