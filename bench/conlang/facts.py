"""What the world knows: entities, events, the passages that state them and the questions that ask for them.

Values name concepts of the lexicon; "" where an event leaves something open.
"""

from __future__ import annotations

from typing import NamedTuple

Pairing = tuple[str, str]
"""A role and the concept that fills it, such as ("object", "lamp")."""


ASKED = {"what": "object", "where": "place", "when": "time"}
"""The role of an event that a kind of question asks for; who and which ask for the entity."""


class Entity(NamedTuple):
    """A person or an animal: what it is, two traits, and the place it lives near."""

    noun: str
    traits: tuple[str, str]
    home: str


class Event(NamedTuple):
    """Something that an entity did; without an object the verb is intransitive."""

    verb: str
    object: str = ""
    quality: str = ""
    partner: str = ""
    place: str = ""
    time: str = ""

    def pairings(self) -> tuple[Pairing, ...]:
        """What is known of the event, role by role."""
        return tuple((role, concept) for role, concept in zip(self._fields, self, strict=True) if concept)


class Passage(NamedTuple):
    """The facts of one document: an entity and what it did."""

    entity: Entity
    events: tuple[Event, ...]

    def facts(self) -> tuple[frozenset[Pairing], ...]:
        """All that is known of each event, the entity included."""
        noun, traits, home = self.entity
        known = (("noun", noun), *(("trait", trait) for trait in traits), ("home", home))
        return tuple(frozenset((*known, *event.pairings())) for event in self.events)


class Question(NamedTuple):
    """A question about one event: its kind (who, which, what, where or when) and the pairings it mentions.

    "what" asks for the object, also where English says "who".
    """

    kind: str
    given: tuple[Pairing, ...]

    def fits(self, fact: frozenset[Pairing]) -> bool:
        """Whether a fact has everything that the question mentions."""
        return fact.issuperset(self.given)
