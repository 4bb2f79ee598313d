"""`bench inspect cell`: everything that a manifest says, found by folder, name or fingerprint."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from small_bench import Bench

from bench.cli import main
from bench.errors import BenchError
from bench.inspection.cell import describe_cell
from bench.results.store import Record, Store, find_cell


@pytest.fixture(scope="module")
def results(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    assert bench.execute(folder, ["optical:epsilon=0.5"], bitext_noise=(0.5,), leakage="keep").failed == 0
    return folder


@pytest.fixture(scope="module")
def cell(results: Path) -> Record:
    return find_cell(str(next(results.glob("cells/optical.*"))), results)


def test_cell_is_found_by_folder_manifest_name_and_fingerprint(results: Path, cell: Record) -> None:
    fingerprint = cell.manifest["fingerprint"]
    for text in (
        str(cell.folder),
        str(cell.folder / "manifest.json"),
        cell.folder.name,
        fingerprint[:8],
        fingerprint[:20],
        fingerprint,
    ):
        assert find_cell(text, results).folder == cell.folder


def test_what_names_no_cell_is_told(results: Path, cell: Record, tmp_path: Path) -> None:
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


def test_sections_have_the_contents_of_the_manifest(
    results: Path, cell: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "cell", cell.fingerprint[:12], "--results", str(results)]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert list(shown) == ["spec", "scores", "data", "cost", "diagnostics", "provenance", "files"]
    assert (shown["spec"]["config"], shown["spec"]["bitext_noise"]) == ("epsilon=0.5 leakage=keep", "0.5")
    assert shown["spec"]["settings of optical"]["epsilon"] == 0.5
    assert {name: shown["scores"][name] for name in cell.means} == pytest.approx(cell.means)
    assert shown["data"]["bitext"] == cell.trained["data_report"]["bitext"]
    assert shown["data"]["leakage rows"] == "KEPT: they were trained on"
    assert shown["provenance"]["evaluation"]["command"] == cell.manifest["provenance"]["command"]
    assert shown["files"]["fingerprint"] == cell.fingerprint


def test_raw_manifest_is_printed_as_it_is(results: Path, cell: Record, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "cell", str(cell.folder), "--json"]) == 0
    assert capsys.readouterr().out == (cell.folder / "manifest.json").read_text()


def test_copied_manifest_says_all(cell: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(cell.folder / "manifest.json", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "cell", "manifest.json"]) == 0
    here, there = (describe_cell(each) for each in (cell, find_cell(str(tmp_path), tmp_path)))
    assert here == there | {"files": here["files"]}
