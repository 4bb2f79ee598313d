"""Training data: the collections of a mix, without duplicates and without leakage."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.data import Bitext, Origin, Pair, Relevance, Rows, TrainingData, leakage
from bench.data.cards import IR_DATASETS, Card, Role, get_card
from bench.data.files import Resolver
from bench.data.loading import drop_empty_and_duplicate, load_judged, read
from bench.errors import BenchError, MissingFile

TYPES: dict[Role, type[Any]] = {"bitext": Bitext, "relevance": Relevance}


def default_mix(pair: Pair, cards: Mapping[str, Card]) -> str:
    """Return the name of the only card whose mix has the pair. Raises `BenchError` if there is none, or several."""
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
    cards: Mapping[str, Card],
    *,
    keep_leaks: bool = False,
    unseen: Pair | None = None,
) -> TrainingData:
    """Return the rows of all named collections and mixes, without leakage of test collections of the pairs.

    The pairs share their document language, since one student is trained for them. Leakage is removed for every known
    test collection of the pairs, and of a pair `unseen` that the student is tested on without such data. Collections
    with missing files are reported as not checked. With `keep_leaks` leakage is only counted. The caps of a mix apply
    to the remaining rows.

    In the report, `bitext` and `relevance` map each source to its rows: `read`, `dropped` (empty or duplicate),
    `leaked`, `capped` (if there is a cap) and `kept`. `leakage` maps each test collection to the leaking rows of
    `bitext` and of `relevance`, as counts of `exact`, `near` and `contained` repetitions. `not_checked` maps each other
    test collection to the reason. `skipped` lists the data that the collections lack for the pairs.

    Raises `BenchError` for an unknown name, and if no collection has data for one of the pairs.
    """
    found = search(names, pairs, resolver, cards, unseen)
    caps = caps_of(names, cards)
    clean = {role: rows if keep_leaks else leakage.remove(rows, found.leaks[role]) for role, rows in found.rows.items()}
    bitext, relevance = cap(clean["bitext"], caps), clean["relevance"]
    leaked = {role: leakage.count_rows(leaks, found.tests) for role, leaks in found.leaks.items()}
    return TrainingData(
        pairs=tuple(pairs),
        bitext=bitext,
        relevance=relevance,
        report={
            "bitext": _counts(found.counts["bitext"], clean["bitext"], bitext, caps, pairs[0]),
            "relevance": _counts(found.counts["relevance"], relevance, relevance, {}, judged_pairs(pairs)[0]),
            "leakage": {test: {role: counts[test] for role, counts in leaked.items()} for test in found.tests},
            "not_checked": found.not_checked,
            "skipped": found.skipped,
        },
    )


@dataclass(frozen=True)
class Search:
    """All training rows and their leakage, by role."""

    rows: Mapping[Role, Any]
    """The `Bitext` and the `Relevance`."""
    counts: Mapping[Role, Mapping[Origin, Mapping[str, int]]]
    """Number of rows `read` and `dropped` of each source and pair."""
    leaks: Mapping[Role, Sequence[leakage.Leak]]
    tests: Mapping[str, Mapping[str, frozenset[str]]]
    """The result of `leakage.protected` for each test collection."""
    not_checked: Mapping[str, str]
    skipped: Sequence[str]


def search(
    names: Sequence[str],
    pairs: Sequence[Pair],
    resolver: Resolver,
    cards: Mapping[str, Card],
    unseen: Pair | None = None,
) -> Search:
    """Return the rows of `training_data` and their leakage. Raises `BenchError` as `training_data`."""
    sources, skipped = sources_of(names, pairs, cards)
    rows, counts = {}, {}
    for role, origins in sources.items():
        parts = ((origin, read(get_card(origin[0], cards), role, origin[1], resolver)) for origin in origins)
        rows[role], counts[role] = _gather(TYPES[role], parts)
    tests: dict[str, Mapping[str, frozenset[str]]] = {}
    not_checked: dict[str, str] = {}
    for name, (card, pair) in tests_of(tested(pairs, unseen), cards).items():
        # Collections of ir_datasets are too large to be downloaded for this check.
        offline = resolver.offline or card.source == IR_DATASETS
        try:
            tests[name] = leakage.protected(load_judged(card, pair, replace(resolver, offline=offline)))
        except MissingFile as error:
            not_checked[name] = str(error)
    leaks = {role: leakage.find_leaks(each, tests) for role, each in rows.items()}
    return Search(rows, counts, leaks, tests, not_checked, skipped)


def cap(bitext: Bitext, caps: Mapping[str, int]) -> Bitext:
    """Return the bitext with a fixed random sample of each capped source in each pair."""
    from numpy.random import default_rng  # imported here, since cards are read without numpy

    dropped: set[int] = set()
    origins = bitext.origins
    for source in dict.fromkeys(origins):
        if source[0] in caps:
            rows = [row for row, other in enumerate(origins) if other == source]
            dropped.update(rows[i] for i in default_rng(0).permutation(len(rows))[caps[source[0]] :])
    return bitext.take(row for row in range(len(bitext)) if row not in dropped)


def judged_pairs(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Return the possible languages of judgments for these pairs, the document language first."""
    return tuple(
        dict.fromkeys(
            Pair(query, document)
            for pair in pairs
            for document in (pair.document, pair.query)
            for query in (pair.document, pair.query)
        )
    )


def sources_of(
    names: Sequence[str], pairs: Sequence[Pair], cards: Mapping[str, Card]
) -> tuple[dict[Role, list[Origin]], list[str]]:
    """Return the collections of the names by role, and a message for each that lacks a pair.

    Judgments outside the document language are optional. Raises `BenchError` as `training_data`.
    """
    wanted: dict[Role, dict[Origin, None]] = {role: {} for role in TYPES}
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
                    if key in get_card(part, cards).keys(role):
                        wanted[role][part, key] = None
                    elif key in expected:
                        skipped.append(f"{part} has no {role} for {key}")
    for pair in pairs:
        usable = {pair, *judged_pairs([pair])}
        if not any(key in usable for origins in wanted.values() for _, key in origins):
            raise BenchError(f"nothing to train on for {pair}: {'; '.join(skipped) or 'no collection is named'}")
    return {role: list(origins) for role, origins in wanted.items()}, skipped


def caps_of(names: Sequence[str], cards: Mapping[str, Card]) -> dict[str, int]:
    """Return the largest cap of each collection in the named mixes; none for a collection that is named itself."""
    caps: dict[str, float] = {}
    for name in names:
        mix = get_card(name, cards).mix
        for member in mix.bitext if mix else [name]:
            caps[member] = max(caps.get(member, 0), mix.caps.get(member, math.inf) if mix else math.inf)
    return {name: int(limit) for name, limit in caps.items() if limit < math.inf}


def tested(pairs: Sequence[Pair], unseen: Pair | None) -> list[Pair]:
    """Return the pairs whose test collections count as leakage."""
    return [*pairs, *([unseen] if unseen else [])]


def tests_of(pairs: Sequence[Pair], cards: Mapping[str, Card]) -> dict[str, tuple[Card, Pair]]:
    """Return every test collection of the pairs, by its name in the report."""
    return {
        card.name if pair == pairs[0] else f"{card.name} {pair}": (card, pair)
        for card in cards.values()
        for pair in card.pairs("test")
        if pair.training in pairs
    }


def _gather(kind: type[Any], parts: Iterable[tuple[Origin, Rows]]) -> tuple[Any, dict[Origin, dict[str, int]]]:
    """Join the parts without empty and duplicate rows, and count the rows read and dropped."""
    kept, counts = [], {}
    seen: dict[Pair, set[tuple[str, str]]] = {}
    for source, part in parts:
        kept.append(drop_empty_and_duplicate(part, seen.setdefault(source[1], set())))
        counts[source] = {"read": len(part), "dropped": len(part) - len(kept[-1])}
    return kind.join(kept), counts


def _counts(
    counts: Mapping[Origin, Mapping[str, int]], clean: Rows, used: Rows, caps: Mapping[str, int], usual: Pair
) -> dict[str, dict[str, int]]:
    """Add the counts of rows without leakage, and of those within the caps, to each source."""
    left, kept = Counter(clean.origins), Counter(used.origins)
    report = {}
    for origin, count in counts.items():
        name, pair = origin
        leaked = count["read"] - count["dropped"] - left[origin]
        capped = {"capped": left[origin] - kept[origin]} if name in caps else {}
        key = name if pair == usual else f"{name} {pair}"
        report[key] = {**count, "leaked": leaked, **capped, "kept": kept[origin]}
    return report
