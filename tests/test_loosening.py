"""A baseline that exists is not loosened without a reason, which is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import cli
from bench.gate.baseline import Baseline, Scores, Value
from bench.gate.compute import Found, Key
from bench.gate.loosening import foreseen, loosened, with_reason
from bench.request import Suite

CELL, TRAINING = "optical conlang qaa-eng", "optical training qaa-eng"


def value(cell: str, name: str, checked: float, tolerance: float = 0.0) -> Value:
    return Value(cell, name, checked, tolerance, checked, 0.01, (checked,) * 10)


OLD = Baseline(
    Suite(),
    (
        value(CELL, "nDCG@10", 0.5, 0.1),
        value(CELL, "R@100", 0.9, 0.1),
        value(CELL, "coverage.queries", 400),
        value(CELL, "coverage.judged", 400),
        value(TRAINING, "log.loss", 2, 0.3),
        value("zero-shot conlang qaa-eng", "nDCG@10", 0.1, 0.1),
        value("zero-shot conlang qaa-eng", "coverage.queries", 400),
    ),
    {},
)
PLANNED: dict[Key, float | None] = {
    (CELL, "nDCG@10"): None,
    (CELL, "R@100"): None,
    (CELL, "coverage.queries"): 400,
    ("zero-shot conlang qaa-eng", "nDCG@10"): None,
    ("zero-shot conlang qaa-eng", "coverage.queries"): 400,
}


def changed(key: Key, **changes: Any) -> Baseline:
    return replace(OLD, values=tuple(replace(one, **changes) if one.key == key else one for one in OLD.values))


def without(*keys: Key) -> Baseline:
    return replace(OLD, values=tuple(one for one in OLD.values if one.key not in keys))


@pytest.mark.parametrize(
    ("new", "losses"),
    [
        (OLD, []),
        (changed((CELL, "nDCG@10"), checked=0.1), []),  # a change that is meant comes with a new baseline
        (changed((CELL, "nDCG@10"), tolerance=0.2), []),
        (changed((CELL, "nDCG@10"), tolerance=0.01), []),
        (changed((CELL, "nDCG@10"), tolerance=0.21), [f"{CELL}: nDCG@10 may move by 0.21 instead of 0.1"]),
        (changed((CELL, "coverage.judged"), tolerance=1), [f"{CELL}: coverage.judged may move by 1 instead of 0"]),
        (changed((CELL, "coverage.queries"), checked=399), [f"{CELL}: 400 queries become 399"]),
        (changed((CELL, "coverage.judged"), checked=20), [f"{CELL}: 400 queries become 20"]),
        (changed((CELL, "coverage.queries"), checked=500), []),
        (without((CELL, "R@100")), [f"{CELL}: R@100 is gone"]),
        (without((TRAINING, "log.loss")), [f"{TRAINING} is gone"]),
        (replace(OLD, suite=Suite(seeds=range(9))), ["10 seeds become 9"]),
        (replace(OLD, suite=Suite(seeds=range(11))), []),
        (replace(OLD, suite=Suite(checked=2)), ["a check computes 2 of them instead of 3"]),
        (replace(OLD, values=(*OLD.values, value(CELL, "RR@10", 0.3, 0.1))), []),
    ],
)
def test_what_loosens_a_baseline(new: Baseline, losses: list[str]) -> None:
    assert loosened(OLD, new) == losses


@pytest.mark.parametrize(
    ("lost", "changes", "losses"),
    [
        ([], {}, []),
        ([], {"seeds": range(5)}, ["10 seeds become 5"]),
        ([(CELL, "R@100")], {}, [f"{CELL}: R@100 is gone"]),
        ([key for key in PLANNED if key[0] == CELL], {}, [f"{CELL} is gone"]),
    ],
)
def test_what_is_known_before_anything_is_computed(
    lost: list[Key], changes: Mapping[str, Any], losses: list[str]
) -> None:
    planned = {key: count for key, count in PLANNED.items() if key not in lost}
    assert foreseen(OLD, Suite(**changes), planned) == losses


def test_fewer_queries_are_foreseen() -> None:
    assert foreseen(OLD, Suite(), {**PLANNED, (CELL, "coverage.queries"): 20}) == [f"{CELL}: 400 queries become 20"]


def test_scores_of_queries_take_the_place_of_a_value() -> None:
    scores = (Scores(CELL, "nDCG@10", {"q1": 0.5}),)
    new = replace(without((CELL, "nDCG@10")), suite=Suite(seeds=(0,), checked=1), scores=scores)
    assert loosened(OLD, new) == ["10 seeds become 1", "a check computes 1 of them instead of 3"]


def test_reasons_are_kept_in_order() -> None:
    first = with_reason(OLD, without((CELL, "R@100")), "too coarse")
    second = with_reason(first, without((CELL, "R@100"), (TRAINING, "log.loss")), "too fine")
    assert [(entry["reason"], entry["loosened"]) for entry in second.history] == [
        ("too coarse", [f"{CELL}: R@100 is gone"]),
        ("too fine", [f"{TRAINING} is gone"]),
    ]
    assert all(entry["date"] and "commit" in entry for entry in second.history)
    assert with_reason(second, second, None).history == second.history


def test_tolerances_that_grow_in_small_steps_need_a_reason_in_the_end(tmp_path: Path) -> None:
    key = CELL, "nDCG@10"

    def then(old: Baseline, tolerance: float, reason: str | None = None) -> Baseline:
        """The file that is read after the tolerance became another."""
        with_reason(old, changed(key, tolerance=tolerance), reason).write(tmp_path / "b.json")
        return Baseline.read(tmp_path / "b.json")

    grown = then(then(then(OLD, 0.05), 0.06), 0.09)
    assert loosened(grown, changed(key, tolerance=0.1)) == []
    assert loosened(grown, changed(key, tolerance=0.11)) == [f"{CELL}: nDCG@10 may move by 0.11 instead of 0.05"]
    assert loosened(then(grown, 0.11, "another world"), changed(key, tolerance=0.2)) == []
    assert "tightest" not in (tmp_path / "b.json").read_text()
    assert loosened(then(grown, 0.04), changed(key, tolerance=0.081)) != []


SEEDS = [0.3, 0.31, 0.32, 0.33, 0.34]


def found(spread: float) -> list[Found]:
    return [Found({("psq conlang qaa-eng", "nDCG@10"): 0.3 + spread * seed}, {}) for seed in SEEDS]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """`bench baseline` of one cell, whose spread over the seeds is given; None where nothing may be computed."""

    def run(spread: float | None, *arguments: str, methods: str = "psq") -> int:
        def compute_seeds(*given: object) -> list[Found]:
            assert spread is not None, "computed before it was refused"
            return found(spread)

        monkeypatch.setattr("bench.gate.compute.compute_seeds", compute_seeds)
        return cli.main(["baseline", str(tmp_path / "b.json"), "--methods", methods, *arguments])

    return run


def test_wider_tolerances_need_a_reason(
    bench: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "b.json"
    assert bench(0.1, "--seeds", "0,1,2,3,4") == 0
    kept = file.read_bytes()
    capsys.readouterr()
    assert bench(0.3, "--seeds", "0,1,2,3,4") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"bench: this would loosen {file}: psq conlang qaa-eng: nDCG@10 may move by ")
    assert "say why with --reason TEXT" in said
    assert file.read_bytes() == kept
    assert bench(0.3, "--seeds", "0,1,2,3,4", "--reason", "another world") == 0
    assert "because: another world" in capsys.readouterr().out
    assert [entry["reason"] for entry in json.loads(file.read_text())["history"]] == ["another world"]
    assert bench(0.3, "--seeds", "0,1,2,3,4,5") == 0  # nothing is loosened, and nothing forgotten
    assert [entry["reason"] for entry in json.loads(file.read_text())["history"]] == ["another world"]


def test_what_is_foreseen_is_refused_at_once(bench: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(0.1, "--seeds", "0,1,2,3,4,5") == 0
    capsys.readouterr()
    for reason in ([], ["--reason", " "]):
        assert bench(None, "--seeds", "0,1,2,3,4", *reason) == 2
        assert "6 seeds become 5; say why" in capsys.readouterr().err.splitlines()[-1]


def test_a_file_that_is_no_baseline_is_not_overwritten(
    bench: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.json").write_text("notes")
    assert bench(None, "--reason", "it is mine") == 2
    assert "is no baseline" in capsys.readouterr().err
    assert (tmp_path / "b.json").read_text() == "notes"
