"""Fused rankings: the formulas by hand and by brute force, and whole comparisons with fusions of other rows."""

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from small_bench import REFERENCES, Bench, entry, rows

from bench.data import Pair
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.evaluation.run import Run, strictly_decreasing
from bench.evaluation.run_files import read_run
from bench.gate.baseline import Baseline, Value
from bench.progress import Display
from bench.request import Suite
from bench.results.store import LOCKS, RUN, Store, find_cell
from bench.running.experiment import make_experiment
from bench.running.fusion import total
from bench.running.method_specs import expand, resolve_method
from bench.spec import RunSpec
from bench.storage.sealed import read_manifest
from methods.fusion import Fusion, FusionConfig
from methods.psq import StructuredQueries

FUSED = "fusion+psq+distillation"
PARTS = ("psq", "distillation")


def fuse(*rankings: list[tuple[str, float]], **settings: Any) -> dict[str, float]:
    return dict(strictly_decreasing(Fusion(FusionConfig(**settings)).fuse(rankings)))


ONE, OTHER = [("a", 9.0), ("b", 5.0), ("c", 1.0)], [("c", 0.9), ("a", 0.8), ("d", 0.4)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"a": 1 / 61 + 1 / 62, "c": 1 / 63 + 1 / 61, "b": 1 / 62, "d": 1 / 63}),
        ({"k": 0}, {"a": 1 + 1 / 2, "c": 1 / 3 + 1, "b": 1 / 2, "d": 1 / 3}),
        ({"by": "scores"}, {"a": 1 + 0.8, "c": 0 + 1.0, "b": 0.5, "d": 0.0}),
    ],
)
def test_by_hand(settings: dict[str, Any], expected: dict[str, float]) -> None:
    found = fuse(ONE, OTHER, **settings)
    assert found == pytest.approx(expected, rel=1e-6)
    assert list(found) == list(expected)


def test_brackets_join_the_parts_that_train_one_student() -> None:
    text = "fusion:k=0+psq+[optical:epsilon=0.1+distillation]+bm25"
    found = resolve_method(text, {})
    assert found.name == "fusion+psq+[optical+distillation]+bm25"
    assert [part.name for part in found.parts] == ["psq", "optical+distillation", "bm25"]
    assert found.parts[1].methods == resolve_method("optical:epsilon=0.1+distillation", {}).methods
    spec = RunSpec(methods=found.methods, encoder="tiny")
    assert spec.matches(text) and RunSpec.parse(spec.dump()) == spec
    assert not spec.matches(text.replace("[", "").replace("]", ""))


def test_equal_sums_are_ordered_by_document_id_and_a_single_document_has_the_largest_score() -> None:
    assert [*fuse([("b", 2.0), ("a", 1.0)], [("a", 2.0), ("b", 1.0)])] == ["a", "b"]
    assert fuse([("a", -3.0)], [("b", 2.0), ("a", 1.0)], by="scores") == {"a": 1.0, "b": pytest.approx(1.0)}


@pytest.mark.parametrize("settings", [{}, {"k": 0.5}, {"by": "scores"}])
def test_same_as_brute_force_in_any_order_of_the_parts(settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    rankings = []
    for size in (30, 20, 7):
        scores = np.sort(rng.normal(size=size).astype(np.float32))[::-1]
        rankings.append([(f"d{i}", float(score)) for i, score in zip(rng.permutation(40), scores, strict=False)])
    expected = {}
    for document in {document for ranking in rankings for document, _ in ranking}:
        expected[document] = 0.0
        for ranking in rankings:
            documents, scores = [each for each, _ in ranking], np.array([score for _, score in ranking])
            if document in documents:
                place = documents.index(document)
                scaled = (scores[place] - scores.min()) / (scores.max() - scores.min())
                by_scores = settings.get("by") == "scores"
                expected[document] += scaled if by_scores else 1 / (settings.get("k", 60) + place + 1)
    found = [fuse(*each, **settings) for each in itertools.permutations(rankings)]
    assert found[0] == pytest.approx(expected, abs=1e-5)
    assert all(list(other.items()) == list(found[0].items()) for other in found)


def test_costs_are_summed_if_all_parts_report_them() -> None:
    one = {"seconds": 1.5, "peak_memory_mib": 7.0, "energy_by": "a meter", "index_mib": None, "bitext_pairs": 9}
    other = {"seconds": 2.0, "peak_memory_mib": 5.0, "energy_by": "a meter", "index_mib": 3.0, "bitext_pairs": 9}
    assert total([one, {**other, "trained_steps": 4}]) == {
        **{"seconds": 3.5, "peak_memory_mib": 7.0, "energy_by": None, "index_mib": None, "bitext_pairs": 9},
        "trained_steps": 4,
    }


def test_all_methods_leave_fusions_out() -> None:
    methods, notes = expand(("all",), {})
    assert {"bm25", "psq"} <= set(methods)
    assert "fusion" not in methods and not any("fusion" in note for note in notes)


def by_hand(runs: list[Run]) -> dict[str, list[str]]:
    """The first documents by reciprocal ranks; ties by document id."""
    fused: dict[str, dict[str, Fraction]] = {}
    for run in runs:
        for query, ranking in run.items():
            for rank, (document, _) in enumerate(ranking, start=1):
                scores = fused.setdefault(query, {})
                scores[document] = scores.get(document, Fraction(0)) + Fraction(1, 60 + rank)
    return {query: sorted(of, key=lambda key: (-of[key], key))[:100] for query, of in fused.items()}


def test_run_of_a_fusion_is_that_of_its_parts_and_computed_once(bench: Bench, tmp_path: Path) -> None:
    methods = [FUSED, "distillation"]
    outcome = bench.execute(tmp_path, methods, seeds=(0, 1))
    assert (outcome.computed, outcome.failed) == (2 * 2 + 1 + 2 + 2, 0)  # the seeds of a fusion share one `psq`
    runs = [read_run(entry(tmp_path, "cells", name) / RUN) for name in ("psq", "distillation.*.seed1")]
    fused = entry(tmp_path, "cells", f"{FUSED}.*.seed1")
    assert {query: [key for key, _ in found] for query, found in read_run(fused / RUN).items()} == by_hand(runs)
    manifest = read_manifest(fused)
    parts = [find_cell(str(tmp_path / "cells" / name), tmp_path) for name in manifest["parts"]]
    assert [part.spec.method for part in parts] == list(PARTS)
    assert {name for part in parts for name in part.inputs} <= find_cell(str(fused), tmp_path).inputs.keys()
    for name in ("seconds", "cpu_seconds"):
        assert manifest["trained"]["cost"][name] == pytest.approx(sum(part.trained["cost"][name] for part in parts))
    found = {(row["method"], row["scoring"], row["supervision"], row["seed"]) for row in rows(tmp_path)}
    assert {each for each in found if each[0] not in REFERENCES} == {
        *((FUSED, "fusion", "bitext", seed) for seed in "01"),
        *(("distillation", "single-vector", "bitext", seed) for seed in "01"),
        ("psq", "bm25", "bitext", ""),
    }
    outcome = bench.execute(tmp_path, [*methods, "psq"], seeds=(0, 1))
    assert (outcome.computed, outcome.reused) == (0, 9)
    assert bench.execute(tmp_path, [*methods, "psq"], seeds=(0, 1), measures=("R@10",)).computed == 9

    (entry(tmp_path, "cells", "psq") / RUN).write_bytes(b"damaged")
    outcome = bench.execute(tmp_path, methods, seeds=(0, 1))
    assert (outcome.computed, outcome.reused) == (1, 8)
    assert read_run(entry(tmp_path, "cells", "psq") / RUN) == runs[0]
    assert bench.execute(tmp_path, methods, seeds=(0, 1), method={"psq": {"k1": 2.0}}).computed == 1 + 2


def test_parts_have_their_usual_scoring_and_stored_runs_their_depth(bench: Bench, tmp_path: Path) -> None:
    """The requested scoring and the order of the rows have no effect."""
    changes = {"scoring": ("maxsim",), "measures": ("Success@1", "AP@1000")}
    outcome = bench.execute(tmp_path, ["distillation", "fusion:by=scores+bm25+distillation:weight=1"], **changes)
    assert outcome.failed == 0
    found = {(row["method"], row["scoring"], row["measure"]) for row in rows(tmp_path)}
    assert {each for each in found if each[0] not in REFERENCES} == {
        *(("distillation", how, name) for how in ("single-vector", "maxsim") for name in changes["measures"]),
        *(("bm25", "bm25", name) for name in changes["measures"]),
        ("fusion+bm25+distillation", "fusion", "Success@1"),
    }
    request = bench.request(tmp_path, [FUSED], measures=("AP@1000",))
    experiment = make_experiment(request, bench.cards, Resolver(offline=True))
    assert experiment.notes == [
        f"skipped: {FUSED} on conlang qaa-eng: the stored runs that it fuses are too short for AP@1000"
    ]


def test_part_that_fails_fails_its_fusion_until_it_is_computed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("methods.psq.StructuredQueries.rank", lambda *arguments: 1 / 0)
        assert bench.run(tmp_path, [FUSED, "fusion+zero-shot+distillation"]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "FAILED" in line]
    assert len(lines) == 3 and f"{FUSED}.qaa-eng" in lines[1] and "its part psq failed (" in lines[1]
    assert {row["method"] for row in rows(tmp_path)} == {*REFERENCES, "distillation", "fusion+zero-shot+distillation"}
    outcome = bench.execute(tmp_path, [FUSED])
    assert (outcome.computed, outcome.failed) == (2, 0)


def test_fusion_waits_for_a_part_that_another_process_computes(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.execute(tmp_path / "one", ["psq"])
    locks = Store(tmp_path / "two").open().root / LOCKS
    lock = FileLock(locks / f"{entry(tmp_path / 'one', 'trainings', 'psq').name}.lock")
    lock.acquire()
    monkeypatch.setattr(Display, "say", lambda self, line: "waiting" in line and lock.release())
    outcome = bench.execute(tmp_path / "two", [FUSED])
    assert (outcome.computed, outcome.failed) == (6, 0)
    assert [cell.spec.method for cell in outcome.cells][-2:] == ["psq", FUSED]


def test_part_with_another_run_is_fused_again(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained again, a part may differ if its budget is in seconds; here it ranks backwards."""
    bench.execute(tmp_path, [FUSED])
    before = read_run(entry(tmp_path, "cells", FUSED) / RUN)
    rank = StructuredQueries.rank

    def backwards(*arguments: Any) -> Any:
        found = rank(*arguments)
        return {query: [(key, -score) for key, score in ranking] for query, ranking in found.items()}

    monkeypatch.setattr("methods.psq.StructuredQueries.rank", backwards)
    bench.execute(tmp_path, ["psq"], overwrite="always")
    outcome = bench.execute(tmp_path, [FUSED])
    assert (outcome.computed, outcome.reused) == (1, 5)
    runs = [read_run(entry(tmp_path, "cells", name) / RUN) for name in PARTS]
    found = read_run(entry(tmp_path, "cells", FUSED) / RUN)
    assert {query: [key for key, _ in ranking] for query, ranking in found.items()} == by_hand(runs)
    assert found != before


def test_fusions_of_multilingual_students(
    bench: Bench, tmp_path: Path, conlang_cards: Callable[..., dict[str, Card]]
) -> None:
    """A part without data has one row per pair, whatever the students of the other parts."""
    two, fused = Bench(conlang_cards("qaa-eng", "qab-eng"), bench.encoder), "fusion+bm25+distillation"
    pairs, students = (Pair("qaa", "eng"), Pair("qab", "eng")), ("bilingual", "multilingual")
    assert two.execute(tmp_path, [fused], pairs=pairs, students=students).failed == 0
    found = [(row["method"], row["students"], row["pair"]) for row in rows(tmp_path, "leaderboard-wide.csv")]
    of_both = {
        (name, kind, str(pair)) for name in (fused, "distillation") for kind in ("", students[1]) for pair in pairs
    }
    assert {each for each in found if each[0] not in REFERENCES} == of_both | {
        ("bm25", "", str(pair)) for pair in pairs
    }
    cells, _ = Store(tmp_path).finished()
    for cell in (cell for cell in cells if cell.spec.method == fused):
        parts = [find_cell(name, tmp_path).spec for name in cell.manifest["parts"]]
        assert {part.pair for part in parts} == {cell.spec.pair}
        assert parts[1].pairs == cell.spec.pairs


def test_part_of_a_baseline_has_the_parts_of_its_fusions() -> None:
    suite = Suite(methods=(FUSED, "optical"))
    values = [Value(f"{name} conlang qaa-eng", "RR@10", 0.5, 0.1, (0.5,)) for name in (FUSED, *PARTS, "optical")]
    kept = Baseline(suite, tuple(values), {}).of([FUSED])
    assert [value.cell.split()[0] for value in kept.values] == [FUSED, *PARTS]
