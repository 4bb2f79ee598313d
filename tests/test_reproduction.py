"""`bench reproduce`: a cell comes out the same from its manifest alone, whatever it was trained with."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cells import reseal
from small_bench import Bench, entry

from bench.cli import main
from bench.data import Pair
from bench.data.cards import Card
from bench.dependencies import fingerprint
from bench.recipe import Budget
from bench.results.store import RUN
from bench.storage.sealed import MANIFEST, read_manifest

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


Reproduce = Callable[..., tuple[int, str]]
SAME = "the same numbers; the run is the same, to the last byte"


@pytest.fixture
def reproduce(monkeypatch: pytest.MonkeyPatch, bench: Bench, capsys: pytest.CaptureFixture[str]) -> Reproduce:
    """The command with the small collection's cards, or others: its exit code, and what it printed."""

    def run(path: Path, cards: dict[str, Card] = bench.cards) -> tuple[int, str]:
        monkeypatch.setattr("bench.running.reproduction.load_cards", lambda folder: cards)
        code = main(["reproduce", str(path), "--quiet"])
        return code, "".join(capsys.readouterr())

    return run


def alone(results: Path, method: str) -> Path:
    """A folder with the manifest of a method's cell alone; the results are gone."""
    folder = results.with_name("copy")
    folder.mkdir()
    shutil.copy(entry(results, "cells", method) / MANIFEST, folder)
    shutil.rmtree(results)
    return folder


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("optical:epsilon=0.2:marginals=idf", {}),
        ("distillation", {"seeds": (3,), "recipe": {"learning_rate": 0.01, "selection": "english"}}),
        ("distillation", {"bitext_size": (50,), "bitext_noise": (0.5,), "leakage": "keep"}),
        ("distillation", {"scoring": ("maxsim",), "budget": Budget(500, "tokens")}),
        ("distillation", {"index": "HNSW8:efSearch=20"}),
        ("optical+dynamic-negatives", {"method": {"optical": {"solver": "exact", "weight": 0.5}}}),
        ("static-negatives", {"method": {"hard-negatives": {"document_encoder": "student"}}}),
        ("psq", {"measures": ("R@200", "nDCG@10")}),
        ("fusion+psq+distillation", {"method": {"fusion": {"k": 0}}, "measures": ("R@200", "nDCG@10")}),
    ],
    ids=[
        "settings",
        "recipe and seed",
        "less and worse data",
        "scoring",
        "index",
        "combined",
        "variant",
        "ranker",
        "fusion",
    ],
)
def test_manifest_alone_gives_the_same_numbers(
    bench: Bench, tmp_path: Path, reproduce: Reproduce, method: str, changes: dict[str, Any]
) -> None:
    assert bench.execute(tmp_path / "results", [method], **changes).failed == 0
    code, said = reproduce(alone(tmp_path / "results", method.partition(":")[0]))
    assert code == 0 and SAME in said


def test_multilingual_student_of_several_pairs(
    bench: Bench, conlang_cards: Callable[..., dict[str, Card]], tmp_path: Path, reproduce: Reproduce
) -> None:
    both = Bench(conlang_cards("qaa-eng", "qab-eng"), bench.encoder)
    options = {"pairs": (Pair("qaa", "eng"), Pair("qab", "eng")), "students": ("multilingual",)}
    assert both.execute(tmp_path / "results", ["distillation"], **options).failed == 0
    code, said = reproduce(alone(tmp_path / "results", "distillation.qab-eng"), both.cards)
    assert code == 0 and SAME in said


def test_method_of_a_file(bench: Bench, tmp_path: Path, reproduce: Reproduce) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    bench.execute(tmp_path / "results", [f"{plugin}:Mine:weight=1.0"], measures=("RR@10",))
    copy = alone(tmp_path / "results", "mine")
    assert reproduce(copy)[0] == 0
    plugin.write_text(PLUGIN + OTHER)
    fingerprint._dependencies.cache_clear()  # another process would read it anew
    code, said = reproduce(copy)
    assert code == 3
    assert "NOT the same numbers; the run has other documents" in said
    assert "differs: code mine mine.py: " in said
    plugin.unlink()
    code, said = reproduce(copy)
    assert code == 2 and "there is no file" in said


def test_what_differs_is_named_with_its_number(bench: Bench, tmp_path: Path, reproduce: Reproduce) -> None:
    bench.execute(tmp_path / "results", ["distillation"])
    copy = tmp_path / "copy"
    shutil.copytree(entry(tmp_path / "results", "cells", "distillation"), copy)
    manifest = read_manifest(copy)
    manifest["scores"]["RR@10"] += 0.125
    manifest["provenance"]["libraries"]["numpy"] = "1.0"
    manifest["trained"]["inputs"]["library torch"] = "1.0"
    manifest["inputs"].pop("library torch")
    run = gzip.decompress((copy / RUN).read_bytes()).replace(b" 1 ", b" 9 ", 1)
    (copy / RUN).write_bytes(gzip.compress(run))
    reseal(copy, **{key: manifest[key] for key in ("scores", "provenance", "trained", "inputs")})
    code, said = reproduce(copy)
    assert code == 3
    (row,) = (line.split() for line in said.splitlines() if line.split()[:1] == ["RR@10"])
    assert row[3] == "-0.12"
    assert float(row[1]) - float(row[2]) == pytest.approx(0.125, abs=1e-6)
    assert "NOT the same numbers; the run is the same" in said
    assert "differs: library torch: 1.0 -> " in said
    assert "differs: evaluated on libraries numpy: 1.0 -> " in said


def test_what_cannot_be_computed_again_is_told(bench: Bench, tmp_path: Path, reproduce: Reproduce) -> None:
    bench.execute(tmp_path / "results", ["distillation"])
    copy = alone(tmp_path / "results", "distillation")
    spec = read_manifest(copy)["spec"]

    def told(**changes: Any) -> str:
        reseal(copy, spec={**spec, **changes})
        code, said = reproduce(copy)
        assert code == 2
        return said.splitlines()[-1]

    (method,) = spec["methods"]
    assert "unknown method 'distilation'" in told(methods=[{**method, "name": "distilation"}])
    assert "unknown key 'old'" in told(methods=[{**method, "settings": {**method["settings"], "old": 1}}])
    assert "unknown collection 'gone'" in told(dataset="gone")
    assert "its training data or test collection cannot be read" in told(train=["gone"])
