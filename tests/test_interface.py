"""The Python interface: the same cells, numbers and errors as the command line; methods that are classes."""

import ast
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from small_bench import Command, rows

import bench
from bench import registry
from bench.authoring.source import method_text
from bench.data.files import Resolver
from bench.progress import Display
from bench.running.resources import Resources

CELLS = [
    "from __future__ import annotations\nimport numpy as np\nunused = 1",
    "from bench.api import TrainedConfig, TrainedMethod",
    "SCALE = 2\ndef scaled(x):\n    return SCALE * np.asarray(x)",
    "class MineConfig(TrainedConfig):\n    temperature: float = 0.1\n    '''The divisor.'''",
    "this is no Python",
    'class Mine(TrainedMethod):\n    """Old."""\n    name = "old"',
    'class Mine(TrainedMethod):\n    """New."""\n    name = "mine"\n    Config = MineConfig\n'
    "    def batches(self, rng):\n        return iter(())\n"
    "    def loss(self, batch, progress):\n        return scaled(1), {}",
]


def options(command: Command, **more: Any) -> dict[str, Any]:
    """The options of the finished comparison, as Python values."""
    values = {"datasets": ["small"], "pairs": ["qaa-eng"], "train": "small", "cards": command.folder / "cards"}
    values |= {
        "encoder": command.encoder,
        "device": "cpu",
        "results": command.results,
        "budget": "2steps",
        "quiet": True,
    }
    return values | more


def cells(results: Path) -> set[str]:
    return {path.name for path in results.glob("cells/*")}


def test_importing_it_imports_nothing_else() -> None:
    script = "import sys; before = set(sys.modules); import bench; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name for name in ast.literal_eval(done.stdout) if name.partition(".")[0] not in sys.stdlib_module_names}
    assert loaded == {"bench"}
    assert all(getattr(bench, name) for name in bench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bench.nothing  # type: ignore[attr-defined]


def test_a_run_has_the_cells_of_the_command_line_and_frames_those_of_its_files(again: Command) -> None:
    before = cells(again.results)
    results = bench.run("distillation", **options(again))
    assert cells(again.results) == before  # every cell was found finished
    assert repr(results) == f"Results({str(again.results)!r})"
    board, long, per_query = results.leaderboard(), results.cells(), results.per_query()
    files = {"leaderboard-wide.csv": board, "leaderboard.csv": long, "cost.csv": results.cost()}
    for file, frame in {**files, "comparisons.csv": results.comparisons()}.items():
        written = rows(again.results, file)
        assert (list(frame.columns), len(frame)) == (list(written[0]), len(written)), file
    means = per_query.groupby(["method", "measure"])["score"].mean()
    for method, measure, value in zip(long["method"], long["measure"], long["value"], strict=True):
        assert means[method, measure] == pytest.approx(value, abs=5e-7)  # six decimals
    compared = results.compare("distillation", "zero-shot", measures=["RR@10"])
    (row,) = compared.to_dict("records")
    expected = long[long["measure"] == "RR@10"].set_index("method")["value"]
    assert row["difference"] == pytest.approx(expected["distillation"] - expected["zero-shot"], abs=2e-6)
    assert (row["a"], row["b"], row["dataset"], row["pair"]) == ("distillation", "zero-shot", "small", "qaa-eng")
    assert results.report(output=again.results / "page") == again.results / "page" / "report.html"


@pytest.mark.parametrize(
    ("methods", "changes", "complaint"),
    [
        ("distilation", {}, "unknown method 'distilation'; did you mean distillation"),
        ("distillation", {"budgets": "2steps"}, "unknown option 'budgets'; did you mean budget"),
        ("distillation", {"budget": "2 miles"}, "budget"),
        ("distillation", {"recipe": {"batch": 3}}, "recipe: unknown key 'batch'"),
        (["distillation"], {"train": ["nowhere.tsv"]}, "there is no file or folder"),
    ],
)
def test_errors_are_those_of_the_command_line(
    again: Command, methods: Any, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(bench.BenchError, match=complaint):
        bench.run(methods, **options(again, **changes))


def test_a_failed_cell_is_an_error(misbehaving: Command) -> None:
    with pytest.raises(bench.CellFailed, match=r"1 cells failed, with the reasons above"):
        bench.run(f"{misbehaving.folder}/plugin.py:Raises", **options(misbehaving, results=misbehaving.results))


def test_an_empty_folder_has_no_leaderboard(tmp_path: Path) -> None:
    with pytest.raises(bench.BenchError, match="holds no finished cell"):
        bench.Results(tmp_path).leaderboard()


def test_every_option_is_in_the_help() -> None:
    import inspect

    from bench.request import Request

    parameters = inspect.signature(bench.run).parameters
    assert parameters.keys() == Request.model_fields.keys()
    assert all(f"    {name}: " in str(bench.run.__doc__) for name in parameters.keys() - {"methods"})


def test_a_class_of_a_notebook_is_a_file_with_what_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    main: Any = types.ModuleType("__main__")
    main.In = CELLS
    monkeypatch.setitem(sys.modules, "__main__", main)
    for cell in CELLS:
        if "no Python" not in cell:
            exec(compile(cell, "cell", "exec", dont_inherit=True), vars(main))
    text = method_text(main.Mine)
    entry = registry.find_method(text)
    source = Path(entry.module).read_text(encoding="utf-8")
    assert (entry.name, entry.describe()["description"]) == ("mine", "New.")
    assert "unused" not in source and "Old" not in source
    assert entry.load().Config().model_dump()["temperature"] == 0.1
    assert entry.load()().loss(None, 0)[0] == 2  # type: ignore[attr-defined]
    assert method_text(main.Mine) == text
    main.In = [cell.replace("SCALE = 2", "SCALE = 3") for cell in CELLS]
    assert method_text(main.Mine) != text  # another method, which is trained anew


def test_a_class_of_a_module_is_its_file_and_an_installed_one_its_name() -> None:
    from methods.optical import Optical

    assert method_text(Optical) == "optical"
    assert method_text(Outside) == f"{Path(__file__)}:Outside"
    with pytest.raises(bench.BenchError, match="define the class at the top level"):
        method_text(Nested.Inside)


class Outside:
    pass


class Nested:
    class Inside:
        pass


SOUND = '"""A."""\nfrom bench.api import Method\n\n\nclass Mine(Method):\n    """One."""\n\n    name = "{}"\n'


@pytest.mark.parametrize(
    ("name", "called"), [("my-own", "my-own"), ("optical", "Mine"), ("all", "Mine"), ("My own", "Mine")]
)
def test_a_method_of_a_file_has_its_name_unless_it_is_taken_or_malformed(
    tmp_path: Path, name: str, called: str
) -> None:
    (tmp_path / "mine.py").write_text(SOUND.format(name))
    assert registry.find_method(f"{tmp_path}/mine.py:Mine").name == called


def test_an_encoder_without_a_stated_pooling_is_mean_pooled_with_a_message(
    tmp_path: Path, encoder_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(encoder_folder, plain)
    for folder, messages in ((encoder_folder, 0), (plain, 1)):
        for path in plain.glob("modules.json") if messages else ():
            path.unlink()
        resources = Resources(str(folder), "cpu", "float32", {}, Resolver(offline=True), Display(), threads=1)
        assert resources.teacher.pooling == "mean"
        assert capsys.readouterr().err.count("states no pooling; its embedding is the mean of the token") == messages


def test_an_encoder_without_an_owner_is_refused_with_the_cure() -> None:
    cure = r"unknown encoder 'bert-base-cased'.* with its owner, as in google-bert/bert"
    with pytest.raises(bench.BenchError, match=cure):
        bench.run("zero-shot", encoder="bert-base-cased")
