"""Options from the command line, the environment and a file; what goes before what, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli import make_parser
from bench.data import Pair
from bench.errors import BenchError
from bench.options import check_environment, read_options
from bench.recipe import Budget
from bench.request import Request

Read = Callable[..., Request]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """The request of `bench run` with these arguments, and these variables as all of the environment's `BENCH_*`."""

    def run(*arguments: str, **environment: str) -> Request:
        import os

        for name in [name for name in os.environ if name.startswith("BENCH_")]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        check_environment(Request)
        return read_options(Request, make_parser("run").parse_args(["run", *arguments]))

    return run


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_defaults(read: Read) -> None:
    request = read("--methods", "optical")
    assert request.methods == ("optical",)
    assert request.datasets == ("conlang",)
    assert (request.budget, request.seeds, request.pairs) == (Budget(200, "steps"), (0,), ())
    assert (request.overwrite, request.offline, request.results) == ("failed", False, Path("results/runs"))


@pytest.mark.parametrize(
    ("option", "value"),
    [("size", "1000,0"), ("size", "most"), ("size", ","), ("noise", "0.1,1.5"), ("noise", "nan"), ("noise", "much")],
)
def test_a_resource_level_that_there_cannot_be_is_refused(read: Read, option: str, value: str) -> None:
    with pytest.raises(BenchError, match=f"bitext {option} '.*' does not parse"):
        read("--methods", "optical", f"--bitext-{option}", value)


@pytest.mark.parametrize(
    ("arguments", "sizes", "noise"),
    [
        ([], ("all",), (0,)),
        (["--bitext-size", "1000,5000", "all", "1000"], (1000, 5000, "all"), (0,)),
        (["--set", "bitext_size=[10, 'all']", "--bitext-noise", "0,0.10,.1,1"], (10, "all"), (0, 0.1, 1)),
    ],
)
def test_resource_levels(read: Read, arguments: list[str], sizes: tuple[object, ...], noise: tuple[float, ...]) -> None:
    request = read("--methods", "optical", *arguments)
    assert (request.bitext_size, request.bitext_noise) == (sizes, noise)


def test_every_option_can_stand_in_the_file(read: Read, config: Callable[[str], str]) -> None:
    path = config(
        """
        methods = ["optical", "adversarial"]
        datasets = "tatoeba,afriqa"
        pairs = ["sw-en"]
        students = ["bilingual", "multilingual"]
        train = ["tico-19"]
        bitext_size = [1000, "all"]
        bitext_noise = [0, 0.1]
        leakage = "keep"
        encoder = "all-MiniLM-L6-v2"
        scoring = ["single-vector"]
        budget = "300steps"
        seeds = [0, 1, 2]
        measures = ["MRR@10"]
        device = "cpu"
        precision = "float32"
        threads = 1
        overwrite = "never"
        timeout = "2h"
        energy = true
        quiet = true
        results = "elsewhere"
        baseline = "untrained"
        mirror = "data"
        cards = "mine"
        offline = true
        dry_run = false
        [recipe]
        learning_rate = 1e-3
        [method.optical]
        epsilon = 0.1
        """
    )
    request = read("--config", path)
    assert set(request.model_fields_set) == set(Request.model_fields)
    assert (request.datasets, request.pairs, request.seeds) == (("tatoeba", "afriqa"), (Pair("swh", "eng"),), (0, 1, 2))
    assert (request.measures, request.budget, request.timeout) == (("RR@10",), Budget(300, "steps"), 7200)
    assert (request.recipe, request.method) == ({"learning_rate": 1e-3}, {"optical": {"epsilon": 0.1}})


def test_command_line_goes_before_environment_goes_before_file(read: Read, config: Callable[[str], str]) -> None:
    path = config('methods = ["optical"]\nbudget = "1steps"\nseeds = [1]\nthreads = 1\n')
    request = read("--config", path, "--budget", "3steps", BENCH_BUDGET="2steps", BENCH_SEEDS="2,3", BENCH_OFFLINE="1")
    assert request.methods == ("optical",)
    assert request.threads == 1
    assert request.seeds == (2, 3)
    assert request.budget == Budget(3, "steps")
    assert request.offline
    assert not read("--config", path, "--no-offline", BENCH_OFFLINE="true").offline


def test_settings_are_merged_key_by_key(read: Read, config: Callable[[str], str]) -> None:
    path = config('methods = ["optical"]\n[method.optical]\nepsilon = 0.1\ntolerance = 1e-3\n[recipe]\nwarmup = 0.2\n')
    request = read("--config", path, "--set", "method.optical.epsilon=0.5", "--set", "recipe.batch_size=8",
                   "--set", "method.adversarial.strength = 2")  # fmt: skip
    assert request.method == {"optical": {"epsilon": 0.5, "tolerance": 1e-3}, "adversarial": {"strength": 2}}
    assert request.recipe == {"warmup": 0.2, "batch_size": 8}


def test_empty_variable_is_no_value(read: Read) -> None:
    assert read("--methods", "optical", BENCH_BUDGET="").budget == Budget(200, "steps")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('methdos = ["optical"]', "mine.toml: unknown key 'methdos'; did you mean methods or method?"),
        ('methods = "optical"\nbudget = "5apples"', "mine.toml: budget '5apples' does not parse"),
        (
            'methods = "optical"\ndevice = "abacus"',
            "mine.toml: device = 'abacus': Input should be 'auto', 'cpu' or 'cuda'",
        ),
        (
            'methods = "optical"\nmethod = "optical"',
            "mine.toml: method = 'optical': Input should be a valid dictionary",
        ),
        ("budget = ", "mine.toml: not TOML: "),
        ('methods = "optical"\nseeds = ["x"]', "mine.toml: seeds[0] = 'x': Input should be a valid integer"),
    ],
)
def test_mistake_in_the_file_names_the_file(read: Read, config: Callable[[str], str], text: str, message: str) -> None:
    with pytest.raises(BenchError) as error:
        read("--config", config(text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_mistake_in_the_environment_names_the_variable(read: Read) -> None:
    with pytest.raises(BenchError, match=r"^BENCH_BUDGET: budget 'lots' does not parse"):
        read("--methods", "optical", BENCH_BUDGET="lots")


def test_misspelt_variable_is_refused_and_a_foreign_one_is_not(read: Read) -> None:
    with pytest.raises(BenchError, match=r"BENCH_BUGDET: unknown option 'bugdet'; did you mean budget"):
        read("--methods", "optical", BENCH_BUGDET="5steps")
    with pytest.raises(BenchError, match="BENCH_PATIENCE: option 'patience' is now called 'timeout'"):
        read("--methods", "optical", BENCH_PATIENCE="5min")
    assert read("--methods", "optical", BENCH_PRESS="100kg", BENCH_HOME="somewhere").methods == ("optical",)


def test_file_that_is_not_utf_8_is_refused(read: Read, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b'methods = "\xff"')
    with pytest.raises(BenchError, match=r"mine.toml: not UTF-8"):
        read("--config", str(path))
