"""The energy that a training or an evaluation takes, where the machine has meters for it; never an estimate.

Meters are read by tirex-tracker, which is an extra: the processor's counters (RAPL) of its cores and its memory, and
NVIDIA's of the GPU. They count the whole machine, of several sockets or GPUs the first.
"""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from typing import Any, Self

from bench.errors import BenchError, describe

PACKAGE = "tirex-tracker"
PARTS = {"CPU_ENERGY_SYSTEM_JOULES": "cores", "RAM_ENERGY_SYSTEM_JOULES": "memory", "GPU_ENERGY_SYSTEM_JOULES": "GPU"}
"""Measures of tirex-tracker, and what they meter."""
INTERVAL = 60.0
"""Seconds after which the meters are read: counters overflow, at full load some within minutes."""


def check_energy() -> None:
    """Raise `BenchError` if the extra is not installed."""
    try:
        import tirex_tracker  # noqa: F401
    except ImportError as error:
        raise BenchError(
            f"--energy needs {PACKAGE}, which is not installed: pip install -c constraints.txt '.[energy]'"
        ) from error


class Meter:
    """Adds up joules within a `with` block; without `wanted` it does nothing. It never fails what it measures."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.fault = ""
        self._joules: dict[str, float] = {}
        self._handle: Any = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def tick(self) -> None:
        """To be called now and then."""
        if self._handle is not None and time.monotonic() - self._started > INTERVAL:
            self._stop()
            self._start()

    def spoil(self, why: str) -> None:
        """What was or will be measured is not all of the work."""
        self.fault = self.fault or why

    @property
    def cost(self) -> dict[str, Any]:
        """`energy_wh`, None if it was not measured, and `energy_by`: what by, and of what; empty if not wanted."""
        if not self.wanted:
            return {}
        metered = [part for part in PARTS.values() if part in self._joules]
        if self.fault or not metered:
            return {"energy_wh": None, "energy_by": f"not measured: {self.fault or 'the machine shows no meters'}"}
        by = f"{PACKAGE} {version(PACKAGE)}: {', '.join(metered)}, whatever else ran on them"
        return {"energy_wh": round(sum(self._joules.values()) / 3600, 4), "energy_by": by}

    def _start(self) -> None:
        if not self.wanted or self.fault:
            return
        try:
            from tirex_tracker import Measure, start_tracking

            self._handle = start_tracking([Measure[name] for name in PARTS])
        except Exception as error:
            self.spoil(describe(error))
        self._started = time.monotonic()

    def _stop(self) -> None:
        handle, self._handle = self._handle, None
        if handle is None:
            return
        try:
            results = {measure.name: json.loads(result.value) for measure, result in handle.stop().items()}
        except Exception as error:
            self.spoil(describe(error))
            return
        for name, part in PARTS.items():
            # A counter that is not there is null; one that stands still measures nothing.
            if isinstance(value := results.get(name), int | float) and value > 0:
                self._joules[part] = self._joules.get(part, 0.0) + value
