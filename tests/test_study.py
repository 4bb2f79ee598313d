"""Studies: run, reported from the archive alone, checked, and refused in one line if malformed."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import tomli_w
from conftest import Cli
from small_bench import Command

from bench.commands.study import RUNS
from bench.data.cards import load_cards
from bench.report.study import ARCHIVE, REPORT, STUDY, read_study, requests_of, study_names
from bench.request import check

STUDIES = Path(__file__).parents[1] / "results" / "studies"


def write(root: Path, command: Command, **changes: object) -> Path:
    """Write the study `small` of the small collection to a folder; return its own folder."""
    common = {"datasets": ["small"], "pairs": ["qaa-eng"], "train": ["small"], "encoder": str(command.encoder)}
    study = {
        "question": "Is distillation better than contrastive?",
        "hypotheses": ["It is."],
        "threats": ["Two steps."],
        "primary": [{"a": "distillation", "b": "contrastive"}],
        "common": {**common, "seeds": [0, 1], "budget": "2steps", "threads": 1},
        "runs": [{"methods": ["distillation"]}, {"methods": ["contrastive"]}],
        **changes,
    }
    (root / "small").mkdir(parents=True, exist_ok=True)
    (root / "small" / STUDY).write_text(tomli_w.dumps(study))
    return root / "small"


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of the files of a study."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_study_is_made_again_from_its_archive_and_checked(whole: Command, cli: Cli, tmp_path: Path) -> None:
    folder = write(tmp_path, whole)
    options = ["small", "--studies", tmp_path, "--cards", whole.folder / "cards", "--offline"]
    cli("study", "run", *options)
    made = files(folder)
    report = made[REPORT].decode()
    assert report.startswith("# Is distillation better than contrastive?\n")
    assert "- distillation against contrastive: **" in report
    assert "nDCG@10, 2 seeds. " in report
    assert "Holm over 1 comparison; significant" in report
    with zipfile.ZipFile(folder / ARCHIVE) as archive:
        manifests = [json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json")]
    assert not any(str(tmp_path) in json.dumps(manifest) for manifest in manifests)
    for path in made.keys() - {ARCHIVE, STUDY}:
        (folder / path).unlink()
    cli("study", "report", "small", "--studies", tmp_path)
    assert files(folder) == made
    again = cli("study", "run", *options).lines
    assert sum(line.startswith("nothing to compute") for line in again) == 2
    assert files(folder) == made
    shutil.rmtree(tmp_path / RUNS)  # as in a fresh copy of the project
    fresh = cli("study", "run", *options).lines
    assert sum(line.startswith("nothing to compute") for line in fresh) == 2
    assert files(folder) == made
    said = cli("study", "check", *options, "--sample", 2)
    assert said.out.count("the same numbers; the run is the same, to the last byte") == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hypotheses": []}, "hypotheses = []"),
        ({"primary": [{"a": "distillation", "c": "x"}]}, "unknown key of primary[0] 'c'"),
        ({"runs": [{"methods": ["distillation"], "sedes": [0]}]}, "runs[0]: unknown key 'sedes'; did you mean seeds"),
        ({"measure": "nDGC@10"}, "did you mean nDCG@10"),
        ({"common": {"budget": "many"}}, "budget 'many' cannot be read"),
    ],
)
def test_a_malformed_study_is_refused_in_one_line(
    changes: dict[str, object], message: str, whole: Command, cli: Cli, tmp_path: Path
) -> None:
    folder = write(tmp_path, whole, **changes)
    (line,) = cli("study", "run", "small", "--studies", tmp_path, code=2).lines
    assert line.startswith(f"bench: {folder / STUDY}: ")
    assert message in line


def test_an_unknown_study_and_one_without_results_are_named(whole: Command, cli: Cli, tmp_path: Path) -> None:
    write(tmp_path, whole)
    assert "did you mean small?" in cli("study", "report", "smal", "--studies", tmp_path, code=2).lines[0]
    said = cli("study", "report", "small", "--studies", tmp_path, code=2)
    assert "compute them with bench study run small" in said.lines[0]
    assert "no" in cli("study", "ls", "--studies", tmp_path).out


@pytest.mark.parametrize("name", study_names(STUDIES))
def test_every_study_names_known_methods_and_collections(name: str) -> None:
    study = read_study(STUDIES, name)
    for smoke in (False, True):
        for request in requests_of(study, name, {}, smoke=smoke):
            check(request, load_cards())
    assert f"bench study run {name} --scale smoke" in (STUDIES.parents[1] / "tox.ini").read_text(encoding="utf-8")
