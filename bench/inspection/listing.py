"""`bench ls`: what there is to choose from, without importing anything heavy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean

from bench import registry
from bench.data import Pair
from bench.data.cards import IR_DATASETS, Card
from bench.data.files import MIB, Resolver
from bench.data.languages import name as language_name
from bench.data.statistics import Statistics, read_sizes, read_statistics
from bench.encoders import models
from bench.evaluation import measures

MANY = 60
"""Pairs that are listed one by one at most."""
KINDS = ("methods", "datasets", "pairs", "encoders", "measures")


Table = tuple[list[str], list[list[str]], list[str]]
"""Column names, rows, and which columns are aligned to the right."""


def listing(kind: str, cards: Mapping[str, Card]) -> Table:
    """What there is of one kind of thing."""
    if kind == "methods":
        return ["method", "trains on", "description", "source"], _methods(), []
    if kind == "datasets":
        return _datasets(cards)
    if kind == "pairs":
        return ["pair", "queries", "documents", "tests", "standard training data"], _pairs(cards), []
    if kind == "encoders":
        rows = [[encoder.name, encoder.description] for encoder in models.KNOWN.values()]
        rows.append(["owner/name", "any encoder on the Hugging Face hub with safetensors weights"])
        rows.append(["path/to/folder", "any local Hugging Face or sentence-transformers folder"])
        return ["encoder", "description"], rows, []
    rows = [[name, "default" if name in measures.DEFAULT else "", text] for name, text in measures.DESCRIPTIONS.items()]
    rows.append(["...", "", "any measure of ir-measures with a cutoff of at most 1000"])
    rows += [[name, "mining", text] for name, text in measures.MINING.items()]
    return ["measure", "", "description"], rows, []


def statistics_table(statistics: Iterable[Statistics]) -> Table:
    """What a collection has in each role for each pair or language, and what its texts are like."""
    columns = ["role", "for", "queries", "documents", "relevant per query", "words", "word pieces", "scripts"]
    rows = []
    for row in statistics:
        queries, documents = (f"{number:,}" if number else "-" for number in (row.queries, row.documents))
        both = (
            (row.query_words, row.document_words),
            (row.query_pieces, row.document_pieces),
            (row.query_script, row.document_script),
        )
        sides = [" / ".join(map(str, filter(None, pair))) or "-" for pair in both]
        relevant = f"{row.relevant:.2f}" if row.role == "test" else "-"
        rows.append([row.role, row.key, queries, documents, relevant, *sides])
    return columns, rows, columns[2:7]


def describe_dataset(card: Card, resolver: Resolver) -> list[str]:
    """Everything a card says, and how much of it is at hand, in lines."""
    lines = [f"{card.name}: {card.description}", f"licence: {card.licence}"]
    if card.non_commercial:
        lines.append("NON-COMMERCIAL use only")
    if card.citation:
        lines.append(f"citation: {card.citation}")
    if card.source:
        lines.append(f"source: {card.source}")
    if card.folder:
        lines.append(f"folder: {card.folder}")
    if card.caveats:
        lines.append(f"caveats: {card.caveats}")
    if card.measures:
        lines.append(f"measures besides the default: {', '.join(card.measures)}")
    for role in card.roles:
        keys: Sequence[object] = card.pairs(role) or card.languages(role)
        lines.append(f"{role}: {', '.join(map(str, keys)) if len(keys) <= MANY else _summary(card.pairs(role))}")
    if card.mix is not None:
        lines.append(f"standard training data of: {', '.join(map(str, card.mix.pairs))}")
        bitext = [
            f"{part} (at most {card.mix.caps[part]:,} pairs)" if part in card.mix.caps else part
            for part in card.mix.bitext
        ]
        lines.append(f"  bitext from {', '.join(bitext)}; relevance from {', '.join(card.mix.relevance)}")
    if card.source == IR_DATASETS:
        lines.append("to download: by ir_datasets, which says how much it is")
    if card.sha256:
        sizes = read_sizes()
        there = [path for path in card.sha256 if resolver.available(card, path)]
        missing = [path for path in card.sha256 if path not in there]
        for what, paths in (("at hand", there), ("to download", missing)):
            known = [sizes[card.name, path] for path in paths if (card.name, path) in sizes]
            size = f"{sum(known) / MIB:,.1f} MiB" if len(known) == len(paths) else "of unknown size"
            if paths:
                lines.append(f"{what}: {len(paths)} files, {size}")
    return lines


def _summary(pairs: Sequence[Pair]) -> str:
    """Pairs by their numbers: which languages are asked in, and which are searched."""
    queries, documents = sorted({pair.query for pair in pairs}), sorted({pair.document for pair in pairs})
    return f"{len(pairs)} pairs, from {', '.join(queries)} to {', '.join(documents)}"


def _methods() -> list[list[str]]:
    """The reference rows, then the methods, each followed by its variants."""
    rows = []
    entries, _ = registry.usable()
    for entry in sorted(entries.values(), key=lambda each: (not each.reference, each.base, each.is_variant)):
        about = entry.describe()
        own = ["", "  " + entry.name] if entry.is_variant else [" + ".join(about["uses"]) or "-", entry.name]
        rows.append([own[1], own[0], about["description"], "" if entry.is_variant else about["source"]])
    return rows


def _datasets(cards: Mapping[str, Card]) -> Table:
    columns = ["dataset", "roles", "languages", "queries", "documents", "words", "bitext", "MiB", "description"]
    statistics, sizes = read_statistics(), read_sizes()
    rows = []
    for card in cards.values():
        tests = [row for row in statistics if row.collection == card.name and row.role == "test"]
        bitext = [row for row in statistics if row.collection == card.name and row.role == "bitext"]
        size = sum(sizes.get((card.name, path), 0) for path in card.sha256) / MIB
        rows.append(
            [
                card.name,
                ", ".join(card.roles) or "mix",
                _languages(card),
                _range(row.queries for row in tests),
                _range(row.documents for row in tests),
                f"{mean(row.query_words for row in tests):.0f} / {mean(row.document_words for row in tests):.0f}"
                if any(row.query_words for row in tests)
                else "-",
                _range(row.queries for row in bitext),
                f"{size:,.1f}" if size else "-",
                f"{'NON-COMMERCIAL. ' if card.non_commercial else ''}{card.description}",
            ]
        )
    return columns, rows, columns[2:8]


def _languages(card: Card) -> str:
    """How many languages besides English, which nearly all have; English where it is alone."""
    keys = {key for entry in card.data for key in entry.keys} | set(card.mix.pairs if card.mix else ())
    found = {language for key in keys for language in ((key.query, key.document) if isinstance(key, Pair) else (key,))}
    return str(len(found - {"eng", "mul"})) if found - {"eng"} else "eng"


def _range(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return " - ".join(f"{number:,}" for number in dict.fromkeys((found[0], found[-1]))) if found else "-"


def _pairs(cards: Mapping[str, Card]) -> list[list[str]]:
    tests: dict[str, list[str]] = {}
    pairs = {}
    for card in cards.values():
        for pair in card.pairs("test"):
            pairs[str(pair)] = pair
            tests.setdefault(str(pair), []).append(card.name)
    mixes = {str(pair): card.name for card in cards.values() if card.mix for pair in card.mix.pairs}
    return [
        [
            key,
            language_name(pair.query),
            language_name(pair.document),
            ", ".join(tests[key]),
            mixes.get(str(pair.training), "-"),
        ]
        for key, pair in sorted(pairs.items())
    ]
