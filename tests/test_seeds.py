"""Outlying and failed seeds: Rosner's published example, Grubbs' published critical values, and cells made by hand."""

from pathlib import Path

import numpy as np
import pytest
from cells import add, spec

from bench.report.leaderboard import leaderboard
from bench.report.tables import remarks
from bench.results.store import FAILURE, Store, training_fingerprint
from bench.statistics.significance import outliers

ROSNER = """
-0.25 0.68 0.94 1.15 1.20 1.26 1.26 1.34 1.38 1.43 1.49 1.49 1.55 1.56 1.58 1.65 1.69 1.70 1.76 1.77 1.81 1.91 1.94 1.96
1.99 2.06 2.09 2.10 2.14 2.15 2.23 2.24 2.26 2.35 2.37 2.40 2.47 2.54 2.62 2.64 2.90 2.92 2.92 2.93 3.21 3.26 3.30 3.59
3.68 4.30 4.64 5.34 5.42 6.01
"""


def test_example_of_rosner_has_three_outliers() -> None:
    values = np.array(ROSNER.split(), dtype=float)
    assert values[outliers(values, alpha=0.05)].tolist() == [6.01, 5.42, 5.34]


@pytest.mark.parametrize(("n", "critical"), [(3, 1.155), (4, 1.496), (5, 1.764), (8, 2.274), (10, 2.482)])
def test_one_outlier_is_beyond_the_critical_value_of_grubbs(n: int, critical: float) -> None:
    # Two-sided critical values at 1 %: Grubbs and Beck, Technometrics 14, 1972, table I, rounded to three decimals.
    largest = []
    for distance in np.geomspace(0.1, 1000, 4000):
        values = np.append(np.linspace(-1, 1, n - 1), distance * n)
        if n - 1 in outliers(values):
            break
        largest.append(abs(values[-1] - values.mean()) / values.std(ddof=1))
    assert largest[-1] == pytest.approx(critical, abs=0.002)


def test_equal_and_few_values_have_no_outlier() -> None:
    assert outliers([]) == outliers([0.5]) == outliers([0.1, 0.9]) == outliers([0.3] * 9) == []


def fill(store: Store, means: list[float], **changes: str) -> None:
    for seed, mean in enumerate(means):
        add(store, {"RR@10": {"q1": mean - 0.05, "q2": mean + 0.05}}, seed=str(seed), diagnostics={}, **changes)


def test_outlying_seed_is_named_below_its_table(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    fill(store, [0.52, 0.53, 0.1, 0.525, 0.54])
    fill(store, [0.42, 0.43, 0.44, 0.43, 0.41], method="distillation")
    assert remarks(leaderboard(store), 0)[1:] == [
        "optical: seed 2 is an outlier by RR@10 (0.100; others 0.520 to 0.540)",
    ]


def test_failed_seed_is_named_if_it_has_the_settings_of_the_others(tmp_path: Path) -> None:
    store, inputs = Store(tmp_path).open(), {"code optical": ""}
    fill(store, [0.5, 0.6])
    fill(store, [0.4, 0.3], config="epsilon=0.5")
    for seed, config, code in ((1, "", ""), (2, "epsilon=0.5", ""), (3, "", "another"), (4, "", "")):
        failed = spec(seed=seed, config=config)
        entry = store.training(failed.training.label, training_fingerprint(failed, inputs | {"code optical": code}))
        (entry.begin() / FAILURE).write_text("Traceback\n  ...\nbench.errors.CellFailed: the loss is nan at step 7\n")
    reason = "failed and is not in the mean (bench.errors.CellFailed: the loss is nan at step 7)"
    assert remarks(leaderboard(store), 0)[1:] == [
        f"optical · epsilon=0.5: seed 2 {reason}",
        f"optical: seed 4 {reason}",
    ]
