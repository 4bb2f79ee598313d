"""Hard negatives: the filter, the changes at a refresh, and the cost of mining."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import MakeTask
from hypothesis import given
from hypothesis import strategies as st

from bench.data import Bitext, Pair, Relevance, TrainingData
from bench.data.normalise import normalise
from bench.errors import BenchError
from bench.recipe import Spent
from bench.training.method import Task
from methods.hard_negatives import HardNegatives, HardNegativesConfig, View, pick

SMALL = {"refresh": 4, "depth": 20, "candidates": 100, "number": 3}


def prepared(task: Task, **config: Any) -> tuple[HardNegatives, Iterator[Any]]:
    """A method about to take its first step, and its batches."""
    method = HardNegatives(HardNegativesConfig(**{**SMALL, **config}))
    method.prepare(task, task.make_student())
    return method, iter(method.batches(np.random.default_rng(0)))


def scrambled(method: HardNegatives) -> None:
    """Another student in place of the present, as training would make it."""
    embeddings = method.student.word_embeddings.weight.data
    embeddings.copy_(embeddings.roll(5, dims=0))


@pytest.fixture
def tangled(data: TrainingData) -> TrainingData:
    """Bitext in two languages with copies, several translations of a sentence, and judgments with several positives."""
    pairs, english = (Pair("qaa", "eng"), Pair("qab", "eng")), data.bitext.document_side[:40]
    bitext = [
        Bitext.of(pairs[0], data.bitext.query_side[:40], english, "hand"),
        Bitext.of(pairs[0], data.bitext.query_side[:10], (text.upper() + "!" for text in english[20:30]), "hand"),
        Bitext.of(pairs[1], (f"qab {text}" for text in english), english, "hand"),
    ]
    questions = data.relevance.queries[:6]
    judged = [
        Relevance.of(Pair("eng", "eng"), questions, english[:6], "hand"),
        Relevance.of(Pair("eng", "eng"), questions, english[12:18], "hand"),
        Relevance.of(Pair("qaa", "eng"), data.bitext.query_side[:6], english[30:36], "hand"),
    ]
    return TrainingData(pairs, Bitext.join(bitext), Relevance.join(judged))


def linked(data: TrainingData) -> dict[str, set[str]]:
    """Return the parallel group of every normalised text, by brute force over translations, judgments and copies."""
    texts: dict[str, set[str]] = {}
    for part in (data.bitext, data.relevance):
        for row in zip(*part.columns[:2], strict=True):
            group = {normalise(text) for text in row}
            group = group.union(*(texts.get(text, set()) for text in group))
            texts |= dict.fromkeys(group, group)
    return texts


@pytest.mark.parametrize(
    "config", [{}, {"mining": "static"}, {"mining": "random"}, {"data": "both", "margin": 100.0, "number": 30}]
)
def test_no_negative_says_the_same_as_its_query(make_task: MakeTask, tangled: TrainingData, config: dict) -> None:
    method, _ = prepared(make_task(100, data=tangled), **config)
    groups = linked(tangled)
    for steps in (0, 4, 8, 12):
        method.on_step_start(Spent(steps=steps))
        scrambled(method)
    mined = np.flatnonzero(method.negatives[:, 0] >= 0)
    assert len(mined) > 60
    for row in mined:
        forbidden = groups[normalise(method.examples.rows.queries[row])]
        assert forbidden == groups[normalise(method.examples.rows.positives[row])]
        assert not {normalise(method.candidate_texts[i]) for i in method.negatives[row]} & forbidden


def test_only_dynamic_negatives_change_and_the_teacher_mines_first(make_task: MakeTask) -> None:
    found = {}
    for mining in ("dynamic", "static", "random"):
        task = make_task(100, recipe={"batch_size": 75})  # two batches, and thus a refresh, are an epoch
        method, _ = prepared(task, mining=mining, refresh=2, margin=100.0, depth=3)
        spent = Spent()
        snapshots = []
        for spent.steps in (0, 2, 4):
            method.on_step_start(spent)
            snapshots.append(np.sort(method.negatives, axis=1))
            scrambled(method)
        found[mining] = snapshots, spent.extra_texts
    (first, second, third), texts = found["dynamic"]
    rows = len(first)
    assert all(np.mean(one != other) > 0.5 for one, other in ((first, second), (second, third)))
    # 100 documents once, the translations at every mining, and the student's queries from the second on.
    assert texts == 100 + 3 * rows + 2 * rows
    static, texts = found["static"]
    assert all(np.array_equal(each, first) for each in static)
    assert texts == 100 + rows
    random, texts = found["random"]
    assert all(np.array_equal(each, random[0]) for each in random)
    assert np.mean(random[0] != first) > 0.5
    assert texts == 100  # the loss reads the embeddings of the candidates


def test_nothing_is_mined_between_refreshes_nor_for_steps_beyond_the_budget(make_task: MakeTask) -> None:
    method, batches = prepared(make_task(6, recipe={"batch_size": 8}))
    used = [next(batches)["examples"] for _ in range(6)]
    spent = Spent()
    for spent.steps in range(6):
        before = spent.extra_texts
        method.on_step_start(spent)
        assert (spent.extra_texts > before) == (spent.steps in (0, 4))
        assert (method.negatives[used[spent.steps]] >= 0).all()
        known = {0: 4, 4: 6}.get(spent.steps)
        if known is not None:
            assert set(np.flatnonzero(method.negatives[:, 0] >= 0)) == set(np.concatenate(used[:known]))
    assert spent.extra_seconds > 0


@pytest.mark.parametrize("documents", ["teacher", "student"])
def test_documents_of_a_frozen_teacher_are_encoded_once(make_task: MakeTask, documents: str) -> None:
    task = make_task(100, recipe={"batch_size": 8})
    method, _ = prepared(task, document_encoder=documents, candidates=1000)
    spent, counts = Spent(), []
    for spent.steps in (0, 4, 8):
        before = spent.extra_texts
        method.on_step_start(spent)
        counts.append(spent.extra_texts - before)
    again = 0 if documents == "teacher" else 150
    # The teacher judges by the translations of 32 sentences, the student mines with the sentences from the second on.
    assert counts == [32 + 150, 64 + again, 64 + again]


def test_scores_by_hand() -> None:
    view = View(np.eye(2, dtype=np.float32), np.array([[0.9, 0.1], [0.6, 0.8], [0.1, 0.9]], dtype=np.float32))
    nearest = view.nearest(2)
    assert nearest.tolist() == [[0, 1], [2, 1]]
    assert view.scores(nearest) == pytest.approx(np.array([[0.9, 0.6], [0.9, 0.8]]))


@pytest.mark.parametrize("mining", ["static", "dynamic"])
def test_the_teacher_removes_documents_that_it_scores_like_the_positive(make_task: MakeTask, mining: str) -> None:
    """It reads the translation in the query's place, whose cosine with itself is 1, whoever mines."""
    task = make_task()
    english = task.teacher.encode(task.data.bitext.document_side, "document")
    share = float(np.quantile(english @ english.T, 0.3))
    method, _ = prepared(task, mining=mining, margin=share, depth=150, candidates=1000)
    for steps in (0, 4):
        method.on_step_start(Spent(steps=steps))
    rows = np.flatnonzero((method.negatives[:, 0] >= 0) & (method.filled == 0))
    assert len(rows) > 20
    negatives = english[method.candidates[method.negatives[rows]]]
    assert (np.einsum("nd,nkd->nk", english[rows], negatives) < share + 1e-5).all()


@given(st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20), min_size=1), st.integers(1, 10), st.integers(0, 9))
def test_picked_are_found_ones_first(found: set[int], others: set[int], number: int, seed: int) -> None:
    others |= found
    arrays = (np.array(sorted(values), dtype=np.int64) for values in (found, others))
    chosen, filled = pick(*arrays, number, np.random.default_rng(seed))
    assert len(chosen) == number
    assert filled == max(number - len(found), 0)
    assert set(chosen[: number - filled]) <= found
    assert set(chosen) <= others
    assert len(set(chosen)) == number or len(others) < number or filled > len(others - set(chosen[: number - filled]))


def test_names_what_it_uses_and_refuses_what_all_says_the_same(make_task: MakeTask, data: TrainingData) -> None:
    assert HardNegatives(HardNegativesConfig(data="both")).supervision == ("bitext", "relevance")
    assert HardNegatives().supervision == ("bitext",)
    with pytest.raises(BenchError, match="more than one parallel group"):
        prepared(make_task(data=replace(data, bitext=data.bitext.take([0, 0]))))
