"""Whole comparisons with a small encoder on a small generated collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.commands.run import run
from bench.data import Pair
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.evaluation import measures
from bench.progress import Display
from bench.report.leaderboard import leaderboard
from bench.request import Request
from bench.results.store import Store
from bench.running.execute import Executor, Outcome
from bench.running.materials import Materials
from bench.running.plan import make_plan
from bench.training.budget import Budget

METHODS = ("optical", "adversarial", "distillation")


@dataclass(frozen=True)
class Bench:
    """`bench run` with the small encoder and collection."""

    cards: dict[str, Card]
    encoder: Path

    def request(self, results: Path, methods: Sequence[str] = METHODS, **changes: Any) -> Request:
        values = {
            "methods": tuple(methods),
            "datasets": ("conlang",),
            "pairs": (Pair("qaa", "eng"),),
            "train": (),
            "encoder": str(self.encoder),
            "scoring": ("mean",),
            "budget": Budget(2, "steps"),
            "seeds": (0,),
            "measures": measures.DEFAULT,
            "device": "cpu",
            "precision": "float32",
            "threads": 1,
            "results": results,
            "offline": True,
        }
        return Request(**{**values, **changes})

    def execute(self, results: Path, methods: Sequence[str] = METHODS, **changes: Any) -> Outcome:
        """What `run` does, but for the tables, with its outcome."""
        request, resolver = self.request(results, methods, **changes), Resolver(offline=True)
        plan, store = make_plan(request, self.cards, resolver), Store(results).open()
        how = (request.device, request.precision, self.cards, resolver, Display(quiet=True))
        materials = Materials(plan.encoder, *how, threads=1)
        outcome = Executor(materials, request, store).run(plan)
        leaderboard(store).write()
        return outcome

    def run(self, results: Path, methods: Sequence[str] = METHODS, **changes: Any) -> int:
        return run(self.request(results, methods, **changes), self.cards)
