"""`bench inspect cell`: the manifest of a cell, in sections."""

from typing import Any

from bench.results.store import Record


def describe_cell(cell: Record) -> dict[str, dict[str, Any]]:
    """Return the contents of the manifests of a cell and its training by section, without empty values."""
    manifest, training, spec = cell.manifest, cell.trained, cell.spec
    data = dict(training.get("data_report", {}))
    if "leakage" in data:
        data["leakage rows"] = {"remove": "removed", "keep": "KEPT: they were trained on"}[spec.leakage]
    sections = {
        "spec": {
            **spec.columns,
            **{f"settings of {method['name']}": method["settings"] for method in manifest["spec"]["methods"]},
            "settings of the recipe": manifest["spec"]["recipe"]["settings"],
        },
        "scores": {
            **cell.means,
            "reported": manifest.get("reported"),
            **{name: manifest.get(name) for name in ("threshold", "index", "queries", "queries_left_out", "documents")},
        },
        "data": data,
        "cost": {"training": training.get("cost"), "evaluation": manifest["cost"]},
        "diagnostics": {**training.get("diagnostics", {}), "teacher": training.get("teacher")},
        "provenance": {
            "imported": manifest.get("external"),
            "training": training.get("provenance"),
            "evaluation": manifest["provenance"],
        },
        "files": {
            "fingerprint": cell.fingerprint,
            **{name: manifest.get(name) for name in ("training", "parts")},
            "folder": str(cell.folder),
        },
    }
    filled = {title: _filled(section) for title, section in sections.items()}
    return {title: section for title, section in filled.items() if section}


def _filled(value: Any) -> Any:
    """Return a value of a manifest without empty texts, None and empty objects, with floats of seven digits."""
    if isinstance(value, dict):
        inner = {name: _filled(each) for name, each in value.items()}
        return {name: each for name, each in inner.items() if each not in (None, "", {})}
    return float(f"{value:.7g}") if isinstance(value, float) else value
