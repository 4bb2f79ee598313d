"""Leaderboards of cells made by hand, their means worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import commands
from bench.errors import BenchError
from bench.fingerprint import digest
from bench.results.leaderboard import (
    IDENTITY,
    LONG,
    cost_frame,
    current,
    long_frame,
    mean_with_interval,
    scored_measures,
    tables,
    to_markdown,
    wide_frame,
    write_leaderboards,
)
from bench.results.store import Entry, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path).open()


def add(
    store: Store, scores: Mapping[str, Mapping[str, float]], *, finished: str = "2026-01-01T00:00:00", **changes: Any
) -> Entry:
    """A finished cell and its finished training."""
    identity = {
        "method": "optical",
        "config": "",
        "uses": "bitext",
        "pair": "qaa-eng",
        "train": "conlang",
        "encoder": "tiny",
        "budget": "10steps",
        "seed": "0",
        "dataset": "conlang",
        "scoring": "mean",
        **{key: value for key, value in changes.items() if key != "code"},
    }
    fingerprint = digest([identity, changes])
    training = store.training("training", fingerprint)
    training.begin()
    cost = {"seconds": 12.5, "trained_steps": 10, "peak_memory_mib": None}
    training.finish({**identity, "cost": cost, "diagnostics": {"probe_accuracy": 0.75}})
    entry = store.cell("cell", fingerprint)
    entry.begin()
    entry.finish(
        {
            **identity,
            "fingerprint": fingerprint,
            "training": training.folder.name,
            "cost": {"search_seconds": 0.5},
            "documents_cached": False,
            "provenance": {"finished": finished},
        }
    )
    entry.write_scores(scores)
    return entry


def test_row_is_the_mean_over_queries(store: Store) -> None:
    entry = add(store, {"RR@10": {"q1": 1.0, "q2": 0.5, "q3": 0.0}, "R@100": {"q1": 1.0, "q2": 1.0, "q3": 1.0}})
    frame = long_frame([entry]).set_index("measure")
    assert frame.loc["RR@10", "value"] == 0.5
    assert frame.loc["R@100", ["value", "low", "high"]].tolist() == [1, 1, 1]
    assert frame["queries"].tolist() == [3, 3]
    assert set(frame["cell"]) == {entry.manifest["fingerprint"][:12]}
    assert list(long_frame([entry]).columns) == LONG


def test_wide_row_is_the_mean_over_queries_and_seeds(store: Store) -> None:
    entries = [
        add(store, {"RR@10": {"q1": 1.0, "q2": 0.0}}, seed="0"),
        add(store, {"RR@10": {"q1": 0.5, "q2": 0.5}}, seed="1"),
        add(store, {"RR@10": {"q1": 0.25, "q2": 0.25}}, method="distillation"),
    ]
    frame = wide_frame(entries).set_index("method")
    assert frame["RR@10"].to_dict() == {"optical": 0.5, "distillation": 0.25}
    assert frame["seeds"].to_dict() == {"optical": 2, "distillation": 1}
    assert (frame["queries"] == 2).all()


def test_measure_that_only_some_seeds_were_scored_by_is_left_out(store: Store) -> None:
    entries = [
        add(store, {"RR@10": {"q1": 1.0}, "P@5": {"q1": 0.2}}, seed="0"),
        add(store, {"RR@10": {"q1": 0.5}}, seed="1"),
    ]
    assert scored_measures(wide_frame(entries)) == ["RR@10"]


def test_interval_over_seeds_is_of_the_queries_means(store: Store) -> None:
    one, other = {f"q{i}": i / 10 for i in range(11)}, {f"q{i}": 1 - i / 10 for i in range(11)}
    entries = [add(store, {"RR@10": one}, seed="0"), add(store, {"RR@10": other}, seed="1")]
    row = wide_frame(entries).iloc[0]
    assert (row["RR@10"], row["RR@10 low"], row["RR@10 high"]) == (0.5, 0.5, 0.5)  # every query's mean is 0.5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_interval_has_the_mean_and_is_the_same_every_time(values: list[float]) -> None:
    mean, low, high = mean_with_interval(np.array(values))
    assert mean == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert low <= mean <= high
    assert min(values) - 1e-6 <= low <= high <= max(values) + 1e-6
    assert mean_with_interval(np.array(values)) == (mean, low, high)


def test_interval_is_that_of_the_normal_approximation_for_many_queries() -> None:
    values = np.random.default_rng(0).uniform(size=5_000)
    mean, low, high = mean_with_interval(values)
    error = 1.96 * values.std() / len(values) ** 0.5
    assert (low, high) == pytest.approx((mean - error, mean + error), abs=error / 5)


def test_newest_of_cells_that_answer_the_same_question_counts(store: Store) -> None:
    add(store, {"RR@10": {"q": 0.1}}, finished="2026-01-01T10:00:00", code="a")
    newest = add(store, {"RR@10": {"q": 0.2}}, finished="2026-01-03T10:00:00", code="b")
    add(store, {"RR@10": {"q": 0.3}}, finished="2026-01-02T10:00:00", code="c")
    other = add(store, {"RR@10": {"q": 0.4}}, seed="1")
    assert {entry.folder for entry in current(store.cells())} == {newest.folder, other.folder}


@pytest.mark.parametrize("column", [*IDENTITY, "seed"])
def test_cells_that_differ_in_what_was_asked_both_count(store: Store, column: str) -> None:
    add(store, {"RR@10": {"q": 0.1}})
    add(store, {"RR@10": {"q": 0.2}}, **{column: "another"})
    assert len(current(store.cells())) == 2


def test_cost_is_kept_apart_from_scores(store: Store) -> None:
    entry = add(store, {"RR@10": {"q": 0.1}})
    cost = cost_frame(store, [entry]).iloc[0]
    assert (cost["training_seconds"], cost["trained_steps"], cost["evaluation_search_seconds"]) == (12.5, 10, 0.5)
    assert cost["diagnostics"] == "probe_accuracy=0.750"
    files = {path.name: path.read_text() for path in write_leaderboards(store)}
    assert "12.5" in files["cost.csv"]
    assert "12.5" not in files["leaderboard.csv"] + files["leaderboard-wide.csv"]


def test_files_are_read_back_as_the_frames(store: Store) -> None:
    entries = [
        add(store, {"RR@10": {"q1": 1.0, "q2": 0.0}}),
        add(store, {"RR@10": {"q1": 0.5, "q2": 0.1}}, method="a, b"),
    ]
    paths = {path.name: path for path in write_leaderboards(store)}
    assert set(paths) == {"leaderboard.csv", "leaderboard-wide.csv", "cost.csv", "leaderboard.md"}
    found = pd.read_csv(paths["leaderboard.csv"], dtype={"seed": str}, keep_default_na=False)
    pd.testing.assert_frame_equal(found, long_frame(entries).reset_index(drop=True), check_dtype=False)


def test_same_cells_are_the_same_bytes(store: Store) -> None:
    add(store, {"RR@10": {f"q{i}": i / 7 for i in range(8)}})
    add(store, {"RR@10": {f"q{i}": i / 8 for i in range(8)}}, method="distillation")
    before = [path.read_bytes() for path in write_leaderboards(store)]
    assert [path.read_bytes() for path in write_leaderboards(store)] == before


def test_rows_are_shown_best_first(store: Store) -> None:
    entries = [add(store, {"RR@10": {"q": value}}, method=f"m{value}") for value in (0.1, 0.9, 0.5)]
    wide = wide_frame(entries)
    shown = tables(wide, cost_frame(store, entries), ["RR@10"])
    assert list(shown) == ["conlang qaa-eng, 1 queries, encoder tiny"]
    table = next(iter(shown.values()))
    assert table["method"].tolist() == ["m0.9", "m0.5", "m0.1"]
    assert table["RR@10 [95 %]"].tolist()[0] == "0.900 [0.900, 0.900]"


def test_collections_have_columns_of_their_own(store: Store) -> None:
    entries = [
        add(store, {"F1": {"q": 0.25}, "recall": {"q": 0.5}}, dataset="bucc"),
        add(store, {"RR@10": {"q": 0.5}}),
        add(store, {"P@5": {"q": 0.2}}, method="distillation"),
    ]
    wide, cost = wide_frame(entries), cost_frame(store, entries)
    mined, ranked = tables(wide, cost, ["RR@10", "P@5", "F1", "recall"]).values()
    assert mined[["F1 [95 %]", "recall"]].values.tolist() == [["0.250 [0.250, 0.250]", "0.500"]]
    assert ranked[["method", "RR@10 [95 %]", "P@5"]].values.tolist() == [
        ["optical", "0.500 [0.500, 0.500]", "-"],
        ["distillation", "-", "0.200"],
    ]
    assert {"RR@10 [95 %]", "P@5"}.isdisjoint(mined) and {"F1", "recall"}.isdisjoint(ranked)
    (only,) = tables(wide, cost, ["F1"])
    assert only.startswith("bucc ")


def test_tables_tell_how_much_bitext_there_was_where_that_differs(store: Store) -> None:
    entries = [
        add(store, {"RR@10": {"q": 0.9}}),
        add(store, {"RR@10": {"q": 0.8}}, bitext_size="10000"),
        add(store, {"RR@10": {"q": 0.7}}, bitext_size="1000", bitext_noise="0.125"),
        add(store, {"RR@10": {"q": 0.6}}, method="zero-shot", train=""),
    ]
    wide = wide_frame(entries)
    assert wide["bitext_size"].tolist() == ["1000", "10000", "", ""]
    (table,) = tables(wide, cost_frame(store, entries), ["RR@10"]).values()
    assert table["bitext"].tolist() == ["all", "10,000", "1,000, 12.5 % misaligned", "-"]
    (table,) = tables(wide_frame(entries[:1]), cost_frame(store, entries), ["RR@10"]).values()
    assert "bitext" not in table.columns


def test_scorings_stand_in_one_table(store: Store) -> None:
    entries = [
        add(store, {"RR@10": {"q": 0.2}}),
        add(store, {"RR@10": {"q": 0.6}}, scoring="maxsim"),
        add(store, {"RR@10": {"q": 0.4}}, method="psq", scoring="bm25"),
    ]
    (table,) = tables(wide_frame(entries), cost_frame(store, entries), ["RR@10"]).values()
    assert table[["method", "scoring"]].values.tolist() == [["optical", "maxsim"], ["psq", "bm25"], ["optical", "mean"]]
    (table,) = tables(wide_frame(entries[:1]), cost_frame(store, entries), ["RR@10"]).values()
    assert "scoring" not in table.columns


def test_markdown_is_a_table_whatever_the_cells_hold() -> None:
    text = to_markdown(pd.DataFrame({"method": ["a|b", "c"], "value": ["1", "2"]}))
    assert text.splitlines() == ["| method | value |", "| --- | --- |", "| a\\|b | 1 |", "| c | 2 |"]


def test_folder_without_finished_cells_is_an_error(store: Store) -> None:
    store.cell("x", "0" * 64).begin()
    with pytest.raises(BenchError, match="holds no finished cell"):
        write_leaderboards(store)


def test_leaderboard_needs_the_cells_alone(store: Store) -> None:
    """Trainings are large; whoever deletes them keeps the scores."""
    entry = add(store, {"RR@10": {"q": 0.5}})
    for file in (store.root / "trainings").rglob("*"):
        if file.is_file():
            file.unlink()
    assert len(write_leaderboards(store)) == 4
    assert cost_frame(store, [entry]).iloc[0]["evaluation_search_seconds"] == 0.5


def test_measure_that_no_cell_was_scored_by_is_an_error(store: Store) -> None:
    add(store, {"RR@10": {"q": 0.5}})
    with pytest.raises(BenchError):
        commands.leaderboard(store.root, ["P@5"])
