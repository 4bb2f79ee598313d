"""`bench inspect cell`: the manifest of a cell, in sections."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.data.leakage import KINDS
from bench.errors import BenchError
from bench.results.ir_metadata import to_yaml
from bench.results.store import Record, find_cell
from bench.storage.sealed import MANIFEST
from bench.tables import TEXT_WIDTH

Section = tuple[str, dict[str, str]]
"""A title, and texts by name."""


def inspect_cell(text: str, results: Path, form: str = "") -> int:
    """Print a cell's manifest in sections or as it is (`json`), or the metadata of its run (`ir_metadata`).

    Returns the exit code. Raises `BenchError` if there is no such cell.
    """
    cell = find_cell(text, results)
    if form == "json":
        print((cell.folder / MANIFEST).read_text(encoding="utf-8"), end="")
    elif form == "ir_metadata":
        if cell.external:
            raise BenchError(f"{cell.folder.name} was imported, so its manifest does not say how it was made")
        print(to_yaml(cell.manifest), end="")
    else:
        print("\n".join(render(describe_cell(cell))))
    return 0


def describe_cell(cell: Record) -> list[Section]:
    """Return the contents of the manifests of a cell and of its training."""
    manifest, training, spec = cell.manifest, cell.trained, cell.spec
    settings = {f"settings of {method.name}": method for method in spec.methods} | {"recipe": spec.recipe}
    asked = {name: " ".join(each.texts(dict(each.settings))) for name, each in settings.items()}
    means = cell.means | {f"{name} (reported)": value for name, value in manifest.get("reported", {}).items()}
    if "threshold" in manifest:
        means["threshold"] = manifest["threshold"]
    counts = {name: manifest.get(name) or None for name in ("queries", "queries_left_out", "documents")}
    cost = {
        name.replace("training trained", "trained"): text
        for name, text in _texts(training.get("cost"), "training ").items()
    }
    return [
        ("asked", _texts(spec.columns) | asked),
        ("scores", {name: f"{value:.4f}" for name, value in means.items()} | _texts(counts)),
        ("data", _data(training.get("data_report", {}), spec.leakage)),
        ("cost", cost | _texts(manifest["cost"], "evaluation ")),
        ("diagnostics", _texts(training.get("diagnostics")) | _texts(training.get("teacher"), "teacher ")),
        ("provenance", _provenance(cell)),
    ]


def render(sections: Iterable[Section]) -> list[str]:
    """Return lines with all values in one column. Empty values and sections are left out."""
    filled = [(title, {name: text for name, text in rows.items() if text}) for title, rows in sections]
    margin = max((len(name) for _, rows in filled for name in rows), default=0) + 4
    wrapper = textwrap.TextWrapper(TEXT_WIDTH, break_long_words=False, break_on_hyphens=False)
    wrapper.subsequent_indent = " " * margin
    lines = []
    for title, rows in filled:
        if rows:
            lines += ["", title]
        for name, text in rows.items():
            wrapper.initial_indent = f"  {name}".ljust(margin)
            lines += wrapper.wrap(text)
    return lines[1:]


def _texts(values: Mapping[str, Any] | None, prefix: str = "") -> dict[str, str]:
    """Return values as texts, by their names in words; None is left out."""
    texts = {}
    for name, value in (values or {}).items():
        if value is not None:
            form = ",.7g" if isinstance(value, float) else "," if isinstance(value, int) else ""
            texts[f"{prefix}{name}".replace("_", " ").replace(" mib", " MiB")] = format(value, form)
    return texts


def _data(report: Mapping[str, Any], leakage: str) -> dict[str, str]:
    """Return the training data by source, and the rows that were removed because they repeat a test."""
    rows = {}
    for role in ("bitext", "relevance"):
        for source, counts in report.get(role, {}).items():
            steps = ", ".join(f"{count:,} {step}" for step, count in counts.items() if count and step != "kept")
            rows[f"{role} {source}"] = f"{counts.get('kept', 0):,} rows of {steps}"
    if subset := report.get("subset"):
        kept = ", ".join(f"{count:,} of {source}" for source, count in subset["kept"].items())
        rows["subset"] = f"{kept}; {subset['misaligned']:,} misaligned"
    leaks = {
        test: ", ".join(
            f"{kinds[kind]:,} {kind} in {role}" for role, kinds in roles.items() for kind in KINDS if kinds[kind]
        )
        for test, roles in report.get("leakage", {}).items()
    }
    rows |= {f"leaks {test}": text for test, text in leaks.items()}
    if leaks:
        trained = "KEPT: rows that repeat a test were trained on"
        rows["leakage"] = trained if leakage == "keep" else "such rows were removed"
    rows["no leakage of"] = ", ".join(test for test, text in leaks.items() if not text)
    return rows | {f"NOT CHECKED {test}": reason for test, reason in report.get("not_checked", {}).items()}


def _provenance(cell: Record) -> dict[str, str]:
    manifest, made = cell.manifest, cell.manifest["provenance"]
    if external := manifest.get("external"):
        rows = {"imported": f"{external['file']}, sha256 {external['sha256']}", "finished": made["finished"]}
    else:
        commit = str(made.get("commit") or "not known") + (", with uncommitted changes" if made.get("dirty") else "")
        rows = {
            "bench": f"{made['bench']}, commit {commit}",
            "libraries": ", ".join(f"{name} {version}" for name, version in made["libraries"].items()),
            "platform": f"{made['platform']}, {made['processor']}, {made['threads']} threads",
            "trained": str(cell.trained.get("provenance", {}).get("finished", "not known")),
            "evaluated": made["finished"],
            "command": made["command"],
        }
    rows["fingerprint"] = cell.fingerprint
    rows["training"] = manifest.get("training") or ""
    return rows | {"folder": str(cell.folder)}
