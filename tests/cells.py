"""Finished cells made by hand, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bench.fingerprint import digest
from bench.results.store import Entry, Store


def add(
    store: Store,
    scores: Mapping[str, Mapping[str, float]],
    *,
    finished: str = "2026-01-01T00:00:00",
    diagnostics: Mapping[str, float] = MappingProxyType({"probe_accuracy": 0.75}),
    **changes: Any,
) -> Entry:
    """A finished cell and its finished training."""
    identity = {
        "method": "optical",
        "config": "",
        "uses": "bitext",
        "pair": "qaa-eng",
        "train": "conlang",
        "encoder": "tiny",
        "budget": "10steps",
        "seed": "0",
        "dataset": "conlang",
        "scoring": "mean",
        **{key: value for key, value in changes.items() if key != "code"},
    }
    fingerprint = digest([identity, changes])
    training = store.training("training", fingerprint)
    training.begin()
    cost = {"seconds": 12.5, "trained_steps": 10, "peak_memory_mib": None}
    training.finish({**identity, "cost": cost, "diagnostics": dict(diagnostics)})
    entry = store.cell("cell", fingerprint)
    entry.begin()
    entry.finish(
        {
            **identity,
            "fingerprint": fingerprint,
            "training": training.folder.name,
            "cost": {"search_seconds": 0.5},
            "documents_cached": False,
            "provenance": {"finished": finished},
        }
    )
    entry.write_scores(scores)
    return entry
