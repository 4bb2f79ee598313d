"""Translate-distill: the loss by hand, the glosses of each language, and a combination with bitext."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import MakeTask, Prepare
from scipy.special import softmax
from scipy.stats import entropy

from bench.data import Bitext, Pair, TrainingData
from bench.errors import BenchError
from bench.running.method_specs import make_method, resolve_method
from methods.glossing import glossed
from methods.translate_distill import TranslateDistill, TranslateDistillConfig

QAB = Pair("qab", "eng")


@pytest.fixture
def multilingual(data: TrainingData) -> TrainingData:
    """The data with a second query language, all of whose words are uppercase."""
    other = Bitext.of(QAB, (text.upper() for text in data.bitext.query_side), data.bitext.document_side, "hand")
    return replace(data, pairs=(*data.pairs, QAB), bitext=Bitext.join([data.bitext, other]))


@pytest.mark.parametrize(("temperature", "weight"), [(0.05, 0.0), (0.2, 0.5)])
def test_loss_is_the_divergence_from_the_teachers_scores_of_the_english_question(
    make_task: MakeTask, prepare: Prepare, multilingual: TrainingData, temperature: float, weight: float
) -> None:
    task = make_task(data=multilingual)
    method = prepare(TranslateDistill, task, temperature=temperature, distance_weight=weight)
    questions, passages = multilingual.relevance.queries, [*dict.fromkeys(multilingual.relevance.positives)]
    rows = np.array([3, 77, len(questions) + 77, len(questions) + 140])
    documents = task.teacher.encode(passages, "document").astype(float)
    asked = task.teacher.encode([questions[row] for row in (3, 77, 77, 140)], "query").astype(float)
    read = method.student.encode([method.rows.queries[row] for row in rows], "query").astype(float)
    teacher, student = (softmax(vectors @ documents.T / temperature, axis=1) for vectors in (asked, read))
    expected = entropy(teacher, student, axis=1).mean() + weight * np.square(read - asked).sum(axis=1).mean()
    assert float(method.loss({"glosses": rows}, 0.0)[0].detach()) == pytest.approx(expected, rel=1e-4)


def test_teacher_that_reads_the_english_question_has_no_loss(make_task: MakeTask) -> None:
    task, method = make_task(), TranslateDistill(TranslateDistillConfig(probability=0.0))
    method.prepare(task, task.teacher)
    assert float(method.loss({"glosses": np.arange(8)}, 0.0)[0].detach()) == pytest.approx(0, abs=1e-5)


def test_every_language_has_a_gloss_of_every_question(
    make_task: MakeTask, prepare: Prepare, multilingual: TrainingData
) -> None:
    method = prepare(TranslateDistill, make_task(data=multilingual))
    questions = len(multilingual.relevance)
    assert [pair.query for pair in method.rows.pairs] == ["qaa"] * questions + ["qab"] * questions
    rng = method.task.numpy_generator("glosses")
    glossaries = [method.config.glossary(multilingual, language) for language in ("qaa", "qab")]
    first, second = (
        glossed(multilingual.relevance, pair, glossary, 1.0, rng)
        for pair, glossary in zip(multilingual.pairs, glossaries, strict=True)
    )
    assert method.rows.queries == (*first.queries, *second.queries)
    (batch,) = next(method.batches(np.random.default_rng(0))).values()
    assert len({method.rows.pairs[row] for row in batch}) == 1


def test_it_is_combined_with_methods_whose_documents_the_teacher_encodes(make_task: MakeTask) -> None:
    method = make_method(resolve_method("contrastive+translate-distill", {}).methods)
    task = make_task(3, recipe={"batch_size": 8})
    method.fit(task)
    assert task.outcome["spent"].steps == 3
    with pytest.raises(BenchError, match="document_encoder = 'student'"):
        resolve_method("translate-distill:document_encoder=student", {})
