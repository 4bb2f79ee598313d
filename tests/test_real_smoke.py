"""Every collection of the mirror, from its files to a leaderboard: the unmodified encoder and one trained method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.cli import main
from bench.data import MULTIPLE, Pair
from bench.data.cards import Card, load_cards
from bench.evaluation.measures import BIAS, EVALUATION_DEPTH

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("mirror")]

CARDS = load_cards()
MIXED = CARDS["standard"].mix.pairs if CARDS["standard"].mix else ()


def run(*arguments: str, folder: Path) -> pd.DataFrame:
    # The tiny encoder knows no real language, but it takes the road of any other in a hundredth of the time.
    options = ("--encoder", "tiny", "--budget", "3steps", "--offline", "--quiet")
    assert main(["run", *options, *arguments, "--results", str(folder)]) == 0
    return pd.read_csv(folder / "leaderboard.csv")


def a_pair(card: Card) -> Pair:
    """A pair that the standard mix has training data for, with documents in many languages if there is one."""
    pairs = sorted(card.pairs("test"), key=lambda pair: (pair.training not in MIXED, pair.document != MULTIPLE))
    return pairs[0]


@pytest.mark.parametrize("name", [card.name for card in CARDS.values() if card.sha256 and "test" in card.roles])
def test_a_test_collection(name: str, tmp_path: Path) -> None:
    pair = a_pair(CARDS[name])
    train = "standard" if pair.training in MIXED else "xnli-entailment"
    trained = train == "standard" or CARDS[train].offers("bitext", pair.training)
    methods = "distillation" if trained else "zero-shot"  # TyDi QA's languages have no bitext
    board = run("--methods", methods, "--datasets", name, "--pairs", str(pair), "--train", train, folder=tmp_path)
    assert set(board["method"]) >= ({"zero-shot", "distillation", "untrained"} if trained else {"zero-shot"})
    assert set(board["dataset"]) == {name} and set(board["pair"]) == {str(pair)}
    ranks = board["measure"].isin(BIAS)
    assert ranks.any() == (pair.document == MULTIPLE)
    assert board["value"].between(0, np.where(ranks, EVALUATION_DEPTH + 1, 1)).all()


@pytest.mark.parametrize(
    "name", [card.name for card in CARDS.values() if card.sha256 and {"bitext", "relevance"} & set(card.roles)]
)
def test_a_training_collection(name: str, tmp_path: Path) -> None:
    card = CARDS[name]
    pair = next((pair for pair in card.pairs("bitext") if pair in CARDS["ntrex"].pairs("test")), Pair("swh", "eng"))
    train = name if "bitext" in card.roles else f"{name},tico-19"
    options = ("--methods", "distillation", "--datasets", "ntrex", "--pairs", str(pair), "--train", train)
    board = run(*options, folder=tmp_path)
    assert set(board["train"].dropna()) == {" + ".join(train.split(","))}
    assert (board["method"] == "distillation").any()
