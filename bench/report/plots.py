"""Plots for papers, as PNG and SVG: quality against cost, a heat map, learning curves.

They show what `bench.report.data` computed. The same data are the same bytes: an SVG has no random ids, and no file has
a date. Names are drawn as text, never as formulas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from bench.storage.atomic import atomic_write

STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
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
    "text.parse_math": False,  # a method may be called $x$
}
ACCENT, QUIET = "#14609e", "#62666e"
PALETTE = "Blues"
"""One hue from light to dark, which every kind of colour vision sees."""
DARK = 0.715
"""The share of the largest value above which white text has a higher contrast (WCAG 2) on the palette than black."""
NAME_WIDTH = 28
"""Characters of a point's name in one line."""
PLACES = [
    (right * side, up, "left" if side > 0 else "right")
    for right, up in [(6, 0), (5, 8), (5, -8), *((10, up) for up in (18, -18, 30, -30, 42, 54, 66, 78, 90, 102))]
    for side in (1, -1)
]
"""Offsets from a point at which its name may be placed, in printer's points, and the side of the name that is there."""
BESIDE: Any = {"textcoords": "offset points", "va": "center", "fontsize": 8}
COSTS = {"cpu": "training, CPU seconds", "seconds": "training, seconds"}
METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
Values = Mapping[str, Any]


def write_plots(data: Values, folder: Path) -> list[str]:
    """Write all plots of a report's data as PNG and SVG; return their names without the endings."""
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
    systems = data["systems"]
    boards = sorted({system["board"] for system in systems if measure in system["standings"]})
    rows = [(row["standings"][measure], row["systems"]) for row in data["overview"] if measure in row["standings"]]
    sign = 1 if measure in data["lower"] else -1
    rows.sort(key=lambda row: (-row[0]["boards"], sign * row[0]["mean"]))
    values = np.full((len(rows), len(boards)), np.nan)
    for y, (_, members) in enumerate(rows):
        for system in (systems[i] for i in members):
            if measure in system["standings"]:
                values[y, boards.index(system["board"])] = system["standings"][measure]["mean"]
    top = max(overall["high"] for overall, _ in rows) or 1.0
    figure = Figure(figsize=(1.8 + 0.85 * len(boards), 0.9 + 0.28 * len(rows)))
    axes = figure.subplots()
    axes.imshow(values, cmap=PALETTE, vmin=0, vmax=top, aspect="auto")
    for y, x in np.argwhere(~np.isnan(values)):
        colour = "white" if values[y, x] / top >= DARK else "black"
        axes.text(x, y, f"{values[y, x]:.3f}", ha="center", va="center", color=colour, fontsize=8)
    named = [
        name for name in ("dataset", "pair", "encoder") if name == "pair" or len({b[name] for b in data["boards"]}) > 1
    ]
    axes.set_xticks(range(len(boards)), ["\n".join(data["boards"][i][name] for name in named) for i in boards])
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(rows)), [_label(systems[members[0]]) for _, members in rows])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(measure)
    return figure


def _trained(systems: Sequence[Values], cost: str) -> list[Values]:
    """Return the systems with this cost that are no references."""
    return [system for system in systems if not system["reference"] and (system["cost"][cost] or 0) > 0]


def _scatter(systems: Sequence[Values], cost: str, measure: str, title: str) -> Figure:
    """Draw means with their intervals against a cost on a logarithmic axis; references are lines."""
    figure = Figure(figsize=(5.6, 3.6))
    axes = figure.subplots()
    points = []
    for system in _trained(systems, cost):
        standing, spent = system["standings"][measure], system["cost"][cost]
        mean = standing["mean"]
        reach = [[max(mean - standing["low"], 0)], [max(standing["high"] - mean, 0)]]
        axes.errorbar([spent], [mean], yerr=reach, fmt="o", color=ACCENT, markersize=4, elinewidth=1, alpha=0.9)
        points.append((spent, mean, _label(system)))
    lines = [(each["standings"][measure]["mean"], each["method"]) for each in systems if each["reference"]]
    for mean, _ in lines:
        axes.axhline(mean, color=QUIET, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    costs = [spent for spent, _, _ in points]
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if max(costs) >= 5 * min(costs) else MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.12)
    axes.set_ylim(bottom=0)
    _name_points(axes, points, _name_lines(axes, lines))
    axes.set_xlabel(COSTS[cost])
    axes.set_ylabel(measure)
    axes.set_title(title, loc="left", fontsize=9)
    return figure


def _name_lines(axes: Axes, lines: Sequence[tuple[float, str]]) -> list[Annotation]:
    """Write the names of references at the right end of their lines; lines that are close share one text."""
    distance = 0.05 * axes.get_ylim()[1]
    names: list[tuple[float, list[str]]] = []
    for mean, method in sorted(lines, key=lambda line: line[0]):
        if not names or mean - names[-1][0] >= distance:
            names.append((mean, []))
        names[-1][1].append(method)
    style = {"xycoords": ("axes fraction", "data"), "xytext": (4, 0), "color": QUIET, "style": "italic", **BESIDE}
    return [axes.annotate(", ".join(dict.fromkeys(methods)), (1, mean), **style) for mean, methods in names]


def _name_points(axes: Axes, points: Sequence[tuple[float, float, str]], others: Sequence[Annotation]) -> None:
    """Write names beside points, each at the first of `PLACES` where it covers no point, no axis and no other name; at
    the first of all if there is none.
    """
    renderer = FigureCanvasAgg(axes.figure).get_renderer()  # type: ignore[arg-type]
    reach = 4 * renderer.points_to_pixels(1.0)
    pixels = [axes.transData.transform(point[:2]) for point in points]
    taken = [Bbox.from_extents(x - reach, y - reach, x + reach, y + reach) for x, y in pixels]
    taken += [text.get_window_extent(renderer) for text in others]
    bottom = axes.get_window_extent(renderer).y0
    for x, y, name in sorted(points, key=lambda point: -point[1]):
        for right, up, side in PLACES:
            arrow = {"arrowstyle": "-", "color": "#b9b5ab", "linewidth": 0.6} if abs(up) > 10 else None
            text = axes.annotate(
                fill(name, NAME_WIDTH), (x, y), xytext=(right, up), ha=side, arrowprops=arrow, **BESIDE
            )
            text.update_positions(renderer)
            own = Text.get_window_extent(text, renderer)  # the extent of an annotation includes its arrow
            if own.y0 >= bottom and not own.count_overlaps(taken):
                taken.append(own)
                break
            text.remove()
        else:
            axes.annotate(fill(name, NAME_WIDTH), (x, y), xytext=PLACES[0][:2], **BESIDE)


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
    """Return a name per board, with a number if two boards would share one."""
    names = [_plain("-".join(board[name] for name in ("dataset", "pair", "encoder"))) for board in boards]
    return [name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names)]


def _plain(text: str) -> str:
    """Return a text as part of a file name."""
    return re.sub(r"[^\w.]+", "-", text.replace("@", "_")).strip("-.") or "-"
