"""The embedded collection "conlang": a small generated English world and artificial languages derived from it.

It needs no download, and its word alignments are known. The languages reorder, merge and drop words, inflect, and map
words many to many. Their bitext is noisy and covers only some domains of the test. All data are generated on demand and
cached for the process.
"""

import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from bench.data import READS_TEST, Bitext, Pair, Relevance, TestCollection
from bench.data.conlang import world
from bench.data.conlang.english import Sentence, Speaker, text_of
from bench.data.conlang.language import LANGUAGES, Language, Links, Translation
from bench.data.conlang.rng import stream
from bench.errors import unknown

__all__ = ["LANGUAGES", "ConlangOptions", "aligned_bitext", "bitext", "relevance", "test"]

SOURCE = "conlang"

PASSAGE_PARAPHRASE = 0.3
QUESTION_PARAPHRASE = 0.5
BITEXT_PARAPHRASE = 0.4
BITEXT_QUESTIONS = 0.3
BITEXT_INTRODUCTIONS = 0.2


class ConlangOptions(BaseModel, frozen=True, extra="forbid"):
    """Sizes and seed of the collection. `scale` has no effect on the number of test and development queries.

    The seed changes facts and texts, not the languages. The test collection is that of `split`.
    """

    scale: float = Field(1.0, gt=0, allow_inf_nan=False)
    seed: int = Field(0, ge=0)
    split: Literal["test", "dev"] = "test"
    test_queries: int = Field(400, ge=1)
    test_passages: int = Field(2000, ge=1)
    dev_queries: int = Field(200, ge=1)
    dev_passages: int = Field(1000, ge=1)
    train_questions: int = Field(4000, ge=1)

    def sizes(self, split: str) -> tuple[int, int]:
        """Return the numbers of questions and passages of "test", "dev" or "train"."""
        if split == "train":
            questions = self.scaled(self.train_questions)
            return questions, questions + questions // 8  # some passages allow no unique question
        queries, passages = getattr(self, f"{split}_queries"), getattr(self, f"{split}_passages")
        return queries, self.scaled(passages)

    def scaled(self, count: int) -> int:
        return max(1, round(count * self.scale))


DEFAULT = ConlangOptions()


class Split(NamedTuple):
    """The facts of a split. world.Question i, `sentences[i]` in words, is about passage `rows[i]`."""

    passages: tuple[world.Passage, ...]
    texts: tuple[str, ...]
    rows: tuple[int, ...]
    questions: tuple[world.Question, ...]
    sentences: tuple[Sentence, ...]


class Row(NamedTuple):
    """A row of a bitext: tokens, the final marks last, and the gold links. A misaligned row has no links."""

    english: tuple[str, ...]
    foreign: tuple[str, ...]
    links: Links


def bitext(code: str, options: ConlangOptions = DEFAULT) -> Bitext:
    """Return the bitext of a language, with English on the document side."""
    rows = bitext_rows(code, options)
    foreign, own = (text_of(row.foreign) for row in rows), (text_of(row.english) for row in rows)
    return Bitext.of(Pair(code, "eng"), foreign, own, SOURCE)


def aligned_bitext(code: str, options: ConlangOptions = DEFAULT) -> tuple[Row, ...]:
    """Return the rows of the bitext that are not misaligned. The final marks are linked."""
    return tuple(row for row in bitext_rows(code, options) if row.links)


@lru_cache(maxsize=4)
def relevance(options: ConlangOptions = DEFAULT) -> Relevance:
    """Return English training questions, each with the one passage of its split that answers it."""
    split = structure("train", options)
    questions = (text_of(sentence.forms) for sentence in split.sentences)
    return Relevance.of(Pair("eng", "eng"), questions, (split.texts[row] for row in split.rows), SOURCE)


def test(code: str, options: ConlangOptions = DEFAULT, name: str = SOURCE) -> TestCollection:
    """Return the test of a split: queries in the language, English passages, and one relevant passage per query."""
    sys.audit(READS_TEST, f"{name} {code}-eng")
    language, facts = _language(code), structure(options.split, options)
    rng = stream(options.seed, options.split, "queries", code)
    query_ids, document_ids = _numbered("q", len(facts.rows)), _numbered("d", len(facts.texts))
    return TestCollection(
        name=name,
        pair=Pair(code, "eng"),
        query_ids=query_ids,
        queries=tuple(text_of(language.translate(sentence, rng).tokens) for sentence in facts.sentences),
        document_ids=document_ids,
        documents=facts.texts,
        qrels={query_id: {document_ids[row]: 1} for query_id, row in zip(query_ids, facts.rows, strict=True)},
        oracle_queries=tuple(text_of(sentence.forms) for sentence in facts.sentences),
    )


@lru_cache(maxsize=12)
def structure(split: str, options: ConlangOptions = DEFAULT) -> Split:
    """Return the passages and questions of "train", "dev" or "test" as facts and as English."""
    seed, (count, size) = options.seed, options.sizes(split)
    passages = world.random_passages(seed, split, size, stream(seed, split, "passages"))
    rows, questions = zip(*world.random_questions(passages, count, stream(seed, split, "questions")), strict=True)
    narrator = Speaker(stream(seed, split, "narration"), PASSAGE_PARAPHRASE)
    asker = Speaker(stream(seed, split, "asking"), QUESTION_PARAPHRASE)
    texts = tuple(" ".join(text_of(sentence.forms) for sentence in narrator.tell(p)) for p in passages)
    return Split(passages, texts, rows, questions, tuple(map(asker.ask, questions)))


@lru_cache(maxsize=12)
def bitext_rows(code: str, options: ConlangOptions) -> tuple[Row, ...]:
    """Return the bitext of a language with its shares of dropped words and misaligned rows."""
    language, rng = _language(code), stream(options.seed, "bitext", code)
    speaker = Speaker(rng, BITEXT_PARAPHRASE)
    aligned = []
    for _ in range(options.scaled(language.sentences)):
        sentence = _bitext_sentence(language, options.seed, speaker, rng)
        foreign, links = drop_words(language.translate(sentence, rng), language.dropped_share, rng)
        aligned.append(Row(sentence.forms, foreign, links))
    return misalign(aligned, language.misaligned_share, rng)


def _bitext_sentence(language: Language, seed: int, speaker: Speaker, rng: np.random.Generator) -> Sentence:
    passage = world.random_passage(seed, "bitext", language.domains, rng, events=1)
    point = rng.random()
    if point < BITEXT_QUESTIONS:
        kind, given = world.question_about(passage.facts[0], rng)
        return speaker.ask(world.Question(kind, given[: len(world.MENTIONED[kind]) + int(rng.random() * 3)]))
    if point < BITEXT_QUESTIONS + BITEXT_INTRODUCTIONS:
        return speaker.introduce(passage.entity)
    return speaker.report(passage.entity, passage.events[0])


def drop_words(translation: Translation, share: float, rng: np.random.Generator) -> Translation:
    """Drop each word of a translation with probability `share`, but never the mark or all words."""
    last = len(translation.tokens) - 1
    remaining = [index for index in range(last) if rng.random() >= share] or [0]
    position = {old: new for new, old in enumerate((*remaining, last))}
    return Translation(
        tuple(translation.tokens[index] for index in position),
        tuple((source, position[target]) for source, target in translation.links if target in position),
    )


def misalign(aligned: Sequence[Row], share: float, rng: np.random.Generator) -> tuple[Row, ...]:
    """Exchange the foreign sides of a `share` of the rows (rounded; never of a single row) among these rows."""
    count = round(share * len(aligned))
    chosen = rng.permutation(len(aligned))[: count if count > 1 else 0].tolist()
    rows = list(aligned)
    for row, other in zip(chosen, chosen[1:] + chosen[:1], strict=True):
        rows[row] = Row(aligned[row].english, aligned[other].foreign, ())
    return tuple(rows)


def _language(code: str) -> Language:
    if code not in LANGUAGES:
        raise unknown("conlang language", code, LANGUAGES)
    return LANGUAGES[code]


def _numbered(prefix: str, count: int) -> tuple[str, ...]:
    """Return ids whose lexical order is their numerical order."""
    width = len(str(count - 1))
    return tuple(f"{prefix}{number:0{width}}" for number in range(count))
