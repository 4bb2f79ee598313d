"""What trainings found out about their students (`probe_accuracy`, ...), as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean

from bench.results.store import Entry, Store
from bench.results.systems import IDENTITY, identity


def told(diagnostics: Mapping[str, float]) -> str:
    """Names and values, as in `probe_accuracy=0.950`."""
    return " ".join(f"{name}={figure(value)}" for name, value in diagnostics.items())


def figure(value: float) -> str:
    """A count as it is, anything else with three decimals."""
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def over_seeds(store: Store, entries: Iterable[Entry]) -> dict[tuple[str, ...], str]:
    """By a system's identity, what is told of its trainings: means over those of its seeds that say something."""
    trainings = {entry.folder.name: entry.manifest for entry in store.trainings()}
    found: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for entry in entries:
        manifest = entry.manifest
        names = identity(manifest)
        values = found.setdefault(tuple(names[column] for column in IDENTITY), defaultdict(list))
        for name, value in trainings.get(manifest["training"], {}).get("diagnostics", {}).items():
            values[name].append(value)
    return {
        key: told({name: each[0] if len(each) == 1 else fmean(each) for name, each in values.items()})
        for key, values in found.items()
    }
