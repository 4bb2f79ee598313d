"""`bench inspect cell`: everything in a manifest, found by folder, name or fingerprint, and its ir_metadata."""

import re
import shutil
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Cli
from small_bench import Bench

from bench.errors import BenchError
from bench.evaluation.run_files import read_run
from bench.inspection.cell import describe_cell
from bench.results.ir_metadata import FILE, ir_metadata
from bench.results.store import RUN, Record, Store, find_cell
from bench.storage.sealed import MANIFEST, read_manifest


@pytest.fixture(scope="module")
def results(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    assert bench.execute(folder, ["optical:epsilon=0.5"], bitext_noise=(0.5,), leakage="keep").failed == 0
    return folder


@pytest.fixture(scope="module")
def cell(results: Path) -> Record:
    return find_cell(str(next(results.glob("cells/optical.*"))), results)


def test_cell_is_found_by_folder_manifest_name_and_fingerprint(results: Path, cell: Record, tmp_path: Path) -> None:
    places = str(cell.folder), str(cell.folder / "manifest.json"), cell.folder.name
    for text in (*places, *(cell.fingerprint[:length] for length in (8, 20, 64))):
        assert find_cell(text, results).folder == cell.folder
    training = next(results.glob("trainings/optical.*"))
    for text, complaint in (
        (cell.folder.name[:-4], f"did you mean {cell.folder.name}"),
        ("xyz", "unknown cell in"),
        (cell.manifest["fingerprint"][:20] + "x", "unknown cell in"),
        (str(training), "is no cell"),
    ):
        with pytest.raises(BenchError, match=re.escape(complaint)):
            find_cell(text, results)
    with pytest.raises(BenchError, match="holds no finished cell"):
        find_cell("xyz", tmp_path)


def test_several_fingerprints_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    store = Store(tmp_path).open()
    for last in "ab":
        fingerprint = f"0123{last}".ljust(64, "0")
        store.cell("x.y", fingerprint).begin()
        store.cell("x.y", fingerprint).finish({"kind": "cell", "fingerprint": fingerprint})
    with pytest.raises(BenchError, match="begin with '0123': x"):
        find_cell("0123", tmp_path)
    assert find_cell("0123b", tmp_path).folder.name == "x.y-0123b0000000"


def test_sections_have_the_contents_of_the_manifest(results: Path, cell: Record, cli: Cli) -> None:
    shown = yaml.safe_load(cli("inspect", "cell", cell.fingerprint[:12], "--results", results).out)
    assert list(shown) == ["spec", "scores", "data", "cost", "diagnostics", "provenance", "files"]
    assert (shown["spec"]["config"], shown["spec"]["bitext_noise"]) == ("epsilon=0.5 leakage=keep", "0.5")
    assert shown["spec"]["settings of optical"]["epsilon"] == 0.5
    assert {name: shown["scores"][name] for name in cell.means} == pytest.approx(cell.means)
    assert shown["data"]["bitext"] == cell.trained["data_report"]["bitext"]
    assert shown["data"]["leakage rows"] == "KEPT: they were trained on"
    assert shown["provenance"]["evaluation"]["command"] == cell.manifest["provenance"]["command"]
    assert shown["files"]["fingerprint"] == cell.fingerprint
    assert cli("inspect", "cell", cell.folder, "--json").out == (cell.folder / "manifest.json").read_text()


def test_copied_manifest_has_all(cell: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    shutil.copy(cell.folder / "manifest.json", tmp_path)
    monkeypatch.chdir(tmp_path)
    cli("inspect", "cell", "manifest.json")
    here, there = (describe_cell(each) for each in (cell, find_cell(str(tmp_path), tmp_path)))
    assert here == there | {"files": here["files"]}


COMPONENTS = ["platform", "research goal", "implementation", "method", "actor", "data"]
DEMANDED = """
platform/hardware/cpu/architecture, platform/operating system/kernel, platform/software/libraries/python,
platform/software/retrieval toolkit, research goal/evaluation/reported measures, research goal/evaluation/baseline,
implementation/executable/cmd, implementation/source/lang, method/automatic, method/score ties, method/retrieval,
actor/role, data/test collection/name, data/test collection/source
"""
"""The paths that the schema of ir_metadata demands: YAML with the components of PRIMAD."""


@pytest.fixture
def cells(results: Path) -> dict[str, Path]:
    return {path.name.partition(".")[0]: path for path in (results / "cells").iterdir()}


def read(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / FILE).read_text(encoding="utf-8")))


def test_every_run_has_the_fields_that_the_schema_demands(cells: dict[str, Path], cli: Cli) -> None:
    """The general information and the six components are between the first and the last line, in the schema's order."""
    for method, folder in cells.items():
        text = (folder / FILE).read_text(encoding="utf-8")
        assert (text.splitlines()[0], text.splitlines()[-1]) == ("# ir_metadata.start", "# ir_metadata.end")
        found = read(folder)
        assert list(found) == ["schema-version", "run-version", "tag", *COMPONENTS]
        assert found["tag"] == method
        assert len(read_run(folder / RUN)) == found["data"]["test collection"]["queries"] == 20
        for path in DEMANDED.split(","):
            value = reduce(dict.__getitem__, path.strip().split("/"), found)
            assert value not in (None, "", [], {}), path
        assert cli("inspect", "cell", folder / MANIFEST, "--ir-metadata").out == text


def test_method_training_and_data_are_those_of_the_run(cells: dict[str, Path]) -> None:
    optical, zero_shot = read(cells["optical"]), read(cells["zero-shot"])
    (retrieval,) = optical["method"]["retrieval"]
    assert (retrieval["name"], retrieval["params"]["epsilon"]) == ("optical", 0.5)
    assert optical["method"]["training"]["budget"] == "2steps"
    assert {row["role"] for row in optical["data"]["training data"]} == {"bitext", "relevance"}
    assert "training" not in zero_shot["method"] and "training data" not in zero_shot["data"]
    assert optical["data"]["test collection"]["source"] == "generated"


def test_facts_that_a_manifest_lacks_are_left_out(cells: dict[str, Path]) -> None:
    manifest = read_manifest(cells["optical"])
    for name in ("trained", "sources", "scores"):
        del manifest[name]
    for name in ("processor_model", "processors", "memory_gib", "gpu"):
        del manifest["provenance"][name]
    assert list(ir_metadata(manifest))[3:] == COMPONENTS
