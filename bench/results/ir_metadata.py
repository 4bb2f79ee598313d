"""The ir_metadata of a run, made from its manifest.

The schema has the six components of PRIMAD: platform, research goal, implementation, method, actor and data. Facts that
a manifest lacks, such as the name of the experimenter, are left out. Source: version 0.1 of Breuer, Keller and Schaer,
ir_metadata: An Extensible Metadata Schema for IR Experiments, SIGIR 2022 (https://www.ir-metadata.org).
"""

from collections.abc import Mapping
from typing import Any

import yaml

from bench.dependencies.fingerprint import TEST
from bench.spec import RunSpec

FILE = "ir_metadata.yml"
SCHEMA = 0.1
TOOLKITS = ("faiss-cpu", "ir-measures", "pytrec-eval-terrier")
BASELINES = ("zero-shot", "untrained", "oracle")
"""Tags of the reference rows."""


def ir_metadata(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a run from the manifest of its cell."""
    made, spec = manifest["provenance"], RunSpec.parse(manifest["spec"])
    pins = {name: f"{name}=={version}" for name, version in sorted(made["libraries"].items())}
    told = spec.dump()
    training = {name: told[name] for name in ("pairs", "budget", "seed", "leakage")} | told["subset"]
    training["recipe"] = dict(spec.recipe.settings)
    sources = manifest.get("sources", {})
    report = manifest.get("trained", {}).get("data_report", {})
    return _without_empty(
        {
            "schema-version": SCHEMA,
            "run-version": 1.0,
            "tag": spec.method,
            "platform": {
                "hardware": {
                    "cpu": {
                        "model": made.get("processor_model"),
                        "architecture": made["processor"],
                        "number of cores": made.get("processors"),
                    },
                    "gpu": {"architecture": made.get("gpu")},
                    "ram": f"{made['memory_gib']} GB" if made.get("memory_gib") else None,
                },
                "operating system": {"kernel": made["platform"]},
                "software": {
                    "libraries": {"python": [pin for name, pin in pins.items() if name not in TOOLKITS]},
                    "retrieval toolkit": [pin for name, pin in pins.items() if name in TOOLKITS],
                },
            },
            "research goal": {
                "evaluation": {
                    "reported measures": list(manifest.get("scores", ())),
                    "baseline": [name for name in BASELINES if name != spec.method],
                }
            },
            "implementation": {
                "executable": {"cmd": made["command"]},
                "source": {"lang": ["python"], "version": f"clir-bench {made['bench']}", "commit": made.get("commit")},
            },
            "method": {
                "automatic": True,
                "score ties": "by document id",
                "indexing": {"encoder": spec.encoder, "scoring": spec.columns["scoring"]},
                "retrieval": [
                    {"name": spec.method, "method": method.name, "params": dict(method.settings)}
                    for method in spec.methods
                ],
                "training": training if spec.train else {},
            },
            "actor": {"role": "experimenter"},
            "data": {
                "test collection": {
                    "name": spec.dataset,
                    "languages": str(spec.pair),
                    "source": sources.get(spec.dataset),
                    "queries": manifest["queries"],
                    "documents": manifest["documents"],
                    "sha256": next(value for key, value in manifest["inputs"].items() if key.startswith(TEST)),
                },
                "training data": [
                    {"name": name, "source": sources.get(name.split()[0]), "role": role, "rows": counts["kept"]}
                    for role in ("bitext", "relevance")
                    for name, counts in report.get(role, {}).items()
                ],
            },
        }
    )


def to_yaml(manifest: Mapping[str, Any]) -> str:
    """Return the metadata as YAML with the comment lines of the schema."""
    text = yaml.safe_dump(ir_metadata(manifest), sort_keys=False, allow_unicode=True, width=120)
    return f"# ir_metadata.start\n{text}# ir_metadata.end\n"


def _without_empty(value: Any) -> Any:
    if isinstance(value, Mapping):
        pruned = {key: _without_empty(each) for key, each in value.items()}
        return {key: each for key, each in pruned.items() if each is not None and each != {} and each != []}
    return [_without_empty(each) for each in value] if isinstance(value, list | tuple) else value
