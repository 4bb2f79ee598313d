"""Glosses: which words are replaced, by what and how often; code-switching and translate-distill by hand."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import MakeTask, Prepare
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import chisquare, entropy

from bench.data import Bitext, Pair, Relevance, TrainingData
from bench.errors import BenchError
from bench.running.method_specs import make_method, resolve_method
from bench.training.loop import Batch
from methods.code_switch import CodeSwitch
from methods.glossing import Glossary, GlossConfig, english_judgments, glossed
from methods.translate_distill import TranslateDistill, TranslateDistillConfig

TABLE = {"cat": {"paka": 0.9}, "house": {"chumba": 0.1, "nyumba": 0.3}}
GLOSSARY = Glossary(TABLE)
ENG, QAA, QAB = (Pair(code, "eng") for code in ("eng", "qaa", "qab"))


@given(st.text() | st.lists(st.sampled_from(["cat", "House", "a", "'s ", " "])).map("".join))
def test_probability_0_changes_nothing(text: str) -> None:
    assert GLOSSARY.gloss(text, 0.0, np.random.default_rng(0)) == text


def test_probability_1_replaces_every_word_with_a_translation_and_the_rest_stays() -> None:
    rng = np.random.default_rng(0)
    forms = {GLOSSARY.gloss("The Cat's  house, (a cat-house)?", 1.0, rng) for _ in range(200)}
    assert forms == {f"The paka's  {one}, (a paka-{two})?" for one in TABLE["house"] for two in TABLE["house"]}


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_frequencies_are_those_of_the_probability_and_of_the_table(probability: float) -> None:
    """`house` becomes `chumba` in a quarter of the replacements, since its translations have 0.1 and 0.3."""
    drawn = Counter(GLOSSARY.gloss("house " * 20_000, probability, np.random.default_rng(0)).split())
    expected = {"house": 1 - probability, "chumba": probability / 4, "nyumba": probability * 3 / 4}
    expected = {word: 20_000 * share for word, share in expected.items() if share}
    assert set(drawn) == set(expected)
    assert chisquare([drawn[word] for word in expected], [*expected.values()]).pvalue > 0.01


def test_pair_decides_if_passages_are_glossed_and_the_seed_decides_all() -> None:
    judgments = Relevance.of(ENG, ["a cat", "my house"], ["The house.", "Cat!"], "hand")
    across, within = (
        glossed(judgments, pair, GLOSSARY, 1.0, np.random.default_rng(1)) for pair in (QAA, Pair("qaa", "qaa"))
    )
    assert across.positives == judgments.positives
    assert across.queries[0] == within.queries[0] == "a paka"
    assert within.positives[0] in {"The chumba.", "The nyumba."}
    assert within.positives[1] == "paka!"
    assert set(across.origins) == {("glossed", QAA)}
    assert within == glossed(judgments, Pair("qaa", "qaa"), GLOSSARY, 1.0, np.random.default_rng(1))


def test_glossary_is_learned_from_the_bitext_of_its_language() -> None:
    """Each word has one partner in all its sentences, another one in each language."""
    english = ("cat house", "cat", "house")
    bitext = [
        Bitext.of(QAA, ("paka nyumba", "paka", "nyumba"), english, "hand"),
        Bitext.of(QAB, ("mace gida", "mace", "gida"), english, "hand"),
    ]
    data = TrainingData((QAA, QAB), Bitext.join(bitext), Relevance.join([]))
    rng = np.random.default_rng(0)
    found = [
        GlossConfig(minimum_probability=0.5).glossary(data, name).gloss("Cat house", 1, rng) for name in ("qaa", "qab")
    ]
    assert found == ["paka nyumba", "mace gida"]


def test_missing_data_is_an_error_of_one_line(data: TrainingData) -> None:
    with pytest.raises(BenchError, match="no judgments within eng"):
        english_judgments(replace(data, relevance=Relevance.join([])))
    with pytest.raises(BenchError, match="no bitext"):
        GlossConfig().glossary(data, "qab")


@pytest.mark.parametrize("settings", [{}, {"document_encoder": "teacher"}, {"side": "both", "probability": 1.0}])
def test_loss_is_info_nce_over_the_switched_queries(prepare: Prepare, settings: dict[str, Any]) -> None:
    method = prepare(CodeSwitch, temperature=0.1, **settings)
    batch = next(method.batches(np.random.default_rng(3)))
    expected = by_hand(method, batch)
    for _ in range(2):  # the draws are the batch's, not those of a generator that goes on
        assert float(method.loss(batch, 0.0)[0].detach()) == pytest.approx(expected, abs=1e-4)


def by_hand(method: CodeSwitch, batch: Batch) -> float:
    """Return the loss of a batch of one language: rows that share a text are no negatives."""
    judgments = method.task.data.relevance.take(batch["examples"])
    rng = np.random.default_rng(int(batch["seed"]))
    rng.integers(1, size=len(judgments))  # the languages
    (glossary,), config = method.glossaries, method.config
    queries = [glossary.gloss(text, config.probability, rng) for text in judgments.queries]
    positives: Sequence[str] = judgments.positives
    if config.side == "both":
        positives = [glossary.gloss(text, config.probability, rng) for text in positives]
    assert queries != [*judgments.queries]
    asked, found = method.student.encode(queries, "query"), method.document_encoder.encode(positives, "document")
    weights = np.exp(asked.astype(float) @ found.T / config.temperature)
    chosen = list(zip(judgments.queries, judgments.positives, strict=True))
    total = [
        sum(w for j, w in enumerate(row) if i == j or not {*chosen[i]} & {*chosen[j]}) for i, row in enumerate(weights)
    ]
    return float(-np.log(np.diag(weights) / total).mean())


def test_passages_that_answer_the_same_query_are_no_negatives(
    make_task: MakeTask, prepare: Prepare, data: TrainingData
) -> None:
    """Rows 0 and 150 share the query, rows 1 and 151 the passage."""
    judgments = data.relevance
    more = Relevance.of(ENG, (judgments.queries[0], "and who else"), ("another answer", judgments.positives[1]), "hand")
    task = make_task(data=replace(data, relevance=Relevance.join([judgments, more])))
    method = prepare(CodeSwitch, task, probability=1.0)
    batch = {"examples": np.array([0, 150, 1, 151, 2]), "seed": np.array(7)}
    assert float(method.loss(batch, 0.0)[0].detach()) == pytest.approx(by_hand(method, batch), abs=1e-4)


def test_each_language_of_a_multilingual_student_has_its_glossary(make_task: MakeTask, prepare: Prepare) -> None:
    task = make_task()
    data, other = task.data, QAB
    longer = [text.replace(" ", "x ") for text in data.bitext.query_side]
    both = Bitext.join([data.bitext, Bitext.of(other, longer, data.bitext.document_side, "hand")])
    task = replace(task, data=replace(data, pairs=(*data.pairs, other), bitext=both))
    method = prepare(CodeSwitch, task, probability=1.0)
    one, two = (glossary.translations for glossary in method.glossaries)
    assert one != two and one.keys() & two.keys()
    assert 0 < method.diagnose()["translated_words"] <= 1


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
