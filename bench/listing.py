"""`bench ls`: what there is to choose from, without importing anything heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench import registry
from bench.data.cards import Card
from bench.data.languages import name as language_name
from bench.encoders import models
from bench.evaluation import measures

KINDS = ("methods", "datasets", "pairs", "encoders", "measures")


def listing(kind: str, cards: Mapping[str, Card]) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of one kind of thing."""
    if kind == "methods":
        known = {**registry.references(), **registry.methods()}
        rows = []
        for entry in known.values():
            about = entry.describe()
            rows.append([entry.name, " + ".join(about["uses"]) or "-", about["description"], about["source"]])
        return ["method", "trains on", "description", "source"], rows
    if kind == "datasets":
        rows = [[card.name, ", ".join(card.roles) or "mix", card.licence, card.description] for card in cards.values()]
        return ["dataset", "roles", "licence", "description"], rows
    if kind == "pairs":
        return ["pair", "queries", "documents", "tests", "standard training data"], _pairs(cards)
    if kind == "encoders":
        rows = [[encoder.name, encoder.description] for encoder in models.KNOWN.values()]
        rows.append(["owner/name", "any encoder on the Hugging Face hub with safetensors weights"])
        rows.append(["path/to/folder", "any local Hugging Face or sentence-transformers folder"])
        return ["encoder", "description"], rows
    rows = [[name, "default" if name in measures.DEFAULT else "", text] for name, text in measures.DESCRIPTIONS.items()]
    rows.append(["...", "", "any measure of ir-measures with a cutoff of at most 100"])
    return ["measure", "", "description"], rows


def describe_dataset(card: Card) -> list[str]:
    """Everything a card says, in lines."""
    lines = [f"{card.name}: {card.description}", f"licence: {card.licence}"]
    if card.non_commercial:
        lines.append("NON-COMMERCIAL use only")
    if card.citation:
        lines.append(f"citation: {card.citation}")
    if card.source:
        lines.append(f"source: {card.source}")
    if card.caveats:
        lines.append(f"caveats: {card.caveats}")
    for role in card.roles:
        keys: Sequence[object] = card.pairs(role) or card.languages(role)
        lines.append(f"{role}: {', '.join(map(str, keys))}")
    if card.mix is not None:
        lines.append(f"standard training data of: {', '.join(map(str, card.mix.pairs))}")
        lines.append(f"  bitext from {', '.join(card.mix.bitext)}; relevance from {', '.join(card.mix.relevance)}")
    return lines


def _pairs(cards: Mapping[str, Card]) -> list[list[str]]:
    tests: dict[str, list[str]] = {}
    pairs = {}
    for card in cards.values():
        for pair in card.pairs("test"):
            pairs[str(pair)] = pair
            tests.setdefault(str(pair), []).append(card.name)
    mixes = {str(pair): card.name for card in cards.values() if card.mix for pair in card.mix.pairs}
    return [
        [key, language_name(pair.query), language_name(pair.document), ", ".join(tests[key]), mixes.get(key, "-")]
        for key, pair in sorted(pairs.items())
    ]
