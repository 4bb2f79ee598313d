"""Code-switching: what is replaced by what, how often, and that a training is a function of its seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MakeTask
from torch.nn import functional

from bench.data import Bitext, Pair, Relevance
from bench.errors import BenchError
from methods.code_switch import CodeSwitch, code_switch

TABLE = {"cat": {"paka": 0.9}, "house": {"chumba": 0.1, "nyumba": 0.3}}


def test_only_words_with_a_translation_are_replaced_and_the_rest_stays() -> None:
    text = "The Cat's  house, (a cat-house)?"
    rng = np.random.default_rng(0)
    assert code_switch(text, TABLE, 0.0, rng) == text
    forms = {code_switch(text, TABLE, 1.0, rng) for _ in range(200)}
    assert forms == {f"The paka's  {one}, (a paka-{two})?" for one in TABLE["house"] for two in TABLE["house"]}


def test_frequencies_are_those_of_the_configuration_and_of_the_table() -> None:
    """A word goes in 0.3 of the cases: `house` has `chumba` with 0.1, `nyumba` with 0.3, so `chumba` in a quarter."""
    drawn = Counter(code_switch("house " * 20_000, TABLE, 0.3, np.random.default_rng(0)).split())
    shares = {word: count / 20_000 for word, count in drawn.items()}
    assert shares == {
        "house": pytest.approx(0.7, abs=0.01),
        "nyumba": pytest.approx(0.225, abs=0.01),
        "chumba": pytest.approx(0.075, abs=0.01),
    }


@pytest.mark.parametrize("documents", ["student", "teacher"])
def test_loss_is_info_nce_over_the_switched_queries(prepare: Callable[..., Any], documents: str) -> None:
    method = prepare(CodeSwitch, document_encoder=documents, temperature=0.1)
    task = method.task
    batch = next(method.batches(np.random.default_rng(3)))
    rng = np.random.default_rng(int(batch["seed"]))
    rng.integers(1, size=len(batch["relevance"]))  # the languages
    queries = [code_switch(task.data.relevance.queries[i], method.tables[0], 0.5, rng) for i in batch["relevance"]]
    assert queries != [task.data.relevance.queries[i] for i in batch["relevance"]]
    positives = [task.data.relevance.positives[i] for i in batch["relevance"]]
    asked = torch.from_numpy(method.student.encode(queries, "query"))
    found = torch.from_numpy(method.document_encoder.encode(positives, "document"))
    expected = functional.cross_entropy(asked @ found.T / 0.1, torch.arange(len(asked)))
    for _ in range(2):  # the draws are the batch's, not those of a generator that goes on
        assert float(method.loss(batch, 0.0)[0].detach()) == pytest.approx(float(expected), abs=1e-4)


def test_each_language_of_a_multilingual_student_has_its_table(
    make_task: MakeTask, prepare: Callable[..., Any]
) -> None:
    task = make_task()
    data, other = task.data, Pair("qab", "eng")
    longer = [text.replace(" ", "x ") for text in data.bitext.query_side]
    both = Bitext.join([data.bitext, Bitext.of(other, longer, data.bitext.document_side, "hand")])
    task = replace(task, data=replace(data, pairs=(*data.pairs, other), bitext=both))
    method = prepare(CodeSwitch, task, probability=1.0)
    assert len(method.tables) == 2
    one, two = method.tables
    assert one != two and one.keys() & two.keys()
    assert 0 < method.diagnose()["translated_words"] <= 1


@pytest.mark.parametrize(("missing", "what"), [("relevance", "judgments within eng"), ("bitext", "no bitext")])
def test_missing_data_is_an_error_of_one_line(make_task: MakeTask, missing: str, what: str) -> None:
    task = make_task()
    nothing = {"relevance": Relevance, "bitext": Bitext}[missing].join([])
    task = replace(task, data=replace(task.data, **{missing: nothing}))
    with pytest.raises(BenchError, match=what):
        CodeSwitch().fit(task)
