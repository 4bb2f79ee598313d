"""The world of facts: entities, their deeds, and the questions about them.

Every pair of a noun and a trait, and every pair of a verb and its object, belongs to one split, chosen by a checksum.
Each question mentions at least one such pair. So the facts and questions of one split never occur in another, at any
size of the splits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, TypeVar
from zlib import crc32

import numpy as np

from bench.data.conlang.lexicon import english
from bench.data.conlang.rng import bernoulli, pick
from bench.errors import BenchError

Pairing = tuple[str, str]
"""A role and the concept that fills it, such as ("object", "lamp")."""
ASKED = {"what": "object", "where": "place", "when": "time"}
"""The role of an event that is the answer, by kind of question. The answer to who and which is the entity."""


class Entity(NamedTuple):
    """A person or an animal: its noun, two traits, and the place near which it lives."""

    noun: str
    traits: tuple[str, str]
    home: str


class Event(NamedTuple):
    """A deed of an entity. Roles without a concept are empty; a verb without an object is intransitive."""

    verb: str
    object: str = ""
    quality: str = ""
    partner: str = ""
    place: str = ""
    time: str = ""

    def pairings(self) -> tuple[Pairing, ...]:
        return tuple((role, concept) for role, concept in zip(self._fields, self, strict=True) if concept)


class Passage(NamedTuple):
    """The facts of one document: an entity and its deeds."""

    entity: Entity
    events: tuple[Event, ...]

    def facts(self) -> tuple[frozenset[Pairing], ...]:
        """Return the pairings of each event, including those of the entity."""
        noun, traits, home = self.entity
        known = (("noun", noun), *(("trait", trait) for trait in traits), ("home", home))
        return tuple(frozenset((*known, *event.pairings())) for event in self.events)


class Question(NamedTuple):
    """A question about one event: its kind (who, which, what, where or when) and the pairings that it mentions.

    The kind "what" asks for the object, even if the English question word is "who".
    """

    kind: str
    given: tuple[Pairing, ...]

    def fits(self, fact: frozenset[Pairing]) -> bool:
        return fact.issuperset(self.given)


SHARES = {"test": 0.3, "dev": 0.2, "train": 0.3, "bitext": 0.2}
"""The share of the world that each split owns."""
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
"""The kinds of objects of each kind of verb; for intransitive verbs, the places."""
MENTIONED = {
    "who": ("verb", "object"),
    "which": ("noun", "verb", "object"),
    "what": ("noun", "trait", "verb"),
    "where": ("noun", "trait", "verb", "object"),
    "when": ("noun", "trait", "verb", "object"),
}
"""The roles that each kind of question always mentions. They contain a pair that a split owns."""
OPTIONAL = {
    "who": ("quality", "partner", "place", "time"),
    "which": ("trait", "home", "quality", "partner", "place", "time"),
    "what": ("trait", "home", "partner", "place", "time"),
    "where": ("trait", "home", "quality", "partner", "time"),
    "when": ("trait", "home", "quality", "partner", "place"),
}
"""The roles that each kind of question may mention."""
MAX_IDLE_DRAWS = 200
"""Consecutive draws without a new passage after which the world counts as exhausted."""
T = TypeVar("T")
Shared = dict[str, dict[str, list[T]]]
"""Items by split and domain."""


class World:
    """The facts of a seed, divided among the splits as in the module's docstring."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._entities = self._share_entities()
        self._deeds = self._share_deeds()

    def owner(self, first: str, second: str) -> str:
        """Return the split that owns a pair of concepts."""
        point = crc32(f"{self._seed} {first} {second}".encode()) / 2**32
        for split, share in SHARES.items():
            if point < share:
                return split
            point -= share
        return split

    def passage(self, split: str, domains: Sequence[str], rng: np.random.Generator, events: int) -> Passage:
        """Return a random passage of a split about an entity of one of the domains, mostly within that domain."""
        domain = pick(rng, domains)
        noun, traits = pick(rng, self._entities[split][domain])
        first, second = rng.permutation(len(traits))[:2].tolist()
        home = pick(rng, english().of("places", _near(domain, domains, rng)))
        entity = Entity(noun, (traits[first], traits[second]), home)
        return Passage(entity, tuple(self._event(split, _near(domain, domains, rng), rng) for _ in range(events)))

    def passages(self, split: str, count: int, rng: np.random.Generator) -> tuple[Passage, ...]:
        """Return `count` different passages over all domains. Raises `BenchError` if the world has fewer."""
        found: dict[Passage, None] = {}
        idle = 0
        while len(found) < count:
            before = len(found)
            found[self.passage(split, english().domains, rng, pick(rng, EVENTS))] = None
            idle = 0 if len(found) > before else idle + 1
            if idle == MAX_IDLE_DRAWS:
                raise BenchError(f"conlang: the world has only {len(found)} of {count} passages; lower the scale")
        return tuple(found)

    def questions(
        self, passages: Sequence[Passage], count: int, rng: np.random.Generator, extras: int
    ) -> list[tuple[int, Question]]:
        """Return `count` questions about different passages, each with the index of its passage.

        A question mentions the roles of its kind and `extras` more, and further ones until exactly one event of all
        passages fits. Raises `BenchError` if the passages allow fewer questions.
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
        """Return a question with all pairings of a fact: first the required ones, then the rest in random order."""
        known = sorted(fact)
        known = [known[i] for i in rng.permutation(len(known)).tolist()]
        filled = dict(known)
        kind = pick(rng, [kind for kind in MENTIONED if kind not in ASKED or ASKED[kind] in filled])
        # An intransitive verb has a place instead of an object, unless the place is the answer.
        needed = [role if role in filled else "place" for role in MENTIONED[kind]]
        required = [(role, filled[role]) for role in needed if role != ASKED.get(kind)]
        rest = [pairing for pairing in known if pairing[0] in OPTIONAL[kind] and pairing not in required]
        return Question(kind, (*required, *rest))

    def _event(self, split: str, domain: str, rng: np.random.Generator) -> Event:
        verb, target = pick(rng, self._deeds[split][domain])
        kind = english().concepts[verb].kind
        time = pick(rng, english().times) if bernoulli(rng, TIME_SHARE) else ""
        partner = pick(rng, english().of("people", domain)) if bernoulli(rng, PARTNER_SHARE) else ""
        if kind == "stay":
            return Event(verb, partner=partner, place=target, time=time)
        place = pick(rng, english().of("places", domain)) if bernoulli(rng, PLACE_SHARE) else ""
        qualities = "traits" if kind == "meet" else "qualities"
        quality = pick(rng, english().of(qualities, domain)) if bernoulli(rng, QUALITY_SHARE) else ""
        return Event(verb, target, quality, partner, place, time)

    def _share_entities(self) -> Shared[tuple[str, tuple[str, ...]]]:
        """Return, by split and domain, each noun with the traits that the split owns (two or more)."""
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
        """Return, by split and domain, the pairs of a verb and its object, or of an intransitive verb and its place."""
        shared: Shared[tuple[str, str]] = _empty()
        for domain in english().domains:
            for kind, target_kinds in TARGETS.items():
                targets = [name for target_kind in target_kinds for name in english().of(target_kind, domain)]
                for verb in english().of(kind, domain):
                    for target in targets:
                        shared[self.owner(verb, target)][domain].append((verb, target))
        return shared


def _near(domain: str, domains: Sequence[str], rng: np.random.Generator) -> str:
    return pick(rng, domains) if bernoulli(rng, OTHER_DOMAIN_SHARE) else domain


def _empty() -> Shared[T]:
    return {split: {domain: [] for domain in english().domains} for split in SHARES}
