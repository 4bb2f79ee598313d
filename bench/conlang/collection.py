"""The collection: what a training and an evaluation read, generated on demand and kept for the process."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import cache, lru_cache

from bench.conlang import measures, parallel
from bench.conlang.chance import stream
from bench.conlang.english import Speaker
from bench.conlang.facts import Passage, Question
from bench.conlang.language import Language, Translation
from bench.conlang.languages import LANGUAGES
from bench.conlang.lexicon import english
from bench.conlang.sentence import Sentence, text_of
from bench.conlang.world import World
from bench.data import READS_TEST, Bitext, Pair, Relevance, TestCollection
from bench.errors import BenchError, unknown

SOURCE = "conlang"
ENGLISH = "eng"

PASSAGE_PARAPHRASE = 0.3
QUESTION_PARAPHRASE = 0.5
EXTRAS = 1
"""What a question mentions beyond the least that its kind needs, before it is checked to be unique."""


@dataclass(frozen=True)
class ConlangOptions:
    """Sizes and seed of the collection.

    `scale` multiplies the passages, the training questions and the bitext, but not the queries, of test
    and development. The seed decides the facts and the texts; the languages stay what they are.
    BenchError where a size is not positive or asks for more queries than passages.
    """

    scale: float = 1.0
    seed: int = 0
    test_queries: int = 400
    test_passages: int = 2000
    dev_queries: int = 200
    dev_passages: int = 1000
    train_questions: int = 4000

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0) or self.seed < 0:
            raise BenchError("conlang: scale must be a positive number and seed not negative")
        if self.train_questions < 1:
            raise BenchError("conlang: at least one training question is needed")
        for split in ("test", "dev"):
            queries, passages = self.sizes(split)
            if not 0 < queries <= passages:
                raise BenchError(f"conlang: {split} cannot have {queries} queries about {passages} passages")

    def sizes(self, split: str) -> tuple[int, int]:
        """How many questions and passages "test", "dev" or "train" has."""
        if split == "test":
            return self.test_queries, self.scaled(self.test_passages)
        if split == "dev":
            return self.dev_queries, self.scaled(self.dev_passages)
        questions = self.scaled(self.train_questions)
        # Not every passage allows a question that is its alone.
        return questions, questions + questions // 8

    def scaled(self, count: int) -> int:
        """A corpus size at this scale, one at least."""
        return max(1, round(count * self.scale))


@dataclass(frozen=True)
class Split:
    """Passages and questions in structure: question i, `sentences[i]` in words, asks about passage `rows[i]`."""

    passages: tuple[Passage, ...]
    texts: tuple[str, ...]
    rows: tuple[int, ...]
    questions: tuple[Question, ...]
    sentences: tuple[Sentence, ...]


DEFAULT = ConlangOptions()


def bitext(code: str, options: ConlangOptions = DEFAULT) -> Bitext:
    """The bitext of a language, itself on the query side and English on the document side."""
    rows = _rows(code, options)
    foreign, own = (text_of(row.foreign) for row in rows), (text_of(row.english) for row in rows)
    return Bitext.of(Pair(code, ENGLISH), foreign, own, SOURCE)


def aligned_bitext(
    code: str, options: ConlangOptions = DEFAULT
) -> tuple[tuple[tuple[str, ...], tuple[str, ...], parallel.Links], ...]:
    """The rows of the bitext that are not misaligned, each as (English tokens, foreign tokens, gold links).

    A link is a pair (English token, foreign token) of positions; the marks are tokens, linked to each other.
    Words that the bitext dropped are missing here too.
    """
    return tuple((row.english, row.foreign, row.links) for row in _rows(code, options) if not row.misaligned)


@lru_cache(maxsize=4)
def relevance(options: ConlangOptions = DEFAULT) -> Relevance:
    """English training questions, each with the one passage of its split that answers it."""
    split = structure("train", options)
    questions = (text_of(sentence.tokens) for sentence in split.sentences)
    return Relevance.of(Pair(ENGLISH, ENGLISH), questions, (split.texts[row] for row in split.rows), SOURCE)


def test(code: str, options: ConlangOptions = DEFAULT) -> TestCollection:
    """The test collection "conlang": queries in the language, English passages, one of them relevant to each query."""
    sys.audit(READS_TEST, f"{SOURCE} {code}-{ENGLISH}")
    return _retrieval(code, "test", SOURCE, options)


def dev(code: str, options: ConlangOptions = DEFAULT) -> TestCollection:
    """The development collection "conlang-dev", made like the test but of other facts."""
    return _retrieval(code, "dev", f"{SOURCE}-dev", options)


def statistics(code: str, options: ConlangOptions = DEFAULT) -> dict[str, float]:
    """What the generated data is like, measured:

    - bitext_rows: rows of the bitext, misaligned ones included;
    - coverage: share of the test queries' running words whose form occurs on the bitext's foreign side;
    - one_to_one: share of links of aligned rows of which neither end has another link;
    - reordered: share of those links that cross at least one other of their row;
    - foreign_length, english_length: mean words per sentence of aligned rows;
    - noise: share of misaligned rows.
    """
    rows = _rows(code, options)
    aligned = [row for row in rows if not row.misaligned]
    links = [row.links for row in aligned]
    words = [token for query in _translations(code, "test", options) for token in query.tokens]
    return {
        "bitext_rows": len(rows),
        "coverage": measures.coverage(words, (row.foreign for row in rows)),
        "one_to_one": measures.one_to_one(links),
        "reordered": measures.reordered(links),
        "foreign_length": measures.mean_length([row.foreign for row in aligned]),
        "english_length": measures.mean_length([row.english for row in aligned]),
        "noise": 1 - len(aligned) / len(rows),
    }


@cache
def language(code: str) -> Language:
    """The language with a code; BenchError where there is none."""
    if code not in LANGUAGES:
        raise unknown("conlang language", code, LANGUAGES)
    return Language(LANGUAGES[code], english())


@lru_cache(maxsize=12)
def structure(split: str, options: ConlangOptions = DEFAULT) -> Split:
    """The passages and questions of "train", "dev" or "test" as facts and as English."""
    world = _world(options.seed)
    questions, size = options.sizes(split)
    passages = world.passages(split, size, stream(options.seed, split, "passages"))
    asked = world.questions(passages, questions, stream(options.seed, split, "questions"), EXTRAS)
    narrator = Speaker(stream(options.seed, split, "narration"), PASSAGE_PARAPHRASE)
    asker = Speaker(stream(options.seed, split, "asking"), QUESTION_PARAPHRASE)
    return Split(
        passages=passages,
        texts=tuple(" ".join(text_of(sentence.tokens) for sentence in narrator.tell(p)) for p in passages),
        rows=tuple(row for row, _ in asked),
        questions=tuple(question for _, question in asked),
        sentences=tuple(asker.ask(question) for _, question in asked),
    )


@lru_cache(maxsize=4)
def _world(seed: int) -> World:
    return World(seed)


@lru_cache(maxsize=12)
def _rows(code: str, options: ConlangOptions) -> tuple[parallel.Row, ...]:
    spoken = language(code)
    rng = stream(options.seed, "bitext", code)
    return parallel.rows(_world(options.seed), spoken, options.scaled(spoken.spec.sentences), rng)


@lru_cache(maxsize=12)
def _translations(code: str, split: str, options: ConlangOptions) -> tuple[Translation, ...]:
    rng = stream(options.seed, split, "queries", code)
    return tuple(language(code).translate(sentence, rng) for sentence in structure(split, options).sentences)


@lru_cache(maxsize=12)
def _retrieval(code: str, split: str, name: str, options: ConlangOptions) -> TestCollection:
    facts = structure(split, options)
    query_ids = _numbered("q", len(facts.rows))
    document_ids = _numbered("d", len(facts.texts))
    return TestCollection(
        name=name,
        pair=Pair(code, ENGLISH),
        query_ids=query_ids,
        queries=tuple(translation.text for translation in _translations(code, split, options)),
        document_ids=document_ids,
        documents=facts.texts,
        qrels={query_id: {document_ids[row]: 1} for query_id, row in zip(query_ids, facts.rows, strict=True)},
        oracle_queries=tuple(text_of(sentence.tokens) for sentence in facts.sentences),
    )


def _numbered(prefix: str, count: int) -> tuple[str, ...]:
    """Ids whose lexical order is their numerical order."""
    width = len(str(count - 1))
    return tuple(f"{prefix}{number:0{width}}" for number in range(count))
