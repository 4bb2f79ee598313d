"""Pictures of word plans: shades on the terminal, or a heat map in a file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.cells import cell_len, set_cell_size

from bench.errors import BenchError
from bench.inspection.plans import WordPlan
from bench.storage.atomic import atomic_write

SHADES = " ░▒▓█"
"""From zero to the largest entry."""
FORMATS = (".svg", ".png")
ROWS = 30
"""The most words of a document that are shown on the terminal: those with the largest entries."""
LONGEST = 16
"""The most columns of the terminal for a word."""


def shaded(plan: WordPlan, width: int) -> list[str]:
    """Return lines with a row for each word of the document and a column for each of the query, wrapped at `width`."""
    largest = float(plan.mass.max(initial=0.0))
    if largest <= 0:
        return ["  nothing is moved between them"]
    levels = np.rint(plan.mass / largest * (len(SHADES) - 1)).astype(int)
    shown = sorted(np.argsort(-plan.mass.max(axis=1), kind="stable")[:ROWS].tolist())
    rows = [_fit(plan.document[row]) for row in shown]
    margin = max(map(cell_len, rows)) + 2
    lines = []
    for columns in _groups(plan.query, width - margin - 2):
        heads = [_fit(plan.query[column]) for column in columns]
        lines.append("  " + " " * margin + " ".join(heads))
        for name, row in zip(rows, shown, strict=True):
            cells = (
                SHADES[level] * cell_len(head) for level, head in zip(levels[row, columns].tolist(), heads, strict=True)
            )
            lines.append(f"  {set_cell_size(name, margin)}{' '.join(cells)}".rstrip())
        lines.append("")
    if left := len(plan.document) - len(shown):
        lines.append(f"  left out: {left:,} words of the document that have less")
    key = " ".join(f"{SHADES[level]} {level / (len(SHADES) - 1) * largest:.3f}" for level in range(1, len(SHADES)))
    return [*lines, f"  share of the mass: {key}"]


def check_output(path: Path) -> None:
    """Raise `BenchError` if no picture can be written to a file of that name."""
    if path.suffix not in FORMATS:
        raise BenchError(f"--output {path}: write {' or '.join(FORMATS)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise BenchError(
            "--output needs matplotlib, which is not installed: pip install -c constraints.txt '.[plots]'"
        ) from error


def write_heat_maps(path: Path, title: str, plans: Sequence[WordPlan]) -> bool:
    """Write the plans side by side; return False if the picture lacks letters."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    svg = path.suffix == ".svg"
    widths = [max(len(plan.query), 4) for plan in plans]
    height = max(len(plan.document) for plan in plans)
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    # An SVG keeps its text as text, which is drawn with the fonts of its reader.
    with (
        rc_context({"svg.fonttype": "none", "svg.hashsalt": title}),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        figure = Figure(figsize=(0.4 * sum(widths) + 2.2 * len(plans), 0.2 * height + 2), layout="constrained")
        figure.suptitle(title)
        axes = figure.subplots(1, len(plans), squeeze=False, width_ratios=widths)[0]
        for axis, plan in zip(axes, plans, strict=True):
            image = axis.imshow(plan.mass, cmap="Blues", vmin=0, aspect="auto")
            axis.set_xticks(range(len(plan.query)), plan.query, rotation=60, ha="right")
            axis.set_yticks(range(len(plan.document)), plan.document, fontsize="small")
            axis.set_title(plan.title, fontsize="medium")
            figure.colorbar(image, ax=axis, label="share of the mass")
        with atomic_write(path, "wb") as file:
            figure.savefig(file, format=path.suffix[1:], dpi=150, metadata={"Date": None} if svg else None)
    return svg or not any("missing from" in str(warning.message) for warning in caught)


def _fit(word: str) -> str:
    return word if cell_len(word) <= LONGEST else set_cell_size(word, LONGEST - 1).rstrip() + "…"


def _groups(words: Sequence[str], width: int) -> Iterator[list[int]]:
    """Iterate over the positions of the words in each line of `width` columns."""
    group: list[int] = []
    used = 0
    for position, word in enumerate(words):
        size = cell_len(_fit(word)) + 1
        if group and used + size > width + 1:
            yield group
            group, used = [], 0
        group.append(position)
        used += size
    yield group
