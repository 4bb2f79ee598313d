"""The report: the data of its page equal the frames, no name becomes markup, and plots name every system."""

import html
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cells import BREAKOUT, EVIL, MEASURES, add, add_external, fill_report, random_scores
from conftest import Cli
from hypothesis import given
from hypothesis import strategies as st

from bench import registry
from bench.report import report as reporting
from bench.report.leaderboard import PER_MEASURE, Leaderboard, cost_frame, leaderboard
from bench.report.page import FILES, PAIR, SCRIPTS, block, page, read_losses, report_data, thinned
from bench.report.report import write_leaderboard, write_report
from bench.report.tables import latex
from bench.results.store import LOG, Store
from bench.storage.sealed import read_manifest
from bench.tables import frame_csv


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return fill_report(Store(tmp_path / "results").open(), ("qaa-eng", "qab-eng"))


@pytest.fixture
def found(store: Store) -> Leaderboard:
    return leaderboard(store)


def test_standings_and_comparisons_are_those_of_the_frames(found: Leaderboard) -> None:
    data = report_data(found)
    names = [(data["boards"][system["board"]]["pair"], system["method"]) for system in data["systems"]]
    wide = found.wide.set_index(["pair", "method"]).sort_index()
    compared = found.pairs.set_index(["measure", "pair", "method_a", "method_b"]).sort_index()
    assert len(names) == len(wide) == 8
    assert not any(system["bound"] for system in data["systems"])
    for measure in MEASURES:
        for name, system in zip(names, data["systems"], strict=True):
            row = wide.loc[name, [f"{measure}{part}" for part in PER_MEASURE.values()]]
            expected = [None if missing else value for value, missing in zip(row, row.isna(), strict=True)]
            assert [system["standings"][measure][key] for key in PER_MEASURE] == expected
        assert len(data["pairs"][measure]) == 2 * 6
        for a, b, *values, wins, ties, losses in data["pairs"][measure]:
            assert names[a][0] == names[b][0]
            row = compared.loc[(measure, *names[a], names[b][1])]
            assert values == [None if np.isnan(value) else value for value in row[PAIR[2:-3]]]
            of_a, of_b = (np.array(data["scores"][measure][i]) for i in (a, b))
            assert abs((of_a > of_b).sum() - wins) <= 2  # scores are rounded, counts are not
            assert wins + ties + losses == row["queries"]


def test_per_query_scores_are_averaged_over_seeds_and_missing_ones_are_none(store: Store) -> None:
    add(store, {"RR@10": {"q0": 0.5, "another": 1.0}}, method="psq")
    data = report_data(leaderboard(store))
    queries, systems = data["boards"][0]["queries"], zip(data["systems"], data["scores"]["RR@10"], strict=True)
    rows = {each["method"]: dict(zip(queries, row, strict=True)) for each, row in systems if each["board"] == 0}
    both = [random_scores(seed, centre)["RR@10"] for seed, centre in ((0, 0.6), (2, 0.55))]
    means = {query: pytest.approx((both[0][query] + both[1][query]) / 2, abs=5.1e-5) for query in both[0]}
    assert rows["optical"] == {**means, "another": None}
    assert [rows["psq"][query] for query in ("q0", "another", "q1")] == [0.5, 1.0, None]
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


def test_an_imported_mean_has_neither_rank_nor_scores(store: Store) -> None:
    add_external(store, "qaa-eng", "RR@10", 0.5)
    data = report_data(leaderboard(store))
    (number,) = [i for i, system in enumerate(data["systems"]) if system["method"] == "elsewhere"]
    (standing,) = data["systems"][number]["standings"].values()
    assert {name for name, value in standing.items() if value is not None} == {"mean"}
    assert data["scores"]["RR@10"][number] is None
    assert data["manifests"][number][0]["training"] is None
    (row,) = [row for row in data["overview"] if row["systems"] == [number]]
    shown = row["standings"]["RR@10"]
    assert (shown["mean"], shown["boards"], shown["best_rank"], shown["compared"]) == (0.5, 1, None, 0)
    assert page(data)


def test_bounds_have_no_rank_and_set_no_scale_of_a_plot(store: Store) -> None:
    add(store, random_scores(9, 0.97), method="oracle", supervision="", train="", seed="", budget="")
    data = report_data(leaderboard(store))
    (bound,) = (system for system in data["systems"] if system["bound"])
    assert bound["method"] == "oracle" and bound["standings"]["nDCG@10"]["best_rank"] is None
    same = [system for system in data["systems"] if system["board"] == bound["board"] and not system["bound"]]
    assert min(system["standings"]["nDCG@10"]["best_rank"] for system in same) == 1
    rivals = [system for system in data["systems"] if not system["bound"]]
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    from bench.report import plots

    (image,) = plots._heat(data, "nDCG@10").axes[0].images
    assert image.norm.vmax == max(system["standings"]["nDCG@10"]["mean"] for system in rivals)
    (axes,) = plots._scatter([*same, bound], "seconds", "nDCG@10", "").axes
    assert axes.get_ylim()[1] == pytest.approx(1.06 * max(system["standings"]["nDCG@10"]["high"] for system in same))


def test_page_has_the_files_and_the_methods_of_its_results(found: Leaderboard) -> None:
    data = report_data(found)
    assert data["files"] == {"leaderboard-wide.csv": frame_csv(found.wide), "leaderboard.tex": latex(found)}
    assert {"zero-shot", "adversarial"} <= data["methods"].keys()
    for system in data["systems"]:
        assert system["pages"] == [name for name in (system["method"],) if name in registry.known()]


def test_overview_is_over_the_boards(found: Leaderboard) -> None:
    data = report_data(found)
    by_method = {data["systems"][row["systems"][0]]["method"]: row["standings"]["RR@10"] for row in data["overview"]}
    means = found.wide.set_index("method").loc["optical", "RR@10"]
    row = by_method["optical"]
    assert row["mean"] == pytest.approx(means.mean(), abs=1e-6)
    assert (row["low"], row["high"], row["boards"], row["compared"]) == (means.min(), means.max(), 2, 2)
    assert [by_method["adversarial"][name] for name in ("better", "worse", "compared")] == [2, 0, 2]
    assert by_method["zero-shot"]["compared"] == 0


def test_systems_of_the_same_name_have_labels_that_differ(store: Store) -> None:
    add(store, random_scores(20, 0.5), budget="20steps")
    systems = [each for each in report_data(leaderboard(store))["systems"] if each["method"] == "optical"]
    details = {(system["board"], *system["details"]) for system in systems}
    assert details == {(0, "budget 10steps"), (0, "budget 20steps"), (1, "budget 10steps")}


def test_manifests_are_complete_and_scores_beyond_the_bound_are_left_out(found: Leaderboard) -> None:
    data = report_data(found)
    shown = data["manifests"][0][0]["training"]
    manifest = read_manifest(found.store.root / "trainings" / found.systems[0].cells[0].manifest["training"])
    assert shown == {key: manifest[key] for key in shown}
    assert {"fingerprint", "provenance", "data_report", "cost"} <= set(shown)  # the identity is that of the system
    room = len(json.dumps(data["scores"]["nDCG@10"], separators=(",", ":")))
    data = report_data(found, scores_limit=room)
    assert (list(data["scores"]), data["left_out"]) == (["nDCG@10"], ["RR@10"])
    assert data["pairs"]["RR@10"]


def test_curves_are_thin_and_belong_to_their_trainings(store: Store, found: Leaderboard) -> None:
    data = report_data(found)
    assert len(data["curves"]) == 6  # two seeds of one and one of another system on two boards
    assert {(len(curve["steps"]), curve["steps"][-1]) for curve in data["curves"]} == {(200, 500), (7, 7)}
    assert all(len(curve["steps"]) == len(curve["losses"]) for curve in data["curves"])
    for file in (store.root / "trainings").rglob("*.json"):
        file.unlink()
    assert len(write_leaderboard(found)) == 7
    data = report_data(found)
    assert data["curves"] == []
    assert all("training" in facts for manifests in data["manifests"] for facts in manifests)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=700), st.integers(1, 250))
def test_thinning_keeps_the_mean_and_the_last_step(losses: list[float], limit: int) -> None:
    points = pd.DataFrame({"step": range(1, len(losses) + 1), "loss": losses})
    thin = thinned(points, limit)
    assert len(thin) == min(limit, len(losses)) and thin["step"].iloc[-1] == len(losses)
    lengths = np.diff([0, *thin["step"]])
    assert max(lengths) - min(lengths) <= 1
    assert (thin["loss"] * lengths).sum() == pytest.approx(sum(losses), rel=1e-6, abs=1e-3)


def test_a_log_has_steps_without_a_loss_and_may_be_damaged(tmp_path: Path) -> None:
    entry = Store(tmp_path).open().training("x", "0" * 64)
    lines = ('{"step": 1, "loss": 2}', '{"step": 2}', '{"step": 3, "loss": NaN}', '{"step": 4, "loss": 0.5, "x": 1}')
    (entry.begin() / LOG).write_text("\n".join(lines))
    training = entry.finish({})
    assert read_losses(training).values.tolist() == [[1, 2.0], [4, 0.5]]
    (training.folder / LOG).write_text(lines[0])
    assert read_losses(training).empty


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


def test_same_results_are_the_same_bytes_and_plots_name_systems_as_text(store: Store, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    add(store, random_scores(30, 0.5), method=r"$\frac{1$ & <b>")
    contents = []
    for name in ("one", "other"):
        folder = tmp_path / name
        write_report(leaderboard(store), ["RR@10"], folder)
        files = (path for path in folder.rglob("*") if path.is_file())
        contents.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    csv = {f"{name}.csv" for name in ("leaderboard", "leaderboard-wide", "comparisons", "cost", "gaps")}
    kinds = ("cost-RR_10", "curves")
    plots = ["heat-RR_10", *(f"{kind}-conlang-{pair}-eng-tiny" for kind in kinds for pair in ("qaa", "qab"))]
    expected = {f"plots/{plot}.{ending}" for plot in plots for ending in ("png", "svg")}
    assert set(contents[0]) == {"report.html", "leaderboard.md", "leaderboard.tex", *csv, *expected}
    for plot in ("heat-RR_10", "cost-RR_10-conlang-qaa-eng-tiny"):
        text = contents[0][f"plots/{plot}.svg"].decode()
        for name in (r"$\frac{1$ &amp; &lt;b&gt;", "optical", "adversarial", "zero-shot"):
            assert name in text
        assert "<img" not in text


@pytest.mark.parametrize("factor", [1.02, 1.5, 3.0, 10.0, 1000.0])
def test_costs_are_written_at_the_axis_whatever_their_range(factor: float) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
    from bench.report.plots import _scatter

    standings = {"RR@10": {"mean": 0.5, "low": None, "high": None}}
    about = {"details": [], "reference": False, "bound": False, "standings": standings}
    systems = [{"method": str(cpu), "cost": {"cpu": cpu}, **about} for cpu in (19.0, 19.0 * factor)]
    figure = _scatter(systems, "cpu", "RR@10", "a board")
    figure.canvas.draw()
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    shown = [label.get_text() for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
    assert len(shown) == len(set(shown)) >= 2


def test_without_matplotlib_the_page_is_written_with_a_note(
    store: Store, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    find = reporting.importlib.util.find_spec
    monkeypatch.setattr(
        reporting.importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    said = cli("report", "--results", store.root)
    assert "no plots: matplotlib is not installed: pip install 'matplotlib" in said.out
    assert (store.root / "report.html").is_file()
    assert not (store.root / "plots").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--measures", "P@5"], "unknown measure 'P@5'"),
        (["--measures", "bogus"], "bogus"),
        (["--baseline", "zero-sho"], "unknown baseline 'zero-sho'; did you mean zero-shot?"),
        (["--output", "{file}"], "output = '{file}': it exists and is not a folder; choose another name"),
        (["--results", "{empty}"], "{empty} holds no finished cell; fill it with bench run --results {empty}"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], line: str, store: Store, tmp_path: Path, cli: Cli) -> None:
    places = {"file": str(tmp_path / "file"), "empty": str(tmp_path / "empty")}
    (tmp_path / "file").touch()
    given = [argument.format(**places) for argument in arguments]
    results = [] if "--results" in arguments else ["--results", str(store.root)]
    said = cli("report", *results, *given, code=2)
    assert line.format(**places) in said.lines[0]
    assert len(said.lines) == 1 and not said.out
