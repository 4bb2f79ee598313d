"""The collection: training and test data, generated on demand and cached for the process."""

from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import fmean

from bench.data import READS_TEST, Bitext, Pair, Relevance, TestCollection
from bench.data.conlang import parallel
from bench.data.conlang.english import Sentence, Speaker, text_of
from bench.data.conlang.language import LANGUAGES, Language, Translation
from bench.data.conlang.lexicon import english
from bench.data.conlang.rng import stream
from bench.data.conlang.world import Passage, Question, World
from bench.errors import BenchError, unknown

SOURCE = "conlang"
ENGLISH = "eng"

PASSAGE_PARAPHRASE = 0.3
QUESTION_PARAPHRASE = 0.5
EXTRAS = 1
"""Pairings that a question mentions beyond the required ones, before it is checked to be unique."""


@dataclass(frozen=True)
class ConlangOptions:
    """Sizes and seed of the collection.

    `scale` multiplies passages, training questions and bitext, but not the test and development queries. The seed
    changes facts and texts, not the languages. Raises `BenchError` if a size is not positive or if there are more
    queries than passages.
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
        """Return the numbers of questions and passages of "test", "dev" or "train"."""
        if split == "test":
            return self.test_queries, self.scaled(self.test_passages)
        if split == "dev":
            return self.dev_queries, self.scaled(self.dev_passages)
        questions = self.scaled(self.train_questions)
        # Not every passage allows a unique question.
        return questions, questions + questions // 8

    def scaled(self, count: int) -> int:
        return max(1, round(count * self.scale))


@dataclass(frozen=True)
class Split:
    """The facts of a split. Question i, `sentences[i]` in words, is about passage `rows[i]`."""

    passages: tuple[Passage, ...]
    texts: tuple[str, ...]
    rows: tuple[int, ...]
    questions: tuple[Question, ...]
    sentences: tuple[Sentence, ...]


DEFAULT = ConlangOptions()


def bitext(code: str, options: ConlangOptions = DEFAULT) -> Bitext:
    """Return the bitext of a language, with English on the document side."""
    rows = _rows(code, options)
    foreign, own = (text_of(row.foreign) for row in rows), (text_of(row.english) for row in rows)
    return Bitext.of(Pair(code, ENGLISH), foreign, own, SOURCE)


def aligned_bitext(
    code: str, options: ConlangOptions = DEFAULT
) -> tuple[tuple[tuple[str, ...], tuple[str, ...], parallel.Links], ...]:
    """Return the rows of the bitext that are not misaligned, each as (English tokens, foreign tokens, gold links).

    A link is a pair (English token, foreign token) of positions. The final marks are tokens and linked.
    """
    return tuple((row.english, row.foreign, row.links) for row in _rows(code, options) if not row.misaligned)


@lru_cache(maxsize=4)
def relevance(options: ConlangOptions = DEFAULT) -> Relevance:
    """Return English training questions, each with the one passage of its split that answers it."""
    split = structure("train", options)
    questions = (text_of(sentence.tokens) for sentence in split.sentences)
    return Relevance.of(Pair(ENGLISH, ENGLISH), questions, (split.texts[row] for row in split.rows), SOURCE)


def test(code: str, options: ConlangOptions = DEFAULT) -> TestCollection:
    """Return the test collection "conlang": queries in the language, English passages, one relevant to each query."""
    sys.audit(READS_TEST, f"{SOURCE} {code}-{ENGLISH}")
    return _retrieval(code, "test", SOURCE, options)


def dev(code: str, options: ConlangOptions = DEFAULT) -> TestCollection:
    """Return the development collection "conlang-dev", made like the test from other facts."""
    return _retrieval(code, "dev", f"{SOURCE}-dev", options)


def properties(code: str, options: ConlangOptions = DEFAULT) -> dict[str, float]:
    """Return properties of a generated language that a cipher of English would not have:

    - bitext_rows: rows of the bitext, including misaligned ones;
    - seen_words: share of the running words of the test queries whose form occurs in the bitext;
    - one_to_one: share of links of aligned rows whose two words have no other link;
    - reordered: share of these links that cross at least one other link of their row;
    - foreign_length, english_length: mean words per sentence of aligned rows;
    - noise: share of misaligned rows.
    """
    rows = _rows(code, options)
    aligned = [row for row in rows if not row.misaligned]
    known = {token for row in rows for token in row.foreign}
    words = [token for query in _translations(code, "test", options) for token in query.tokens[:-1]]
    return {
        "bitext_rows": len(rows),
        "seen_words": fmean(word in known for word in words),
        "one_to_one": fmean(alone for row in aligned for alone in one_to_one(row.links)),
        "reordered": fmean(crosses for row in aligned for crosses in reordered(row.links)),
        "foreign_length": fmean(len(row.foreign) - 1 for row in aligned),
        "english_length": fmean(len(row.english) - 1 for row in aligned),
        "noise": 1 - len(aligned) / len(rows),
    }


def properties_table() -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of a table of the properties of each language."""
    measured = {code: properties(code) for code in LANGUAGES}
    columns = ["code", "name", "order", *next(iter(measured.values()))]
    rows = [
        [code, LANGUAGES[code].name, LANGUAGES[code].word_order, str(values.pop("bitext_rows"))]
        + [f"{value:.3f}" for value in values.values()]
        for code, values in measured.items()
    ]
    return columns, rows


def one_to_one(links: parallel.Links) -> list[bool]:
    """Return for each link True if neither of its ends has another link."""
    sources, targets = Counter(source for source, _ in links), Counter(target for _, target in links)
    return [sources[source] == 1 and targets[target] == 1 for source, target in links]


def reordered(links: parallel.Links) -> list[bool]:
    """Return for each link True if it crosses another: (e, f) crosses (e', f') if e < e' and f > f', or the reverse."""
    return [any((e - other_e) * (f - other_f) < 0 for other_e, other_f in links) for e, f in links]


@cache
def language(code: str) -> Language:
    """Return the language with a code. Raises `BenchError` for an unknown code."""
    if code not in LANGUAGES:
        raise unknown("conlang language", code, LANGUAGES)
    return Language(LANGUAGES[code], english())


@lru_cache(maxsize=12)
def structure(split: str, options: ConlangOptions = DEFAULT) -> Split:
    """Return the passages and questions of "train", "dev" or "test" as facts and as English."""
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
    """Return ids whose lexical order is their numerical order."""
    width = len(str(count - 1))
    return tuple(f"{prefix}{number:0{width}}" for number in range(count))
