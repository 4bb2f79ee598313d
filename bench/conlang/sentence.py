"""Sentences with their structure: phrases in order, each a role and its tokens."""

from __future__ import annotations

from typing import NamedTuple


class Token(NamedTuple):
    """One English word: its surface form, lemma, part of speech, and whether it is plural or past."""

    form: str
    lemma: str
    part: str
    plural: bool = False
    past: bool = False


class Phrase(NamedTuple):
    """Tokens that move together, and what they do in the clause.

    Roles: question, auxiliary, subject, home, verb, object, predicate, partner, place, time.
    """

    role: str
    tokens: tuple[Token, ...]


class Sentence(NamedTuple):
    """One clause in English order with its final mark ("." or "?").

    `asked` is the role that a question word outside any phrase stands for, empty in statements
    and where the question word is a determiner ("which baker ...").
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
    """Running text: words joined by spaces, the final mark attached to the last word."""
    return " ".join(tokens[:-1]) + tokens[-1]
