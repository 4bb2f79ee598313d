"""Finished cells made by hand, for tests of what is made of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

import numpy as np

from bench.options import toml_value
from bench.results.store import LOG, Record, Store
from bench.spec import MethodSpec, RunSpec
from bench.storage.hashing import digest
from bench.storage.sealed import FILES, read_manifest, seal

MEASURES = ("nDCG@10", "RR@10")
EVIL = "<img src=x onerror=alert(1)>"
BREAKOUT = "</script><script>alert(1)</script><!--<script>{{data}}"


def spec(
    method: str = "optical",
    config: str = "",
    supervision: str = "bitext",
    pair: str = "qaa-eng",
    train: str = "conlang",
    students: str = "",
    seed: int | str | None = 0,
    budget: str | None = "10steps",
    dataset: str = "conlang",
    encoder: str = "tiny",
    scoring: str = "single-vector",
    leakage: str = "remove",
    **subset: Any,
) -> RunSpec:
    """A spec from the texts of its columns."""
    settings = [(key, toml_value(value)) for key, _, value in (word.partition("=") for word in config.split())]
    names, uses = tuple(name for name, _ in settings), tuple(supervision.split(" + ")) if supervision else ()
    return RunSpec.parse(
        {
            "methods": [MethodSpec(tuple(settings), names, name=method, shown=names, supervision=uses)],
            "dataset": dataset,
            "pair": pair,
            "encoder": encoder,
            "scoring": scoring,
            "pairs": [pair] if students != "multilingual" else [pair, "qaz-eng"],
            "train": tuple(filter(None, train.split("+"))),
            "leakage": leakage,
            "subset": {name: value for name, value in subset.items() if value != ""},
            "budget": budget or None,
            "seed": None if seed == "" else seed,
        }
    )


def add(
    store: Store,
    scores: Mapping[str, Mapping[str, float]],
    *,
    finished: str = "2026-01-01T00:00:00",
    diagnostics: Mapping[str, float] = MappingProxyType({"probe_accuracy": 0.75}),
    code: str = "",
    current: bool = True,
    inputs: Mapping[str, str] = MappingProxyType({}),
    manifest: Mapping[str, Any] = MappingProxyType({}),
    training: Mapping[str, Any] = MappingProxyType({}),
    losses: int = 0,
    **changes: Any,
) -> Record:
    """A finished cell and its finished training, with a log of so many losses; `code` is that of its method."""
    about = spec(**changes)
    inputs = {f"code {about.method}": code, **inputs}
    fingerprint = digest([about.key, inputs])
    entry = store.training("training", digest([about.training.key, inputs]))
    lines = [json.dumps({"step": step, "loss": 1 / step}) for step in range(1, losses + 1)]
    (entry.begin() / LOG).write_text("\n".join(lines))
    cost = {"seconds": 12.5, "trained_steps": 10, "peak_memory_mib": None}
    trained = {"fingerprint": entry.fingerprint, "inputs": inputs, "cost": cost, "diagnostics": dict(diagnostics)}
    trained |= {"provenance": {"finished": finished}, **training}
    folder = entry.finish({"kind": "training", "spec": about.training.dump(), **trained}).folder
    entry = store.cell("cell", fingerprint)
    entry.begin()
    if scores:
        entry.write_scores(scores)
    record = entry.finish(
        {
            "kind": "cell",
            "spec": about.dump(),
            "fingerprint": fingerprint,
            "inputs": {},
            "training": folder.name,
            "trained": trained,
            "cost": {"search_seconds": 0.5},
            "documents_cached": False,
            "scores": {name: fmean(values.values()) for name, values in scores.items()},
            "provenance": {"finished": finished},
            **manifest,
        }
    )
    if current:
        store.note(inputs)
    return record


def random_scores(seed: int, centre: float, queries: int = 40) -> dict[str, dict[str, float]]:
    """Scores of each query by each of `MEASURES`."""
    values = np.clip(np.random.default_rng(seed).normal(centre, 0.2, (len(MEASURES), queries)), 0, 1).tolist()
    return {name: {f"q{i}": value for i, value in enumerate(row)} for name, row in zip(MEASURES, values, strict=True)}


def fill_report(store: Store, pairs: Sequence[str]) -> Store:
    """Add four systems on each pair: one with two seeds, one with hostile texts, and a reference row."""
    about = {"finished": "2026-01-02T03:04:05", "commit": "c0ffee", "command": f"bench run --methods {EVIL}"}
    nothing = {"method": "zero-shot", "supervision": "", "train": "", "seed": "", "budget": ""}
    for i, pair in enumerate(pairs):
        for seed, centre, losses, changes in (
            (0, 0.6 - i / 5, 500, {}),
            (2, 0.55 - i / 5, 500, {"seed": "1"}),
            (4, 0.3, 7, {"method": "adversarial", "supervision": "relevance + unpaired text"}),
            (6, 0.4, 0, {"method": EVIL, "config": f"x={BREAKOUT}"}),
            (8, 0.1, 0, nothing),
        ):
            seconds = 12.5 + len(changes.get("method", "optical"))
            cost = {"seconds": seconds, "trained_steps": 10, "parameters": 1_000_000}
            training = {"cost": cost, "provenance": about, "data_report": {"bitext": {"conlang": {"kept": 9}}}}
            scores, manifest = random_scores(i + seed, centre), {"provenance": about}
            add(store, scores, losses=losses, pair=pair, training=training, manifest=manifest, **changes)
    return store


def add_external(store: Store, pair: str, measure: str, mean: float) -> None:
    """Add an imported cell: a mean without scores of queries."""
    about = {"training": None, "trained": {}, "reported": {measure: mean}, "external": {"file": "x", "sha256": "y"}}
    names = {"method": "elsewhere", "supervision": "external", "train": "", "seed": "", "budget": ""}
    add(store, {}, pair=pair, manifest=about, **names)


def reseal(folder: Path, **changes: Any) -> None:
    """Change a manifest as if it had been written so; its files are those that are there."""
    manifest = {key: value for key, value in read_manifest(folder).items() if key != FILES}
    seal(folder, {**manifest, **changes})
