"""The English lexicon of `lexicon.toml`: concepts and their names, by kind and topic domain."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

GENERAL = "general"
"""The domain of the words that all domains share."""
PART_OF_SPEECH = {
    **dict.fromkeys(("people", "animals", "things", "places"), "noun"),
    **dict.fromkeys(("traits", "qualities"), "adjective"),
    **dict.fromkeys(("handle", "motion", "transfer", "meet", "stay", "dwell"), "verb"),
}


class Concept(NamedTuple):
    """A meaning: its lemmas (the first identifies it), its kind, and of places the `preposition` (on a bridge)."""

    lemmas: tuple[str, ...]
    kind: str
    preposition: str = ""


class Lexicon(NamedTuple):
    """All words of the English side: concepts by name, the names of a kind and domain, phrases of time, the part of
    speech of each lemma, and the irregular forms.
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


def _read_lexicon() -> Lexicon:
    table = tomllib.loads(files(__package__).joinpath("lexicon.toml").read_text(encoding="utf-8"))
    times = tuple(table[GENERAL].pop("times"))
    concepts: dict[str, Concept] = {}
    names: dict[tuple[str, str], tuple[str, ...]] = {}
    parts: dict[str, str] = {}
    for domain, kinds in {GENERAL: table[GENERAL], **table["domains"]}.items():
        for kind, entries in kinds.items():
            for lemmas in map(str.split, entries):
                preposition = lemmas.pop(0) if kind == "places" else ""
                concepts[lemmas[0]] = Concept(tuple(lemmas), kind, preposition)
                names[kind, domain] = (*names.get((kind, domain), ()), lemmas[0])
                parts |= dict.fromkeys(lemmas, PART_OF_SPEECH[kind])
    for part, lemmas in table["function"].items():
        parts |= dict.fromkeys(lemmas, part)
    for phrase in times:
        for lemma in phrase.split():
            parts.setdefault(lemma, "noun" if " " in phrase else "adverb")
    return Lexicon(tuple(table["domains"]), concepts, names, times, parts, table["past"], table["plural"])


ENGLISH = _read_lexicon()
