"""The results folder: what is finished, what is damaged, and what belongs to the current state."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cells import add, reseal
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.results.store import FAILURE, SCORES, Entry, Record, Store, find_cell
from bench.storage.sealed import MANIFEST, Damaged, sha256_of

FINGERPRINT = "0123456789abcdef" * 4


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results").open()


def test_entry_is_finished_once_its_manifest_is_there(store: Store) -> None:
    entry = store.cell("optical.qaa-eng", FINGERPRINT, {"library numpy": "1.0"})
    assert entry.folder == store.root / "cells" / "optical.qaa-eng-0123456789ab"
    for _ in range(2):
        assert entry.read() is None
        assert store.finished() == ([], [])
        entry.begin()
    record = entry.finish({"kind": "cell", "name": "Kiswahili è"})
    assert entry.read() == record
    expected = {"kind": "cell", "fingerprint": FINGERPRINT, "inputs": {"library numpy": "1.0"}, "name": "Kiswahili è"}
    assert record.manifest == {**expected, "files": {}}
    assert record.scores == {}
    assert store.finished() == ([record], [])


def test_files_of_an_unfinished_attempt_are_deleted(store: Store) -> None:
    entry = store.training("x", FINGERPRINT)
    entry.folder.parent.mkdir()
    entry.folder.write_text("a file in the place of the folder")
    (entry.begin() / "half.txt").write_text("half")
    (entry.folder / FAILURE).write_text("Traceback ...")
    assert entry.failed
    assert list(entry.begin().iterdir()) == []


def test_cells_are_ordered_by_name(store: Store) -> None:
    for label in ("b", "a", "c"):
        store.cell(label, FINGERPRINT).begin()
        store.cell(label, FINGERPRINT).finish({"kind": "cell"})
    (store.root / "cells" / "a file").write_text("")
    (store.root / "cells" / ".b").mkdir()
    assert [cell.folder.name[0] for cell in store.finished()[0]] == ["a", "b", "c"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"sha256": "0"}', "\xff", '{"x": "\\ud800"}'])
def test_manifest_that_is_none_is_named(store: Store, content: str) -> None:
    entry = store.cell("x", FINGERPRINT)
    (entry.begin() / MANIFEST).write_bytes(content.encode("latin-1"))
    with pytest.raises(Damaged, match=r"manifest\.json is damaged"):
        entry.read()


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
    before = sha256_of(entry.folder / SCORES)
    entry.write_scores(scores)
    assert sha256_of(entry.folder / SCORES) == before
    assert entry.finish({}).scores == scores


def test_added_measures_join_the_others(store: Store) -> None:
    record = add(store, {"RR@10": {"q": 0.5}}, manifest={"scores": {"RR@10": 0.5}})
    more = Entry(record.folder).add_scores(record, {"P@5": {"q": 0.2}})
    assert more.scores == {"RR@10": {"q": 0.5}, "P@5": {"q": 0.2}}
    assert more.means == {"RR@10": 0.5, "P@5": 0.2}
    assert [each.scores for each in store.contents().cells] == [more.scores]


def exchange(cell: Record, other: Record) -> str:
    for name in (MANIFEST, SCORES):
        (cell.folder / name).write_bytes((other.folder / name).read_bytes())
    return f"{cell.folder / MANIFEST} belongs to another result"


def put_a_folder(cell: Record, other: Record) -> str:
    (cell.folder / SCORES).unlink()
    (cell.folder / SCORES).mkdir()
    return f"{cell.folder / SCORES} cannot be read: Is a directory"


def make_old(cell: Record, other: Record) -> str:
    reseal(cell.folder, spec={**cell.manifest["spec"], "budget": "some"})
    return f"{cell.folder / MANIFEST} was written by another version of this program"


@pytest.mark.parametrize("harm", [exchange, put_a_folder, make_old])
def test_a_cell_that_is_not_what_it_should_be_is_left_out_with_a_line(
    store: Store, harm: Callable[[Record, Record], str]
) -> None:
    bad, good = add(store, {"RR@10": {"q": 0.1}}), add(store, {"RR@10": {"q": 0.9}}, method="distillation")
    reason = harm(bad, good)
    assert store.contents() == ([good], [f"left out: {reason}; bench run computes it again"])
    if harm is not exchange:
        with pytest.raises(Damaged):
            find_cell(str(bad.folder), store.root)


def test_only_the_latest_state_is_shown_whatever_the_clock_shows(store: Store) -> None:
    old = add(store, {"RR@10": {"q": 0.1}}, code="a", finished="2027-01-01")
    new = add(store, {"RR@10": {"q": 0.2}}, code="b", finished="2026-01-01")
    other = add(store, {"RR@10": {"q": 0.3}}, method="distillation", code="a")
    contents = store.contents()
    assert {cell.folder for cell in contents.cells} == {new.folder, other.folder}
    assert contents.notes == ["left out: 1 cell with another code optical"]
    add(store, {"RR@10": {"q": 0.1}}, code="a")  # back to the state before
    assert {cell.folder for cell in store.contents().cells} == {old.folder, other.folder}


def test_results_that_differ_only_in_the_device_are_shown_once(store: Store) -> None:
    cells = [
        add(store, {"RR@10": {"q": 0.1}}, inputs={"device": device}, finished=f"2026-01-0{day}")
        for day, device in ((1, "cpu"), (3, "cuda"), (2, "mps"))
    ]
    contents = store.contents()
    assert contents.cells == [cells[1]]
    assert contents.notes == ["left out: 2 cells with a later result on another device or with other threads"]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["optical", "distillation", "psq"]), st.sampled_from("abc")), min_size=1))
def test_what_is_shown_is_what_a_fresh_folder_would_show(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, str]]
) -> None:
    """Each call finds the judgments in some state, and one method is evaluated by them."""
    value = {"a": 0.1, "b": 0.2, "c": 0.3}
    used = Store(tmp_path_factory.mktemp("used")).open()
    for method, state in calls:
        add(used, {"RR@10": {"q": value[state]}}, method=method, inputs={"test collection beir qaa-eng": state})
    last = calls[-1][1]
    shown = {cell.spec.method: cell.scores["RR@10"]["q"] for cell in used.contents().cells}
    assert shown == {method: value[last] for method, state in calls if state == last}


def test_without_its_state_a_folder_shows_only_what_is_beyond_doubt(store: Store) -> None:
    add(store, {"RR@10": {"q": 0.1}}, code="a")
    add(store, {"RR@10": {"q": 0.2}}, code="b")
    sure = add(store, {"RR@10": {"q": 0.3}}, method="distillation")
    (store.root / "state.json").unlink()
    contents = store.contents()
    assert contents.cells == [sure]
    assert contents.notes == ["left out: 2 cells with one of several code optical"]


@pytest.mark.parametrize("damage", ["", "{}", "truncated", "directory"])
def test_a_damaged_state_is_none(store: Store, damage: str) -> None:
    sure = add(store, {"RR@10": {"q": 0.3}})
    path = store.root / "state.json"
    whole = path.read_bytes()
    path.unlink()
    if damage == "directory":
        path.mkdir()
    else:
        path.write_bytes(whole[:-10] if damage == "truncated" else damage.encode())
    assert store.contents().cells == [sure]
    again = add(store, {"RR@10": {"q": 0.4}}, code="b")  # writes it anew
    assert path.is_file()
    assert store.contents().cells == [again]


@given(st.data())
def test_no_number_is_shown_from_a_file_with_another_byte(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any byte of any stored file: what is shown is what was written, or the cell is left out with one line."""
    store = Store(tmp_path_factory.mktemp("results")).open()
    truth = {"optical": {"RR@10": {"q1": 0.25, "q2": 0.5}}, "psq": {"RR@10": {"q1": 1.0, "q2": 0.0}}}
    for method, scores in truth.items():
        add(store, scores, method=method)
    path = data.draw(st.sampled_from(sorted(each for each in store.root.rglob("*") if each.is_file())))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1)) if content else 0
    content[place : place + 1] = data.draw(st.binary(max_size=3))
    path.write_bytes(content)
    contents = store.contents()
    for cell in contents.cells:
        assert cell.scores == truth[cell.spec.method]
    assert len(contents.cells) + len(contents.notes) == 2
