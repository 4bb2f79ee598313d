"""Settings of methods and of the recipe, from options and files, and a run's stored configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_bench import Command, contents, rows

from bench.spec import RunSpec
from bench.storage.sealed import MANIFEST


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("[method.optical]\nepsilom = 0.1", "method 'optical': unknown key 'epsilom'; did you mean epsilon?"),
        ("[method.optical]\nepsilon = -1", "method 'optical': epsilon = -1: Input should be greater than 0"),
        ("[recipe]\nbatchsize = 8", "recipe: unknown key 'batchsize'; did you mean batch_size?"),
        ("[recipe]\nbatch_size = 0", "recipe: batch_size = 0: Input should be greater than 0"),
    ],
)
def test_setting_that_does_not_fit_is_refused(command: Command, tmp_path: Path, setting: str, complaint: str) -> None:
    (tmp_path / "mine.toml").write_text(setting)
    said = command("optical", "--quiet", "--config", str(tmp_path / "mine.toml"))
    assert (said.code, said.lines) == (2, [f"bench: {complaint}"])
    assert not command.results.exists()


def test_rows_with_other_settings_are_other_trainings_and_say_so(command: Command) -> None:
    assert command("optical optical:epsilon=0.5").code == 0
    assert command("optical", "--set", "recipe.batch_size=8").code == 0
    found = [row for row in rows(command.results) if row["method"] == "optical"]
    assert {row["config"] for row in found} == {"", "epsilon=0.5", "recipe.batch_size=8"}
    assert len({row["cell"] for row in found}) == 3
    manifests = contents(command.results / "trainings", MANIFEST).values()
    specs = [
        spec for spec in (RunSpec.parse(json.loads(each)["spec"]) for each in manifests) if spec.method == "optical"
    ]
    settings = {(spec.columns["config"], dict(spec.methods[0].settings)["epsilon"]) for spec in specs}
    assert settings == {("", 0.05), ("epsilon=0.5", 0.5), ("recipe.batch_size=8", 0.05)}
    assert {dict(spec.recipe.settings)["batch_size"] for spec in specs} == {64, 8}


def test_stored_configuration_asks_for_the_same_again(command: Command) -> None:
    more = ("--set", "recipe.batch_size=8", "--set", "method.optical.tolerance=0.001", "--seeds", "1")
    assert command("optical optical:epsilon=0.5", *more).code == 0
    (path,) = (command.results / "configurations").iterdir()
    for manifest in contents(command.results, MANIFEST).values():
        assert json.loads(manifest)["configuration"] == f"configurations/{path.name}"
    before = contents(command.results)
    said = command.call("run", "--config", str(path))
    assert said.code == 0
    assert said.lines[-1].startswith("nothing to compute: all 5 cells are finished already")
    assert contents(command.results) == before
