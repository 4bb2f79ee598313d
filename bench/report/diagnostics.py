"""What trainings found out about their students (`probe_accuracy`, ...), as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean

from bench.results.systems import System


def told(diagnostics: Mapping[str, float]) -> str:
    """Names and values, as in `probe_accuracy=0.950`."""
    return " ".join(f"{name}={figure(value)}" for name, value in diagnostics.items())


def figure(value: float) -> str:
    """A count as it is, anything else with three decimals."""
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def over_seeds(system: System) -> str:
    """Return the diagnostics of a system's trainings as text: means over its seeds that have them."""
    values: dict[str, list[float]] = defaultdict(list)
    for cell in system.cells:
        for name, value in cell.trained.get("diagnostics", {}).items():
            values[name].append(value)
    return told({name: each[0] if len(each) == 1 else fmean(each) for name, each in values.items()})
