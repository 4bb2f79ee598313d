"""Artificial languages: their definitions (`languages.toml`), lexicons, and translation with word alignment."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import NamedTuple
from zlib import crc32

import numpy as np
from pydantic import TypeAdapter

from bench.data.conlang.english import Phrase, Sentence
from bench.data.conlang.lexicon import ENGLISH
from bench.data.conlang.rng import pick, stream

Entry = tuple[str, ...]
"""One translation of a lemma: its words. The last word has the affixes."""
Links = tuple[tuple[int, int], ...]
"""Sorted pairs of positions (English token, foreign token)."""
Word = tuple[str, tuple[int, ...]]
"""A foreign word and the positions of the English tokens that it translates."""

CONTENT = ("noun", "adjective", "verb")
ARTICLES = ("the", "a")
LIGHT_WORDS = 12
"""Number of words from which the first half of a two-word entry is drawn."""


class Translation(NamedTuple):
    """A translated sentence: its tokens, the mark last, and its links."""

    tokens: tuple[str, ...]
    links: Links


@dataclass(frozen=True)
class Language:
    """An artificial language and the properties of its bitext, which determine its translations.

    - Syntax: `order` is the order of the roles in a clause. With `in_situ`, a question word has the position of its
    answer. Without `copula`, the verb "be" has no translation. `particle` ends every question.

    - Bitext: `sentences` rows about `domains`; shares of the rows are misaligned, and of the words dropped.

    - Lexicon: of the content lemmas, `cognate_share` resemble English, `synonym_share` have two or three entries,
    `merge_share` share the entries of another lemma, and `multiword_share` have two words.

    - Sounds: a coined word has one of the numbers of `syllables`. A cognate is the English lemma after the regular
    expressions of `sound_changes`. In a suffix, "A" and "U" are a and u, or e and ü after one of `front_vowels`.

    - Affixes: the article "the" becomes the suffix `definite`. A noun is stem + `plural` + `definite` + case, which is
    `object` or the suffix in `cases` of an adposition. With `classes`, nouns and what agrees with them have a prefix.
    """

    name: str
    seed: int
    order: tuple[str, ...]
    in_situ: bool
    adjective_first: bool
    postpositions: bool
    sentences: int
    domains: tuple[str, ...]
    misaligned_share: float
    dropped_share: float
    cognate_share: float
    synonym_share: float
    merge_share: float
    multiword_share: float
    onsets: tuple[str, ...]
    vowels: tuple[str, ...]
    codas: tuple[str, ...]
    syllables: tuple[int, ...]
    plural: str
    copula: bool = True
    particle: str = ""
    definite: str = ""
    past: str = ""
    object: str = ""
    cases: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    sound_changes: tuple[tuple[str, str], ...] = ()
    front_vowels: str = ""

    @cached_property
    def entries(self) -> dict[str, tuple[Entry, ...]]:
        """The translations of every English lemma. Lemmas share words only by merging, except for light words."""
        coins = stream(self.seed, "light words")
        light = [self._coin(coins, 1) for _ in range(LIGHT_WORDS)]
        taken = set(light)

        def new_word(rng: np.random.Generator, lemma: str, cognate: bool, syllables: tuple[int, ...]) -> str:
            word = self.cognate(lemma) if cognate else self._coin(rng, pick(rng, syllables))
            while word in taken:
                # Short words may run out; longer ones never do.
                syllables = (*syllables, max(syllables) + 1)
                word = self._coin(rng, pick(rng, syllables))
            taken.add(word)
            return word

        entries: dict[str, tuple[Entry, ...]] = {}
        for lemma, part in sorted(ENGLISH.parts.items()):
            rng, content = stream(self.seed, "lexicon", lemma), part in CONTENT
            cognate = content and rng.random() < self.cognate_share
            alternatives = pick(rng, (2, 2, 3)) if content and rng.random() < self.synonym_share else 1
            own = []
            for number in range(alternatives):
                word = new_word(rng, lemma, cognate and number == 0, self.syllables if content else (1,))
                two_words = content and rng.random() < self.multiword_share
                own.append((pick(rng, light), word) if two_words else (word,))
            entries[lemma] = tuple(own)

        synonyms = {lemma: concept.lemmas for concept in ENGLISH.concepts.values() for lemma in concept.lemmas}
        merged = dict(entries)
        for lemma, part in ENGLISH.parts.items():
            rng = stream(self.seed, "merge", lemma)
            if part in CONTENT and rng.random() < self.merge_share:
                others = [other for other in synonyms.get(lemma, ()) if other != lemma]
                same_part = sorted(other for other in ENGLISH.parts if ENGLISH.parts[other] == part)
                merged[lemma] = entries[pick(rng, others or same_part)]
        return merged

    def cognate(self, lemma: str) -> str:
        """Return the word that resembles an English lemma."""
        for pattern, sounds in self.sound_changes:
            lemma = re.sub(pattern, sounds, lemma)
        return lemma

    def translate(self, sentence: Sentence, rng: np.random.Generator) -> Translation:
        """Translate a sentence; `rng` chooses among the entries of each lemma."""
        auxiliary: tuple[int, ...] = ()  # the verb takes its tense
        located: list[tuple[int, Phrase, int]] = []
        agreement = ""
        start = 0
        for phrase in sentence.phrases:
            role = sentence.asked if phrase.role == "question" and self.in_situ else phrase.role
            if role == "auxiliary":
                auxiliary = (start,)
            else:
                located.append((self.order.index(role), phrase, start))
            if role == "subject":
                agreement = self._class_of(phrase)
            start += len(phrase.tokens)
        words: list[Word] = []
        for _, phrase, start in sorted(located, key=lambda item: item[0]):
            if phrase.role != "verb":
                words += self._nominal(phrase, start, agreement, rng)
            elif (verb := phrase.tokens[0]).part != "copula" or self.copula:
                past = self.past if verb.past or auxiliary else ""
                words += self._words(verb.lemma, start, rng, suffix=past, fused=auxiliary if past else ())
        if sentence.mark == "?" and self.particle:
            words.append((self.particle, ()))
        words.append((sentence.mark, (len(sentence.words),)))
        links = sorted((source, target) for target, (_, sources) in enumerate(words) for source in sources)
        return Translation(tuple(form for form, _ in words), tuple(links))

    def _nominal(self, phrase: Phrase, start: int, agreement: str, rng: np.random.Generator) -> list[Word]:
        """Translate a phrase without a verb, in the word order of the language."""
        words: defaultdict[str, list[Word]] = defaultdict(list)
        prefix = self._class_of(phrase) or agreement
        fused: list[int] = []
        definite, case = "", self.object if phrase.role == "object" else ""
        for index, (_, lemma, part, plural, _) in enumerate(phrase.tokens, start):
            if part == "preposition" and lemma in self.cases:
                case = self.cases[lemma]
                fused.append(index)
            elif part == "preposition":
                words[part] = self._words(lemma, index, rng)
            elif lemma == "the" and self.definite:
                definite = self.definite
                fused.append(index)
            elif part == "adjective":
                words[part] += self._words(lemma, index, rng, prefix)
            elif part == "noun":
                suffix = self.plural * plural + definite + case
                words[part] = self._words(lemma, index, rng, self._noun_class(lemma), suffix, fused)
            elif lemma not in ARTICLES:
                words["determiner"] += self._words(lemma, index, rng, prefix if part == "numeral" else "")
        nominals = words["adjective"] + words["noun"] if self.adjective_first else words["noun"] + words["adjective"]
        if self.postpositions:
            return words["determiner"] + nominals + words["preposition"]
        return words["preposition"] + words["determiner"] + nominals

    def _words(
        self,
        lemma: str,
        index: int,
        rng: np.random.Generator,
        prefix: str = "",
        suffix: str = "",
        fused: Iterable[int] = (),
    ) -> list[Word]:
        """Return an entry of a lemma. Its last word has the affixes and also translates the `fused` tokens."""
        *light, stem = pick(rng, self.entries[lemma])
        vowels = [letter for letter in stem if letter in "aeiouöü"]
        if vowels and vowels[-1] in self.front_vowels:
            suffix = suffix.replace("A", "e").replace("U", "ü")
        form = prefix + stem + suffix.replace("A", "a").replace("U", "u")
        return [*((word, (index,)) for word in light), (form, (*fused, index))]

    def _coin(self, rng: np.random.Generator, syllables: int) -> str:
        return "".join(pick(rng, part) for _ in range(syllables) for part in (self.onsets, self.vowels, self.codas))

    def _class_of(self, phrase: Phrase) -> str:
        nouns = [token.lemma for token in phrase.tokens if token.part == "noun"]
        return self._noun_class(nouns[-1]) if nouns else ""

    def _noun_class(self, lemma: str) -> str:
        return self.classes[crc32(f"{self.seed} {lemma}".encode()) % len(self.classes)] if self.classes else ""


_TABLE = files(__package__).joinpath("languages.toml").read_text(encoding="utf-8")
LANGUAGES = TypeAdapter(dict[str, Language]).validate_python(tomllib.loads(_TABLE))
"""The languages by their codes."""
