"""The English lexicon of `lexicon.toml`: concepts and their names, by kind and topic domain."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

GENERAL = "general"
"""The domain of the words that all domains share."""
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


@dataclass(frozen=True)
class Concept:
    """A meaning: its lemmas (the first is the common one and identifies it), kind and domain.

    `preposition` belongs to places: `in` for a forest, `on` for a bridge.
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

    `concepts` maps the name of a concept to it. `names[kind, domain]` has the names of the concepts of a kind and
    domain. `times` are whole phrases. `parts` has the part of speech of every lemma. `past` and `plural` have the
    irregular forms.
    """

    domains: tuple[str, ...]
    concepts: Mapping[str, Concept]
    names: Mapping[tuple[str, str], tuple[str, ...]]
    times: tuple[str, ...]
    parts: Mapping[str, str]
    past: Mapping[str, str]
    plural: Mapping[str, str]

    def of(self, kind: str, domain: str) -> tuple[str, ...]:
        """Return the names of the concepts of one kind in a domain, including the general ones."""
        return self.names.get((kind, GENERAL), ()) + self.names.get((kind, domain), ())


@lru_cache(maxsize=1)
def english() -> Lexicon:
    """Return the lexicon. Raises `ValueError` if a lemma occurs twice."""
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
