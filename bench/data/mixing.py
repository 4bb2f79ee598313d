"""What to train on: the collections of a mix put together, without duplicates and without what leaks a test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bench.data import Bitext, Origin, Pair, Relevance, Rows, TrainingData, leakage
from bench.data.cards import IR_DATASETS, Card, Role, get_card, load_cards
from bench.data.files import Resolver
from bench.data.loading import load_judged, read, tidy
from bench.errors import BenchError, MissingFile

_Rows = TypeVar("_Rows", bound=Rows)


def default_mix(pair: Pair, cards: Mapping[str, Card]) -> str:
    """The name of the card whose mix is the standard training data of a pair; raises BenchError if not one."""
    names = [card.name for card in cards.values() if card.mix and pair in card.mix.pairs]
    if len(names) == 1:
        return names[0]
    if names:
        raise BenchError(f"several mixes name {pair}: {', '.join(names)}; choose one with --train")
    raise BenchError(f"no mix names {pair}, so it has no standard training data; name collections with --train")


def training_data(
    names: Sequence[str],
    pairs: Sequence[Pair],
    resolver: Resolver,
    cards: Mapping[str, Card] | None = None,
    *,
    keep_leaks: bool = False,
) -> TrainingData:
    """The rows of all named collections and mixes, without those that leak a test collection of the pairs.

    The pairs, which share their document language, are what one student is trained for. For each there is bitext, and
    relevance within and between its two languages: mostly within the document language, where judgments are plenty.

    Leakage is removed against every known test collection of the pairs, not only those that somebody is about
    to evaluate on. One whose files are neither at hand nor to be had is reported as not checked; for this alone,
    ir_datasets downloads nothing. With `keep_leaks` leakage is counted but not removed, to measure what it is worth.

    A mix's caps hold for what is left then; a collection that is named besides, without a cap, is not capped.

    The report: `bitext` and `relevance` map each source to its counts of rows `read`, `dropped` (empty or
    duplicate), `leaked` (removed for it), `capped` (where there is a cap) and `kept`; a source is followed by the
    languages where they are not the usual ones. `leakage` maps each test
    collection to the rows of `bitext` and of `relevance` that it objects to, each as counts of `exact`, `near` and
    `contained` repetitions, a row counting as the first of these that it is; `not_checked` maps the others to the
    reason; `skipped` lists what a collection lacks for the pairs.

    Raises BenchError for an unknown name, and if none of the collections has data for one of the pairs.
    """
    cards = load_cards() if cards is None else cards
    found = search(names, pairs, resolver, cards)
    clean = found.bitext if keep_leaks else leakage.remove(found.bitext, found.leaks["bitext"])
    limits = caps_of(names, cards)
    bitext = cap(clean, limits)
    relevance = found.relevance if keep_leaks else leakage.remove(found.relevance, found.leaks["relevance"])
    leaked = {role: leakage.count_rows(leaks, found.tests) for role, leaks in found.leaks.items()}
    return TrainingData(
        pairs=tuple(pairs),
        bitext=bitext,
        relevance=relevance,
        report={
            "bitext": _named(_with_capped(_with_kept(found.counts["bitext"], clean), limits, bitext), pairs[0]),
            "relevance": _named(_with_kept(found.counts["relevance"], relevance), judged_pairs(pairs)[0]),
            "leakage": {test: {role: counts[test] for role, counts in leaked.items()} for test in found.tests},
            "not_checked": found.not_checked,
            "skipped": found.skipped,
        },
    )


@dataclass(frozen=True)
class Search:
    """All rows that are there to train on, and what leaks among them."""

    bitext: Bitext
    relevance: Relevance
    counts: Mapping[str, Mapping[Origin, Mapping[str, int]]]
    """For "bitext" and "relevance", per source and pair, how many rows were `read` and `dropped`."""
    leaks: Mapping[str, Sequence[leakage.Leak]]
    """For "bitext" and "relevance"."""
    tests: Mapping[str, Mapping[str, frozenset[str]]]
    """Per test collection what `leakage.protected` says of it."""
    not_checked: Mapping[str, str]
    skipped: Sequence[str]


def search(
    names: Sequence[str], pairs: Sequence[Pair], resolver: Resolver, cards: Mapping[str, Card] | None = None
) -> Search:
    """Read all that `training_data` does and look for leakage; raises BenchError likewise."""
    cards = load_cards() if cards is None else cards
    sources, skipped = sources_of(names, pairs, cards)

    def load(role: Role) -> Iterator[tuple[Origin, Any]]:
        return (((name, pair), read(get_card(name, cards), role, pair, resolver)) for name, pair in sources[role])

    bitext, bitext_counts = _gather(Bitext, load("bitext"))
    relevance, relevance_counts = _gather(Relevance, load("relevance"))
    tests, not_checked = _protected_texts(pairs, resolver, cards)
    return Search(
        bitext=bitext,
        relevance=relevance,
        counts={"bitext": bitext_counts, "relevance": relevance_counts},
        leaks={
            "bitext": leakage.find_leaks(bitext, tests),
            "relevance": leakage.find_leaks(relevance, tests),
        },
        tests=tests,
        not_checked=not_checked,
        skipped=skipped,
    )


def cap(bitext: Bitext, limits: Mapping[str, int]) -> Bitext:
    """Return the bitext with at most so many rows of a source in a pair: a random sample, always the same."""
    from numpy.random import default_rng  # here, because the cards are read without numpy

    dropped: set[int] = set()
    origins = bitext.origins
    for source in dict.fromkeys(origins):
        if source[0] in limits:
            rows = [row for row, other in enumerate(origins) if other == source]
            dropped.update(rows[i] for i in default_rng(0).permutation(len(rows))[limits[source[0]] :])
    return bitext.take(row for row in range(len(bitext)) if row not in dropped)


def judged_pairs(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """The languages that judgments for these pairs may be in: the document language first, then each pair's own."""
    found: dict[Pair, None] = {}
    for pair in pairs:
        languages = (pair.document, pair.query)
        found |= dict.fromkeys(Pair(query, document) for document in languages for query in languages)
    return tuple(found)


def sources_of(
    names: Sequence[str], pairs: Sequence[Pair], cards: Mapping[str, Card]
) -> tuple[dict[Role, list[Origin]], list[str]]:
    """Return the collections that the names stand for, by role, and a line for each that lacks a pair of these.

    Judgments that are not within the document language are taken where there are some; no line reports that there are
    none. Raises BenchError as `training_data`.
    """
    wanted: dict[Role, dict[Origin, None]] = {"bitext": {}, "relevance": {}}
    skipped = []
    for name in names:
        card = get_card(name, cards)
        members: dict[Role, Sequence[str]] = {role: [name] if role in card.roles else [] for role in wanted}
        if card.mix is not None:
            members = {"bitext": card.mix.bitext, "relevance": card.mix.relevance}
        elif not any(members.values()):
            skipped.append(f"{name} offers neither bitext nor relevance")
        for role, parts in members.items():
            keys = judged_pairs(pairs) if role == "relevance" else pairs
            expected = keys[:1] if role == "relevance" else keys
            for part in parts:
                for key in keys:
                    if get_card(part, cards).offers(role, key):
                        wanted[role][part, key] = None
                    elif key in expected:
                        skipped.append(f"{part} has no {role} for {key}")
    for pair in pairs:
        judged = judged_pairs([pair])
        if not any(key in (pair, *judged) for found in wanted.values() for _, key in found):
            raise BenchError(f"nothing to train on for {pair}: {'; '.join(skipped) or 'no collection is named'}")
    return {role: list(found) for role, found in wanted.items()}, skipped


def caps_of(names: Sequence[str], cards: Mapping[str, Card]) -> dict[str, int]:
    """Return the caps of the mixes among the names, less those of collections that another name has more of."""
    limits: dict[str, float] = {}
    for name in names:
        mix = get_card(name, cards).mix
        for member in mix.bitext if mix else [name]:
            limits[member] = max(limits.get(member, 0), mix.caps.get(member, math.inf) if mix else math.inf)
    return {name: int(limit) for name, limit in limits.items() if limit < math.inf}


def _gather(kind: type[_Rows], parts: Iterable[tuple[Origin, _Rows]]) -> tuple[_Rows, dict[Origin, dict[str, int]]]:
    """The tidied parts in one, and per source how many rows were read and how many of them dropped.

    A row that an earlier part in the same languages has is dropped: collections share sources.
    """
    kept, counts = [], {}
    seen: dict[Pair, set[tuple[str, str]]] = {}
    for source, part in parts:
        kept.append(tidy(part, seen.setdefault(source[1], set())))
        counts[source] = {"read": len(part), "dropped": len(part) - len(kept[-1])}
    return kind.join(kept), counts


def _with_kept(counts: Mapping[Origin, Mapping[str, int]], rows: Rows) -> dict[Origin, dict[str, int]]:
    kept = Counter(rows.origins)
    return {
        source: {**count, "leaked": count["read"] - count["dropped"] - kept[source], "kept": kept[source]}
        for source, count in counts.items()
    }


def _with_capped(
    counts: Mapping[Origin, Mapping[str, int]], limits: Mapping[str, int], rows: Rows
) -> dict[Origin, dict[str, int]]:
    kept = Counter(rows.origins)
    return {
        source: {**count, "capped": count["kept"] - kept[source], "kept": kept[source]}
        if source[0] in limits
        else dict(count)
        for source, count in counts.items()
    }


def _named(counts: Mapping[Origin, dict[str, int]], usual: Pair) -> dict[str, dict[str, int]]:
    """Counts by the names of the collections, with the languages where they are not the usual ones."""
    return {name if pair == usual else f"{name} {pair}": count for (name, pair), count in counts.items()}


def tests_of(pairs: Sequence[Pair], cards: Mapping[str, Card]) -> dict[str, tuple[Card, Pair]]:
    """Return every test that a retriever for the pairs serves, by its name in the report."""
    return {
        card.name if pair == pairs[0] else f"{card.name} {pair}": (card, pair)
        for card in cards.values()
        for pair in card.pairs("test")
        if pair.training in pairs
    }


def _protected_texts(
    pairs: Sequence[Pair], resolver: Resolver, cards: Mapping[str, Card]
) -> tuple[dict[str, dict[str, frozenset[str]]], dict[str, str]]:
    """The protected texts of every test that a retriever for the pairs serves, and why some could not be read."""
    texts: dict[str, dict[str, frozenset[str]]] = {}
    not_checked: dict[str, str] = {}
    for name, (card, pair) in tests_of(pairs, cards).items():
        # What ir_datasets brings is too large to be downloaded only to be checked against.
        only_at_hand = replace(resolver, offline=resolver.offline or card.source == IR_DATASETS)
        try:
            texts[name] = leakage.protected(load_judged(card, pair, only_at_hand))
        except MissingFile as error:
            not_checked[name] = str(error)
    return texts, not_checked
