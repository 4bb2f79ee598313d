"""Question answering data: SQuAD's JSON, LAReQA's (SQuAD's with sentences), and QED and AfriQA in JSON Lines.

Roy et al., LAReQA: Language-agnostic answer retrieval from a multilingual pool, EMNLP 2020.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.data import MULTIPLE, Pair, TestCollection
from bench.data.formats.qrels import judge_alike, make_test
from bench.data.formats.reading import Row, Source, add_new, json_lines, numbered, text_of
from bench.errors import BenchError
from bench.storage.reading import read_json


def squad_relevance(source: Source, pair: Pair) -> Iterator[Row]:
    """Yield the questions of the files `articles`, each with its context."""
    for place, context, questions in _contexts(source, "articles"):
        for index, question in enumerate(questions):
            where = f"{place}.qas[{index}]"
            yield text_of(question, "question", where), context, where


def squad_passages(source: Source, language: str) -> Iterator[str]:
    """Yield the contexts of the files `articles`."""
    return (context for _, context, _ in _contexts(source, "articles"))


def squad(source: Source, pair: Pair) -> TestCollection:
    """Return the questions of the files `queries` over the distinct contexts of the files `documents`. The question of
    the same id in `documents` has the relevant context, and is the oracle query of a pair of two languages. Questions
    with the same text, in either language, share their contexts. Raises `BenchError` for a malformed file.
    """
    contexts: dict[str, str] = {}
    translations: dict[str, str] = {}
    paragraphs = list(_contexts(source, "documents"))
    for place, context, questions in paragraphs:
        for key, text, where, _ in _questions(questions, place):
            add_new(contexts, key, context, where)
            translations[key] = text
    documents = numbered(dict.fromkeys(context for _, context, _ in paragraphs), f"{source.name}-")
    ids = {context: key for key, context in documents.items()}
    queries: dict[str, str] = {}
    for place, _, questions in _contexts(source, "queries"):
        for key, text, where, _ in _questions(questions, place):
            add_new(queries, key, text, where)
            if key not in contexts:
                raise BenchError(f"{where}: no question has the id '{key}' in the files under 'documents'")
    oracles = tuple(translations[key] for key in queries)
    qrels = judge_alike(queries, [ids[contexts[key]] for key in queries], tuple(queries.values()), oracles)
    monolingual = pair.query == pair.document
    return make_test(source, pair, queries, documents, qrels, oracle_queries=None if monolingual else oracles)


def lareqa(source: Source, pair: Pair) -> TestCollection:
    """Return the questions of the file `queries` over all sentences of the files `documents`, one file per language.

    A candidate is a sentence followed by its paragraph. As in LAReQA, the sentences in which an answer to the question
    of the same id starts are relevant, in every file. A question without an answer is left out. Oracle queries are the
    questions in the documents' language, if that is a single other one. Raises `BenchError` for a malformed file, and
    if no question is left.
    """
    documents: dict[str, str] = {}
    languages: list[str] = []
    files: set[str] = set()
    qrels: dict[str, dict[str, int]] = {}
    translations: dict[str, str] = {}
    codes = {code: language for language, code in source.codes.items()}
    for path in source.many("documents"):
        if path.stem in files:
            raise BenchError(f"{path}: another file of 'documents' is called {path.stem} too, and ids begin with names")
        files.add(path.stem)
        sentences, questions, answers = _read_lareqa(path)
        candidates = numbered(sentences, f"{path.stem}-")
        ids = list(candidates)
        documents |= candidates
        languages += [codes.get(path.stem, path.stem)] * len(candidates)
        translations |= questions
        for key, rows in answers.items():
            qrels.setdefault(key, {}).update({ids[row]: 1 for row in rows})

    path = source.one("queries")
    questions = _read_lareqa(path)[1]
    queries = {key: text for key, text in questions.items() if key in qrels}
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
        left_out=len(questions) - len(queries),
        document_languages=tuple(languages) if pair.document == MULTIPLE else (),
    )


def qed_relevance(source: Source, pair: Pair) -> Iterator[Row]:
    """Yield the questions of the files `examples`, each with the paragraph that answers it."""
    for path in source.many("examples"):
        for place, row in json_lines(path):
            yield text_of(row, "question_text", place), text_of(row, "paragraph_text", place), place


def qed_passages(source: Source, language: str) -> Iterator[str]:
    """Yield the paragraphs of the files `examples`."""
    return (paragraph for _, paragraph, _ in qed_relevance(source, Pair(language, language)))


def afriqa(source: Source, pair: Pair) -> TestCollection:
    """Return the questions of the file `queries` over the distinct contexts of `documents`, with human translations as
    oracles. Raises `BenchError` for a malformed row, a repeated id and an unknown context.
    """
    contexts = (
        text_of(row, "context", place)
        for path in source.many("documents")
        for place, row in json_lines(path)
        if row.get("context")
    )
    documents = numbered(dict.fromkeys(contexts), f"{source.name}-")
    ids = {context: key for key, context in documents.items()}
    queries: dict[str, str] = {}
    oracles: list[str] = []
    qrels: dict[str, dict[str, int]] = {}
    left_out = 0
    for place, row in json_lines(source.one("queries")):
        if not row.get("context"):
            left_out += 1
            continue
        key = text_of(row, "id", place)
        context = text_of(row, "context", place)
        if context not in ids:
            raise BenchError(f"{place}: its context is in none of the files that the card names under 'documents'")
        add_new(queries, key, text_of(row, "question_lang", place), place)
        oracles.append(text_of(row, "question_translated", place))
        qrels[key] = {ids[context]: 1}
    return make_test(source, pair, queries, documents, qrels, oracle_queries=tuple(oracles), left_out=left_out)


def _contexts(source: Source, part: str) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield the place, context and questions of every paragraph of the files of a part."""
    for path in source.many(part):
        for place, paragraph in _paragraphs(path):
            yield place, text_of(paragraph, "context", place), _list(paragraph, "qas", place)


def _paragraphs(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the place (file and keys, for error messages) and content of every paragraph of a file."""
    for number, article in enumerate(_list(read_json(path), "data", str(path))):
        place = f"{path}: data[{number}]"
        for index, paragraph in enumerate(_list(article, "paragraphs", place)):
            yield f"{place}.paragraphs[{index}]", paragraph


def _questions(questions: list[Any], place: str) -> Iterator[tuple[str, str, str, Any]]:
    """Yield the id, text, place and content of every question of a paragraph."""
    for index, question in enumerate(questions):
        where = f"{place}.qas[{index}]"
        yield text_of(question, "id", where), text_of(question, "question", where), where, question


def _list(value: Any, key: str, place: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise BenchError(f"{place}: not SQuAD's JSON: no list under '{key}'")
    return found


def _read_lareqa(path: Path) -> tuple[list[str], dict[str, str], dict[str, set[int]]]:
    """Return the candidates of a file, and its questions and the rows of the relevant candidates by question id."""
    candidates: list[str] = []
    texts: dict[str, str] = {}
    relevant: dict[str, set[int]] = {}
    for place, paragraph in _paragraphs(path):
        context = text_of(paragraph, "context", place)
        sentences = _list(paragraph, "sentences", place)
        try:
            ranges = [range(first, end) for first, end in _list(paragraph, "sentence_breaks", place)]
        except (TypeError, ValueError):
            ranges = []
        if len(ranges) != len(sentences):
            raise BenchError(f"{place}: not LAReQA's JSON: 'sentence_breaks' has no start and end for every sentence")
        for key, text, where, question in _questions(_list(paragraph, "qas", place), place):
            add_new(texts, key, text, where)
            answers = _list(question, "answers", where)
            if not answers:
                raise BenchError(f"{where}: no answer under 'answers'")
            relevant[key] = {len(candidates) + _sentence(answer, ranges, where) for answer in answers}
        candidates += [f"{text_of({'sentences': text}, 'sentences', place)} {context}" for text in sentences]
    return candidates, texts, relevant


def _sentence(answer: Any, sentences: list[range], place: str) -> int:
    """Return the number of the sentence in which an answer starts."""
    start = answer.get("answer_start") if isinstance(answer, dict) else None
    if type(start) is int:  # a range compares other types number by number
        for number, sentence in enumerate(sentences):
            if start in sentence:
                return number
    raise BenchError(f"{place}: the answer at {start} starts in no sentence of 'sentence_breaks'")
