"""The report: the data of its page equal the frames, and no name becomes markup."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cells
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli import main
from bench.report import report as reporting
from bench.report.data import UNIT, read_losses, report_data, thinned
from bench.report.html import FILES, SCRIPTS, block, page
from bench.report.leaderboard import PER_MEASURE, Leaderboard, comparison_frame, cost_frame, leaderboard
from bench.report.report import NO_PLOTS, write_report
from bench.results.store import LOG, Record, Store
from bench.storage.sealed import read_manifest

EVIL = "<img src=x onerror=alert(1)>"
BREAKOUT = "</script><script>alert(1)</script><!--<script>{{data}}"
MEASURES = ("nDCG@10", "RR@10")


def add(store: Store, scores: Mapping[str, Mapping[str, float]], losses: int = 0, **changes: Any) -> Record:
    """Add a finished cell and its finished training, with a log of so many losses."""
    provenance = {"finished": "2026-01-02T03:04:05", "commit": "c0ffee", "command": f"bench run --methods {EVIL}"}
    cost = {"seconds": 12.5 + len(changes.get("method", "optical")), "trained_steps": 10, "parameters": 1_000_000}
    training = {"cost": cost, "provenance": provenance, "data_report": {"bitext": {"conlang": {"kept": 9}}}}
    return cells.add(store, scores, losses=losses, training=training, manifest={"provenance": provenance}, **changes)


def add_external(store: Store, pair: str, measure: str, mean: float) -> None:
    """Add an imported cell: a mean without scores of queries."""
    about = {"training": None, "trained": {}, "reported": {measure: mean}, "external": {"file": "x", "sha256": "y"}}
    cells.add(
        store, {}, method="elsewhere", supervision="external", pair=pair, train="", seed="", budget="", manifest=about
    )


def scores(seed: int, centre: float, queries: int = 40) -> dict[str, dict[str, float]]:
    rng = np.random.default_rng(seed)
    values = np.clip(rng.normal(centre, 0.2, (len(MEASURES), queries)), 0, 1)
    return {
        name: {f"q{i}": float(value) for i, value in enumerate(row)} for name, row in zip(MEASURES, values, strict=True)
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four systems on two boards, one of them with two seeds, one with a hostile name, and a reference row."""
    store = Store(tmp_path / "results").open()
    for i, pair in enumerate(("qaa-eng", "qab-eng")):
        add(store, scores(i, 0.6 - i / 5), losses=500, pair=pair)
        add(store, scores(i + 2, 0.55 - i / 5), losses=500, pair=pair, seed="1")
        add(
            store,
            scores(i + 4, 0.3),
            losses=7,
            pair=pair,
            method="adversarial",
            supervision="relevance + unpaired text",
        )
        add(store, scores(i + 6, 0.4), pair=pair, method=EVIL, config=f"x={BREAKOUT}")
        add(store, scores(i + 8, 0.1), pair=pair, method="zero-shot", supervision="", train="", seed="", budget="")
    return store


@pytest.fixture
def found(store: Store) -> Leaderboard:
    return leaderboard(store)


def numbers(values: Iterable[float]) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values]


def test_standings_and_comparisons_are_those_of_the_frames(found: Leaderboard) -> None:
    data = report_data(found)
    names = [(data["boards"][system["board"]]["pair"], system["method"]) for system in data["systems"]]
    wide = found.wide.set_index(["pair", "method"]).sort_index()
    compared = comparison_frame(found.comparisons).set_index(["measure", "pair", "method_a", "method_b"]).sort_index()
    shown = ["difference", "low", "high", "effect", "p_queries", "p_seeds", "p_holm", "family"]
    assert len(names) == len(wide) == 8
    for measure in MEASURES:
        for name, system in zip(names, data["systems"], strict=True):
            standing = [system["standings"][measure][key] for key in PER_MEASURE.values()]
            assert standing == numbers(wide.loc[name, [f"{measure}{part}" for part in PER_MEASURE]])
        assert len(data["pairs"][measure]) == 2 * 6
        for a, b, *values, wins, ties, losses in data["pairs"][measure]:
            assert names[a][0] == names[b][0]
            row = compared.loc[(measure, *names[a], names[b][1])]
            assert values == numbers(row[shown])
            of_a, of_b = (np.array(data["scores"][measure][i]) for i in (a, b))
            assert abs((of_a > of_b).sum() - wins) <= 2  # scores are rounded, counts are not
            assert wins + ties + losses == row["queries"]


def test_per_query_scores_are_averaged_over_seeds_and_missing_ones_are_none(store: Store) -> None:
    add(store, {"RR@10": {"q0": 0.5, "another": 1.0}}, method="psq")
    data = report_data(leaderboard(store))
    rows = {
        system["method"]: dict(zip(data["boards"][0]["queries"], row or [], strict=False))
        for system, row in zip(data["systems"], data["scores"]["RR@10"], strict=True)
        if system["board"] == 0
    }
    both = [scores(seed, centre)["RR@10"] for seed, centre in ((0, 0.6), (2, 0.55))]
    means = {query: pytest.approx((both[0][query] + both[1][query]) / 2 * UNIT, abs=0.51) for query in both[0]}
    assert rows["optical"] == {**means, "another": None}
    assert [rows["psq"][query] for query in ("q0", "another", "q1")] == [5000, 10000, None]
    assert data["scores"]["nDCG@10"][[system["method"] for system in data["systems"]].index("psq")] is None


def test_costs_are_those_of_the_cost_frame_and_a_row_that_trains_nothing_has_none(found: Leaderboard) -> None:
    frame = cost_frame(found.cells).set_index(["pair", "method"]).sort_index()
    for system in report_data(found)["systems"]:
        if system["method"] == "zero-shot":
            assert set(system["cost"].values()) == {None}
        elif system["method"] == EVIL:
            (row,) = frame.loc[[("qaa-eng", EVIL)]].to_dict("records")
            assert system["cost"]["seconds"] == row["training_seconds"] == 12.5 + len(EVIL)
            assert (system["cost"]["steps"], system["cost"]["cpu"]) == (10, None)
        assert system["diagnostics"] == ["probe_accuracy=0.750"]


def test_lower_scores_win_by_a_measure_that_is_better_when_lower(store: Store) -> None:
    for method, values in (("optical", (3.0, 900.0, 5.0)), ("zero-shot", (4.0, 900.0, 50.0))):
        add(store, {"MaxR@1000": dict(zip("abc", values, strict=True))}, method=method, dataset="pool", seed="")
    data = report_data(leaderboard(store), ["MaxR@1000", "RR@10"])
    assert data["lower"] == ["MaxR@1000"]
    ((a, b, difference, *_, wins, ties, losses),) = data["pairs"]["MaxR@1000"]
    assert [data["systems"][i]["method"] for i in (a, b)] == ["optical", "zero-shot"]
    assert (round(difference, 3), wins, ties, losses) == (-15.333, 2, 1, 0)


def test_a_mean_that_others_report_stands_alone(store: Store) -> None:
    add_external(store, "qaa-eng", "RR@10", 0.5)
    data = report_data(leaderboard(store))
    (number,) = [i for i, system in enumerate(data["systems"]) if system["method"] == "elsewhere"]
    assert data["systems"][number]["standings"] == {"RR@10": {"mean": 0.5}}
    assert data["scores"]["RR@10"][number] is None
    assert set(data["manifests"][number][0]) == {"seed", "cell"}
    (row,) = [row for row in data["overview"] if row["systems"] == [number]]
    shown = row["standings"]["RR@10"]
    assert (shown["mean"], shown["boards"], shown["rank"], shown["compared"]) == (0.5, 1, None, 0)
    assert page(data)


def test_overview_is_over_the_boards(found: Leaderboard) -> None:
    data = report_data(found)
    by_method = {data["systems"][row["systems"][0]]["method"]: row for row in data["overview"]}
    assert len(by_method) == 4
    row = by_method["optical"]["standings"]["RR@10"]
    means = found.wide.set_index("method").loc["optical", "RR@10"]
    assert row["mean"] == pytest.approx(means.mean(), abs=1e-6)
    assert (row["low"], row["high"], row["boards"]) == (means.min(), means.max(), 2)
    assert row["compared"] == 2
    row = by_method["adversarial"]["standings"]["RR@10"]
    assert (row["better"], row["worse"], row["compared"]) == (2, 0, 2)
    assert by_method["zero-shot"]["standings"]["RR@10"]["compared"] == 0


def test_systems_of_the_same_name_have_labels_that_differ(store: Store) -> None:
    add(store, scores(20, 0.5), budget="20steps")
    details = {
        (system["board"], *system["details"])
        for system in report_data(leaderboard(store))["systems"]
        if system["method"] == "optical"
    }
    assert details == {(0, "budget 10steps"), (0, "budget 20steps"), (1, "budget 10steps")}


def test_scores_beyond_the_bound_are_left_out_with_their_measure(found: Leaderboard) -> None:
    whole = report_data(found)["scores"]
    room = len(json.dumps(whole["nDCG@10"], separators=(",", ":")))
    data = report_data(found, scores_limit=room)
    assert (list(data["scores"]), data["left_out"]) == (["nDCG@10"], ["RR@10"])
    assert data["pairs"]["RR@10"]
    assert report_data(found, ["RR@10", "nDCG@10"], room)["measures"] == ["RR@10", "nDCG@10"]


def test_manifests_are_complete_but_for_the_identity_of_the_system(found: Leaderboard) -> None:
    data = report_data(found)
    pool = data["values"]
    system = found.boards["conlang", "qaa-eng", "tiny"][0]
    facts, *_ = data["manifests"][0]
    shown = {
        key: {name: pool[place] for name, place in value.items()} if isinstance(value, dict) else pool[value]
        for key, value in facts["training"].items()
    }
    manifest = read_manifest(found.store.root / "trainings" / system.cells[0].manifest["training"])
    assert shown == {key: manifest[key] for key in shown}
    assert {"fingerprint", "provenance", "data_report", "cost"} <= set(shown)


def test_curves_are_thin_and_belong_to_their_trainings(found: Leaderboard) -> None:
    data = report_data(found)
    assert len(data["curves"]) == 6  # two seeds of one and one of another system on two boards
    assert {(len(curve["steps"]), curve["steps"][-1]) for curve in data["curves"]} == {(200, 500), (7, 7)}
    assert all(len(curve["steps"]) == len(curve["losses"]) for curve in data["curves"])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=700), st.integers(1, 250))
def test_thinning_keeps_the_mean_and_the_last_step(losses: list[float], limit: int) -> None:
    points = list(enumerate(losses, 1))
    thin = thinned(points, limit)
    assert len(thin) == min(limit, len(points))
    assert thin[-1][0] == len(points)
    steps = [0, *(step for step, _ in thin)]
    assert steps == sorted(set(steps))
    weighted = sum(loss * (after - before) for (_, loss), before, after in zip(thin, steps, steps[1:], strict=False))
    assert weighted == pytest.approx(sum(losses), rel=1e-6, abs=1e-3)


def test_a_log_that_was_cut_off_has_the_losses_before(tmp_path: Path) -> None:
    entry = Store(tmp_path).open().training("x", "0" * 64)
    lines = ('{"step": 1, "loss": 2}', '{"step": 2}', '{"step": 3, "loss": NaN}', "null", '{"step": 4, "loss": 0.5}')
    (entry.begin() / LOG).write_text("\n".join([*lines, '{"st']))
    training = entry.finish({})
    assert read_losses(training) == [(1, 2.0), (4, 0.5)]
    (training.folder / LOG).write_text(lines[0])  # damaged: its hash differs
    assert read_losses(training) == []


def test_deleted_trainings_leave_everything_but_curves(store: Store) -> None:
    for file in (store.root / "trainings").rglob("*"):
        if file.is_file():
            file.unlink()
    data = report_data(leaderboard(store))
    assert data["curves"] == []
    assert all("training" in facts for manifests in data["manifests"] for facts in manifests)
    assert block(data)


class Tags(HTMLParser):
    """Every tag and attribute of a page, and the text of its data."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.data = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self._inside = ("id", "data") in attrs

    def handle_data(self, data: str) -> None:
        self.data += data if self._inside else ""


def test_names_never_become_markup_and_the_data_are_complete(found: Leaderboard) -> None:
    data = report_data(found)
    data["boards"][0]["dataset"] = EVIL
    text, parser = page(data), Tags()
    parser.feed(text)
    assert f"<title>4 systems on {html.escape(EVIL)}, conlang</title>" in text
    assert parser.tags.count("script") == 2
    assert "img" not in parser.tags
    assert not [name for name in parser.attributes if name.startswith("on")]
    assert EVIL not in text and BREAKOUT not in text
    assert json.loads(parser.data) == json.loads(json.dumps(data))


def test_the_page_needs_no_network_and_uses_every_file(found: Leaderboard) -> None:
    data = report_data(found)
    shell = page(data).replace(block(data), "").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]|@import|url\(|\bfetch\b|XMLHttp|innerHTML|insertAdjacent|\beval\b", shell)
    assert "default-src 'none'" in shell
    assert {file.name for file in FILES.iterdir()} == {"page.html", "page.css", *SCRIPTS}


@given(
    st.recursive(st.none() | st.text() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_a_block_ends_nowhere_and_is_json(value: Any) -> None:
    text = block({"value": value, "breakout": BREAKOUT})
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text)["breakout"] == BREAKOUT


def test_same_results_are_the_same_bytes_and_plots_have_names_as_text(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    add(store, scores(30, 0.5), method=r"$\frac{1$ & <b>")
    contents = []
    for name in ("one", "other"):
        folder = tmp_path / name
        write_report(leaderboard(store), ["RR@10"], folder)
        files = (path for path in folder.rglob("*") if path.is_file())
        contents.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert {"report.html", "leaderboard.csv", "leaderboard.md", "leaderboard.tex", "comparisons.csv"} <= set(
        contents[0]
    )
    kinds = ("cost-RR_10", "curves")
    plots = ["heat-RR_10", *(f"{kind}-conlang-{pair}-eng-tiny" for kind in kinds for pair in ("qaa", "qab"))]
    expected = {f"plots/{plot}.{ending}" for plot in plots for ending in ("png", "svg")}
    assert {name for name in contents[0] if name.startswith("plots")} == expected
    text = contents[0]["plots/heat-RR_10.svg"].decode()
    assert r"$\frac{1$ &amp; &lt;b&gt;" in text
    assert "<img" not in text


def test_without_matplotlib_the_page_is_written_with_a_note(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(reporting.importlib.util, "find_spec", lambda name: None)
    assert main(["report", "--results", str(store.root)]) == 0
    assert (store.root / "report.html").is_file()
    assert not (store.root / "plots").exists()
    assert NO_PLOTS in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--measures", "P@5"], "unknown measure 'P@5'"),
        (["--measures", "bogus"], "bogus"),
        (["--baseline", "zero-sho"], "unknown baseline 'zero-sho'; did you mean zero-shot?"),
        (["--output", "{file}"], "{file} cannot be made: File exists; choose another with --output"),
        (["--results", "{empty}"], "{empty} holds no finished cell; fill it with bench run --results {empty}"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], line: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"file": str(tmp_path / "file"), "empty": str(tmp_path / "empty")}
    (tmp_path / "file").touch()
    given = [argument.format(**places) for argument in arguments]
    results = [] if "--results" in arguments else ["--results", str(store.root)]
    assert main(["report", *results, *given]) == 2
    captured = capsys.readouterr()
    assert line.format(**places) in captured.err
    assert captured.err.count("\n") == 1 and not captured.out
