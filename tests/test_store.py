from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.results.store import FAILURE, MANIFEST, Entry, Store

FINGERPRINT = "0123456789abcdef" * 4


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results").open()


def test_entry_is_finished_once_its_manifest_is_there(store: Store) -> None:
    entry = store.cell("optical.qaa-eng", FINGERPRINT)
    assert not entry.finished
    entry.begin()
    assert not entry.finished
    assert list(store.cells()) == []
    entry.finish({"kind": "cell", "name": "Kiswahili è"})
    assert entry.finished
    assert entry.manifest == {"kind": "cell", "name": "Kiswahili è"}
    assert list(store.cells()) == [entry]
    assert list(store.trainings()) == []


def test_folder_has_the_label_and_the_start_of_the_fingerprint(store: Store) -> None:
    entry = store.training("optical.qaa-eng.tiny.seed0", FINGERPRINT)
    assert entry.folder == store.root / "trainings" / "optical.qaa-eng.tiny.seed0-0123456789ab"


def test_what_an_unfinished_attempt_left_is_dropped(store: Store) -> None:
    entry = store.training("x", FINGERPRINT)
    (entry.begin() / "half.txt").write_text("half")
    entry.fail("Traceback ...")
    assert not entry.finished
    assert (entry.folder / FAILURE).read_text() == "Traceback ..."
    assert list(entry.begin().iterdir()) == []


def test_failure_is_kept_where_nothing_was_begun(store: Store) -> None:
    entry = store.cell("x", FINGERPRINT)
    entry.fail("Traceback ...")
    assert (entry.folder / FAILURE).is_file()
    assert list(store.cells()) == []


def test_entries_come_in_the_order_of_their_names(store: Store) -> None:
    for label in ("b", "a", "c"):
        entry = store.cell(label, FINGERPRINT)
        entry.begin()
        entry.finish({})
    (store.root / "cells" / "a file").write_text("")
    assert [entry.folder.name[0] for entry in store.cells()] == ["a", "b", "c"]


def test_manifest_that_is_no_json_is_named(store: Store) -> None:
    entry = store.cell("x", FINGERPRINT)
    (entry.begin() / MANIFEST).write_text("{")
    with pytest.raises(BenchError, match="is no JSON; delete the folder"):
        _ = entry.manifest


@given(
    st.dictionaries(
        st.sampled_from(["nDCG@10", "RR@10", "P(rel=2)@5"]),
        st.dictionaries(st.text(st.characters(codec="utf-8", exclude_categories=["C"])), st.floats(0, 1), min_size=1),
        max_size=3,
    )
)
def test_scores_read_back_are_exactly_those_written(
    tmp_path_factory: pytest.TempPathFactory, scores: dict[str, dict[str, float]]
) -> None:
    entry = Entry(tmp_path_factory.mktemp("entry"))
    entry.write_scores(scores)
    assert entry.read_scores() == scores
    before = (entry.folder / "scores.csv.gz").read_bytes()
    entry.write_scores(scores)
    assert (entry.folder / "scores.csv.gz").read_bytes() == before


def test_entry_that_was_never_scored_has_no_scores(tmp_path: Path) -> None:
    assert Entry(tmp_path).read_scores() == {}


def test_results_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="choose another with --results"):
        Store(tmp_path / "file" / "results").open()
