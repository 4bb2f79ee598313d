"""Lines about seeds that a mean hides: outliers, and trainings that failed."""

import re
from dataclasses import replace

from bench.results.store import FAILURE, TRAININGS, Store, training_fingerprint
from bench.results.systems import System
from bench.statistics.outliers import outliers
from bench.tables import shortened

REASON = 100
"""Characters of a failure's reason that are shown."""


def outlying_seeds(system: System, measure: str) -> str:
    """Return the seeds whose mean is an outlier; empty if there are none."""
    if measure not in system.scores:
        return ""
    means = system.scores[measure].mean(axis=1)
    found = outliers(means)
    others = [mean for i, mean in enumerate(means) if i not in found]
    return ", ".join(
        f"seed {system.seeds[i]} is an outlier by {measure} ({means[i]:.3f}; "
        f"others {min(others):.3f} to {max(others):.3f})"
        for i in found
    )


def failed_seeds(system: System, store: Store) -> str:
    """Return the seeds whose training failed, as one that diverges does, with the reason; empty if there are none."""
    inputs = system.cells[-1].trained.get("inputs") if system.cells else None
    failures = {path.parent.name: path for path in (store.root / TRAININGS).glob(f"*/{FAILURE}")} if inputs else {}
    lines = []
    for seed in sorted({int(seed) for name in failures for seed in re.findall(r"\.seed(\d+)", name)}):
        # The fingerprint is that of another seed's training with the same settings, data and code.
        spec = replace(system.spec, seed=seed).training
        entry = store.training(spec.label, training_fingerprint(spec, inputs or {}))
        if str(seed) not in system.seeds and entry.folder.name in failures:
            reason = failures[entry.folder.name].read_text(encoding="utf-8").rstrip().rpartition("\n")[2]
            lines.append(f"seed {seed} failed and is not in the mean ({shortened(reason, REASON)})")
    return ", ".join(lines)
