"""English sentences with their structure, generated from facts."""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from bench.data.conlang.lexicon import ENGLISH, GENERAL
from bench.data.conlang.rng import pick
from bench.data.conlang.world import ASKED, Entity, Event, Passage, Question

SINGULAR = ("a", "a", "the")
PLURAL = ("some", "many", "the", "two", "three", "four")
NEIGHBOURHOOD = ("near", "beside", "behind")
SINGULAR_SHARE = 0.7
TIME_FIRST_SHARE = 0.5
HOME_SHARE = 0.5
"""Share of introductions about the home; the others are about a trait."""
PRONOUN_SHARE = 0.6


class Token(NamedTuple):
    """An English word."""

    form: str
    lemma: str
    part: str
    plural: bool = False
    past: bool = False


class Phrase(NamedTuple):
    """Tokens that move together, and their role in the clause, such as question, auxiliary, subject, verb or time."""

    role: str
    tokens: tuple[Token, ...]


class Sentence(NamedTuple):
    """A clause in English order with its final mark. `asked` is the role of the answer of a question word; it is empty
    in statements and for determiners ("which baker ...").
    """

    phrases: tuple[Phrase, ...]
    mark: str = "."
    asked: str = ""

    @property
    def words(self) -> tuple[Token, ...]:
        """The tokens in English order, without the mark."""
        return tuple(token for phrase in self.phrases for token in phrase.tokens)

    @property
    def forms(self) -> tuple[str, ...]:
        """The surface forms in English order, the mark last."""
        return (*(token.form for token in self.words), self.mark)


def text_of(forms: Sequence[str]) -> str:
    """Return running text: words joined by spaces, the mark attached to the last word."""
    return " ".join(forms[:-1]) + forms[-1]


@cache
def word(lemma: str, *, plural: bool = False, past: bool = False) -> Token:
    """Return the token of a lemma, inflected."""
    form, part = lemma, ENGLISH.parts[lemma]
    if past:
        regular = re.sub(r"(?<=[^aeiou])y$", "i", lemma).removesuffix("e") + "ed"
        form = ENGLISH.past.get(lemma, regular)
    elif plural and part == "noun":
        regular = re.sub(r"(?<=[^aeiou])y$", "ie", re.sub(r"(s|x|z|ch|sh)$", r"\1e", lemma)) + "s"
        form = ENGLISH.plural.get(lemma, regular)
    return Token(form, lemma, part, plural, past)


class Speaker:
    """A generator of English sentences. `paraphrase` is the probability of a less common name of a concept."""

    def __init__(self, rng: np.random.Generator, paraphrase: float) -> None:
        self._rng = rng
        self._paraphrase = paraphrase

    def tell(self, passage: Passage) -> tuple[Sentence, ...]:
        """Return the sentences of a passage: an introduction of the entity, then one sentence per event."""
        entity = passage.entity
        sentences = [self.introduce(entity)]
        pronoun = "it" if ENGLISH.concepts[entity.noun].kind == "animals" else pick(self._rng, ("he", "she"))
        for number, event in enumerate(passage.events):
            named = number == 0 or self._rng.random() >= PRONOUN_SHARE
            subject = self._noun_phrase(entity.noun, "the") if named else (word(pronoun),)
            sentences.append(self._statement(subject, event))
        return tuple(sentences)

    def introduce(self, entity: Entity) -> Sentence:
        """Return a sentence with the noun, both traits and the home of an entity."""
        if self._rng.random() < HOME_SHARE:
            home = self._noun_phrase(entity.home, "the", preposition=pick(self._rng, NEIGHBOURHOOD))
            named = self._noun_phrase(entity.noun, pick(self._rng, SINGULAR), entity.traits)
            verb = self._verb(pick(self._rng, ENGLISH.names["dwell", GENERAL]))
            return Sentence((Phrase("subject", named), verb, Phrase("place", home)))
        first, second = entity.traits
        subject = Phrase("subject", self._noun_phrase(entity.noun, "the", (first,)))
        copula = Phrase("verb", (word("be", past=True),))
        predicate = Phrase("predicate", (word(self._name(second)),))
        return Sentence((subject, self._home(entity.home), copula, predicate))

    def report(self, entity: Entity, event: Event) -> Sentence:
        """Return one event as a sentence whose subject has one trait."""
        subject = self._noun_phrase(entity.noun, pick(self._rng, SINGULAR), (pick(self._rng, entity.traits),))
        return self._statement(subject, event)

    def ask(self, question: Question) -> Sentence:
        """Return a question in words. It mentions exactly `question.given`."""
        given: defaultdict[str, list[str]] = defaultdict(list)
        for role, concept in question.given:
            given[role].append(concept)
        event = Event(**{role: given[role][0] for role in Event._fields if role in given})
        end = (*self._rest(event), *self._time(event))
        if question.kind == "who":
            return Sentence((Phrase("question", (word("who"),)), self._verb(event.verb), *end), "?", asked="subject")
        noun, traits = given["noun"][0], given["trait"]
        homes = [self._home(home) for home in given["home"]]
        if question.kind == "which":
            subject = Phrase("subject", self._noun_phrase(noun, "which", traits))
            return Sentence((subject, *homes, self._verb(event.verb), *end), "?")
        asks_for_entity = question.kind == "what" and ENGLISH.concepts[event.verb].kind == "meet"
        phrases = (
            Phrase("question", (word("who" if asks_for_entity else question.kind),)),
            Phrase("auxiliary", (word("do", past=True),)),
            Phrase("subject", self._noun_phrase(noun, "the", traits)),
            *homes,
            self._verb(event.verb, past=False),
            *end,
        )
        return Sentence(phrases, "?", asked=ASKED[question.kind])

    def _statement(self, subject: tuple[Token, ...], event: Event) -> Sentence:
        clause = (Phrase("subject", subject), self._verb(event.verb), *self._rest(event))
        time = self._time(event)
        return Sentence((*time, *clause) if self._rng.random() < TIME_FIRST_SHARE else (*clause, *time))

    def _rest(self, event: Event) -> list[Phrase]:
        kind = ENGLISH.concepts[event.verb].kind
        phrases = []
        if event.object:
            plural = self._rng.random() >= SINGULAR_SHARE
            determiner = pick(self._rng, PLURAL if plural else SINGULAR)
            qualities = (event.quality,) if event.quality else ()
            phrases.append(Phrase("object", self._noun_phrase(event.object, determiner, qualities, plural=plural)))
        if event.partner:
            article, preposition = pick(self._rng, SINGULAR), "to" if kind == "transfer" else "with"
            phrases.append(Phrase("partner", self._noun_phrase(event.partner, article, preposition=preposition)))
        if event.place:
            preposition = "to" if kind == "motion" else ENGLISH.concepts[event.place].preposition
            phrases.append(Phrase("place", self._noun_phrase(event.place, "the", preposition=preposition)))
        return phrases

    def _verb(self, verb: str, *, past: bool = True) -> Phrase:
        return Phrase("verb", (word(self._name(verb), past=past),))

    def _home(self, home: str) -> Phrase:
        return Phrase("home", self._noun_phrase(home, "the", preposition="from"))

    def _time(self, event: Event) -> list[Phrase]:
        return [Phrase("time", tuple(map(word, event.time.split())))] if event.time else []

    def _noun_phrase(
        self, noun: str, determiner: str, adjectives: Sequence[str] = (), *, preposition: str = "", plural: bool = False
    ) -> tuple[Token, ...]:
        tokens = [word(self._name(concept), plural=plural) for concept in (*adjectives, noun)]
        article = word(determiner)
        if determiner == "a" and tokens[0].form[0] in "aeiou":
            article = article._replace(form="an")
        return (*((word(preposition),) if preposition else ()), article, *tokens)

    def _name(self, concept: str) -> str:
        lemmas = ENGLISH.concepts[concept].lemmas
        if len(lemmas) > 1 and self._rng.random() < self._paraphrase:
            return pick(self._rng, lemmas[1:])
        return lemmas[0]
