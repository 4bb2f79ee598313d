"""`bench reproduce`: a cell comes out the same from its manifest alone, whatever it was trained with."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cells import reseal
from small_bench import Bench

from bench.cli import main
from bench.code import code_modules
from bench.data import Pair
from bench.data.cards import Card
from bench.sealed import read_manifest
from bench.training.budget import Budget

PLUGIN = '''
from methods.distillation import Distillation


class Mine(Distillation):
    """Distillation by another name."""

    name = "mine"
'''
OTHER = """
    def diagnose(self):
        self.student.word_embeddings.weight.data.neg_()
        return {}
"""


@pytest.fixture
def reproduce(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> Callable[..., int]:
    """The command with the small collection's cards, or others."""

    def run(path: Path, *arguments: str, cards: dict[str, Card] = bench.cards) -> int:
        monkeypatch.setattr("bench.running.reproduction.load_cards", lambda folder: cards)
        return main(["reproduce", str(path), "--quiet", *arguments])

    return run


def alone(results: Path, method: str, folder: Path) -> Path:
    """The manifest of a method's cell, copied elsewhere, and the results gone."""
    (cell,) = results.glob(f"cells/{method}.*")
    folder.mkdir()
    shutil.copy(cell / "manifest.json", folder)
    shutil.rmtree(results)
    return folder


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("optical:epsilon=0.2:marginals=idf", {}),
        ("distillation", {"seeds": (3,), "recipe": {"learning_rate": 0.01, "selection": "english"}}),
        ("distillation", {"bitext_size": (50,), "bitext_noise": (0.5,), "leakage": "keep"}),
        ("distillation", {"scoring": ("maxsim",), "budget": Budget(500, "tokens")}),
        ("optical+dynamic-negatives", {"method": {"optical": {"solver": "exact", "weight": 0.5}}}),
        ("static-negatives", {"method": {"hard-negatives": {"documents": "student"}}}),
        ("psq", {"measures": ("R@200", "nDCG@10")}),
        ("oracle", {}),
    ],
    ids=["settings", "recipe and seed", "less and worse data", "scoring", "combined", "variant", "ranker", "reference"],
)
def test_manifest_alone_gives_the_same_numbers(
    bench: Bench,
    tmp_path: Path,
    reproduce: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    method: str,
    changes: dict[str, Any],
) -> None:
    asked = [method] if method != "oracle" else ["zero-shot"]
    assert bench.execute(tmp_path / "results", asked, **changes).failed == 0
    copy = alone(tmp_path / "results", method.partition(":")[0], tmp_path / "copy")
    assert reproduce(copy) == 0
    assert "the same numbers; the run is the same, to the last byte" in capsys.readouterr().out


def test_joint_student_of_several_pairs(
    bench: Bench,
    conlang_cards: Callable[..., dict[str, Card]],
    tmp_path: Path,
    reproduce: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    cards = conlang_cards("qaa-eng", "qab-eng")
    pairs = (Pair("qaa", "eng"), Pair("qab", "eng"))
    both = Bench(cards, bench.encoder)
    assert both.execute(tmp_path / "results", ["distillation"], pairs=pairs, students=("joint",)).failed == 0
    copy = alone(tmp_path / "results", "distillation.qab-eng", tmp_path / "copy")
    assert reproduce(copy, cards=cards) == 0
    assert "the same numbers; the run is the same, to the last byte" in capsys.readouterr().out


def test_method_of_a_file(
    bench: Bench, tmp_path: Path, reproduce: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    bench.execute(tmp_path / "results", [f"{plugin}:Mine:weight=1.0"], measures=("RR@10",))
    copy = alone(tmp_path / "results", "Mine", tmp_path / "copy")
    assert reproduce(copy) == 0
    plugin.write_text(PLUGIN + OTHER)
    code_modules.cache_clear()
    code_modules.cache_clear()  # another process would read it anew
    assert reproduce(copy) == 3
    out = capsys.readouterr().out
    assert "NOT the same numbers; the run has other documents" in out
    assert "differs: code Mine mine.py: " in out
    plugin.unlink()
    assert reproduce(copy) == 2
    assert "there is no file" in capsys.readouterr().err


def test_what_differs_is_named_with_its_number(
    bench: Bench, tmp_path: Path, reproduce: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    bench.execute(tmp_path / "results", ["distillation"])
    (cell,) = (tmp_path / "results").glob("cells/distillation.*")
    manifest = read_manifest(cell)
    manifest["scores"]["RR@10"] += 0.125
    manifest["provenance"]["libraries"]["numpy"] = "1.0"
    manifest["trained"]["inputs"]["library torch"] = "1.0"
    manifest["inputs"].pop("library torch")
    copy = tmp_path / "copy"
    shutil.copytree(cell, copy)
    run = gzip.decompress((cell / "run.trec.gz").read_bytes()).replace(b" 1 ", b" 9 ", 1)
    (copy / "run.trec.gz").write_bytes(gzip.compress(run))
    reseal(copy, **{key: manifest[key] for key in ("scores", "provenance", "trained", "inputs")})
    assert reproduce(copy) == 3
    out = capsys.readouterr().out
    (row,) = (line.split() for line in out.splitlines() if line.split()[:1] == ["RR@10"])
    assert row[3] == "-0.12"
    assert float(row[1]) - float(row[2]) == pytest.approx(0.125, abs=1e-6)
    assert "NOT the same numbers; the run is the same" in out
    assert "differs: library torch: 1.0 -> " in out
    assert "differs: evaluated on libraries numpy: 1.0 -> " in out


def test_what_cannot_be_computed_again_is_told(
    bench: Bench, tmp_path: Path, reproduce: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    bench.execute(tmp_path / "results", ["distillation"])
    copy = alone(tmp_path / "results", "distillation", tmp_path / "copy")
    spec, places = (read_manifest(copy)[name] for name in ("spec", "places"))

    def told(places: dict[str, Any] = places, **changes: Any) -> str:
        reseal(copy, spec={**spec, **changes}, places=places)
        assert reproduce(copy) == 2
        (line,) = capsys.readouterr().err.splitlines()[-1:]
        return line

    (method,) = spec["methods"]
    assert "unknown method 'distilation'" in told(methods=[{**method, "name": "distilation"}])
    assert "unknown key 'old'" in told(methods=[{**method, "settings": {**method["settings"], "old": 1}}])
    assert "unknown collection 'gone'" in told({**places, "dataset": "gone"})
    assert "cannot be had" in told(train=["gone"])
