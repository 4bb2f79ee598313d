"""The training budget: optimiser steps, tokens or wall-clock seconds; the same for every method of a comparison."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.errors import BenchError

UNITS = {
    "step": "steps",
    "steps": "steps",
    "token": "tokens",
    "tokens": "tokens",
    "s": "seconds",
    "sec": "seconds",
    "second": "seconds",
    "seconds": "seconds",
}
FACTORS = {"": 1, "k": 1_000, "M": 1_000_000}


@dataclass(frozen=True)
class Budget:
    """`amount` in `unit`: "steps" (optimiser steps), "tokens" (read by the student, padding excluded) or "seconds"."""

    amount: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `600steps`, `2Mtokens` or `90s`; a bare number means steps."""
        match = re.fullmatch(r"(\d+)\s*([kM]?)\s*([a-z]*)", text.strip())
        unit = UNITS.get(match[3] or "steps") if match else None
        if match is None or unit is None or int(match[1]) == 0:
            raise BenchError(f"budget '{text}' does not parse; write 600steps, 2Mtokens or 90seconds")
        return cls(int(match[1]) * FACTORS[match[2]], unit)

    def __str__(self) -> str:
        for suffix, factor in (("M", 1_000_000), ("k", 1_000)):
            if self.unit == "tokens" and self.amount % factor == 0:
                return f"{self.amount // factor}{suffix}tokens"
        return f"{self.amount}{self.unit}"


@dataclass
class Spent:
    """What a training has spent so far."""

    steps: int = 0
    tokens: int = 0
    """Read by the student, padding excluded, those of texts that it encodes for mining or validation included."""
    seconds: float = 0.0
    """All of it, mining and validation included."""
    cpu_seconds: float = 0.0
    """The processor's time in them, of all threads together, those included that wait for others: comparable between
    busy and idle machines with one thread only."""
    mining_texts: int = 0
    """Texts that were encoded to look for training examples among them, by the student or another."""
    mining_seconds: float = 0.0
    validation_seconds: float = 0.0

    def share(self, budget: Budget) -> float:
        """The share of `budget` that is spent, 0 to 1: the progress that schedules follow."""
        return min(1.0, getattr(self, budget.unit) / budget.amount)
