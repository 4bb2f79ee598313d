"""The energy of a training or an evaluation, measured by the meters of the machine, never estimated.

The extra tirex-tracker reads the meters: RAPL for the processor and its memory, and NVIDIA's for the GPU. They count
everything that runs on the machine, but only its first socket and GPU.
"""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from typing import Any, Self

from bench.errors import BenchError, describe

PACKAGE = "tirex-tracker"
PARTS = {"CPU_ENERGY_SYSTEM_JOULES": "cores", "RAM_ENERGY_SYSTEM_JOULES": "memory", "GPU_ENERGY_SYSTEM_JOULES": "GPU"}
"""Measure of tirex-tracker -> the metered part."""
INTERVAL = 60.0
"""Seconds between two readings: at full load some counters overflow within minutes."""


def check_energy() -> None:
    """Raise `BenchError` if the extra is not installed."""
    try:
        import tirex_tracker  # noqa: F401
    except ImportError as error:
        raise BenchError(
            f"--energy needs {PACKAGE}, which is not installed: pip install -c constraints.txt '.[energy]'"
        ) from error


class Meter:
    """Adds up the joules of a `with` block if they are `wanted`. A fault of the meters never fails the block."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.fault = ""
        self._joules: dict[str, float] = {}
        self._handle: Any = None

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        if self.wanted and not self.fault:
            try:
                from tirex_tracker import Measure, start_tracking

                self._handle = start_tracking([Measure[name] for name in PARTS])
            except Exception as error:
                self.spoil(describe(error))
        return self

    def __exit__(self, *exception: object) -> None:
        handle, self._handle = self._handle, None
        if handle is None:
            return
        try:
            results = {measure.name: json.loads(result.value) for measure, result in handle.stop().items()}
        except Exception as error:
            self.spoil(describe(error))
            return
        for name, part in PARTS.items():
            # The value of an absent counter is null; a counter that stands still measures nothing.
            if isinstance(value := results.get(name), int | float) and value > 0:
                self._joules[part] = self._joules.get(part, 0.0) + value

    def tick(self) -> None:
        """Read the meters if the last reading is old; to be called regularly within the block."""
        if self._handle is not None and time.monotonic() - self._started > INTERVAL:
            self.__exit__()
            self.__enter__()

    def spoil(self, why: str) -> None:
        """Declare the measurement incomplete."""
        self.fault = self.fault or why

    @property
    def cost(self) -> dict[str, Any]:
        """`energy_wh`, None if it was not measured, and `energy_by`, the tool and the metered parts; empty if not
        wanted.
        """
        if not self.wanted:
            return {}
        if self.fault or not self._joules:
            return {"energy_wh": None, "energy_by": f"not measured: {self.fault or 'the machine shows no meters'}"}
        metered = ", ".join(part for part in PARTS.values() if part in self._joules)
        by = f"{PACKAGE} {version(PACKAGE)}: {metered}, whatever else ran on them"
        return {"energy_wh": round(sum(self._joules.values()) / 3600, 4), "energy_by": by}
