"""The plot of quality against cost: names do not overlap, and the axis has labels for any range of costs."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation, Text

from bench.report.plots import _scatter


def system(method: str, mean: float, cpu: float | None, *details: str) -> dict[str, Any]:
    standing = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}
    cost = {"cpu": cpu, "seconds": cpu}
    named = {"method": method, "details": list(details), "reference": cpu is None}
    return {**named, "cost": cost, "standings": {"RR@10": standing}}


def drawn(systems: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return the boxes of names in pixels, by name, and the labels of the horizontal axis."""
    figure = _scatter(systems, "cpu", "RR@10", "a board")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axes,) = figure.axes
    names = [text for text in axes.texts if isinstance(text, Annotation)]
    boxes = {text.get_text().replace("\n", " "): Text.get_window_extent(text, canvas.get_renderer()) for text in names}
    low, high = axes.get_xlim()
    shown = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
    return boxes, [label.get_text() for label in shown]


CROWD = [system("adversarial", 0.01 + i / 1000, 19 + i / 10, f"bitext {i}, 50 % misaligned") for i in range(6)]
REFERENCES = [system("oracle", 0.9, None), *(system("untrained", 0.01, None, f"bitext {i}") for i in range(4))]


def test_no_name_covers_another() -> None:
    boxes, _ = drawn([*CROWD, system("hybrid-batch", 0.4, 20.0), *REFERENCES])
    assert len(boxes) == 6 + 1 + 2
    assert [pair for pair in combinations(boxes, 2) if boxes[pair[0]].overlaps(boxes[pair[1]])] == []


def test_references_that_are_near_are_named_together_and_once() -> None:
    boxes, _ = drawn([*CROWD, *REFERENCES, system("zero-shot", 0.005, None)])
    assert {"oracle", "zero-shot, untrained"} <= boxes.keys()


@pytest.mark.parametrize("factor", [1.02, 1.5, 3.0, 10.0, 1000.0])
def test_costs_are_written_at_the_axis_however_near_they_are(factor: float) -> None:
    _, labels = drawn([system("a", 0.5, 19.0), system("b", 0.6, 19.0 * factor)])
    assert len(labels) >= 2
    assert len(set(labels)) == len(labels)
