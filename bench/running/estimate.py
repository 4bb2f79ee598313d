"""What a plan will cost, roughly: from what the same method cost before, else from figures stated per encoder."""

from __future__ import annotations

from statistics import mean

from bench.encoders.models import known_encoder
from bench.request import SCORINGS
from bench.results.store import Store
from bench.running.plan import Cell, Plan, Training
from bench.training.budget import Budget


def estimate_cells(plan: Plan, store: Store) -> tuple[list[list[str]], str]:
    """Rows of the dry run's table, one per cell, and a line about the total."""
    seconds_per_step = _measured(store)
    rows, total, unknown = [], 0.0, False
    encoded: set[tuple[str, ...]] = set()
    for training, cells in plan.cells.items():
        for i, cell in enumerate(cells):
            training_seconds = training_cost(training, seconds_per_step) if i == 0 else 0.0
            encoding_seconds = encoding_cost(cell, encoded)
            known = training_seconds is not None and encoding_seconds is not None
            seconds = (training_seconds or 0.0) + (encoding_seconds or 0.0)
            total += seconds
            unknown = unknown or not known
            rows.append(
                [
                    training.label if i == 0 else "",
                    str(training.budget or "-") if i == 0 else "",
                    (" + ".join(training.train) or "-") if i == 0 else "",
                    f"{cell.test.name} {cell.test.pair} {cell.scoring}".removesuffix(" mean"),
                    f"{len(cell.test.queries):,}",
                    f"{len(cell.test.documents):,}",
                    duration(seconds) if known else "unknown",
                ]
            )
    more = ", and what could not be estimated" if unknown else ""
    return rows, f"about {duration(total)} on two cores if nothing is finished yet{more}"


def training_cost(training: Training, seconds_per_step: dict[tuple[str, str], float]) -> float | None:
    """Seconds of one training; None where nothing is known of its encoder."""
    budget: Budget | None = training.budget
    if budget is None:
        return 0.0
    if budget.unit == "seconds":
        return float(budget.amount)
    known = known_encoder(training.encoder)
    per_step = seconds_per_step.get((training.row.name, training.encoder), known.step_seconds if known else None)
    if per_step is None:
        return None
    steps = budget.amount if budget.unit == "steps" else budget.amount / TOKENS_PER_STEP
    return steps * per_step


TOKENS_PER_STEP = 1_800
"""Of a batch of 64 sentences of news or scripture; only for estimates."""


def encoding_cost(cell: Cell, encoded: set[tuple[str, ...]]) -> float | None:
    """Seconds to encode a cell's texts; `encoded` remembers the corpora that a frozen teacher has encoded already.

    Embeddings of tokens are not kept, and a method with a scoring of its own is taken to embed nothing.
    """
    if cell.scoring not in SCORINGS:
        return 0.0
    known = known_encoder(cell.training.encoder)
    if known is None:
        return None
    texts = len(cell.test.queries)
    corpus = (cell.test.name, cell.test.pair.document, str(len(cell.test.documents)))
    by_teacher = getattr(cell.training.row.parts[0].config, "documents", "teacher") == "teacher"
    kept = by_teacher and cell.scoring == "mean"
    if not (kept and corpus in encoded):
        texts += len(cell.test.documents)
    if kept:
        encoded.add(corpus)
    return texts / known.texts_per_second


def duration(seconds: float) -> str:
    """`45 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _measured(store: Store) -> dict[tuple[str, str], float]:
    """Mean seconds per step of the trainings in a results folder, by method and encoder."""
    found: dict[tuple[str, str], list[float]] = {}
    for entry in store.trainings():
        manifest = entry.manifest
        if steps := manifest["cost"].get("trained_steps"):
            found.setdefault((manifest["method"], manifest["encoder"]), []).append(manifest["cost"]["seconds"] / steps)
    return {key: mean(values) for key, values in found.items()}
