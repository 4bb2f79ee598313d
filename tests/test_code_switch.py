"""Code-switching: the loss by hand, which passages are no negatives, and a glossary for each language."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import MakeTask, Prepare

from bench.data import Bitext, Pair, Relevance, TrainingData
from bench.training.loop import Batch
from methods.code_switch import CodeSwitch

ENG = Pair("eng", "eng")


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
    data, other = task.data, Pair("qab", "eng")
    longer = [text.replace(" ", "x ") for text in data.bitext.query_side]
    both = Bitext.join([data.bitext, Bitext.of(other, longer, data.bitext.document_side, "hand")])
    task = replace(task, data=replace(data, pairs=(*data.pairs, other), bitext=both))
    method = prepare(CodeSwitch, task, probability=1.0)
    one, two = (glossary.translations for glossary in method.glossaries)
    assert one != two and one.keys() & two.keys()
    assert 0 < method.diagnose()["translated_words"] <= 1
