"""Test collections and training data whose summaries come from a cache, which may be damaged."""

import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_bench import HARM, flip_a_bit
from test_own_collections import BEIR, Library
from test_own_collections import card as irds_card
from world import World, training_world, with_tests, write

import bench
from bench.data import Pair, TestCollection, TestSummary, TrainingData, download, formats, sources
from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.data.loading import load_test
from bench.data.sources import LazyTestCollection, LazyTrainingData
from bench.data.training_data import training_data
from bench.storage.sealed import write_sealed

SWH = Pair("swh", "eng")
WORDS = st.lists(st.sampled_from(["moja", "mbili", "tatu", "nne", " "]), min_size=1, max_size=4).map(" ".join)
LINES = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=12)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return training_world(tmp_path)


@contextmanager
def another_world() -> Iterator[World]:
    """A world for one example of a property."""
    with tempfile.TemporaryDirectory() as folder:
        yield training_world(Path(folder))


def folder_test(folder: Path, cache: Path) -> LazyTestCollection:
    """The collection in a user's own folder."""
    cards = with_tests({}, [str(folder)], [SWH])
    return LazyTestCollection(cards[str(folder)], SWH, Resolver(cache=cache, offline=True), cards)


def world_test(world: World, name: str = "questions") -> LazyTestCollection:
    return LazyTestCollection(world.cards[name], SWH, world.resolver, world.cards)


def world_training(world: World, *names: str, keep_leaks: bool = False) -> LazyTrainingData:
    return LazyTrainingData(names or ("usual",), (SWH,), world.resolver, world.cards, keep_leaks)


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every parser and every socket fail."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("this must not be called")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(formats, "parse", refuse)


def test_the_summary_is_what_loading_gives(world: World) -> None:
    fresh = load_test(world.cards["questions"], SWH, world.resolver, world.cards)
    assert fresh.summary == TestSummary("questions", SWH, fresh.digest, 1, 1, 0, True, "retrieval")
    assert world_test(world).summary_if_known is None
    for _ in range(2):  # read, then from the cache
        assert world_test(world).summary == fresh.summary
    assert world_test(world).load() == fresh


def test_nothing_is_parsed_if_the_summary_is_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = {name: world_test(world, name).summary for name in ("questions", "sentences")}
    training = world_training(world).summary
    forbid_reading(monkeypatch)
    for name, summary in tests.items():
        assert world_test(world, name).summary_if_known == world_test(world, name).summary == summary
    assert world_training(world).summary_if_known == world_training(world).summary == training
    assert world_training(world).load().digest == training.digest


def test_what_only_reading_would_tell_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_reading(monkeypatch)
    online = replace(world.resolver, offline=False)
    world.file("sentences", "q").unlink()
    lazy = LazyTestCollection(world.cards["sentences"], SWH, online, world.cards)
    assert lazy.summary_if_known is None
    assert world_test(world).summary_if_known is None
    assert LazyTrainingData(("usual",), (SWH,), online, world.cards).summary_if_known is None


def test_the_digest_covers_what_scoring_reads() -> None:
    test = TestCollection("t", SWH, ("q",), ("a",), ("d", "e"), ("b", "c"), {"q": {"d": 1, "e": 0}})
    changes: dict[str, Any] = {"queries": ("x",), "documents": ("x", "y"), "qrels": {"q": {"d": 2, "e": 0}}}
    changes |= {"oracle_queries": ("x",), "tuning": ("q",), "document_languages": ("eng", "swh")}
    digests = {replace(test, **{name: value}).digest for name, value in changes.items()}
    assert len({test.digest, *digests}) == 1 + len(changes)
    assert test.digest == replace(test, name="u").digest == replace(test, qrels={"q": {"e": 0, "d": 1}}).digest


def test_a_changed_judgment_is_another_state_and_changed_back_the_old_one(tmp_path: Path) -> None:
    folder, cache = write(tmp_path / "mine", BEIR), tmp_path / "cache"
    qrels = folder / "qrels/test.tsv"
    before, times = qrels.read_bytes(), (qrels.stat().st_atime_ns, qrels.stat().st_mtime_ns)

    old = folder_test(folder, cache).summary
    qrels.write_bytes(before.replace(b"d1\t2", b"d1\t3"))
    os.utime(qrels, ns=times)
    assert folder_test(folder, cache).summary.digest != old.digest
    qrels.write_bytes(before)
    assert folder_test(folder, cache).summary_if_known == old
    assert folder_test(write(tmp_path / "elsewhere/mine", BEIR), cache).summary_if_known == old


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = write(tmp_path / "mine", BEIR), tmp_path / "cache"

    def load(*arguments: Any) -> TestCollection:
        test = load_test(*arguments)
        (folder / "qrels/test.tsv").write_text("q1\td1\t3\n")
        return test

    with monkeypatch.context() as patch:
        patch.setattr(sources, "load_test", load)
        first = folder_test(folder, cache).summary
    assert folder_test(folder, cache).summary_if_known is None
    assert folder_test(folder, cache).summary.digest != first.digest


def test_reading_corrects_a_summary_that_is_not_right(tmp_path: Path) -> None:
    folder, cache = write(tmp_path / "mine", BEIR), tmp_path / "cache"
    right = folder_test(folder, cache).summary
    (memo,) = (cache / "collections").iterdir()
    content = gzip.compress(json.dumps({**asdict(right), "digest": "wrong"}).encode())
    write_sealed(memo, content)
    lazy = folder_test(folder, cache)
    assert lazy.summary.digest == "wrong"
    lazy.load()
    assert lazy.summary == folder_test(folder, cache).summary == right


@given(LINES, LINES, st.booleans())
@settings(deadline=None, max_examples=30)
def test_cached_training_data_are_those_that_are_made(
    news: list[tuple[str, str]], bible: list[tuple[str, str]], keep_leaks: bool
) -> None:
    with another_world() as world:
        for name, rows in (("news", news), ("bible", bible)):
            world.aligned(
                name, "bitext", *("".join(f"{row[side]}\n" for row in [*rows, ("sita", "six")]) for side in (0, 1))
            )
        fresh = training_data(["usual"], [SWH], world.resolver, world.cards, keep_leaks=keep_leaks)
        for _ in range(2):  # made, then from the cache
            lazy = world_training(world, keep_leaks=keep_leaks)
            assert lazy.load() == fresh
            assert list(lazy.load().report["bitext"]) == ["news", "bible"]
            assert lazy.summary == world_training(world, keep_leaks=keep_leaks).summary == fresh.summary


def replace_by_another(path: Path) -> None:
    shutil.copy(max(path.parent.iterdir()), min(path.parent.iterdir()))


@given(st.sampled_from([*HARM.values(), replace_by_another]), st.integers(0, 3), st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=60)
def test_damage_of_the_cache_changes_nothing(harm: Callable[..., object], which: int, place: float) -> None:
    with another_world() as world:

        def state() -> tuple[list[TestSummary], TrainingData, str]:
            tests = [world_test(world, name).summary for name in ("questions", "sentences")]
            return tests, world_training(world).load(), world_training(world).summary.digest

        whole = state()
        files = sorted((world.cache / "collections").iterdir())
        assert len(files) == 4
        harm(files[which], place) if harm is flip_a_bit else harm(files[which])
        assert state() == whole
        assert sorted(path for path in world.cache.glob("*/*") if path.is_file()) == files


def test_a_cache_that_cannot_be_written_only_costs_time(world: World) -> None:
    world.cache.write_text("no folder")
    assert world_test(world).summary.queries == 1
    assert len(world_training(world).load().bitext) == 3


def test_a_download_that_failed_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail(url: str, *_: Any, **__: Any) -> None:
        tried.append(url.rsplit("/", 1)[-1])
        raise download.DownloadError("sentences", url, "no answer")

    monkeypatch.setattr(download, "download", fail)
    lost = world.file("sentences", "q")
    text = lost.read_text()
    lost.unlink()
    online = replace(world.resolver, offline=False)
    for _ in range(2):
        lazy = LazyTrainingData(("usual",), (SWH,), online, world.cards)
        assert list(lazy.summary.report["not_checked"]) == ["sentences"]
    assert tried == ["q", "q"]
    assert world_training(world).summary_if_known is not None  # offline, there is nothing to try
    lost.write_text(text)
    assert not world_training(world).summary.report["not_checked"]


def test_what_ir_datasets_has_got_meanwhile_is_checked_for_leakage(world: World, tmp_path: Path) -> None:
    library = Library(tmp_path)
    world.cards["far"] = irds_card(name="far", dataset=library.far())
    (library.folder / "far").unlink(missing_ok=True)
    online = replace(world.resolver, offline=False)

    def training() -> LazyTrainingData:
        return LazyTrainingData(("usual",), (SWH,), online, world.cards)

    assert LazyTestCollection(world.cards["far"], SWH, online, world.cards).summary_if_known is None
    assert list(training().summary.report["not_checked"]) == ["far"]
    (library.folder / "far").write_text("d0\tone\nd1\tnot asked for\n")
    assert training().summary.report["not_checked"] == {}
    assert "moja" not in training().load().bitext.query_side


KEYS = """
import sys
from pathlib import Path
from bench.data import Pair
from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.data.sources import LazyTestCollection, LazyTrainingData
from bench.storage.hashing import digest
cards, resolver = load_cards(), Resolver(Path(sys.argv[1]), Path(sys.argv[1]), offline=True)
pairs = {"bucc": Pair("cmn", "eng"), "tatoeba": Pair("swh", "eng"), "afriqa": Pair("swh", "eng")}
for name, pair in pairs.items():
    print(name, digest(LazyTestCollection(cards[name], pair, resolver, cards)._inputs()))
print("training", digest(LazyTrainingData(("standard",), (Pair("swh", "eng"),), resolver, cards)._inputs()))
print("heavy", [name for name in ("torch", "pandas", "transformers") if name in sys.modules])
"""


def test_a_parser_belongs_to_the_keys_of_what_it_reads(tmp_path: Path) -> None:
    package = Path(bench.__file__).parent
    shutil.copytree(package, tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(package.parent / "datasets", tmp_path / "datasets")
    for card in load_cards().values():
        for path in card.sha256:  # the key does not depend on the bytes of a file whose sha256 the card states
            repository, _, inner = card.origin(path)
            (tmp_path / repository / inner).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / repository / inner).touch()

    def read() -> dict[str, str]:
        command = [sys.executable, "-c", KEYS, str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
        return dict(line.split(" ", 1) for line in done.stdout.splitlines())

    keys = read()

    def changed(file: str) -> set[str]:
        with (tmp_path / "bench/data" / file).open("a") as source:
            source.write("\nADDED = 1\n")
        nonlocal keys
        before, keys = keys, read()
        return {name for name in keys if keys[name] != before[name]}

    assert keys["heavy"] == "[]" and "None" not in keys.values()
    assert changed("formats/bucc.py") == {"bucc"}
    assert changed("formats/qa.py") == {"afriqa", "training"}
    assert changed("leakage.py") == {"training"}
    assert changed("loading.py") == {"bucc", "tatoeba", "afriqa", "training"}


@pytest.mark.real
def test_the_swahili_mix_from_the_cache_is_the_one_that_is_made(real: Resolver) -> None:
    cards = load_cards()
    made, kept = (LazyTrainingData(("standard",), (SWH,), real, cards).load() for _ in range(2))
    assert made == kept and made is not kept
    assert made.summary.bitext == {"swh-eng": 64_095}
