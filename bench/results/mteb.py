"""MTEB's results of a task, with its subsets as language pairs and its scores as measures of ir-measures."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data import Pair
from bench.data.cards import Card, Mteb
from bench.data.languages import parse_language
from bench.errors import BenchError
from bench.evaluation.measures import EVALUATION_DEPTH
from bench.storage.reading import read_json

MEASURES = {"ndcg_at": "nDCG@", "recall_at": "R@", "mrr_at": "RR@", "map_at": "AP@", "precision_at": "P@"}
"""Prefixes of MTEB's scores, and the measures of ir-measures."""
Means = dict[str, float]


@dataclass(frozen=True)
class Subsets:
    """The means by pair of a collection, and the names of other subsets."""

    means: dict[Pair, Means] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def read_results(path: Path, card: Card, pairs: Sequence[Pair] = ()) -> Subsets:
    """Return the means of a file of MTEB for the split of the card.

    Raises `BenchError` for another task, a missing split or pair, and a score outside [0, 1].
    """
    content = read_json(path)
    try:
        task, splits = str(content["task_name"]), dict(content["scores"])
        rows = {name: [(str(row["hf_subset"]), dict(row)) for row in split] for name, split in splits.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{path} is neither a TREC run nor MTEB's results, with task_name and scores") from error
    mteb = mteb_of(card)
    if task != mteb.task:
        raise BenchError(f"{path} has results of {task}, but {card.name} is MTEB's {mteb.task}")
    if mteb.split not in splits:
        raise BenchError(f"{path} has no split '{mteb.split}', which {card.name} is; it has {', '.join(splits)}")
    scored = [(subset, means) for subset, row in rows[mteb.split] if (means := _means(row, f"{path}: {subset}"))]
    return of_pairs(scored, card, str(path), pairs)


def mteb_of(card: Card) -> Mteb:
    """Return MTEB's task of a collection. Raises `BenchError` if its card has none."""
    if card.mteb is None:
        raise BenchError(
            f"the card of {card.name} names no task of MTEB; add mteb = {{ task = ..., split = ... }} to it"
        )
    return card.mteb


def of_pairs(scored: Iterable[tuple[str, Means]], card: Card, where: str, pairs: Sequence[Pair] = ()) -> Subsets:
    """Return the means of the subsets of `pairs` (default: all pairs of the collection).

    Raises `BenchError` for a pair with two subsets or none.
    """
    found, names = Subsets(), dict[Pair, str]()
    for subset, means in scored:
        pair = pair_of(subset, card)
        if pair is None:
            found.others.append(subset)
        elif pair in names:
            cure = "name the script of the collection in its card (scripts of mteb)"
            raise BenchError(f"{where} has two subsets for {card.name} {pair}: {names[pair]} and {subset}; {cure}")
        else:
            names[pair] = subset
            if not pairs or pair in pairs:
                found.means[pair] = means
    if missing := [pair for pair in pairs if pair not in found.means]:
        card.entry("test", missing[0])  # raises an error for an unknown pair
        raise BenchError(f"{where} has no score of {card.name} {missing[0]}")
    if not found.means:
        raise BenchError(f"{where} has no score of a language pair of {card.name}")
    return found


def pair_of(subset: str, card: Card) -> Pair | None:
    """Return the pair of a subset; None if the collection does not have its language, script or direction.

    A subset of one language is the monolingual pair, or else the only pair with documents in this language. `default`
    is the only pair of the collection.
    """
    mteb, pairs = mteb_of(card), card.pairs("test")
    if subset == "default":
        return pairs[0] if len(pairs) == 1 else None
    languages = []
    for code in subset.split("-"):
        name, _, script = code.partition("_")
        try:
            language = parse_language(name)
        except BenchError:
            return None
        if script and mteb.scripts.get(language, script) != script:
            return None
        languages.append(language)
    if mteb.order == "document-query":
        languages.reverse()
    if len(languages) == 2:
        pair = Pair(*languages)
        return pair if pair in pairs else None
    if len(languages) != 1:
        return None
    same = [pair for pair in pairs if pair.document == languages[0]]
    monolingual = [pair for pair in same if pair.query == pair.document] or same
    return monolingual[0] if len(monolingual) == 1 else None


def _means(row: Mapping[str, Any], where: str) -> Means:
    found = {}
    for name, value in row.items():
        prefix, _, cutoff = name.rpartition("_")
        at_depth = re.fullmatch("[1-9][0-9]{0,3}", cutoff) and int(cutoff) <= EVALUATION_DEPTH
        if name == "accuracy" or (prefix in MEASURES and at_depth):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise BenchError(f"{where}: {name} = {value!r:.60} is not between 0 and 1")
            found["Success@1" if name == "accuracy" else MEASURES[prefix] + cutoff] = float(value)
    return found
