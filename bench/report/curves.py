"""Learning curves: the losses that trainings logged, thin enough to be drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.results.store import LOG, Record
from bench.sealed import Damaged

POINTS = 200
"""Points of a curve at most."""


@dataclass(frozen=True)
class Curve:
    """The loss of one training; each point is the mean over the steps since the one before."""

    steps: tuple[int, ...]
    losses: tuple[float, ...]


def read_curve(training: Record) -> Curve | None:
    """Return the curve of a training; None if its log is damaged or has no loss."""
    try:
        training.verify(LOG)
    except Damaged:
        return None
    points = read_losses(training.folder / LOG)
    if not points:
        return None
    steps, losses = zip(*thinned(points), strict=True)
    return Curve(steps, losses)


def read_losses(path: Path) -> list[tuple[int, float]]:
    """Step and loss of each line of a log that has both; a line that was cut off is passed over."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            point = int(row["step"]), float(row["loss"])
        except (ValueError, KeyError, TypeError, OverflowError):
            continue
        if math.isfinite(point[1]):
            found.append(point)
    return found


def thinned(points: Sequence[tuple[int, float]], limit: int = POINTS) -> list[tuple[int, float]]:
    """At most `limit` points: of runs of neighbours, as equal in length as can be, the last step and the mean loss."""
    count = min(limit, len(points))
    ends = [len(points) * (i + 1) // count for i in range(count)]
    runs = [points[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [(run[-1][0], sum(loss for _, loss in run) / len(run)) for run in runs]
