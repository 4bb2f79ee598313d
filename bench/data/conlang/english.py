"""English: sentences with their structure, and a speaker that states facts in them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from bench.data.conlang.lexicon import GENERAL, Lexicon, english
from bench.data.conlang.rng import bernoulli, pick
from bench.data.conlang.world import ASKED, Entity, Event, Passage, Question

SINGULAR = ("a", "a", "the")
PLURAL = ("some", "many", "the", "two", "three", "four")
NEIGHBOURHOOD = ("near", "beside", "behind")
SINGULAR_SHARE = 0.7
TIME_FIRST_SHARE = 0.5


class Token(NamedTuple):
    """An English word."""

    form: str
    lemma: str
    part: str
    plural: bool = False
    past: bool = False


class Phrase(NamedTuple):
    """Tokens that move together, and their role in the clause.

    The roles are question, auxiliary, subject, home, verb, object, predicate, partner, place, time.
    """

    role: str
    tokens: tuple[Token, ...]


class Sentence(NamedTuple):
    """One clause in English order with its final mark ("." or "?").

    `asked` is the role of the answer of a question word. It is empty in statements and if the question word is a
    determiner ("which baker ...").
    """

    phrases: tuple[Phrase, ...]
    mark: str = "."
    asked: str = ""

    @property
    def words(self) -> tuple[Token, ...]:
        """The tokens in English order, without the mark."""
        return tuple(token for phrase in self.phrases for token in phrase.tokens)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The surface forms in English order, the mark last."""
        return (*(token.form for phrase in self.phrases for token in phrase.tokens), self.mark)


def text_of(tokens: tuple[str, ...]) -> str:
    """Return running text: words joined by spaces, the mark attached to the last word."""
    return " ".join(tokens[:-1]) + tokens[-1]


def past_form(lemma: str, lexicon: Lexicon) -> str:
    """Return the past of a verb: carry -> carried."""
    if lemma in lexicon.past:
        return lexicon.past[lemma]
    if lemma.endswith("e"):
        return lemma + "d"
    return re.sub(r"(?<=[^aeiou])y$", "i", lemma) + "ed"


def plural_form(lemma: str, lexicon: Lexicon) -> str:
    """Return the plural of a noun: torch -> torches."""
    if lemma in lexicon.plural:
        return lexicon.plural[lemma]
    if re.search(r"(s|x|z|ch|sh)$", lemma):
        return lemma + "es"
    if re.search(r"[^aeiou]y$", lemma):
        return lemma[:-1] + "ies"
    return lemma + "s"


@cache
def word(lemma: str, *, plural: bool = False, past: bool = False) -> Token:
    """Return the token of a lemma, inflected."""
    lexicon = english()
    part = lexicon.parts[lemma]
    form = lemma
    if past:
        form = past_form(lemma, lexicon)
    elif plural and part == "noun":
        form = plural_form(lemma, lexicon)
    return Token(form, lemma, part, plural, past)


class Speaker:
    """A speaker that states facts in English sentences, with random words, articles and positions.

    `paraphrase` is the probability of a less common name for a concept with several names.
    """

    def __init__(self, rng: np.random.Generator, paraphrase: float) -> None:
        self._lexicon = english()
        self._rng = rng
        self._paraphrase = paraphrase

    def tell(self, passage: Passage) -> tuple[Sentence, ...]:
        """Return the sentences of a passage: an introduction of the entity, then one sentence per event."""
        return (self.introduce(passage.entity), *self._story(passage))

    def introduce(self, entity: Entity) -> Sentence:
        """Return a sentence with the noun, both traits and the home of an entity."""
        first, second = entity.traits
        if bernoulli(self._rng, 0.5):
            home = self._noun_phrase(entity.home, "the", preposition=pick(self._rng, NEIGHBOURHOOD))
            named = self._noun_phrase(entity.noun, pick(self._rng, SINGULAR), (first, second))
            verb = self._verb(pick(self._rng, self._lexicon.names["dwell", GENERAL]))
            return Sentence((Phrase("subject", named), verb, Phrase("place", home)))
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
        home = (self._home(given["home"][0]),) if given["home"] else ()
        if question.kind == "which":
            subject = Phrase("subject", (word("which"), *self._bare(noun, traits)))
            return Sentence((subject, *home, self._verb(event.verb), *end), "?")
        question_word = question.kind
        if question.kind == "what" and self._lexicon.concepts[event.verb].kind == "meet":
            question_word = "who"
        return Sentence(
            (
                Phrase("question", (word(question_word),)),
                Phrase("auxiliary", (word("do", past=True),)),
                Phrase("subject", self._noun_phrase(noun, "the", traits)),
                *home,
                Phrase("verb", (word(self._name(event.verb)),)),
                *end,
            ),
            "?",
            asked=ASKED[question.kind],
        )

    def _story(self, passage: Passage) -> list[Sentence]:
        animal = self._lexicon.concepts[passage.entity.noun].kind == "animals"
        pronoun = "it" if animal else pick(self._rng, ("he", "she"))
        sentences = []
        for number, event in enumerate(passage.events):
            if number and bernoulli(self._rng, 0.6):
                subject: tuple[Token, ...] = (word(pronoun),)
            else:
                subject = self._noun_phrase(passage.entity.noun, "the")
            sentences.append(self._statement(subject, event))
        return sentences

    def _statement(self, subject: tuple[Token, ...], event: Event) -> Sentence:
        clause = (Phrase("subject", subject), self._verb(event.verb), *self._rest(event))
        time = self._time(event)
        return Sentence((*time, *clause) if bernoulli(self._rng, TIME_FIRST_SHARE) else (*clause, *time))

    def _rest(self, event: Event) -> list[Phrase]:
        """Return the phrases after the verb, except the time."""
        kind = self._lexicon.concepts[event.verb].kind
        phrases = []
        if event.object:
            singular = bernoulli(self._rng, SINGULAR_SHARE)
            determiner = pick(self._rng, SINGULAR if singular else PLURAL)
            qualities = (event.quality,) if event.quality else ()
            phrases.append(
                Phrase("object", self._noun_phrase(event.object, determiner, qualities, plural=not singular))
            )
        if event.partner:
            preposition = "to" if kind == "transfer" else "with"
            article = pick(self._rng, SINGULAR)
            phrases.append(Phrase("partner", self._noun_phrase(event.partner, article, preposition=preposition)))
        if event.place:
            preposition = "to" if kind == "motion" else self._lexicon.concepts[event.place].preposition
            phrases.append(Phrase("place", self._noun_phrase(event.place, "the", preposition=preposition)))
        return phrases

    def _verb(self, verb: str) -> Phrase:
        return Phrase("verb", (word(self._name(verb), past=True),))

    def _home(self, home: str) -> Phrase:
        return Phrase("home", self._noun_phrase(home, "the", preposition="from"))

    def _time(self, event: Event) -> tuple[Phrase, ...]:
        return (Phrase("time", tuple(word(lemma) for lemma in event.time.split())),) if event.time else ()

    def _noun_phrase(
        self,
        noun: str,
        determiner: str,
        adjectives: Sequence[str] = (),
        *,
        preposition: str = "",
        plural: bool = False,
    ) -> tuple[Token, ...]:
        tokens = self._bare(noun, adjectives, plural=plural)
        article = word(determiner)
        if determiner == "a" and tokens[0].form[0] in "aeiou":
            article = article._replace(form="an")
        if preposition:
            return (word(preposition), article, *tokens)
        return (article, *tokens)

    def _bare(self, noun: str, adjectives: Sequence[str] = (), *, plural: bool = False) -> tuple[Token, ...]:
        return (
            *(word(self._name(adjective), plural=plural) for adjective in adjectives),
            word(self._name(noun), plural=plural),
        )

    def _name(self, concept: str) -> str:
        lemmas = self._lexicon.concepts[concept].lemmas
        if len(lemmas) == 1 or not bernoulli(self._rng, self._paraphrase):
            return lemmas[0]
        return pick(self._rng, lemmas[1:])
