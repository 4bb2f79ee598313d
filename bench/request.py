"""What `bench run` is asked for, and whether everything it names exists; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import registry
from bench.budget import Budget
from bench.cards import Card, get_card
from bench.data import Pair
from bench.errors import BenchError, unknown
from bench.models import check_encoder

SCORINGS = ("mean",)
RUN_DEPTH = 100
"""Documents per query that a stored run keeps; no measure may look deeper."""


@dataclass(frozen=True)
class Request:
    """A comparison, its values parsed."""

    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    pairs: tuple[Pair, ...]
    """Empty for all pairs of the datasets."""
    train: tuple[str, ...]
    """Empty for each pair's standard mix."""
    encoder: str | None
    """None for the default of the datasets."""
    scorings: tuple[str, ...]
    budget: Budget
    seeds: tuple[int, ...]
    measures: tuple[str, ...]
    device: str
    precision: str
    results: Path


def check(request: Request, cards: Mapping[str, Card]) -> None:
    """Raise `BenchError` for the first name that nobody knows."""
    for name in request.methods:
        registry.find_method(name)
    for name in request.datasets:
        card = get_card(name, cards)
        if "test" not in card.roles:
            offers = ", ".join(card.roles) or "a training mix"
            raise BenchError(f"dataset '{name}' has no test collection; it offers {offers}")
    for name in request.train:
        get_card(name, cards)
    for scoring in request.scorings:
        if scoring not in SCORINGS:
            raise unknown("scoring", scoring, SCORINGS)
    if request.encoder is not None:
        check_encoder(request.encoder)
    offered_pairs(request, cards)


def offered_pairs(request: Request, cards: Mapping[str, Card]) -> dict[str, tuple[Pair, ...]]:
    """Each dataset's pairs among those asked for. Raises `BenchError` if a pair is in none of them."""
    offered = {name: cards[name].pairs("test") for name in request.datasets}
    for pair in request.pairs:
        if not any(pair in pairs for pairs in offered.values()):
            known = sorted({str(other) for pairs in offered.values() for other in pairs})
            raise unknown(f"pair in {', '.join(request.datasets)}:", str(pair), known)
    if not request.pairs:
        return offered
    return {name: tuple(pair for pair in request.pairs if pair in pairs) for name, pairs in offered.items()}
