"""The English lexicon: concepts and their names, by kind and topic domain, read from `lexicon.toml`."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

GENERAL = "general"
"""The domain of the words that every domain shares."""

PART_OF_SPEECH = {
    "people": "noun",
    "animals": "noun",
    "things": "noun",
    "places": "noun",
    "traits": "adjective",
    "qualities": "adjective",
    "handle": "verb",
    "motion": "verb",
    "transfer": "verb",
    "meet": "verb",
    "stay": "verb",
    "dwell": "verb",
}
"""The part of speech of each kind of concept."""


@dataclass(frozen=True)
class Concept:
    """A meaning: the lemmas that name it (the first is the common one and identifies it), its kind and domain.

    `preposition` is the one that a place is located with, empty for everything else.
    """

    lemmas: tuple[str, ...]
    kind: str
    domain: str
    preposition: str = ""

    @property
    def name(self) -> str:
        return self.lemmas[0]


@dataclass(frozen=True)
class Lexicon:
    """All words of the English side.

    `concepts` maps a concept's name to it; `names[kind, domain]` lists the concepts of one kind and
    domain; `times` are whole phrases; `parts` gives the part of speech of every lemma; `past` and
    `plural` hold the forms that no rule gives.
    """

    domains: tuple[str, ...]
    concepts: Mapping[str, Concept]
    names: Mapping[tuple[str, str], tuple[str, ...]]
    times: tuple[str, ...]
    parts: Mapping[str, str]
    past: Mapping[str, str]
    plural: Mapping[str, str]

    def of(self, kind: str, domain: str) -> tuple[str, ...]:
        """The names of a domain's concepts of one kind, the general ones included."""
        return self.names.get((kind, GENERAL), ()) + self.names.get((kind, domain), ())


@lru_cache(maxsize=1)
def english() -> Lexicon:
    """The lexicon that ships with the package; ValueError where a lemma has two parts of speech or meanings."""
    table = tomllib.loads(files(__package__).joinpath("lexicon.toml").read_text(encoding="utf-8"))
    times = tuple(table[GENERAL].pop("times"))
    concepts: dict[str, Concept] = {}
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    parts: dict[str, str] = {}

    def add(lemma: str, part: str) -> None:
        if lemma in parts:
            raise ValueError(f"lexicon.toml: '{lemma}' occurs twice")
        parts[lemma] = part

    for domain, kinds in {GENERAL: table[GENERAL], **table["domains"]}.items():
        for kind, entries in kinds.items():
            for entry in entries:
                words = entry.split()
                preposition = words.pop(0) if kind == "places" else ""
                concept = Concept(tuple(words), kind, domain, preposition)
                concepts[concept.name] = concept
                names[kind, domain].append(concept.name)
                for lemma in words:
                    add(lemma, PART_OF_SPEECH[kind])
    for part, lemmas in table["function"].items():
        for lemma in lemmas:
            add(lemma, part)
    for phrase in times:
        for lemma in phrase.split():
            if lemma not in parts:
                add(lemma, "noun" if " " in phrase else "adverb")
    return Lexicon(
        domains=tuple(table["domains"]),
        concepts=concepts,
        names={key: tuple(value) for key, value in names.items()},
        times=times,
        parts=parts,
        past=table["past"],
        plural=table["plural"],
    )
