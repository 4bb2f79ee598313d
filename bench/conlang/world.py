"""The world: who is there, what they did, and which part of the data may know it.

Every pair of a noun and a trait, and every pair of a verb and its object, belongs to one split, fixed
by a checksum. Each question mentions at least one such pair, so the facts and questions of one split
never occur in another, however large the splits are made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

import numpy as np

from bench.conlang.chance import happens, pick
from bench.conlang.facts import ASKED, Entity, Event, Pairing, Passage, Question
from bench.conlang.lexicon import english
from bench.errors import BenchError

SHARES = {"test": 0.3, "dev": 0.2, "train": 0.3, "bitext": 0.2}
"""How much of the world each split owns."""

OTHER_DOMAIN_SHARE = 0.2
QUALITY_SHARE = 0.85
PARTNER_SHARE = 0.3
PLACE_SHARE = 0.85
TIME_SHARE = 0.85
EVENTS = (2, 2, 2, 3)
"""Numbers of events of a passage, equally likely."""

TARGETS = {
    "handle": ("things",),
    "motion": ("things",),
    "transfer": ("things",),
    "meet": ("people", "animals"),
    "stay": ("places",),
}
"""What verbs of each kind act on, or where the intransitive ones happen."""

MENTIONED = {
    "who": ("verb", "object"),
    "which": ("noun", "verb", "object"),
    "what": ("noun", "trait", "verb"),
    "where": ("noun", "trait", "verb", "object"),
    "when": ("noun", "trait", "verb", "object"),
}
"""What each kind of question mentions at least: always a pair that a split owns."""

OPTIONAL = {
    "who": ("quality", "partner", "place", "time"),
    "which": ("trait", "home", "quality", "partner", "place", "time"),
    "what": ("trait", "home", "partner", "place", "time"),
    "where": ("trait", "home", "quality", "partner", "time"),
    "when": ("trait", "home", "quality", "partner", "place"),
}
"""What each kind of question may mention besides."""

PATIENCE = 200
"""Draws without a new passage after which the world counts as exhausted."""


T = TypeVar("T")
Shared = dict[str, dict[str, list[T]]]
"""Things by the split that owns them and by domain."""


class World:
    """The facts that a seed brings about; see the module for how splits share them."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._entities = self._share_entities()
        self._deeds = self._share_deeds()

    def owner(self, first: str, second: str) -> str:
        """The split that owns a pair of concepts."""
        point = crc32(f"{self._seed} {first} {second}".encode()) / 2**32
        for split, share in SHARES.items():
            if point < share:
                return split
            point -= share
        return split

    def passage(self, split: str, domains: Sequence[str], rng: np.random.Generator, events: int) -> Passage:
        """A random passage of a split about an entity of one of the domains, mostly staying in that domain."""
        domain = pick(rng, domains)
        noun, traits = pick(rng, self._entities[split][domain])
        first, second = rng.permutation(len(traits))[:2].tolist()
        home = pick(rng, english().of("places", _near(domain, domains, rng)))
        entity = Entity(noun, (traits[first], traits[second]), home)
        return Passage(entity, tuple(self._event(split, _near(domain, domains, rng), rng) for _ in range(events)))

    def passages(self, split: str, count: int, rng: np.random.Generator) -> tuple[Passage, ...]:
        """`count` different passages over all domains; BenchError where the world has no more."""
        found: dict[Passage, None] = {}
        idle = 0
        while len(found) < count:
            before = len(found)
            found[self.passage(split, english().domains, rng, pick(rng, EVENTS))] = None
            idle = 0 if len(found) > before else idle + 1
            if idle == PATIENCE:
                raise BenchError(f"conlang: the world has only {len(found)} of {count} passages; lower the scale")
        return tuple(found)

    def questions(
        self, passages: Sequence[Passage], count: int, rng: np.random.Generator, extras: int
    ) -> list[tuple[int, Question]]:
        """`count` questions about different passages, with the row of the passage that each asks about.

        A question mentions what its kind needs and `extras` things more, and more still until exactly
        one event of all passages fits it. BenchError where fewer passages can be asked about.
        """
        facts = [(row, fact) for row, passage in enumerate(passages) for fact in passage.facts()]
        postings: defaultdict[Pairing, set[int]] = defaultdict(set)
        own: defaultdict[int, list[frozenset[Pairing]]] = defaultdict(list)
        for number, (row, fact) in enumerate(facts):
            own[row].append(fact)
            for pairing in fact:
                postings[pairing].add(number)

        def unique(given: tuple[Pairing, ...]) -> bool:
            return len(set.intersection(*sorted((postings[pairing] for pairing in given), key=len))) == 1

        found: list[tuple[int, Question]] = []
        for row in rng.permutation(len(passages)).tolist():
            if len(found) == count:
                break
            question = self.question(pick(rng, own[row]), rng)
            least = len(MENTIONED[question.kind]) + extras
            for size in range(min(least, len(question.given)), len(question.given) + 1):
                if unique(question.given[:size]):
                    found.append((row, question._replace(given=question.given[:size])))
                    break
        if len(found) < count:
            raise BenchError(f"conlang: {len(passages)} passages allow only {len(found)} of {count} questions")
        return found

    def question(self, fact: frozenset[Pairing], rng: np.random.Generator) -> Question:
        """A question about a fact that mentions all it can, the indispensable first, the rest in random order."""
        known = sorted(fact)
        known = [known[i] for i in rng.permutation(len(known)).tolist()]
        filled = dict(known)
        kind = pick(rng, [kind for kind in MENTIONED if kind not in ASKED or ASKED[kind] in filled])
        # Instead of an object, an intransitive verb has its place, unless that is asked for.
        needed = [role if role in filled else "place" for role in MENTIONED[kind]]
        indispensable = [(role, filled[role]) for role in needed if role != ASKED.get(kind)]
        rest = [pairing for pairing in known if pairing[0] in OPTIONAL[kind] and pairing not in indispensable]
        return Question(kind, (*indispensable, *rest))

    def _event(self, split: str, domain: str, rng: np.random.Generator) -> Event:
        verb, target = pick(rng, self._deeds[split][domain])
        kind = english().concepts[verb].kind
        time = pick(rng, english().times) if happens(rng, TIME_SHARE) else ""
        partner = pick(rng, english().of("people", domain)) if happens(rng, PARTNER_SHARE) else ""
        if kind == "stay":
            return Event(verb, partner=partner, place=target, time=time)
        place = pick(rng, english().of("places", domain)) if happens(rng, PLACE_SHARE) else ""
        qualities = "traits" if kind == "meet" else "qualities"
        quality = pick(rng, english().of(qualities, domain)) if happens(rng, QUALITY_SHARE) else ""
        return Event(verb, target, quality, partner, place, time)

    def _share_entities(self) -> Shared[tuple[str, tuple[str, ...]]]:
        """By split and domain, each noun with the traits that the split may give it (two at least)."""
        shared: Shared[tuple[str, tuple[str, ...]]] = _empty()
        for domain in english().domains:
            traits = english().of("traits", domain)
            for noun in (*english().of("people", domain), *english().of("animals", domain)):
                owners = {trait: self.owner(noun, trait) for trait in traits}
                for split in SHARES:
                    owned = tuple(trait for trait in traits if owners[trait] == split)
                    if len(owned) > 1:
                        shared[split][domain].append((noun, owned))
        return shared

    def _share_deeds(self) -> Shared[tuple[str, str]]:
        """By split and domain, the pairs of a verb and its object, or of an intransitive verb and its place."""
        shared: Shared[tuple[str, str]] = _empty()
        for domain in english().domains:
            for kind, target_kinds in TARGETS.items():
                targets = [name for target_kind in target_kinds for name in english().of(target_kind, domain)]
                for verb in english().of(kind, domain):
                    for target in targets:
                        shared[self.owner(verb, target)][domain].append((verb, target))
        return shared


def _near(domain: str, domains: Sequence[str], rng: np.random.Generator) -> str:
    """Mostly the domain itself."""
    return pick(rng, domains) if happens(rng, OTHER_DOMAIN_SHARE) else domain


def _empty() -> Shared[T]:
    return {split: {domain: [] for domain in english().domains} for split in SHARES}
