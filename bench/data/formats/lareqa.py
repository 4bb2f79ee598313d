"""LAReQA's JSON: that of SQuAD, with the sentences of every paragraph.

Roy et al., LAReQA: Language-agnostic answer retrieval from a multilingual pool, EMNLP 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data import MULTIPLE, Pair, TestCollection
from bench.data.formats.qrels import make_test
from bench.data.formats.reading import Source, check_new, numbered, text_of
from bench.data.formats.squad import identified, list_of, paragraphs
from bench.data.languages import parse_language
from bench.errors import BenchError


def test(source: Source, pair: Pair) -> TestCollection:
    """Return the questions of the file `queries` over all sentences of the files `documents`, one file per language.

    A candidate is a sentence followed by its whole paragraph, so that an encoder that truncates long texts reads the
    sentence. The relevant candidates of a question are the sentences of all files in which an answer to the question
    with the same id starts. As in LAReQA, questions with equal texts do not share answers. Questions without an answer
    are left out. Oracle queries are the questions in the language of the documents, if that is a single other language.

    Raises `BenchError` for malformed JSON, a repeated id, an answer outside all sentences, and if no question is left.
    """
    documents: dict[str, str] = {}
    languages: list[str] = []
    qrels: dict[str, dict[str, int]] = {}
    translations: dict[str, str] = {}
    for path in source.many("documents"):
        candidates, questions = _read(path)
        ids = numbered(range(1, len(candidates) + 1), len(candidates), f"{path.stem}-")
        documents |= zip(ids, candidates, strict=True)
        languages += [_language(path)] * len(candidates)
        for key, question in questions.items():
            translations[key] = question.text
            qrels.setdefault(key, {}).update({ids[row]: 1 for row in question.answers})

    path = source.one("queries")
    asked = _read(path)[1]
    queries = {key: question.text for key, question in asked.items() if key in qrels}
    if not queries:
        raise BenchError(f"{path}: none of its questions has an answer in the files under 'documents'")
    translated = pair.document not in (pair.query, MULTIPLE)
    return make_test(
        source,
        pair,
        queries,
        documents,
        {key: qrels[key] for key in queries},
        oracle_queries=tuple(translations[key] for key in queries) if translated else None,
        left_out=len(asked) - len(queries),
        document_languages=tuple(languages) if pair.document == MULTIPLE else (),
    )


def _language(path: Path) -> str:
    """Return the language in a file name, or the name itself if it is no code."""
    try:
        return parse_language(path.stem)
    except BenchError:
        return path.stem


@dataclass(frozen=True)
class _Question:
    text: str
    answers: frozenset[int]
    """The rows of the candidates of the same file that answer it."""


def _read(path: Path) -> tuple[list[str], dict[str, _Question]]:
    """Return the candidates of a file, and its questions by id."""
    candidates: list[str] = []
    questions: dict[str, _Question] = {}
    for place, paragraph in paragraphs(path):
        context = text_of(paragraph, "context", place)
        sentences, breaks = list_of(paragraph, "sentences", place), list_of(paragraph, "sentence_breaks", place)
        if len(sentences) != len(breaks) or not all(map(_is_range, breaks)):
            raise BenchError(f"{place}: not LAReQA's JSON: 'sentence_breaks' has no start and end for every sentence")
        for key, text, where, question in identified(list_of(paragraph, "qas", place), place):
            check_new(key, questions, where)
            answers = frozenset(
                len(candidates) + _sentence(answer, breaks, where) for answer in list_of(question, "answers", where)
            )
            if not answers:
                raise BenchError(f"{where}: no answer under 'answers'")
            questions[key] = _Question(text, answers)
        candidates += [f"{text_of({'sentences': text}, 'sentences', place)} {context}" for text in sentences]
    return candidates, questions


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(end) is int for end in value)


def _sentence(answer: Any, breaks: list[list[int]], place: str) -> int:
    """Return the number of the sentence in which an answer starts."""
    start = answer.get("answer_start") if isinstance(answer, dict) else None
    if type(start) is int:
        for number, (first, end) in enumerate(breaks):
            if first <= start < end:
                return number
    raise BenchError(f"{place}: the answer at {start} starts in no sentence of 'sentence_breaks'")
