"""The cost of a training or an evaluation: time, peak memory, and energy by the meters of the machine.

Energy is never estimated. tirex-tracker reads the meters: RAPL of the processor and its memory, and NVIDIA's of the
GPU. They count all programs on the machine, but only the first socket and GPU.
"""

import json
import os
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from bench.errors import BenchError, describe, pip_install
from bench.results.provenance import value_after

TRACKER = "tirex-tracker"
PARTS = {"CPU_ENERGY_SYSTEM_JOULES": "cores", "RAM_ENERGY_SYSTEM_JOULES": "memory", "GPU_ENERGY_SYSTEM_JOULES": "GPU"}
"""The metered part of each measure of tirex-tracker."""
INTERVAL = 60.0
"""Seconds between two readings, since some counters overflow within minutes at full load."""


def check_energy() -> None:
    """Raise `BenchError` if the extra is not installed."""
    if find_spec("tirex_tracker") is None:
        raise BenchError(f"--energy needs {TRACKER}, which is not installed: {pip_install('energy')}")


class Meter:
    """The meter of a `with` block. Errors of energy meters do not fail the block."""

    def __init__(self, device: str = "cpu", *, energy: bool = False) -> None:
        self.device, self.energy, self.fault = device, energy, ""
        self._joules: dict[str, float] = {}
        self._tracking: Any = None

    def __enter__(self) -> Self:
        self._started, self._cpu_started = time.perf_counter(), time.process_time()
        if self.device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
        elif os.access("/proc/self/clear_refs", os.W_OK):
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak; see proc(5)
        self._read_meters(again=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._read_meters(again=False)

    def tick(self) -> None:
        """Read the energy meters if the last reading is old. Call it regularly within the block."""
        if time.perf_counter() - self._last_reading > INTERVAL:
            self._read_meters(again=True)

    def resume(self, seconds: float, cpu_seconds: float) -> None:
        """Add the time of an interrupted attempt; its energy is unknown."""
        self._started -= seconds
        self._cpu_started -= cpu_seconds
        self.fault = "the training was resumed"

    @property
    def seconds(self) -> float:
        """Seconds since the beginning of the block."""
        return time.perf_counter() - self._started

    @property
    def cost(self) -> dict[str, Any]:
        """Processor time of all threads and processes, peak memory, and if requested energy.

        `energy_by` is the tool and the metered parts. Values are None if the system does not report them.
        """
        cost = {"cpu_seconds": round(time.process_time() - self._cpu_started, 3), "peak_memory_mib": self.memory_mib}
        if not self.energy:
            return cost
        if self.fault or not self._joules:
            reason = self.fault or "the machine has no meters"
            return {**cost, "energy_wh": None, "energy_by": f"not measured: {reason}"}
        metered = ", ".join(part for part in PARTS.values() if part in self._joules)
        by = f"{TRACKER} {version(TRACKER)}: {metered}, including other programs"
        return {**cost, "energy_wh": round(sum(self._joules.values()) / 3600, 4), "energy_by": by}

    @property
    def memory_mib(self) -> float | None:
        """Peak resident memory of this process, or peak allocated memory of the GPU, within the block."""
        if self.device == "cuda":
            import torch

            return round(torch.cuda.max_memory_allocated() / 2**20, 1)
        kilobytes = value_after("VmHWM", Path("/proc/self/status"))
        return round(int(kilobytes.split()[0]) / 1024, 1) if kilobytes else None

    def _read_meters(self, *, again: bool) -> None:
        """Add the energy since the last reading, and start another reading if `again`."""
        self._last_reading = time.perf_counter()
        if not self.energy or self.fault:
            return
        try:
            from tirex_tracker import Measure, start_tracking

            for measure, result in self._tracking.stop().items() if self._tracking else ():
                value = json.loads(result.value)
                # The value of an absent counter is null. A constant counter measures nothing.
                if isinstance(value, int | float) and value > 0:
                    part = PARTS[measure.name]
                    self._joules[part] = self._joules.get(part, 0.0) + value
            self._tracking = start_tracking([Measure[name] for name in PARTS]) if again else None
        except Exception as error:
            self.fault = describe(error)
