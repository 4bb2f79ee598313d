"""Transport plans of saved students between the words of two texts."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch

from bench.data import Bitext, Pair, TrainingData
from bench.encoders.encoder import Encoder
from bench.errors import BenchError
from bench.evaluation.retriever import DualEncoder
from bench.recipe import Budget, Recipe
from bench.results.store import RETRIEVER, Record, training_of
from bench.running.method_specs import load_retriever, make_method, method_class
from bench.running.resources import recipe_of
from bench.spec import MethodSpec
from bench.tables import Column, print_table
from bench.terminal import write_out
from bench.training.loop import TrainedMethod
from bench.training.method import Task
from bench.training.teachers import load_teacher

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
"""Letters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
SHADES = " ░▒▓█"
"""Shades from zero to the largest entry."""
WIDTH = 3
ROWS = 30
"""Maximum number of words of a document, those with the largest entries."""


def split_words(text: str) -> list[str]:
    """Return the runs between white space; in scripts without spaces, each letter with its marks."""
    return re.findall(rf"[{UNSPACED}](?:(?!\w)[{UNSPACED}])*|[^\s{UNSPACED}]+", text)


def print_plan(title: str, query: Sequence[str], document: Sequence[str], mass: np.ndarray) -> None:
    """Print the mass, (document words, query words), in shades, without document words of little mass."""
    largest, last = float(mass.max()), len(SHADES) - 1
    if largest <= 0:
        write_out(f"{title}\n  nothing is moved between them\n")
        return
    shown = sorted(np.argsort(-mass.max(axis=1), kind="stable")[:ROWS].tolist())
    levels = np.rint(mass / largest * last).astype(int)
    rows = [[document[row], *(SHADES[level] * WIDTH for level in levels[row])] for row in shown]
    shares = " ".join(f"{SHADES[level]} {level / last * largest:.3f}" for level in range(1, last + 1))
    left = len(document) - len(shown)
    note = f"share of the mass: {shares}{f'; {left:,} words of the document have less' if left else ''}"
    columns = [Column("", "word"), *(Column(word, "word") for word in query)]
    print_table(columns, rows, title=title, notes=[note])


def cell_plans(
    cell: Record, query: str, document: str, data: Callable[[], TrainingData]
) -> Iterator[tuple[str, list[str], list[str], np.ndarray]]:
    """Yield name, words of query and document, and plan of each method of a cell that aligns words.

    Raises `BenchError` if the student, its teacher or the method is not available.
    """
    trained = cell.manifest.get("training")
    classes = [] if not trained else [(method, method_class(method)) for method in cell.spec.methods]
    aligning = [method for method, kind in classes if issubclass(kind, TrainedMethod) and kind.aligners]
    words = split_words(query), split_words(document)
    if not (aligning and all(words)):
        return
    training = training_of(cell)
    if training is None:
        raise BenchError(f"its training {cell.manifest['training']} is missing or damaged")
    training.verify(RETRIEVER)
    teacher = _teacher(cell.spec.encoder)
    retriever = load_retriever(cell.spec.methods, training.folder / RETRIEVER, teacher)
    if isinstance(retriever, DualEncoder):
        for method in aligning:
            yield method.name, *words, word_plan(method, retriever, teacher, recipe_of(cell.spec), *words, data)


@cache
def _teacher(name: str) -> Encoder:
    return load_teacher(name, torch.device("cpu"), offline=True)


def word_plan(
    part: MethodSpec,
    retriever: DualEncoder,
    teacher: Encoder,
    recipe: Recipe,
    query: Sequence[str],
    document: Sequence[str],
    data: Callable[[], TrainingData],
) -> np.ndarray:
    """Return the mass that the loss of `part` moves with a saved student, (document words, query words).

    The slow function `data` is called only if the plan depends on the bitext. This is tested with two bitexts of these
    words.
    """

    def align(data: TrainingData) -> np.ndarray:
        method: Any = make_method([part])
        student = retriever.query_encoder
        method.prepare(Task(data, teacher, lambda **_: student, Budget(1, "steps"), recipe, seed=0), student)
        return np.asarray(method.align(document, query))

    pair = Pair("mul", "eng")  # any languages
    queries, documents = [" ".join(query), query[0]], [" ".join(document), document[0]]
    bitexts = [Bitext.of(pair, queries[:rows], documents[:rows], "") for rows in (1, 2)]
    one, other = (align(replace(TrainingData.none((pair,)), bitext=bitext)) for bitext in bitexts)
    return one if np.array_equal(one, other) else align(data())
