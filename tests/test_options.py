"""Options from the command line, the environment and a file; what goes before what, and what is refused."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_bench import Command, contents, rows

from bench.cli import make_parser
from bench.data import Pair
from bench.errors import BenchError
from bench.options import check_environment, read_options, read_toml
from bench.recipe import UNITS, Budget, Spent
from bench.request import Request
from bench.spec import RunSpec
from bench.storage.sealed import MANIFEST

Read = Callable[..., Request]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Read:
    """The request of `bench run` with these arguments, a file of this text, and these variables as all `BENCH_*`."""

    def run(*arguments: str, file: str = "", **environment: str) -> Request:
        for name in [name for name in os.environ if name.startswith("BENCH_")]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        config = tmp_path / "mine.toml"
        config.write_text(file, encoding="utf-8")
        check_environment(Request)
        given = ["run", *(["--config", str(config)] if file else ["--methods", "optical"]), *arguments]
        return read_options(Request, make_parser("run").parse_args(given))

    return run


def test_defaults(read: Read) -> None:
    request = read(BENCH_BUDGET="")  # an empty variable is no value
    assert (request.methods, request.datasets) == (("optical",), ("conlang",))
    assert (request.budget, request.seeds, request.pairs) == (Budget(200, "steps"), (0,), ())
    assert (request.overwrite, request.offline, request.results) == ("failed", False, Path("results/runs"))


@pytest.mark.parametrize(
    ("option", "value", "place"),
    [
        ("size", "1000,0", "[1] = '0'"),
        ("size", "most", "[0] = 'most'"),
        ("size", ",", " = ()"),
        ("noise", "0.1,1.5", "[1] = '1.5'"),
        ("noise", "nan", "[0] = 'nan'"),
        ("noise", "much", "[0] = 'much'"),
    ],
)
def test_impossible_amount_of_bitext_or_noise_is_refused(read: Read, option: str, value: str, place: str) -> None:
    with pytest.raises(BenchError, match=re.escape(f"bitext_{option}{place}: ")):
        read(f"--bitext-{option}", value)


@pytest.mark.parametrize(
    ("arguments", "sizes", "noise"),
    [
        ([], ("all",), (0,)),
        (["--bitext-size", "1000,5000", "all", "1000"], ("1000", "5000", "all"), (0,)),
        (["--set", "bitext_size=[10, 'all']", "--bitext-noise", "0,0.10,.1,1"], ("10", "all"), (0, 0.1, 0.1, 1)),
    ],
)
def test_resource_levels(read: Read, arguments: list[str], sizes: tuple[object, ...], noise: tuple[float, ...]) -> None:
    request = read(*arguments)
    assert (request.bitext_size, request.bitext_noise) == (sizes, noise)
    assert len(request.subsets) == len(sizes) * len(set(noise))


EVERYTHING = """
methods = ["optical", "adversarial"]
datasets = "tatoeba,afriqa"
pairs = ["sw-en"]
students = ["bilingual", "multilingual"]
train_pairs = ["hau-eng"]
train = ["tico-19"]
bitext_size = [1000, "all"]
bitext_noise = [0, 0.1]
leakage = "keep"
encoder = "all-MiniLM-L6-v2"
scoring = ["single-vector"]
index = "HNSW32"
budget = "300steps"
seeds = [0, 1, 2]
measures = ["MRR@10"]
device = "cpu"
precision = "float32"
threads = 1
overwrite = "never"
timeout = "2h"
energy = true
jobs = 2
engine = "ray:10.0.0.1:6379"
quiet = true
wide = true
results = "elsewhere"
baseline = "untrained"
mirror = "."
cards = "."
offline = true
dry_run = false
[recipe]
learning_rate = 1e-3
[method.optical]
epsilon = 0.1
"""


def test_every_option_can_stand_in_the_file(read: Read) -> None:
    request = read(file=EVERYTHING)
    assert set(request.model_fields_set) == set(Request.model_fields)
    assert (request.datasets, request.pairs, request.seeds) == (("tatoeba", "afriqa"), (Pair("swh", "eng"),), (0, 1, 2))
    assert (request.measures, request.budget, request.timeout) == (("RR@10",), Budget(300, "steps"), 7200)
    assert (request.recipe, request.method) == ({"learning_rate": 1e-3}, {"optical": {"epsilon": 0.1}})


def test_command_line_goes_before_environment_goes_before_file(read: Read) -> None:
    file = 'methods = ["optical"]\nbudget = "1steps"\nseeds = [1]\nthreads = 1\n'
    request = read("--budget", "3steps", file=file, BENCH_BUDGET="2steps", BENCH_SEEDS="2,3", BENCH_OFFLINE="1")
    assert (request.methods, request.threads) == (("optical",), 1)
    assert (request.seeds, request.budget, request.offline) == ((2, 3), Budget(3, "steps"), True)
    assert not read("--no-offline", file=file, BENCH_OFFLINE="true").offline


def test_settings_are_merged_key_by_key(read: Read) -> None:
    file = 'methods = ["optical"]\n[method.optical]\nepsilon = 0.1\ntolerance = 1e-3\n[recipe]\nwarmup = 0.2\n'
    settings = ("method.optical.epsilon=0.5", "recipe.batch_size=8", "method.adversarial.strength = 2")
    request = read(*(word for setting in settings for word in ("--set", setting)), file=file)
    assert request.method == {"optical": {"epsilon": 0.5, "tolerance": 1e-3}, "adversarial": {"strength": 2}}
    assert request.recipe == {"warmup": 0.2, "batch_size": 8}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('methdos = ["optical"]', "unknown key 'methdos'; did you mean methods or method?"),
        ('methods = "optical"\nbudget = "5apples"', "budget '5apples' cannot be read"),
        ('methods = "optical"\ndevice = "abacus"', "device = 'abacus': write auto, cpu, cuda, cuda:1, mps or cuda:0+"),
        ('methods = "optical"\nmethod = "optical"', "method = 'optical': Input should be a valid dictionary"),
        ('methods = "optical"\nseeds = ["x"]', "seeds[0] = 'x': Input should be a valid integer"),
        ("budget = ", "not TOML: "),
    ],
)
def test_mistake_in_the_file_names_the_file(read: Read, text: str, message: str) -> None:
    with pytest.raises(BenchError) as error:
        read(file=text)
    assert f"mine.toml: {message}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("BENCH_BUDGET", "lots", "BENCH_BUDGET: budget 'lots' cannot be read"),
        ("BENCH_BUGDET", "5steps", "BENCH_BUGDET: unknown option 'bugdet'; did you mean budget"),
        ("BENCH_SCORING", "mean", "BENCH_SCORING: scoring[0] = 'mean': Input should be"),
    ],
)
def test_mistake_in_the_environment_names_the_variable(read: Read, variable: str, value: str, message: str) -> None:
    with pytest.raises(BenchError, match=f"^{re.escape(message)}"):
        read(**{variable: value})
    assert read(BENCH_PRESS="100kg", BENCH_HOME="somewhere").methods == ("optical",)


def test_path_that_exists_is_one_item_of_a_list(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data, old").mkdir()
    (tmp_path / "my methods.py").write_text("")
    folder, plugin = "./my data, old", "./my methods.py:Mine:weight=2"
    given = ("tatoeba,afriqa", folder)
    assert read("--datasets", *given).datasets == ("tatoeba", "afriqa", folder)
    assert read(*(word for item in given for word in ("--datasets", item))).datasets == ("tatoeba", "afriqa", folder)
    assert read(BENCH_DATASETS=folder).datasets == (folder,)
    assert read(file=f"methods = ['{plugin}', 'optical adversarial']").methods == (plugin, "optical", "adversarial")
    assert read("--datasets", "./my data").datasets == ("./my", "data")  # there is no such folder


@pytest.mark.parametrize("number", ["inf", "nan", "1e400", "-1e13", "1e13", "9" * 5000])
def test_number_of_a_setting_is_finite_and_not_huge(command: Command, number: str) -> None:
    for setting in ("method.optical.epsilon", "recipe.learning_rate"):
        said = command("optical", "--dry-run", "--set", f"{setting}={number}")
        assert (said.code, len(said.lines)) == (2, 1)


def test_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b'methods = "\xff"')
    with pytest.raises(BenchError, match=r"mine.toml: line 1: not UTF-8"):
        read_toml(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("text", "budget", "written"),
    [
        ("600steps", Budget(600, "steps"), "600steps"),
        ("1step", Budget(1, "steps"), "1steps"),
        ("600", Budget(600, "steps"), "600steps"),
        ("3ksteps", Budget(3000, "steps"), "3000steps"),
        ("2Mtokens", Budget(2_000_000, "tokens"), "2Mtokens"),
        ("500 ktokens", Budget(500_000, "tokens"), "500ktokens"),
        ("1500tokens", Budget(1_500, "tokens"), "1500tokens"),
        (" 90s ", Budget(90, "seconds"), "90seconds"),
        ("90 seconds", Budget(90, "seconds"), "90seconds"),
        ("1sec", Budget(1, "seconds"), "1seconds"),
        ("300cpu-s", Budget(300, "cpu_seconds"), "300cpu-seconds"),
        ("300 cpu-seconds", Budget(300, "cpu_seconds"), "300cpu-seconds"),
        ("64kexamples", Budget(64_000, "examples"), "64kexamples"),
        ("1example", Budget(1, "examples"), "1examples"),
    ],
)
def test_budget_is_an_amount_and_a_unit_and_is_written_briefly(text: str, budget: Budget, written: str) -> None:
    assert Budget.parse(text) == budget
    assert str(budget) == written


@pytest.mark.parametrize(
    "text", ["", "steps", "0steps", "-5steps", "1.5ksteps", "5apples", "5Gtokens", "5 steps 6", "5cpu", "5cpu_s"]
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="cannot be read; write 600steps"):
        Budget.parse(text)


@given(st.builds(Budget, st.integers(1, 10**9), st.sampled_from(UNITS)))
def test_budget_parses_back_from_its_text(budget: Budget) -> None:
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    ("amount", "unit", "share"),
    [
        *[(10, "steps", 0.5), (1_200, "tokens", 0.25), (2, "seconds", 1)],
        *[(4, "cpu_seconds", 0.75), (100, "examples", 0.4)],
    ],
)
def test_share_is_of_the_budgets_own_unit_and_at_most_one(amount: int, unit: str, share: float) -> None:
    spent = Spent(steps=5, tokens=300, seconds=2.5, cpu_seconds=3, examples=40)
    assert spent.share(Budget(amount, unit)) == share


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
    more = ("--set", "recipe.batch_size=8", "--set", "method.optical.tolerance=0.0001", "--seeds", "1")
    assert command("optical optical:epsilon=0.5", *more).code == 0
    (path,) = (command.results / "configurations").iterdir()
    for manifest in contents(command.results, MANIFEST).values():
        assert json.loads(manifest)["configuration"] == f"configurations/{path.name}"
    before = contents(command.results)
    said = command.call("run", "--config", str(path))
    assert said.code == 0
    assert said.lines[-1].startswith("nothing to compute: all 5 cells are finished already")
    assert contents(command.results) == before
