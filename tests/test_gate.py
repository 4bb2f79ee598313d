"""The regression gate: how far a value may move, what counts as moved, and that faults are found."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from bench import cli, commands, gate, registry
from bench.data import Pair
from bench.data.cards import Card
from bench.encoders.encoder import Encoder
from bench.errors import BenchError, CellFailed
from bench.gate import Baseline, Value, compare, log_figures, make_baseline, tolerance
from bench.progress import Display
from bench.request import Check, Suite
from bench.training.budget import Budget

BASELINE = Path(__file__).parents[1] / "results" / "baselines" / "embedded.json"
SEEDS = (0.30, 0.32, 0.29, 0.31, 0.33)


def value(name: str, checked: float, tolerance: float = 0.1) -> Value:
    return Value("optical conlang qaa-eng", name, checked, tolerance, checked, 0.01, (checked,) * 5)


def baseline(*values: Value) -> Baseline:
    return Baseline(Suite(), values, {})


def now(**values: float) -> Mapping[gate.Key, float]:
    return {("optical conlang qaa-eng", name): number for name, number in values.items()}


def test_tolerance_by_hand() -> None:
    """s = sqrt(0.001 / 4); t(1 - 0.01 / 2, 4 degrees of freedom) is 4.604 in the tables."""
    assert tolerance(SEEDS, checked=2, family=1) == pytest.approx(4.604 * 0.0158114, rel=1e-4)
    assert tolerance(SEEDS, checked=4, family=1) == pytest.approx(4.604 * 0.0158114 * 0.5**0.5, rel=1e-4)


def test_more_values_allow_more_chance() -> None:
    assert tolerance(SEEDS, checked=3, family=50) > tolerance(SEEDS, checked=3, family=5)


@pytest.mark.parametrize(
    ("found", "verdicts"),
    [
        ({"nDCG@10": 0.5, "RR@10": 0.4}, []),
        ({"nDCG@10": 0.59, "RR@10": 0.31}, []),
        ({"nDCG@10": 0.61, "RR@10": 0.4}, ["higher"]),
        ({"nDCG@10": 0.39, "RR@10": 0.51}, ["lower", "higher"]),
        ({"nDCG@10": 0.5}, ["missing"]),
        ({"nDCG@10": 0.5, "RR@10": 0.4, "R@100": 0.9}, ["new"]),
        ({"nDCG@10": float("nan"), "RR@10": 0.4}, ["not a number"]),
    ],
)
def test_values_are_compared_in_both_directions(found: dict[str, float], verdicts: list[str]) -> None:
    changes = compare(baseline(value("nDCG@10", 0.5), value("RR@10", 0.4)), [now(**found)])
    assert [change.row[-1] for change in changes] == verdicts
    assert all(len(change.row) == len(gate.COLUMNS) for change in changes)


def test_it_is_the_mean_over_the_checked_seeds_that_counts() -> None:
    expected = baseline(value("nDCG@10", 0.5))
    assert not compare(expected, [now(**{"nDCG@10": 0.2}), now(**{"nDCG@10": 0.8})])
    assert compare(expected, [now(**{"nDCG@10": 0.2}), now(**{"nDCG@10": 0.7}), now(**{"nDCG@10": 0.2})])


def test_baseline_survives_its_file(tmp_path: Path) -> None:
    made = Baseline(Suite(seeds=(3, 4)), (value("nDCG@10", 0.1 + 0.2), value("RR@10", 1e-300)), {"libraries": {}})
    made.write(tmp_path / "b.json")
    assert Baseline.read(tmp_path / "b.json") == made


@pytest.mark.parametrize("text", ["", "{}", '{"suite": {}, "values": [{}], "made_by": {}}', "[]"])
def test_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(BenchError, match=r"b\.json is no baseline"):
        Baseline.read(tmp_path / "b.json")
    with pytest.raises(BenchError, match="cannot be read"):
        Baseline.read(tmp_path / "gone.json")


def test_log_figures_are_means_over_the_last_quarter(tmp_path: Path) -> None:
    records = [{"step": i, "seconds": 1.0, "loss": float(i), "accuracy": 0.5} for i in range(1, 9)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert log_figures(tmp_path / "log.jsonl") == {"loss": 7.5, "accuracy": 0.5}
    assert log_figures(tmp_path / "gone.jsonl") == {}


@pytest.fixture(scope="module")
def small(small_conlang: dict[str, Card], encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Baseline:
    """The baseline of two methods with the small encoder on the small collection."""
    suite = Suite(
        methods=("optical", "adversarial"), encoder=str(encoder_folder), budget=Budget(8, "steps"), seeds=range(5),
        checked=1,
    )  # fmt: skip
    return make_baseline(suite, small_conlang, tmp_path_factory.mktemp("gate"), Display(quiet=True))


def test_baseline_has_measures_coverage_diagnostics_log_alignment_and_teacher(small: Baseline) -> None:
    names = {value.cell: set() for value in small.values}  # type: ignore[var-annotated]
    for one in small.values:
        names[one.cell].add(one.name)
    assert {"nDCG@10", "Success@1", "coverage.queries", "coverage.retrieved"} <= names["optical conlang qaa-eng"]
    assert {"alignment.f1", "teacher.drift", "log.loss", "log.plan_iterations"} <= names["optical training qaa-eng"]
    assert {"diagnostics.probe_accuracy", "log.language_loss"} <= names["adversarial training qaa-eng"]
    assert "alignment.f1" in names["untrained training qaa-eng"]
    assert "nDCG@10" in names["oracle conlang qaa-eng"]
    of = {(one.cell, one.name): one for one in small.values}
    assert of["optical conlang qaa-eng", "coverage.queries"].seeds == (20,) * 5
    assert of["optical training qaa-eng", "teacher.drift"].seeds == (0,) * 5


def test_counts_may_not_move_and_everything_else_a_little(small: Baseline) -> None:
    for one in small.values:
        if one.name.startswith(("coverage.", "teacher.")):
            assert one.tolerance == 0
        elif "." in one.name:
            assert one.tolerance >= gate.RESOLUTION * abs(one.checked)
        else:
            assert one.tolerance >= 1 / 20  # one query's worth


def check(small: Baseline, cards: dict[str, Card], folder: Path) -> list[gate.Change]:
    """What `bench check` finds on the small suite."""
    found = [gate.compute(small.suite, seed, cards, folder, Display(quiet=True)) for seed in small.suite.seeds[:1]]
    return compare(small, found)


def test_untouched_code_moves_nothing(small: Baseline, small_conlang: dict[str, Card], tmp_path: Path) -> None:
    for i in range(2):
        assert check(small, small_conlang, tmp_path / str(i)) == []


def test_teacher_that_is_not_frozen_is_found(
    small: Baseline, small_conlang: dict[str, Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Encoder, "freeze", lambda self: self.eval())
    changes = check(small, small_conlang, tmp_path)
    assert ("optical training qaa-eng", "teacher.trainable") in [change.key for change in changes]


def test_corpus_that_lost_a_document_is_found(
    small: Baseline, small_conlang: dict[str, Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = gate.make_plan.__globals__["load_test"]

    def loses_one(*arguments: object) -> object:
        test = load(*arguments)
        return dataclasses.replace(test, documents=test.documents[:-1], document_ids=test.document_ids[:-1])

    monkeypatch.setattr("bench.running.plan.load_test", loses_one)
    changes = check(small, small_conlang, tmp_path)
    assert {change.key[1] for change in changes} >= {"coverage.documents"}


def test_cell_that_fails_is_no_regression(
    small: Baseline, small_conlang: dict[str, Card], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("methods.optical.transport_loss", lambda plan, cost: cost.sum() * float("nan"))
    with pytest.raises(CellFailed, match="cells of seed 0 failed"):
        check(small, small_conlang, tmp_path)


def test_part_of_a_baseline(small: Baseline) -> None:
    part = small.of(["optical"])
    assert part.suite.methods == ("optical",)
    assert {one.cell.split(" ")[0] for one in part.values} == {"optical", "zero-shot", "untrained", "oracle"}
    with pytest.raises(BenchError, match="unknown method in the baseline: 'optcal'; did you mean optical"):
        small.of(["optcal"])


def test_too_few_seeds_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["baseline", str(tmp_path / "b.json"), "--seeds", "0,1,2"]) == 2
    assert capsys.readouterr().err == (
        "bench: a baseline needs at least 5 seeds, and as many as a check computes again\n"
    )


def test_committed_baseline_covers_every_method_of_the_project() -> None:
    """But for off-the-shelf, which needs a download; its code is that of the reference rows."""
    own = {entry.base for entry in registry.methods().values() if entry.module.startswith("methods.")}
    kept = Baseline.read(BASELINE)
    specs = [spec for text in kept.suite.methods for spec in registry.parse_spec(text)]
    assert {registry.find_method(spec.name).base for spec in specs} == own - {"off-the-shelf"}
    assert {"static-negatives", "optical+dynamic-negatives"} <= {registry.row_name(text) for text in kept.suite.methods}
    assert len(kept.suite.seeds) >= 5
    names = {registry.row_name(text) for text in kept.suite.methods}
    assert {value.cell.split(" ")[0] for value in kept.values} == names | set(registry.references())


FAULTS: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "sign of the transport loss": (
        "optical",
        lambda patch: patch.setattr(
            "methods.optical.transport_loss", lambda plan, cost: -(plan.detach() * cost).sum(dim=(1, 2))
        ),
    ),
    "discriminator not reversed": (
        "adversarial",
        lambda patch: patch.setattr("methods.discriminator.reverse_gradient", lambda x, strength: x),
    ),
    "teacher not frozen": ("optical", lambda patch: patch.setattr(Encoder, "freeze", lambda self: self.eval())),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(
    fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    method, plant = FAULTS[fault]
    threads = torch.get_num_threads()
    plant(monkeypatch)
    assert commands.check(BASELINE, Check(methods=(method,))) == 3
    torch.set_num_threads(threads)
    moved = capsys.readouterr().out.splitlines()[-1].partition("in: ")[2].split(", ")
    assert any(cell.startswith(f"{method} ") and cell.endswith("training qaa-eng") for cell in moved)


@pytest.mark.slow
def test_untouched_code_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.check(BASELINE, Check(methods=("optical",))) == 0
    assert capsys.readouterr().out == ""


def test_pairs_of_the_suite_are_of_the_embedded_collection() -> None:
    assert Suite().pairs == (Pair("qaa", "eng"),)
