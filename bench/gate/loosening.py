"""No baseline is loosened in silence: what a new one no longer sees that the old one sees, and why that is right.

A baseline is loosened by one of these:

- a value or a cell that is gone;
- fewer seeds, of the baseline or of a check; fewer queries of a cell;
- a value that may move more than `GROWTH` times as far as it might at any time since a reason was last given, so that
  small steps do not add up.

A tolerance comes from a spread over seeds, which is uncertain itself: that of ten seeds is by chance twice that of ten
others in one case of forty (F distribution, 9 and 9 degrees of freedom). What grows by less is taken for noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench.errors import BenchError
from bench.gate.baseline import Baseline
from bench.gate.compute import QUERIES, Key
from bench.request import Suite
from bench.results.provenance import package_commit

GROWTH = 2.0
COUNTED = (QUERIES, "coverage.judged")
SHOWN = 3


def foreseen(old: Baseline, suite: Suite, planned: Mapping[Key, float | None]) -> list[str]:
    """What a suite would loosen, as far as that is known before it is computed; `planned` is that of its plan."""
    cells = {cell for cell, name in old.keys if name == QUERIES}
    measures = [key for key in old.keys if key[0] in cells and not key[1].startswith("coverage.")]
    return [*_fewer_seeds(old.suite, suite), *_gone(measures, planned), *_fewer_queries(old, planned)]


def loosened(old: Baseline, new: Baseline) -> list[str]:
    """What a new baseline loosens."""
    counts = {value.key: value.checked for value in new.values}
    return [
        *_fewer_seeds(old.suite, new.suite),
        *_gone(old.keys, new.keys),
        *_fewer_queries(old, counts),
        *_wider(old, new),
    ]


def refuse(path: Path, losses: Sequence[str], advice: str = "") -> None:
    """Raise `BenchError` if there are any."""
    if losses:
        more = f" (and {len(losses) - SHOWN} more)" if len(losses) > SHOWN else ""
        raise BenchError(
            f"this would loosen {path}: {'; '.join(losses[:SHOWN])}{more}; say why with --reason TEXT{advice}"
        )


def with_reason(old: Baseline, new: Baseline, reason: str | None) -> Baseline:
    """The new baseline with the history of the old one, to which the reason is added if one is given; without one it
    remembers how far each value might move before.
    """
    if reason is None:
        limits = _limits(old)
        values = tuple(
            replace(value, tightest=limits[value.key])
            if value.key in limits and limits[value.key] < value.tolerance
            else value
            for value in new.values
        )
        return replace(new, values=values, history=old.history)
    entry = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": package_commit()["commit"],
        "reason": reason,
        "loosened": loosened(old, new),
    }
    return replace(new, history=(*old.history, entry))


def _fewer_seeds(old: Suite, new: Suite) -> list[str]:
    losses = []
    if len(new.seeds) < len(old.seeds):
        losses.append(f"{len(old.seeds)} seeds become {len(new.seeds)}")
    if new.checked < old.checked:
        losses.append(f"a check computes {new.checked} of them instead of {old.checked}")
    return losses


def _gone(old: Iterable[Key], new: Iterable[Key]) -> list[str]:
    keys = set(new)
    cells = {cell for cell, _ in keys}
    lost = [key for key in old if key not in keys]
    texts = (f"{cell}: {name} is gone" if cell in cells else f"{cell} is gone" for cell, name in lost)
    return list(dict.fromkeys(texts))


def _fewer_queries(old: Baseline, new: Mapping[Key, float | None]) -> list[str]:
    losses = []
    for value in old.values:
        count = new.get(value.key) if value.name in COUNTED else None
        if count is not None and count < value.checked:
            losses.append(f"{value.cell}: {value.checked:g} queries become {count:g}")
    return list(dict.fromkeys(losses))


def _wider(old: Baseline, new: Baseline) -> list[str]:
    limits = _limits(old)
    return [
        f"{value.cell}: {value.name} may move by {value.tolerance:.3g} instead of {limits[value.key]:.3g}"
        for value in new.values
        if value.key in limits and value.tolerance > GROWTH * limits[value.key]
    ]


def _limits(old: Baseline) -> dict[Key, float]:
    """By value, the least that its tolerance has been since a reason was last given."""
    return {value.key: value.tolerance if value.tightest is None else value.tightest for value in old.values}
