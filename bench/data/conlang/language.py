"""Artificial languages: their specification (`languages.toml`), lexicon, and translation with word alignment."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple
from zlib import crc32

import numpy as np
from pydantic import TypeAdapter

from bench.data.conlang.english import Phrase, Sentence, Token, text_of
from bench.data.conlang.lexicon import Lexicon
from bench.data.conlang.rng import bernoulli, pick, stream

Entry = tuple[str, ...]
"""One translation of a lemma: its words. The last word has the affixes."""

CONTENT = ("noun", "adjective", "verb")
ARTICLES = ("the", "a")
LIGHT_WORDS = 12
"""Number of words from which the first half of a two-word entry is drawn."""


@dataclass(frozen=True)
class Phonology:
    """The sounds of a language.

    A coined word has one of the numbers of `syllables`, each an onset, a vowel and a coda. A cognate is the English
    lemma after the regular expressions of `sound_changes`, in order. In a suffix, "A" and "U" are a and u, or e and ü
    after a stem whose last vowel is one of `front_vowels`.
    """

    onsets: tuple[str, ...]
    vowels: tuple[str, ...]
    codas: tuple[str, ...]
    syllables: tuple[int, ...]
    sound_changes: tuple[tuple[str, str], ...] = ()
    front_vowels: str = ""

    def coin(self, rng: np.random.Generator, syllables: int) -> str:
        parts = (self.onsets, self.vowels, self.codas)
        return "".join(pick(rng, sounds) for _ in range(syllables) for sounds in parts)

    def borrow(self, lemma: str) -> str:
        """Return the cognate of an English lemma."""
        for pattern, sounds in self.sound_changes:
            lemma = re.sub(pattern, sounds, lemma)
        return lemma

    def attach(self, stem: str, suffix: str) -> str:
        """Return a stem with a suffix in vowel harmony."""
        vowels = [letter for letter in stem if letter in "aeiouöü"]
        front = bool(vowels) and vowels[-1] in self.front_vowels
        return stem + suffix.replace("A", "e" if front else "a").replace("U", "ü" if front else "u")


@dataclass(frozen=True)
class Morphology:
    """The affixes of a language; an empty affix marks nothing.

    Articles are "kept" as words, "dropped", or "fused": the definite one becomes the suffix `definite`, and the
    indefinite one is dropped. A noun is stem + `plural` + `definite` + case. Its case is `object` or the suffix in
    `cases` that replaces an adposition. With `classes`, every noun has one of these prefixes, which adjectives and
    numerals repeat. `particle` ends every question.
    """

    articles: str
    definite: str = ""
    plural: str = ""
    past: str = ""
    object: str = ""
    cases: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    copula: bool = True
    particle: str = ""


@dataclass(frozen=True)
class LanguageSpec:
    """The definition of a language and of its bitext.

    `order` is the order of the roles in a clause. With `in_situ`, a question word has the position of its answer. Of
    the content lemmas, `cognate_share` resemble English, `synonym_share` have two or three entries (each occurrence
    takes one), and `merge_share` share the entries of another lemma, of the same meaning if possible. An entry has
    two words with probability `multiword_share`. The bitext has `sentences` rows about `domains`; `misaligned_share`
    of its rows have the translation of another row, and `dropped_share` of its translated words are missing.
    """

    code: str
    name: str
    seed: int
    order: tuple[str, ...]
    in_situ: bool
    adjective_first: bool
    postpositions: bool
    cognate_share: float
    synonym_share: float
    merge_share: float
    multiword_share: float
    morphology: Morphology
    phonology: Phonology
    sentences: int
    domains: tuple[str, ...]
    misaligned_share: float
    dropped_share: float

    @property
    def word_order(self) -> str:
        """Return the basic word order, such as "SOV"."""
        return "".join(role[0].upper() for role in self.order if role in ("subject", "verb", "object"))


def _read_languages() -> dict[str, LanguageSpec]:
    table = tomllib.loads(files(__package__).joinpath("languages.toml").read_text(encoding="utf-8"))
    coded = {code: {"code": code, **values} for code, values in table.items()}
    return TypeAdapter(dict[str, LanguageSpec]).validate_python(coded)


LANGUAGES = _read_languages()


class Translation(NamedTuple):
    """A translated sentence: its tokens, the mark last, and its sorted links (English token, foreign token)."""

    tokens: tuple[str, ...]
    links: tuple[tuple[int, int], ...]

    @property
    def text(self) -> str:
        return text_of(self.tokens)


class Word(NamedTuple):
    """A foreign word and the positions of the English tokens that it translates."""

    form: str
    sources: tuple[int, ...]


class Language:
    """A language. `entries` has the translations of every English lemma.

    Translations depend only on the specification and on the generator given to `translate`.
    """

    def __init__(self, spec: LanguageSpec, lexicon: Lexicon) -> None:
        self.spec = spec
        self.entries: Mapping[str, tuple[Entry, ...]] = _coin_entries(spec, lexicon)
        self._rank = {role: rank for rank, role in enumerate(spec.order)}
        self._cases = dict(spec.morphology.cases)

    def noun_class(self, lemma: str) -> str:
        """Return the class prefix of a noun, "" in a language without classes."""
        classes = self.spec.morphology.classes
        return classes[crc32(f"{self.spec.seed} {lemma}".encode()) % len(classes)] if classes else ""

    def translate(self, sentence: Sentence, rng: np.random.Generator) -> Translation:
        """Translate a sentence; `rng` chooses among the entries of each lemma."""
        morphology = self.spec.morphology
        auxiliary: tuple[int, ...] = ()
        located: list[tuple[int, Phrase, int]] = []
        agreement = ""
        start = 0
        for phrase in sentence.phrases:
            role = phrase.role
            if role == "auxiliary":
                auxiliary = (start,)
            else:
                if role == "question" and self.spec.in_situ:
                    role = sentence.asked
                if role == "subject":
                    agreement = self._class_of(phrase)
                located.append((self._rank[role], phrase, start))
            start += len(phrase.tokens)
        located.sort(key=lambda item: item[0])

        words: list[Word] = []
        for _, phrase, start in located:
            if phrase.role == "verb":
                words += self._verb(phrase.tokens[0], start, auxiliary, rng)
            else:
                words += self._nominal(phrase, start, agreement, rng)
        if sentence.mark == "?" and morphology.particle:
            words.append(Word(morphology.particle, ()))
        words.append(Word(sentence.mark, (len(sentence.tokens) - 1,)))
        links = sorted((source, target) for target, word in enumerate(words) for source in word.sources)
        return Translation(tuple(word.form for word in words), tuple(links))

    def _verb(self, verb: Token, index: int, auxiliary: tuple[int, ...], rng: np.random.Generator) -> list[Word]:
        """Translate a verb, which takes the tense of an auxiliary."""
        morphology = self.spec.morphology
        if verb.part == "copula" and not morphology.copula:
            return []
        past = morphology.past if verb.past or auxiliary else ""
        return self._words(verb.lemma, index, rng, suffix=past, fused=auxiliary if past else ())

    def _nominal(self, phrase: Phrase, start: int, agreement: str, rng: np.random.Generator) -> list[Word]:
        """Translate any other phrase: adposition, determiners, adjectives and noun in the order of the language."""
        morphology = self.spec.morphology
        adposition: list[Word] = []
        determiners: list[Word] = []
        adjectives: list[Word] = []
        noun: list[Word] = []
        prefix = self._class_of(phrase) or agreement
        fused: list[int] = []
        definite, case = "", morphology.object if phrase.role == "object" else ""
        for index, token in enumerate(phrase.tokens, start):
            if token.part == "preposition":
                if token.lemma in self._cases:
                    case = self._cases[token.lemma]
                    fused.append(index)
                else:
                    adposition = self._words(token.lemma, index, rng)
            elif token.lemma in ARTICLES and morphology.articles != "kept":
                if token.lemma == "the" and morphology.articles == "fused":
                    definite = morphology.definite
                    fused.append(index)
            elif token.part == "adjective":
                adjectives += self._words(token.lemma, index, rng, prefix=prefix)
            elif token.part == "noun":
                suffix = (morphology.plural if token.plural else "") + definite + case
                noun = self._words(
                    token.lemma, index, rng, prefix=self.noun_class(token.lemma), suffix=suffix, fused=fused
                )
            else:
                determiners += self._words(token.lemma, index, rng, prefix=prefix if token.part == "numeral" else "")
        described = adjectives + noun if self.spec.adjective_first else noun + adjectives
        if self.spec.postpositions:
            return determiners + described + adposition
        return adposition + determiners + described

    def _words(
        self,
        lemma: str,
        index: int,
        rng: np.random.Generator,
        *,
        prefix: str = "",
        suffix: str = "",
        fused: Iterable[int] = (),
    ) -> list[Word]:
        """Return one entry of a lemma. Its last word has the affixes and also translates the `fused` tokens."""
        *light, stem = pick(rng, self.entries[lemma])
        form = prefix + self.spec.phonology.attach(stem, suffix)
        return [*(Word(word, (index,)) for word in light), Word(form, (*fused, index))]

    def _class_of(self, phrase: Phrase) -> str:
        nouns = [token.lemma for token in phrase.tokens if token.part == "noun"]
        return self.noun_class(nouns[-1]) if nouns else ""


def _coin_entries(spec: LanguageSpec, lexicon: Lexicon) -> dict[str, tuple[Entry, ...]]:
    """Return the entries of every lemma. A word is coined for one lemma only; lemmas share entries only by merging."""
    coins = stream(spec.seed, "light words")
    light = [spec.phonology.coin(coins, 1) for _ in range(LIGHT_WORDS)]
    taken = set(light)

    def new_word(rng: np.random.Generator, lemma: str, cognate: bool, syllables: tuple[int, ...]) -> str:
        word = spec.phonology.borrow(lemma) if cognate else spec.phonology.coin(rng, pick(rng, syllables))
        while word in taken:
            # Short words may run out; longer ones never do.
            syllables = (*syllables, max(syllables) + 1)
            word = spec.phonology.coin(rng, pick(rng, syllables))
        taken.add(word)
        return word

    entries: dict[str, tuple[Entry, ...]] = {}
    for lemma, part in sorted(lexicon.parts.items()):
        rng = stream(spec.seed, "lexicon", lemma)
        if part not in CONTENT:
            entries[lemma] = ((new_word(rng, lemma, False, (1,)),),)
            continue
        cognate = bernoulli(rng, spec.cognate_share)
        alternatives = pick(rng, (2, 2, 3)) if bernoulli(rng, spec.synonym_share) else 1
        own = []
        for number in range(alternatives):
            word = new_word(rng, lemma, cognate and number == 0, spec.phonology.syllables)
            own.append((pick(rng, light), word) if bernoulli(rng, spec.multiword_share) else (word,))
        entries[lemma] = tuple(own)

    same_part: defaultdict[str, list[str]] = defaultdict(list)
    for lemma, part in sorted(lexicon.parts.items()):
        same_part[part].append(lemma)
    names = {lemma: concept.lemmas for concept in lexicon.concepts.values() for lemma in concept.lemmas}
    merged = dict(entries)
    for lemma, part in lexicon.parts.items():
        rng = stream(spec.seed, "merge", lemma)
        if part in CONTENT and bernoulli(rng, spec.merge_share):
            others = [name for name in names.get(lemma, ()) if name != lemma] or same_part[part]
            merged[lemma] = entries[pick(rng, others)]
    return merged
