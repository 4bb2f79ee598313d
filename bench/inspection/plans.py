"""The transport plans of saved students: what a method's loss moves between the words of two texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.data import Bitext, Pair, TrainingData
from bench.encoders.encoder import Encoder
from bench.evaluation.retriever import DualEncoder
from bench.running.rows import make_method, method_class
from bench.spec import MethodSpec
from bench.training.budget import Budget
from bench.training.method import Task, TrainedMethod
from bench.training.recipe import Recipe

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
"""Letters that are written without spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""


@dataclass(frozen=True)
class Words:
    """A query's and a document's words."""

    query: Sequence[str]
    document: Sequence[str]


@dataclass(frozen=True)
class WordPlan:
    """How much `method` moves between each word of a document and each of a query: (document words, query words)."""

    title: str
    words: Words
    mass: np.ndarray


def split_words(text: str) -> list[str]:
    """The runs between white space; of scripts without it each letter, with its marks."""
    words: list[str] = []
    for run in re.findall(rf"[{UNSPACED}]|[^\s{UNSPACED}]+", text):
        if words and unicodedata.category(run[0]).startswith("M"):
            words[-1] += run
        else:
            words.append(run)
    return words


def aligning(methods: Sequence[MethodSpec]) -> list[MethodSpec]:
    """Return the methods that align words."""
    classes = ((spec, method_class(spec)) for spec in methods)
    return [spec for spec, kind in classes if issubclass(kind, TrainedMethod) and kind.aligners]


def word_plan(
    part: MethodSpec,
    retriever: DualEncoder,
    teacher: Encoder,
    recipe: Recipe,
    words: Words,
    data: Callable[[], TrainingData],
) -> np.ndarray:
    """What the loss of `part` moves between a document's and a query's words, with a saved student: (document words,
    query words).

    This is a function of the two encoders and the configuration, unless the loss weighs words by the bitext. Whether
    it does shows with two bitexts made up of nothing but these words: only if they give different plans the `data` are
    asked for, which takes far longer. Raises `BenchError` if they cannot be had.
    """
    texts = " ".join(words.query), " ".join(words.document)
    firsts = words.query[0], words.document[0]
    one, other = (_align(part, retriever, teacher, recipe, words, _bitext(rows)) for rows in ([texts], [texts, firsts]))
    if np.array_equal(one, other):
        return one
    return _align(part, retriever, teacher, recipe, words, data())


def _align(
    part: MethodSpec, retriever: DualEncoder, teacher: Encoder, recipe: Recipe, words: Words, data: TrainingData
) -> np.ndarray:
    method: Any = make_method([part])
    student = retriever.query_encoder
    method.prepare(Task(data, teacher, lambda: student, Budget(1, "steps"), recipe, seed=0), student)
    return np.asarray(method.align(words.document, words.query))


def _bitext(rows: Sequence[tuple[str, str]]) -> TrainingData:
    pair = Pair("mul", "eng")  # no language is asked for
    bitext = Bitext.of(pair, (query for query, _ in rows), (document for _, document in rows), "")
    return replace(TrainingData.none((pair,)), bitext=bitext)
