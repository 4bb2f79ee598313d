"""Plots for papers, as PNG and SVG: quality against cost, a heat map, learning curves.

They show what `bench.report.data` worked out. The same data are the same bytes: nothing random is in an SVG, and no
file says when it was made. Names go into plots as text, never as formulas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from bench.atomic import atomic_write

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
MIDDLE = 0.179
"""The luminance that black and white text stand out from equally well."""
DPI = 200
NAME_WIDTH = 28
"""Characters of a point's name in one line."""
PLACES = [
    (right * side, up, "left" if side > 0 else "right")
    for right, up in [(6, 0), (5, 8), (5, -8), *((10, up) for up in (18, -18, 30, -30, 42, 54, 66, 78, 90, 102))]
    for side in (1, -1)
]
"""Where the name of a point may stand: points to its right and above it, and the side of the name that is there."""
COSTS = {"cpu": "training, CPU seconds", "seconds": "training, seconds"}
METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
CANVASES = {"png": FigureCanvasAgg, "svg": FigureCanvasSVG}


def write_plots(data: Mapping[str, Any], folder: Path) -> list[str]:
    """Write all plots of a report's data; returns their names, each that of a PNG and an SVG."""
    names: list[str] = []
    with matplotlib.rc_context(STYLE):
        for name, figure in _plots(data):
            for ending, canvas in CANVASES.items():
                with atomic_write(folder / f"{name}.{ending}", "wb") as file:
                    canvas(figure).print_figure(
                        file, format=ending, dpi=DPI, metadata=METADATA[ending], bbox_inches="tight"
                    )
            names.append(name)
    return names


def _plots(data: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    """File names without their endings, and figures: a heat map per measure, a scatter plot per measure and board,
    curves per board. Those that would be empty are left out.
    """
    boards = _file_names(data["boards"])
    for measure in data["measures"]:
        yield f"heat-{_plain(measure)}", _heat(data, measure)
        for number, board in enumerate(boards):
            systems = [system for system in data["systems"] if system["board"] == number]
            systems = [system for system in systems if measure in system["standings"]]
            if cost := next((cost for cost in COSTS if _trained(systems, cost)), None):
                title = data["boards"][number]["title"]
                yield f"cost-{_plain(measure)}-{board}", _scatter(systems, cost, measure, title)
    for number, board in enumerate(boards):
        if curves := _lines(data, number):
            yield f"curves-{board}", _curves(curves, data["boards"][number]["title"])


def _heat(data: Mapping[str, Any], measure: str) -> Figure:
    """Systems by boards, with the mean in each cell; best first."""
    systems = data["systems"]
    boards = sorted({system["board"] for system in systems if measure in system["standings"]})
    rows = [row for row in data["overview"] if measure in row["standings"]]
    sign = 1 if measure in data["lower"] else -1
    rows.sort(key=lambda row: (-row["standings"][measure]["boards"], sign * row["standings"][measure]["mean"]))
    values = [[float("nan")] * len(boards) for _ in rows]
    for line, row in zip(values, rows, strict=True):
        for system in (systems[i] for i in row["systems"]):
            if measure in system["standings"]:
                line[boards.index(system["board"])] = system["standings"][measure]["mean"]
    top = max(row["standings"][measure]["high"] for row in rows) or 1.0
    figure = Figure(figsize=(1.8 + 0.85 * len(boards), 0.9 + 0.28 * len(rows)))
    axes = figure.subplots()
    axes.imshow(values, cmap=PALETTE, vmin=0, vmax=top, aspect="auto")
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            if value == value:
                colour = "black" if _luminance(matplotlib.colormaps[PALETTE](value / top)) > MIDDLE else "white"
                axes.text(x, y, f"{value:.3f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(boards)), [_short_title(data["boards"], i) for i in boards])
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(rows)), [_label(systems[row["systems"][0]]) for row in rows])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(measure)
    return figure


def _luminance(colour: Sequence[float]) -> float:
    """The relative luminance of a colour, (red, green, blue, ...) in sRGB from 0 to 1, by WCAG 2."""
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _trained(systems: Sequence[Mapping[str, Any]], cost: str) -> list[Mapping[str, Any]]:
    """The systems that are no reference and have a cost."""
    return [system for system in systems if not system["reference"] and (system["cost"][cost] or 0) > 0]


def _scatter(systems: Sequence[Mapping[str, Any]], cost: str, measure: str, title: str) -> Figure:
    """Means with their intervals against a cost, on a logarithmic axis; references are lines."""
    figure = Figure(figsize=(5.6, 3.6))
    axes = figure.subplots()
    points = []
    for system in _trained(systems, cost):
        standing, spent = system["standings"][measure], system["cost"][cost]
        mean = standing["mean"]
        reach = [[max(mean - standing["low"], 0)], [max(standing["high"] - mean, 0)]]
        axes.errorbar([spent], [mean], yerr=reach, fmt="o", color=ACCENT, markersize=4, elinewidth=1, alpha=0.9)
        points.append((spent, mean, _label(system)))
    for system in systems:
        if system["reference"]:
            mean = system["standings"][measure]["mean"]
            axes.axhline(mean, color=QUIET, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    costs = [spent for spent, _, _ in points]
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if max(costs) >= 5 * min(costs) else MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.12)
    axes.set_ylim(bottom=0)
    _name_points(axes, points, _name_lines(axes, systems, measure))
    axes.set_xlabel(COSTS[cost])
    axes.set_ylabel(measure)
    axes.set_title(title, loc="left", fontsize=9)
    return figure


def _name_lines(axes: Axes, systems: Sequence[Mapping[str, Any]], measure: str) -> list[Annotation]:
    """Names of references at the right end of their lines, those of near ones together, each once; returns them."""
    height = axes.get_ylim()[1]
    names: list[tuple[float, list[str]]] = []
    for system in sorted(systems, key=lambda system: system["standings"][measure]["mean"]):
        if not system["reference"]:
            continue
        mean = system["standings"][measure]["mean"]
        if not names or mean - names[-1][0] >= 0.05 * height:
            names.append((mean, []))
        names[-1][1].append(system["method"])
    return [
        axes.annotate(
            ", ".join(dict.fromkeys(methods)),
            (1, mean),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=QUIET,
            fontsize=8,
            style="italic",
        )
        for mean, methods in names
    ]


def _name_points(axes: Axes, points: Sequence[tuple[float, float, str]], others: Sequence[Annotation]) -> None:
    """Names beside points, each at the first of `PLACES` where it covers no point, no axis and no other name."""
    figure = axes.figure
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[arg-type]
    pixels = [axes.transData.transform(point[:2]) for point in points]
    reach = 4 * renderer.points_to_pixels(1.0)
    taken = [Bbox.from_extents(x - reach, y - reach, x + reach, y + reach) for x, y in pixels]
    taken += [text.get_window_extent(renderer) for text in others]
    bottom = axes.get_window_extent(renderer).y0
    for x, y, name in sorted(points, key=lambda point: -point[1]):
        for right, up, side in PLACES:
            text = axes.annotate(
                fill(name, NAME_WIDTH),
                (x, y), xytext=(right, up), textcoords="offset points", ha=side, va="center", fontsize=8,
                arrowprops={"arrowstyle": "-", "color": "#b9b5ab", "linewidth": 0.6} if abs(up) > 10 else None,
            )  # fmt: skip
            text.update_positions(renderer)
            own = Text.get_window_extent(text, renderer)  # that of an annotation has its arrow in it, too
            if own.y0 >= bottom and not own.count_overlaps(taken):
                taken.append(own)
                break
            text.remove()
        else:
            axes.annotate(
                fill(name, NAME_WIDTH), (x, y), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8
            )


def _lines(data: Mapping[str, Any], board: int) -> dict[str, list[Mapping[str, Any]]]:
    """The curves of a board's systems, by their labels."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for curve in data["curves"]:
        system = next((data["systems"][i] for i in curve["systems"] if data["systems"][i]["board"] == board), None)
        if system is not None:
            found.setdefault(_label(system), []).append(curve)
    return found


def _curves(curves: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> Figure:
    """A panel per system, each with an axis of its own, for methods minimise different things."""
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


def _label(system: Mapping[str, Any]) -> str:
    return " · ".join([system["method"], *system["details"]])


def _short_title(boards: Sequence[Mapping[str, Any]], number: int) -> str:
    """A board's pair, and its collection and encoder where not all have the same."""
    names = [name for name in ("dataset", "pair", "encoder") if name == "pair" or len({b[name] for b in boards}) > 1]
    return "\n".join(boards[number][name] for name in names)


def _file_names(boards: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name per board, with a number where two would share one."""
    names = [_plain("-".join(board[name] for name in ("dataset", "pair", "encoder"))) for board in boards]
    return [name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names)]


def _plain(text: str) -> str:
    """A text as part of a file's name."""
    return re.sub(r"[^\w.]+", "-", text.replace("@", "_")).strip("-.") or "-"
