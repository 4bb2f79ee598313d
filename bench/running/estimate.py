"""What a plan will cost, roughly: from what the same method cost before, else from figures stated per encoder."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean

from bench.encoders.models import known_encoder
from bench.request import SCORINGS
from bench.results.store import Record, Store
from bench.running.plan import Cell, Plan, Training
from bench.training.budget import Budget


def estimate_cells(plan: Plan, store: Store, finished: Callable[[Cell], bool]) -> tuple[list[list[str]], str]:
    """Return the rows of the dry run's table, one per cell, and a line about the total."""
    seconds_per_step = _measured(store)
    rows, total, unknown, done = [], 0.0, False, 0
    encoded: set[tuple[str, ...]] = set()
    for training, cells in plan.cells.items():
        left = [cell for cell in cells if not finished(cell)]
        done += len(cells) - len(left)
        for i, cell in enumerate(cells):
            is_left = cell in left
            training_seconds = training_cost(training, seconds_per_step) if left and cell is left[0] else 0.0
            encoding_seconds = encoding_cost(cell, training, encoded) if is_left else 0.0
            known = training_seconds is not None and encoding_seconds is not None
            seconds = (training_seconds or 0.0) + (encoding_seconds or 0.0)
            total += seconds
            unknown = unknown or not known
            rows.append(
                [
                    training.label if i == 0 else "",
                    str(training.spec.budget or "-") if i == 0 else "",
                    (" + ".join(training.spec.train) or "-") if i == 0 else "",
                    f"{cell.test.name} {cell.test.pair} {cell.spec.scoring}".removesuffix(" mean"),
                    *_sizes(cell),
                    "finished" if not is_left else duration(seconds) if known else "unknown",
                ]
            )
    more = ", and what could not be estimated" if unknown else ""
    return rows, f"{done} finished, about {duration(total)} on two cores for the others{more}"


def _sizes(cell: Cell) -> tuple[str, str]:
    known = cell.test.summary_if_known
    return (f"{known.queries:,}", f"{known.documents:,}") if known else ("?", "?")


def training_cost(training: Training, seconds_per_step: dict[tuple[str, str], float]) -> float | None:
    """Seconds of one training; None where nothing is known of its encoder."""
    budget: Budget | None = training.spec.budget
    if budget is None:
        return 0.0
    if budget.unit == "seconds":
        return float(budget.amount)
    known = known_encoder(training.spec.encoder)
    per_step = seconds_per_step.get((training.row.name, training.spec.encoder), known.step_seconds if known else None)
    if per_step is None:
        return None
    steps = budget.amount if budget.unit == "steps" else budget.amount / TOKENS_PER_STEP
    return steps * per_step


TOKENS_PER_STEP = 1_800
"""Of a batch of 64 sentences of news or scripture; only for estimates."""


def encoding_cost(cell: Cell, training: Training, encoded: set[tuple[str, ...]]) -> float | None:
    """Return seconds to encode a cell's texts; `encoded` holds the corpora that a frozen teacher has encoded already.

    None where nothing is known of them. Embeddings of tokens are not kept, and a method with a scoring of its own is
    taken to embed nothing.
    """
    if cell.spec.scoring not in SCORINGS:
        return 0.0
    encoder, test = known_encoder(cell.spec.encoder), cell.test.summary_if_known
    if encoder is None or test is None:
        return None
    texts = test.queries
    corpus = (test.name, test.pair.document, str(test.documents))
    by_teacher = dict(training.row.methods[0].settings).get("documents", "teacher") == "teacher"
    kept = by_teacher and cell.spec.scoring == "mean"
    if not (kept and corpus in encoded):
        texts += test.documents
    if kept:
        encoded.add(corpus)
    return texts / encoder.texts_per_second


def duration(seconds: float) -> str:
    """`45 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _measured(store: Store) -> dict[tuple[str, str], float]:
    """Return the mean seconds per step of the trainings in a results folder, by method and encoder."""
    found: dict[tuple[str, str], list[float]] = {}
    for training in store.finished("trainings"):
        if isinstance(training, Record) and (steps := training.manifest["cost"].get("trained_steps")):
            key = training.spec.method, training.spec.encoder
            found.setdefault(key, []).append(training.manifest["cost"]["seconds"] / steps)
    return {key: mean(values) for key, values in found.items()}
