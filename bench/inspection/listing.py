"""`bench ls`: tables of methods, collections, pairs, encoders and measures. Nothing heavy is imported."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean

from bench import registry
from bench.data import Pair
from bench.data.cards import IR_DATASETS, Card
from bench.data.counts import Counts, read_counts, read_sizes
from bench.data.files import MIB, Resolver
from bench.data.languages import name as language_name
from bench.encoders import models
from bench.evaluation import measures

MANY = 60
"""The most pairs that are listed one by one."""

Table = tuple[list[str], list[list[str]], list[str]]
"""Column names, rows, and the columns that are aligned to the right."""


def listing(kind: str, cards: Mapping[str, Card]) -> Table:
    """Return the table of one kind of thing."""
    if kind == "methods":
        return ["method", "trains on", "description", "source"], _methods(), []
    if kind == "datasets":
        return _datasets(cards)
    if kind == "pairs":
        return ["pair", "queries", "documents", "tests", "standard training data"], _pairs(cards), []
    if kind == "encoders":
        rows = [[name, encoder.description] for name, encoder in models.KNOWN.items()]
        rows.append(["owner/name", "any encoder on the Hugging Face hub with safetensors weights"])
        rows.append(["path/to/folder", "any local Hugging Face or sentence-transformers folder"])
        return ["encoder", "description"], rows, []
    rows = [[name, "default" if name in measures.DEFAULT else "", text] for name, text in measures.DESCRIPTIONS.items()]
    rows.append(["...", "", "any measure of ir-measures with a cutoff of at most 1000"])
    rows += [[name, "bitext mining", text] for name, text in measures.MINING.items()]
    return ["measure", "", "description"], rows, []


def counts_table(counts: Iterable[Counts]) -> Table:
    """Return the numbers and lengths of a collection's texts, in each role for each pair or language."""
    columns = ["role", "for", "queries", "documents", "relevant per query", "words", "word pieces", "scripts"]
    rows = []
    for row in counts:
        sizes = [f"{number:,}" if number else "-" for number in (row.queries, row.documents)]
        words, pieces = (row.query_words, row.document_words), (row.query_pieces, row.document_pieces)
        both = [words, pieces, (row.query_script, row.document_script)]
        sides = [" / ".join(map(str, filter(None, pair))) or "-" for pair in both]
        rows.append([row.role, row.key, *sizes, f"{row.relevant:.2f}" if row.role == "test" else "-", *sides])
    return columns, rows, columns[2:7]


def describe_dataset(card: Card, resolver: Resolver) -> list[str]:
    """Return the contents of a card, and the number and size of its files that are available, in lines."""
    about = {
        card.name: card.description,
        "licence": card.licence + (", NON-COMMERCIAL use only" if card.non_commercial else ""),
        "citation": card.citation,
        "source": card.source,
        "folder": card.folder,
        "caveats": card.caveats,
        "measures besides the default": ", ".join(card.measures),
    }
    for role in card.roles:
        keys = card.keys(role)
        about[role] = ", ".join(map(str, keys)) if len(keys) <= MANY else _summary(card.pairs(role))
    if card.mix is not None:
        caps = {name: f" (at most {number:,} pairs)" for name, number in card.mix.caps.items()}
        about["standard training data of"] = ", ".join(map(str, card.mix.pairs))
        about["bitext from"] = ", ".join(name + caps.get(name, "") for name in card.mix.bitext)
        about["relevance from"] = ", ".join(card.mix.relevance)
    if card.source == IR_DATASETS:
        about["to download"] = "by ir_datasets, which reports the size"
    sizes = {path: size for (name, path), size in read_sizes().items() if name == card.name}
    there = {path: resolver.available(card, path) for path in card.sha256}
    for state, wanted in (("available", True), ("to download", False)):
        paths = [path for path, available in there.items() if available == wanted]
        known = all(path in sizes for path in paths)
        size = f"{sum(sizes[path] for path in paths) / MIB:,.1f} MiB" if known else "of unknown size"
        about |= {state: f"{len(paths)} files, {size}"} if paths else {}
    return [f"{name}: {text}" for name, text in about.items() if text]


def describe_encoder(name: str, *, offline: bool) -> list[str]:
    """Return the properties of an encoder as they are used, in lines. It is loaded, or trained if it is a tiny one.

    Raises `BenchError` if it is not available.
    """
    import torch

    from bench.encoders.student import is_multilingual
    from bench.training.teachers import load_teacher

    encoder = load_teacher(name, torch.device("cpu"), offline=offline)
    known, pieces = models.find_known(name), f"{len(encoder.tokenizer):,} word pieces"
    about = {
        name: known.description,
        "hub id": known.hub_id,
        "architecture": f"{encoder.transformer.config.model_type}, {encoder.dimension} dimensions",
        "pooling": encoder.pooling,
        "longest text": f"{encoder.max_length} tokens",
        "query prompt": repr(encoder.prompts["query"]),
        "document prompt": repr(encoder.prompts["document"]),
        "vocabulary": f"{pieces}, {'kept by' if is_multilingual(encoder) else 'extended for'} students",
        "fingerprint": encoder.fingerprint(),
    }
    return [f"{name}: {text}" for name, text in about.items() if text]


def _summary(pairs: Sequence[Pair]) -> str:
    queries, documents = sorted({pair.query for pair in pairs}), sorted({pair.document for pair in pairs})
    return f"{len(pairs)} pairs, from {', '.join(queries)} to {', '.join(documents)}"


def _methods() -> list[list[str]]:
    """Return the reference rows, then the methods, each followed by its variants."""
    rows = []
    entries, _ = registry.usable()
    for entry in sorted(entries.values(), key=lambda each: (not each.reference, each.base, each.is_variant)):
        about = entry.describe()
        if entry.is_variant:
            rows.append(["  " + entry.name, "", about["description"], ""])
        else:
            rows.append([entry.name, " + ".join(about["supervision"]) or "-", about["description"], about["source"]])
    return rows


def _datasets(cards: Mapping[str, Card]) -> Table:
    columns = ["dataset", "roles", "languages", "queries", "documents", "words", "bitext", "MiB", "description"]
    counts, sizes = read_counts(), read_sizes()
    rows = []
    for card in cards.values():
        tests = [row for row in counts if row.collection == card.name and row.role == "test"]
        bitext = [row for row in counts if row.collection == card.name and row.role == "bitext"]
        words = [
            mean(lengths) for lengths in zip(*((row.query_words, row.document_words) for row in tests), strict=True)
        ]
        size = sum(sizes.get((card.name, path), 0) for path in card.sha256) / MIB
        rows.append(
            [
                card.name,
                ", ".join(card.roles) or "mix",
                _languages(card),
                _range(row.queries for row in tests),
                _range(row.documents for row in tests),
                " / ".join(f"{length:.0f}" for length in words) if any(words) else "-",
                _range(row.queries for row in bitext),
                f"{size:,.1f}" if size else "-",
                f"{'NON-COMMERCIAL. ' if card.non_commercial else ''}{card.description}",
            ]
        )
    return columns, rows, columns[2:8]


def _languages(card: Card) -> str:
    """Return the number of languages besides English, which nearly all collections have; `eng` if there is no other."""
    keys = {key for entry in card.data for key in entry.keys} | set(card.mix.pairs if card.mix else ())
    found = {language for key in keys for language in ((key.query, key.document) if isinstance(key, Pair) else (key,))}
    return str(len(found - {"eng", "mul"})) if found - {"eng"} else "eng"


def _range(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return " - ".join(f"{number:,}" for number in dict.fromkeys((found[0], found[-1]))) if found else "-"


def _pairs(cards: Mapping[str, Card]) -> list[list[str]]:
    mixes = {pair: card.name for card in cards.values() if card.mix for pair in card.mix.pairs}
    rows = []
    for pair in sorted({pair for card in cards.values() for pair in card.pairs("test")}):
        tests = ", ".join(card.name for card in cards.values() if pair in card.pairs("test"))
        languages = [language_name(pair.query), language_name(pair.document)]
        rows.append([str(pair), *languages, tests, mixes.get(pair.training, "-")])
    return rows
