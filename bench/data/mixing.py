"""What to train on: the collections of a mix put together, without duplicates and without what leaks a test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bench.data import Bitext, Pair, Relevance, TrainingData, leakage, levels
from bench.data.cards import IR_DATASETS, Card, Role, get_card, load_cards
from bench.data.files import MissingFile, Resolver
from bench.data.loading import load_judged, read, tidy_bitext, tidy_relevance
from bench.errors import BenchError

_Loaded = TypeVar("_Loaded", Bitext, Relevance)


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
    pair: Pair,
    resolver: Resolver,
    cards: Mapping[str, Card] | None = None,
    *,
    keep_leaks: bool = False,
) -> TrainingData:
    """The rows of all named collections and mixes, without those that leak a test collection of the pair.

    Leakage is removed against every known test collection of the pair, not only those that somebody is about
    to evaluate on. One whose files are neither at hand nor to be had is reported as not checked; for this alone,
    ir_datasets downloads nothing. With `keep_leaks` leakage is counted but not removed, to measure what it is worth.

    A mix's caps hold for what is left then; a collection that is named besides, without a cap, is not capped.

    The report: `bitext` and `relevance` map each source to its counts of rows `read`, `dropped` (empty or
    duplicate), `leaked` (removed for it), `capped` (where there is a cap) and `kept`; `leakage` maps each test
    collection to the rows of `bitext` and of `relevance` that it objects to, each as counts of `exact`, `near` and
    `contained` repetitions, a row counting as the first of these that it is; `not_checked` maps the others to the
    reason; `skipped` lists what a collection lacks for the pair.

    Raises BenchError for an unknown name, and if none of the collections has data for the pair.
    """
    cards = load_cards() if cards is None else cards
    found = search(names, pair, resolver, cards)
    clean = found.bitext if keep_leaks else leakage.remove_bitext(found.bitext, found.leaks["bitext"])
    limits = _caps(names, cards)
    bitext = levels.cap(clean, limits)
    relevance = found.relevance if keep_leaks else leakage.remove_relevance(found.relevance, found.leaks["relevance"])
    leaked = {role: leakage.count_rows(leaks, found.tests) for role, leaks in found.leaks.items()}
    return TrainingData(
        pair=pair,
        bitext=bitext,
        relevance=relevance,
        report={
            "bitext": _with_capped(_with_kept(found.counts["bitext"], clean.sources), limits, bitext.sources),
            "relevance": _with_kept(found.counts["relevance"], relevance.sources),
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
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    """For "bitext" and "relevance", per source, how many rows were `read` and `dropped`."""
    leaks: Mapping[str, Sequence[leakage.Leak]]
    """For "bitext" and "relevance"."""
    tests: Mapping[str, Mapping[str, frozenset[str]]]
    """Per test collection what `leakage.protected` says of it."""
    not_checked: Mapping[str, str]
    skipped: Sequence[str]


def search(names: Sequence[str], pair: Pair, resolver: Resolver, cards: Mapping[str, Card] | None = None) -> Search:
    """Read all that `training_data` does and look for leakage; raises BenchError likewise."""
    cards = load_cards() if cards is None else cards
    judged = Pair(pair.document, pair.document)
    sources, skipped = _sources(names, pair, cards)
    bitext, bitext_counts = _gather(
        [(card.name, read(card, "bitext", pair, resolver)) for card in sources["bitext"]], tidy_bitext
    )
    relevance, relevance_counts = _gather(
        [(card.name, read(card, "relevance", judged, resolver)) for card in sources["relevance"]],
        tidy_relevance,
    )
    all_bitext = join_bitext(bitext)
    all_relevance = join_relevance(judged, relevance)

    tests, not_checked = _protected_texts(pair, resolver, cards)
    return Search(
        bitext=all_bitext,
        relevance=all_relevance,
        counts={"bitext": bitext_counts, "relevance": relevance_counts},
        leaks={
            "bitext": leakage.find_leaks(all_bitext, tests),
            "relevance": leakage.find_leaks(all_relevance, tests),
        },
        tests=tests,
        not_checked=not_checked,
        skipped=skipped,
    )


def join_bitext(parts: Iterable[Bitext]) -> Bitext:
    """One bitext with the rows of all, in order."""
    parts = list(parts)
    return Bitext(
        tuple(text for part in parts for text in part.query_side),
        tuple(text for part in parts for text in part.document_side),
        tuple(source for part in parts for source in part.sources),
    )


def join_relevance(pair: Pair, parts: Iterable[Relevance]) -> Relevance:
    """Relevance data of a pair with the rows of all, in order."""
    parts = list(parts)
    return Relevance(
        pair,
        tuple(text for part in parts for text in part.queries),
        tuple(text for part in parts for text in part.positives),
        tuple(source for part in parts for source in part.sources),
    )


def _sources(names: Sequence[str], pair: Pair, cards: Mapping[str, Card]) -> tuple[dict[Role, list[Card]], list[str]]:
    """The cards that the names stand for, by role, and a line for each that has nothing for the pair."""
    keys: dict[Role, Pair | str] = {"bitext": pair, "relevance": Pair(pair.document, pair.document)}
    wanted: dict[Role, dict[str, Card]] = {"bitext": {}, "relevance": {}}
    skipped = []
    for name in names:
        card = get_card(name, cards)
        parts: dict[Role, Sequence[str]]
        if card.mix is not None:
            parts = {"bitext": card.mix.bitext, "relevance": card.mix.relevance}
        else:
            parts = {role: [name] if role in card.roles else [] for role in keys}
            if not any(parts.values()):
                skipped.append(f"{name} offers neither bitext nor relevance")
        for role, members in parts.items():
            for member in members:
                part = get_card(member, cards)
                if part.offers(role, keys[role]):
                    wanted[role][member] = part
                else:
                    skipped.append(f"{member} has no {role} for {keys[role]}")
    if not any(wanted.values()):
        raise BenchError(f"nothing to train on for {pair}: {'; '.join(skipped) or 'no collection is named'}")
    return {role: list(found.values()) for role, found in wanted.items()}, skipped


def _caps(names: Sequence[str], cards: Mapping[str, Card]) -> dict[str, int]:
    """The caps of the mixes among the names, but for collections that another of the names has more of."""
    limits: dict[str, float] = {}
    for name in names:
        mix = get_card(name, cards).mix
        for member in mix.bitext if mix else [name]:
            limits[member] = max(limits.get(member, 0), mix.caps.get(member, math.inf) if mix else math.inf)
    return {name: int(limit) for name, limit in limits.items() if limit < math.inf}


def _gather(
    parts: Iterable[tuple[str, _Loaded]], tidy: Callable[[_Loaded, set[tuple[str, str]]], _Loaded]
) -> tuple[list[_Loaded], dict[str, dict[str, int]]]:
    """The tidied parts, and per source how many rows were read and how many of them dropped.

    A row that an earlier part has is dropped: collections share sources.
    """
    kept, counts = [], {}
    seen: set[tuple[str, str]] = set()
    for name, part in parts:
        tidied = tidy(part, seen)
        kept.append(tidied)
        counts[name] = {"read": len(part), "dropped": len(part) - len(tidied)}
    return kept, counts


def _with_kept(counts: Mapping[str, Mapping[str, int]], sources: Sequence[str]) -> dict[str, dict[str, int]]:
    kept = Counter(sources)
    return {
        name: {**count, "leaked": count["read"] - count["dropped"] - kept[name], "kept": kept[name]}
        for name, count in counts.items()
    }


def _with_capped(
    counts: Mapping[str, Mapping[str, int]], limits: Mapping[str, int], sources: Sequence[str]
) -> dict[str, dict[str, int]]:
    kept = Counter(sources)
    return {
        name: {**count, "capped": count["kept"] - kept[name], "kept": kept[name]} if name in limits else dict(count)
        for name, count in counts.items()
    }


def _protected_texts(
    pair: Pair, resolver: Resolver, cards: Mapping[str, Card]
) -> tuple[dict[str, dict[str, frozenset[str]]], dict[str, str]]:
    """The protected texts of every test that a retriever of the pair serves, and why some could not be read."""
    texts: dict[str, dict[str, frozenset[str]]] = {}
    not_checked: dict[str, str] = {}
    for card in cards.values():
        # What ir_datasets brings is too large to be downloaded only to be checked against.
        only_at_hand = replace(resolver, offline=resolver.offline or card.source == IR_DATASETS)
        for asked in (other for other in card.pairs("test") if other.training == pair):
            name = card.name if asked == pair else f"{card.name} {asked}"
            try:
                texts[name] = leakage.protected(load_judged(card, asked, only_at_hand))
            except MissingFile as error:
                not_checked[name] = str(error)
    return texts, not_checked
