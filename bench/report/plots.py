"""Plots for papers, as PNG and SVG: quality against cost, a heat map, learning curves.

They show the data of `bench.report.page`. The same data give the same bytes: an SVG has no random ids, and no file has
a date. Names are drawn as text, never as formulas.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from bench.storage.atomic import atomic_write

STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#62666e",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e3e0d9",
    "svg.fonttype": "none",
    "svg.hashsalt": "clir-bench",
    "text.parse_math": False,  # the name of a method may contain $
}
ACCENT, QUIET = "#14609e", "#62666e"
PALETTE = "Blues"
"""One hue from light to dark, for every kind of colour vision."""
DARK = 0.715
"""Share of the largest value above which white text has a higher contrast (WCAG 2) than black."""
MARKERS = "osD^v<>PXphd*"
"""Markers, which with the colours distinguish more than a hundred systems."""
COSTS = {"cpu": "training, CPU seconds", "seconds": "training, seconds"}
METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
Values = Mapping[str, Any]


def write_plots(data: Values, folder: Path) -> list[str]:
    """Write all plots of a report as PNG and SVG, and return their names without endings."""
    names: list[str] = []
    with matplotlib.rc_context(STYLE):
        for name, figure in _plots(data):
            for ending, metadata in METADATA.items():
                with atomic_write(folder / f"{name}.{ending}", "wb") as file:
                    figure.savefig(file, format=ending, dpi=200, metadata=metadata, bbox_inches="tight")
            names.append(name)
    return names


def _plots(data: Values) -> Iterator[tuple[str, Figure]]:
    """Yield names and figures: a heat map per measure, a scatter plot per measure and board, learning curves per board.
    Empty plots are left out.
    """
    names = _file_names(data["boards"])
    boards = [(name, board["title"], i) for i, (name, board) in enumerate(zip(names, data["boards"], strict=True))]
    for measure in data["measures"]:
        yield f"heat-{_plain(measure)}", _heat(data, measure)
        for name, title, i in boards:
            systems = [each for each in data["systems"] if each["board"] == i and measure in each["standings"]]
            if cost := next((cost for cost in COSTS if _trained(systems, cost)), None):
                yield f"cost-{_plain(measure)}-{name}", _scatter(systems, cost, measure, title)
    for name, title, i in boards:
        curves: dict[str, list[Values]] = {}
        for curve in data["curves"]:
            if system := next((data["systems"][s] for s in curve["systems"] if data["systems"][s]["board"] == i), None):
                curves.setdefault(_label(system), []).append(curve)
        if curves:
            yield f"curves-{name}", _curves(curves, title)


def _heat(data: Values, measure: str) -> Figure:
    """Draw systems by boards with the mean in each cell, best system first."""
    scored = [each for each in data["systems"] if measure in each["standings"]]
    index = pd.MultiIndex.from_tuples([(_label(system), system["board"]) for system in scored])
    means = pd.Series([system["standings"][measure]["mean"] for system in scored], index).unstack()
    sign = 1 if measure in data["lower"] else -1
    means = means.iloc[np.lexsort((sign * means.mean(axis=1), -means.count(axis=1)))]
    rivals = means.drop([_label(system) for system in scored if system["bound"]], errors="ignore")
    top = float(np.nanmax((rivals if len(rivals) else means).to_numpy())) or 1.0
    figure = Figure(figsize=(1.8 + 0.85 * len(means.columns), 0.9 + 0.28 * len(means)))
    axes = figure.subplots()
    axes.imshow(means, cmap=PALETTE, vmin=0, vmax=top, aspect="auto")
    for (y, x), value in np.ndenumerate(means):
        if not np.isnan(value):
            colour = "white" if value / top >= DARK else "black"
            axes.text(x, y, f"{value:.3f}", ha="center", va="center", color=colour, fontsize=8)
    named = [
        name for name in ("dataset", "pair", "encoder") if name == "pair" or len({b[name] for b in data["boards"]}) > 1
    ]
    boards = ["\n".join(fill(data["boards"][i][name], 11) for name in named) for i in means.columns]
    axes.set_xticks(range(len(boards)), boards)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(means)), means.index)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(measure)
    return figure


def _trained(systems: Sequence[Values], cost: str) -> list[Values]:
    """Return the systems with this cost, without references."""
    return [system for system in systems if not system["reference"] and (system["cost"][cost] or 0) > 0]


def _scatter(systems: Sequence[Values], cost: str, measure: str, title: str) -> Figure:
    """Draw means with their intervals against a cost on a logarithmic axis; references are lines."""
    figure = Figure(figsize=(6.8, 3.6), layout="constrained")
    axes = figure.subplots()
    trained = _trained(systems, cost)
    for i, system in enumerate(sorted(trained, key=lambda system: -system["standings"][measure]["mean"])):
        mean, low, high = (system["standings"][measure][name] for name in ("mean", "low", "high"))
        reach = None if low is None else [[max(mean - low, 0)], [max(high - mean, 0)]]
        style: Any = {"fmt": MARKERS[i % len(MARKERS)], "color": f"C{i}", "markersize": 5, "elinewidth": 1}
        axes.errorbar([system["cost"][cost]], [mean], yerr=reach, label=fill(_label(system), 28), **style)
    for i, system in enumerate(each for each in systems if each["reference"]):
        style = {"color": QUIET, "linestyle": (":", "--", "-.")[i % 3], "linewidth": 1}
        axes.axhline(system["standings"][measure]["mean"], label=_label(system), **style)
    axes.set_xscale("log")
    costs = [system["cost"][cost] for system in trained]
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if max(costs) >= 5 * min(costs) else MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.12)
    tops = [
        system["standings"][measure]["high"] or system["standings"][measure]["mean"]
        for system in systems
        if not system["bound"]
    ]
    axes.set_ylim(0, 1.06 * max(tops, default=0) or 1)
    axes.set_xlabel(COSTS[cost])
    axes.set_ylabel(measure)
    axes.set_title(title, loc="left", fontsize=9)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _curves(curves: Mapping[str, Sequence[Values]], title: str) -> Figure:
    """Draw a panel per system, each with its own axis, since methods minimise different losses."""
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(2.5 * columns, 1.7 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (label, lines) in zip(panels, sorted(curves.items()), strict=False):
        for line in lines:
            axes.plot(line["steps"], line["losses"], color=ACCENT, linewidth=1, alpha=0.8)
        axes.set_title(label, loc="left", fontsize=8)
        axes.tick_params(labelsize=7)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    figure.suptitle(f"{title}: training loss over steps", x=0.01, ha="left", fontsize=9)
    return figure


def _label(system: Values) -> str:
    return " · ".join([system["method"], *system["details"]])


def _file_names(boards: Sequence[Values]) -> list[str]:
    """Return a unique name for each board."""
    names = [_plain("-".join(board[name] for name in ("dataset", "pair", "encoder"))) for board in boards]
    return [name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names)]


def _plain(text: str) -> str:
    """Return a text as part of a file name."""
    return re.sub(r"[^\w.]+", "-", text.replace("@", "_")).strip("-.") or "-"
