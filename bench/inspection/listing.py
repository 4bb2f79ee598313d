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
from bench.errors import BenchError
from bench.evaluation import measures
from bench.tables import Column

MANY = 60
"""Maximum number of pairs in a list."""

DESCRIPTION = Column("description", "text")
COLUMNS = {
    "methods": [Column("method", "name"), Column("trains on", "text", 1), DESCRIPTION, Column("source", "text", 2)],
    "datasets": [
        *(Column("dataset", "name"), Column("roles", "text"), Column("languages"), Column("queries", priority=2)),
        *(Column("documents", priority=2), Column("words", priority=4), Column("bitext", priority=3)),
        *(Column("MiB", priority=5), Column("description", "text", 1)),
    ],
    "pairs": [
        *(Column("pair", "word"), Column("queries", "word"), Column("documents", "word", 1), Column("tests", "text")),
        Column("standard training data", "text", 2),
    ],
    "encoders": [Column("encoder", "word"), DESCRIPTION],
    "formats": [
        Column("format", "word"),
        Column("role", "text"),
        Column("files", "text"),
        Column("options", "text", 1),
    ],
    "measures": [Column("measure", "word"), Column("use", "word"), DESCRIPTION],
}
"""Columns of the list of each kind."""
COUNTS = [
    *(Column("role", "word"), Column("for", "word"), Column("queries"), Column("documents"), Column("words")),
    *(Column("relevant per query", priority=1), Column("word pieces", priority=2), Column("scripts", "word", 3)),
]


def listing(kind: str, cards: Mapping[str, Card], pairs: Sequence[Pair] = ()) -> list[list[str]]:
    """Return the rows of a list (default: for all pairs).

    Raises `BenchError` for a pair without collections, and for pairs of a kind without pairs.
    """
    if pairs and kind not in ("datasets", "pairs"):
        raise BenchError(f"bench ls {kind} takes no --pairs; use bench ls datasets or bench ls pairs")
    for pair in pairs:
        cards = {name: card for name, card in cards.items() if _has(card, pairs)}
        if not any(_has(card, [pair]) for card in cards.values()):
            raise BenchError(f"no collection has the pair '{pair}'; bench ls pairs lists all of them")
    if kind == "methods":
        return _methods()
    if kind == "datasets":
        return _datasets(cards)
    if kind == "pairs":
        return [row for row in _pairs(cards) if not pairs or row[0] in map(str, pairs)]
    if kind == "encoders":
        rows = [[name, encoder.description] for name, encoder in models.KNOWN.items()]
        rows.append(["owner/name", "any encoder on the Hugging Face hub with safetensors weights"])
        rows.append(["path/to/folder", "any local Hugging Face or sentence-transformers folder"])
        return rows
    rows = [[name, "default" if name in measures.DEFAULT else "", text] for name, text in measures.DESCRIPTIONS.items()]
    rows.append(["...", "", "any measure of ir-measures with a cutoff of at most 1000"])
    return rows + [[name, "bitext mining", text] for name, text in measures.MINING.items()]


def _has(card: Card, pairs: Sequence[Pair]) -> bool:
    """Return True if a collection or mix has texts for one of the pairs."""
    offered = {*card.pairs("test"), *card.pairs("bitext"), *(card.mix.pairs if card.mix else ())}
    return any(pair in offered or pair.training in offered for pair in pairs)


def counts_rows(counts: Iterable[Counts]) -> list[list[str]]:
    """Return the numbers and lengths of a collection's texts, in each role for each pair or language."""
    rows = []
    for row in counts:
        sizes = [f"{number:,}" if number else "-" for number in (row.queries, row.documents)]
        words, pieces = (row.query_words, row.document_words), (row.query_pieces, row.document_pieces)
        both = [words, pieces, (row.query_script, row.document_script)]
        sides = [" / ".join(map(str, filter(None, pair))) or "-" for pair in both]
        relevant = f"{row.relevant:.2f}" if row.role == "test" else "-"
        rows.append([row.role, row.key, *sizes, sides[0], relevant, *sides[1:]])
    return rows


def describe_dataset(card: Card, resolver: Resolver) -> dict[str, str]:
    """Return the contents of a card, and number and size of its available files."""
    about = {
        "name": card.name,
        "description": card.description,
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
    return {name: text for name, text in about.items() if text}


def describe_encoder(name: str, *, offline: bool) -> dict[str, str]:
    """Return the properties of an encoder. It is loaded, or trained if it is a tiny encoder.

    Raises `BenchError` if it is not available.
    """
    import torch

    from bench.encoders.student import is_multilingual
    from bench.training.teachers import load_teacher

    encoder = load_teacher(name, torch.device("cpu"), offline=offline)
    known, pieces = models.find_known(name), f"{len(encoder.tokenizer):,} word pieces"
    about = {
        "name": name,
        "description": known.description,
        "hub id": known.hub_id,
        "architecture": f"{encoder.transformer.config.model_type}, {encoder.dimension} dimensions",
        "pooling": encoder.pooling,
        "longest text": f"{encoder.max_length} tokens",
        "query prompt": repr(encoder.prompts["query"]),
        "document prompt": repr(encoder.prompts["document"]),
        "vocabulary": f"{pieces}, {'kept by' if is_multilingual(encoder) else 'extended for'} students",
        "fingerprint": encoder.fingerprint(),
    }
    return {name: text for name, text in about.items() if text}


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


def _datasets(cards: Mapping[str, Card]) -> list[list[str]]:
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
    return rows


def _languages(card: Card) -> str:
    """Return the number of languages besides English; `eng` if there is no other."""
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
