"""`bench tune`: equal effort for each method, a choice by one measure, and never on a test collection."""

import csv
import math
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import pytest
from conftest import Cli
from small_bench import CARD, Command, contents, rows

from bench import registry
from bench.data.cards import load_cards
from bench.errors import CellFailed
from bench.options import spelled
from bench.results.store import Store
from bench.running.method_specs import resolve_method
from bench.running.tuning import FACTORS, choose, draws, grid
from bench.training.loop import TrainedMethod
from methods.contrastive import Contrastive
from methods.distillation import Distillation

TRAINED = [
    name
    for name, entry in registry.known().items()
    if entry.package == registry.OWN and issubclass(entry.load(), TrainedMethod)
]
COMMITTED = sorted((Path(__file__).parents[1] / "results" / "tuning").glob("*.csv"))


@pytest.mark.parametrize("name", TRAINED)
def test_every_trained_method_has_as_many_distinct_draws_that_it_accepts(name: str) -> None:
    drawn = draws(name, 8, seed=0)
    assert list(drawn) == list(dict.fromkeys(drawn)) and len(drawn) == 8
    assert next(iter(drawn)) == name  # the defaults
    settings = [tuple(resolve_method(text, {}).methods[0].settings) for text in drawn]
    assert len(set(settings)) == 8
    for text, point in drawn.items():
        accepted = dict(resolve_method(text, {}).methods[0].settings)
        assert {key: accepted[key] for key in point} == point
    # Every point of the grid is a configuration.
    defaults, others = grid(name)
    entry = registry.find_method(name)
    assert {point["learning_rate_factor"] for point in (defaults, *others)} == set(FACTORS)
    for point in others:
        config = entry.load().Config(**{**dict(entry.settings), **point})
        assert {key: getattr(config, key) for key in defaults} == point != defaults
        assert all(getattr(config, key) == value for key, value in entry.settings)  # a variant stays what it is


def test_draws_are_a_function_of_the_seed_and_of_nothing_else() -> None:
    assert draws("contrastive", 8, 0) == draws("contrastive", 8, 0) != draws("contrastive", 8, 1)
    assert list(draws("contrastive", 8, 0))[:3] == list(draws("contrastive", 3, 0))


def test_draws_are_uniform_over_the_grid_and_a_small_grid_is_drawn_as_a_whole() -> None:
    others = set(FACTORS) - {Distillation().config.learning_rate_factor}
    found = Counter([*draws("distillation", 2, seed).values()][1]["learning_rate_factor"] for seed in range(800))
    assert set(found) == others and len(others) == 8
    assert sum((count - 100) ** 2 / 100 for count in found.values()) < 24.3  # chi-squared, 7 degrees, p = .001
    assert {point["learning_rate_factor"] for point in draws("distillation", 99, 0).values()} == set(FACTORS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("psq", "method 'psq' trains no student"),
        ("optical+distillation", "tune methods one by one and without settings"),
        ("optical:epsilon=0.1", "tune methods one by one and without settings"),
        ("optcal", "unknown method 'optcal'; did you mean optical"),
    ],
)
def test_what_cannot_be_tuned_is_refused(cli: Cli, text: str, message: str) -> None:
    assert cli("tune", text, code=2).line(message)


def test_test_collections_are_refused(cli: Cli) -> None:
    development = [name for name, card in load_cards().items() if card.development]
    assert development == ["afriqa-dev", "conlang-dev", "lafand-dev"]
    for name in ("conlang", "afriqa", "tatoeba"):
        said = cli("tune", "contrastive", "--datasets", f"conlang-dev,{name}", code=2)
        assert said.line(f"'{name}': settings are never chosen on a test collection", *development)


@pytest.fixture
def tune(command: Command, tmp_path: Path) -> Any:
    """Tune methods with two draws of five steps on a small development collection."""
    cards = tmp_path / "cards"
    cards.mkdir()
    text = CARD.replace('"small"', '"small-dev"').replace("description", "development = true\ndescription")
    (cards / "small-dev.toml").write_text(text)
    given = ["--cards", cards, "--datasets", "small-dev", "--train", "small-dev", "--encoder", command.encoder]
    given += ["--draws", 2, "--budget", "5steps", "--threads", 1, "--seeds", "0,1"]
    given += ["--results", command.results, "--output", tmp_path / "tuning"]

    def call(*more: object) -> Any:
        return command.call("tune", *map(str, (*given, *more)))

    return call


def test_whole_tuning_and_nothing_is_computed_again(tune: Any, command: Command, tmp_path: Path) -> None:
    assert tune("--dry-run", "distillation", "optical").out.splitlines()[-1].endswith(" 0 of them finished")
    assert not command.results.exists()
    said = tune("distillation,optical")
    assert said.code == 0
    assert said.line("cells computed").startswith("12 cells computed, 0 found finished")
    cells, _ = Store(command.results).finished()
    for name in ("distillation", "optical"):
        table = rows(tmp_path / "tuning", f"{name}.csv")
        assert [row["draw"] for row in table] == ["0", "1"]
        means = []
        for text, row in zip(draws(name, 2, 0), table, strict=True):
            own = [cell for cell in cells if cell.spec.methods == resolve_method(text, {}).methods]
            assert len(own) == 2
            scores = {cell.spec.seed: cell.means["nDCG@10"] for cell in own}
            assert {seed: float(row[f"small-dev qaa-eng seed{seed}"]) for seed in (0, 1)} == pytest.approx(
                scores, abs=1e-6
            )
            means.append(fmean(scores.values()))
            assert float(row["mean nDCG@10"]) == pytest.approx(means[-1], abs=1e-6)
            assert (row["steps"], float(row["cpu_seconds"]) > 0) == ("10", True)
        (chosen,) = (number for number, row in enumerate(table) if row["chosen"] == "yes")
        assert means[chosen] == max(means)
        assert f"chosen: {[*draws(name, 2, 0)][chosen]}\n" in said.out
        assert table[0]["command"].startswith(f"bench tune {name} --encoder {command.encoder} --datasets small-dev")
        assert str(command.results) not in table[0]["command"]
    assert max(map(len, said.out.splitlines())) <= 120
    before = contents(tmp_path / "tuning")
    again = tune("distillation,optical")
    assert (again.code, again.out) == (0, said.out)
    assert again.line("nothing to compute: all 12 cells are finished already")
    assert contents(tmp_path / "tuning") == before


def test_draw_that_failed_is_shown_and_never_chosen(tune: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(self: Distillation, *arguments: Any) -> Any:
        if self.config.learning_rate_factor in failing:
            raise CellFailed("as planned")
        return usual(self, *arguments)

    default, factor = (point["learning_rate_factor"] for point in draws("distillation", 2, 0).values())
    usual, failing = Distillation.loss, {default}
    monkeypatch.setattr(Distillation, "loss", loss)
    said = tune("distillation")
    assert said.code == 1
    table = [[row["mean nDCG@10"] == "", row["chosen"]] for row in rows(tmp_path / "tuning", "distillation.csv")]
    assert table == [[True, "no"], [False, "yes"]]
    assert said.out.count("failed") == 1
    failing.add(factor)
    said = tune("distillation", "--overwrite", "always")
    assert said.code == 1
    assert "chosen: none, every draw failed" in said.out


@pytest.mark.parametrize(
    ("means", "chosen"), [([0.3, 0.35, 0.3], 1), ([0.3, 0.3, 0.0], 0), ([math.nan, 0.1], 1), ([math.nan], None)]
)
def test_highest_mean_is_chosen_the_first_of_equals(means: list[float], chosen: int | None) -> None:
    assert choose(pd.Series(means)).tolist() == [number == chosen for number in range(len(means))]


def wrong_defaults(path: Path) -> dict[str, tuple[str, str]]:
    """Return the settings whose default is not the chosen value of a table, each with both."""
    with path.open(encoding="utf-8", newline="") as file:
        (chosen,) = (row for row in csv.DictReader(file) if row["chosen"] == "yes")
    entry = registry.find_method(path.stem)
    defaults = entry.load().Config(**dict(entry.settings)).model_dump()
    both = {name: (chosen[name], spelled(value)) for name, value in defaults.items() if name in chosen}
    return {name: values for name, values in both.items() if values[0] != values[1]}


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_defaults_are_the_settings_that_were_chosen(path: Path) -> None:
    assert wrong_defaults(path) == {}


def test_wrong_default_is_found(tmp_path: Path) -> None:
    path = tmp_path / "contrastive.csv"
    temperature, factor = map(spelled, (Contrastive.Config().temperature, Contrastive.Config().learning_rate_factor))
    lines = ["draw,learning_rate_factor,temperature,chosen", f"0,7.0,{temperature},no", f"1,3.0,{temperature},yes"]
    path.write_text("\n".join(lines))
    assert wrong_defaults(path) == {"learning_rate_factor": ("3.0", factor)}
    path.write_text("\n".join(lines).replace("3.0", factor))
    assert wrong_defaults(path) == {}
