"""The world of facts: entities, their deeds, and the questions about them.

Every pair of a noun and a trait, and every pair of a verb and its object, belongs to one split, chosen by a checksum.
Each question mentions at least one such pair. So no fact or question of a split occurs in another split.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import numpy as np

from bench.data.conlang.lexicon import ENGLISH
from bench.data.conlang.rng import pick
from bench.errors import BenchError

Pairing = tuple[str, str]
"""A role and the concept that fills it, such as ("object", "lamp")."""
Fact = frozenset[Pairing]
"""All pairings of one event and of its entity."""

SPLITS = {"test": 0.3, "dev": 0.5, "train": 0.8, "bitext": 1.0}
"""Cumulative shares of the splits."""
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
ASKED = {"what": "object", "where": "place", "when": "time"}
"""The role of an event that is the answer, by kind of question. The answer to who and which is the entity."""
MENTIONED = {
    "who": ("verb", "object"),
    "which": ("noun", "verb", "object"),
    "what": ("noun", "trait", "verb"),
    "where": ("noun", "trait", "verb", "object"),
    "when": ("noun", "trait", "verb", "object"),
}
"""The roles that each kind of question always mentions. They contain a pair of the split."""
OPTIONAL = {
    "who": ("quality", "partner", "place", "time"),
    "which": ("trait", "home", "quality", "partner", "place", "time"),
    "what": ("trait", "home", "partner", "place", "time"),
    "where": ("trait", "home", "quality", "partner", "time"),
    "when": ("trait", "home", "quality", "partner", "place"),
}
"""The roles that each kind of question may mention."""
EXTRAS = 1
"""Number of additional pairings of a question before its uniqueness is checked."""
MAX_DRAWS = 10
"""Maximum number of draws per passage, after which the world counts as exhausted."""


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


class Passage(NamedTuple):
    """The facts of one document: an entity and its deeds."""

    entity: Entity
    events: tuple[Event, ...]

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The fact of each event."""
        noun, traits, home = self.entity
        about = [("noun", noun), *(("trait", trait) for trait in traits), ("home", home)]
        return tuple(
            frozenset([*about, *((role, concept) for role, concept in event._asdict().items() if concept)])
            for event in self.events
        )


class Question(NamedTuple):
    """A question about one event: its kind (what, where ...; "what" asks for the object) and the pairings mentioned."""

    kind: str
    given: tuple[Pairing, ...]


def random_passage(seed: int, split: str, domains: Sequence[str], rng: np.random.Generator, events: int) -> Passage:
    """Return a random passage of a split about an entity of one of the domains, mostly within that domain."""
    domain = pick(rng, domains)

    def near() -> str:
        return pick(rng, domains) if rng.random() < OTHER_DOMAIN_SHARE else domain

    noun, traits = pick(rng, _entities(seed, split, domain))
    first, second = rng.permutation(len(traits))[:2].tolist()
    entity = Entity(noun, (traits[first], traits[second]), pick(rng, ENGLISH.of("places", near())))
    return Passage(entity, tuple(_event(seed, split, near(), rng) for _ in range(events)))


def random_passages(seed: int, split: str, count: int, rng: np.random.Generator) -> tuple[Passage, ...]:
    """Return `count` different passages over all domains. Raises `BenchError` if the world has fewer."""
    passages: dict[Passage, None] = {}
    for _ in range(MAX_DRAWS * count):
        passages[random_passage(seed, split, ENGLISH.domains, rng, pick(rng, EVENTS))] = None
        if len(passages) == count:
            return tuple(passages)
    raise BenchError(f"conlang: the world has only {len(passages)} of {count} passages; lower the scale")


def random_questions(passages: Sequence[Passage], count: int, rng: np.random.Generator) -> list[tuple[int, Question]]:
    """Return `count` questions about different passages, each with the index of its passage.

    A question fits exactly one event of all passages. Raises `BenchError` if there are fewer questions.
    """
    facts = [passage.facts for passage in passages]
    events: defaultdict[Pairing, set[int]] = defaultdict(set)
    for number, fact in enumerate(fact for own in facts for fact in own):
        for pairing in fact:
            events[pairing].add(number)

    questions: list[tuple[int, Question]] = []
    for row in rng.permutation(len(passages)).tolist():
        if len(questions) == count:
            break
        kind, given = question_about(pick(rng, facts[row]), rng)
        least = min(len(MENTIONED[kind]) + EXTRAS, len(given))
        for size in range(least, len(given) + 1):
            fitting = sorted((events[pairing] for pairing in given[:size]), key=len)
            if len(set.intersection(*fitting)) == 1:
                questions.append((row, Question(kind, given[:size])))
                break
    if len(questions) < count:
        raise BenchError(f"conlang: {len(passages)} passages allow only {len(questions)} of {count} questions")
    return questions


def question_about(fact: Fact, rng: np.random.Generator) -> Question:
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


def _event(seed: int, split: str, domain: str, rng: np.random.Generator) -> Event:
    verb, target = pick(rng, _deeds(seed, split, domain))
    kind = ENGLISH.concepts[verb].kind
    time = pick(rng, ENGLISH.times) if rng.random() < TIME_SHARE else ""
    partner = pick(rng, ENGLISH.of("people", domain)) if rng.random() < PARTNER_SHARE else ""
    if kind == "stay":
        return Event(verb, partner=partner, place=target, time=time)
    place = pick(rng, ENGLISH.of("places", domain)) if rng.random() < PLACE_SHARE else ""
    qualities = ENGLISH.of("traits" if kind == "meet" else "qualities", domain)
    quality = pick(rng, qualities) if rng.random() < QUALITY_SHARE else ""
    return Event(verb, target, quality, partner, place, time)


@lru_cache(maxsize=200)
def _entities(seed: int, split: str, domain: str) -> list[tuple[str, list[str]]]:
    """Return each noun with the traits that the split owns (two or more)."""
    nouns, traits = ENGLISH.of("people", domain) + ENGLISH.of("animals", domain), ENGLISH.of("traits", domain)
    owned = ((noun, [trait for trait in traits if _owner(seed, noun, trait) == split]) for noun in nouns)
    return [(noun, traits) for noun, traits in owned if len(traits) > 1]


@lru_cache(maxsize=200)
def _deeds(seed: int, split: str, domain: str) -> list[tuple[str, str]]:
    """Return the pairs of a split of a verb and its object, or of an intransitive verb and its place."""
    return [
        (verb, target)
        for kind, target_kinds in TARGETS.items()
        for verb in ENGLISH.of(kind, domain)
        for target_kind in target_kinds
        for target in ENGLISH.of(target_kind, domain)
        if _owner(seed, verb, target) == split
    ]


def _owner(seed: int, first: str, second: str) -> str:
    point = crc32(f"{seed} {first} {second}".encode()) / 2**32
    return next(split for split, end in SPLITS.items() if point < end)
