"""The ir_metadata of a run: YAML with the components of PRIMAD, a function of the manifest alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from small_bench import Bench

from bench.cli import main
from bench.evaluation.run import read_run
from bench.results.ir_metadata import FILE, ir_metadata
from bench.results.store import RUN
from bench.storage.sealed import MANIFEST, read_manifest

COMPONENTS = ["platform", "research goal", "implementation", "method", "actor", "data"]
DEMANDED = """
platform/hardware/cpu/architecture
platform/operating system/kernel
platform/software/libraries/python
platform/software/retrieval toolkit
research goal/evaluation/reported measures
research goal/evaluation/baseline
implementation/executable/cmd
implementation/source/lang
method/automatic
method/score ties
method/retrieval
actor/role
data/test collection/name
data/test collection/source
"""
"""The paths that the schema demands."""


@pytest.fixture(scope="module")
def cells(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    outcome = bench.execute(tmp_path_factory.mktemp("results"), ["optical:epsilon=0.5"])
    return {cell.spec.method: cell.folder for cell in outcome.cells}


def read(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / FILE).read_text(encoding="utf-8")))


def test_every_run_has_the_fields_that_the_schema_demands(
    cells: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The general information and the six components are between the first and the last line, in the schema's order."""
    for method, folder in cells.items():
        text = (folder / FILE).read_text(encoding="utf-8")
        assert (text.splitlines()[0], text.splitlines()[-1]) == ("# ir_metadata.start", "# ir_metadata.end")
        found = read(folder)
        assert list(found) == ["schema-version", "run-version", "tag", *COMPONENTS]
        assert found["tag"] == method
        assert len(read_run(folder / RUN)) == found["data"]["test collection"]["queries"] == 20
        for path in DEMANDED.strip().splitlines():
            value: Any = found
            for key in path.split("/"):
                value = value[key]
            assert value not in (None, "", [], {}), path
        assert main(["inspect", "cell", str(folder / MANIFEST), "--ir-metadata"]) == 0
        assert capsys.readouterr().out == text


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
