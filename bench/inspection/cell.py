"""`bench inspect cell`: the manifest of a cell, laid out to be read."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.data.leakage import KINDS
from bench.errors import BenchError
from bench.results.ir_metadata import to_yaml
from bench.results.store import Record, find_cell
from bench.sealed import MANIFEST
from bench.spec import RunSpec
from bench.tables import TEXT_WIDTH

Section = tuple[str, list[tuple[str, str]]]
"""A title, and names with what there is to say of them."""


def inspect_cell(text: str, results: Path, form: str = "") -> int:
    """Print a cell's manifest, laid out, or as it is (`json`), or its run's metadata (`ir_metadata`); returns the exit
    code. Raises `BenchError` if there is no such cell.
    """
    cell = find_cell(text, results)
    if form == "json":
        print((cell.folder / MANIFEST).read_text(encoding="utf-8"), end="")
    elif form == "ir_metadata":
        if cell.external:
            raise BenchError(f"{cell.folder.name} was imported, and how it was made is not known here")
        print(to_yaml(cell.manifest), end="")
    else:
        print("\n".join(render(describe_cell(cell))))
    return 0


def describe_cell(cell: Record) -> list[Section]:
    """All that a cell's manifest says, and its training's."""
    manifest, training = cell.manifest, cell.trained
    return [
        ("asked", _asked(cell.spec)),
        ("scores", _scores(cell)),
        ("data", _data(cell)),
        ("cost", [*_training_cost(training.get("cost", {})), *_prefixed("evaluation", manifest["cost"])]),
        ("diagnostics", [*_items(training.get("diagnostics")), *_prefixed("teacher", training.get("teacher"))]),
        ("provenance", _provenance(cell)),
    ]


def render(sections: Iterable[Section]) -> list[str]:
    """Lines; the values of all sections begin in one column. Sections with nothing in them are left out."""
    sections = [section for section in sections if section[1]]
    margin = max((len(name) for _, rows in sections for name, _ in rows), default=0) + 4
    lines = []
    for title, rows in sections:
        lines.append(title)
        for name, value in rows:
            first = f"  {name}".ljust(margin)
            wrapper = textwrap.TextWrapper(
                TEXT_WIDTH,
                initial_indent=first,
                subsequent_indent=" " * margin,
                break_long_words=False,
                break_on_hyphens=False,
            )
            lines += wrapper.wrap(value)
        lines.append("")
    return lines[:-1]


def _asked(spec: RunSpec) -> list[tuple[str, str]]:
    rows = [(name.replace("_", " "), value) for name, value in spec.columns.items() if value]
    rows += [(f"settings of {method.name}", " ".join(method.told(dict(method.settings)))) for method in spec.methods]
    rows.append(("recipe", " ".join(spec.recipe.told(dict(spec.recipe.settings)))))
    return [(name, value) for name, value in rows if value]


def _scores(cell: Record) -> list[tuple[str, str]]:
    manifest = cell.manifest
    rows = [(name, f"{value:.4f}") for name, value in cell.means.items()]
    rows += [(f"{name} (reported)", f"{value:.4f}") for name, value in manifest.get("reported", {}).items()]
    counts = {name.replace("_", " "): manifest.get(name) for name in ("queries", "queries_left_out", "documents")}
    rows += [(name, f"{count:,}") for name, count in counts.items() if count]
    return [*rows, *(("threshold", f"{manifest[key]:.4f}") for key in ("threshold",) if key in manifest)]


def _data(cell: Record) -> list[tuple[str, str]]:
    """What was trained on, and what was removed of it and why; nothing for what trains on nothing."""
    report = cell.trained.get("data_report", {})
    rows = []
    for role in ("bitext", "relevance"):
        for source, counts in report.get(role, {}).items():
            steps = ", ".join(f"{count:,} {step}" for step, count in counts.items() if count and step != "kept")
            rows.append((f"{role} {source}", f"{counts.get('kept', 0):,} rows of {steps}"))
    if level := report.get("level"):
        kept = ", ".join(f"{count:,} of {source}" for source, count in level["kept"].items())
        rows.append(("level", f"{kept}; {level['misaligned']:,} misaligned"))
    clean = []
    for test, roles in report.get("leakage", {}).items():
        found = [
            f"{count:,} {kind} in {role}" for role, kinds in roles.items() for kind in KINDS if (count := kinds[kind])
        ]
        if found:
            rows.append((f"leaks {test}", ", ".join(found)))
        else:
            clean.append(test)
    if report.get("leakage"):
        told = "KEPT: rows that repeat a test were trained on"
        rows.append(("leakage", told if cell.spec.leakage == "keep" else "such rows were removed"))
    rows += [("no leakage of", ", ".join(clean))] if clean else []
    rows += [(f"NOT CHECKED {test}", reason) for test, reason in report.get("not_checked", {}).items()]
    return rows


def _provenance(cell: Record) -> list[tuple[str, str]]:
    manifest, training = cell.manifest, cell.trained
    made = manifest["provenance"]
    if external := manifest.get("external"):
        return [
            ("imported", f"{external['file']}, sha256 {external['sha256']}"),
            ("finished", made["finished"]),
            ("fingerprint", manifest["fingerprint"]),
            ("folder", str(cell.folder)),
        ]
    commit = str(made.get("commit") or "not known") + (", with uncommitted changes" if made.get("dirty") else "")
    trained = training.get("provenance", {})
    return [
        ("bench", f"{made['bench']}, commit {commit}"),
        ("libraries", ", ".join(f"{name} {version}" for name, version in made["libraries"].items())),
        ("platform", f"{made['platform']}, {made['processor']}, {made['threads']} threads"),
        ("trained", str(trained.get("finished", "not known"))),
        ("evaluated", made["finished"]),
        ("command", made["command"]),
        ("fingerprint", manifest["fingerprint"]),
        ("training", f"{manifest['training']}"),
        ("folder", str(cell.folder)),
    ]


def _training_cost(cost: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Named as in `cost.csv`."""
    return [(name.replace("training trained", "trained"), value) for name, value in _prefixed("training", cost)]


def _prefixed(prefix: str, values: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    return [(f"{prefix} {name}", value) for name, value in _items(values)]


def _items(values: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    return [
        (name.replace("_", " ").replace(" mib", " MiB"), f"{value:,.7g}" if isinstance(value, float) else f"{value:,}")
        if isinstance(value, int | float)
        else (name.replace("_", " "), str(value))
        for name, value in (values or {}).items()
        if value is not None
    ]
