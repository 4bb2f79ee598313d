"""Choosing a checkpoint: which rows are held out, which weights are kept, by a resumed training as well."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Died, MakeTask, dies_after

from bench.commands.run import run
from bench.data import Bitext, Pair, Relevance, TrainingData
from bench.data.cards import Card
from bench.data.leakage import find_leaks
from bench.data.normalise import normalise
from bench.data.validation_split import split_validation
from bench.errors import BenchError
from bench.recipe import Budget
from bench.request import Request
from bench.training.checkpoint import Checkpoint
from bench.training.combination import Combination
from bench.training.loop import TrainedMethod
from bench.training.method import Task
from bench.training.selection import validation_loss
from methods.contrastive import Contrastive
from methods.distillation import Distillation
from methods.optical import Optical

ENG = Pair("eng", "eng")


@pytest.fixture(scope="session")
def many() -> TrainingData:
    """Questions and answers of random letters, so that none is near another; some are also in the bitext."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdefghij "), 40)) for _ in range(400)]
    pair = Pair("qaa", "eng")
    bitext = Bitext.of(pair, (text[::-1] for text in texts[150:250]), texts[150:250], "hand")
    foreign = Relevance.of(pair, (f"{text[::-1]} x" for text in texts[:50]), texts[200:250], "hand")
    english = Relevance.of(ENG, texts[:200], texts[200:], "hand")
    return TrainingData((pair,), bitext, Relevance.join([english, foreign]))


def test_no_training_row_repeats_what_is_held_out(many: TrainingData) -> None:
    held = split_validation(many, np.random.default_rng(1))
    assert len(held.validation) == 20
    assert set(held.validation.pairs) == {ENG}
    texts = {"v": {normalise(text) for column in held.validation.columns[:2] for text in column}}
    assert find_leaks(many.bitext, texts)
    assert find_leaks(many.relevance.between(many.pairs[0]), texts)
    assert not find_leaks(held.bitext, texts)
    assert not find_leaks(held.relevance, texts)
    assert not set(held.texts(query_languages=False)) & {*held.validation.queries, *held.validation.positives}
    lost = len(many.bitext) + len(many.relevance) - len(held.bitext) - len(held.relevance)
    assert held.report["held_out"] == {"validation": 20, "removed": {"hand": lost}}
    again, other = (split_validation(many, np.random.default_rng(seed)).validation for seed in (1, 2))
    assert again == held.validation != other
    foreign = many.relevance.between(many.pairs[0])
    with pytest.raises(BenchError, match="judgments within eng"):
        split_validation(TrainingData(many.pairs, many.bitext, foreign), np.random.default_rng(0))


def task_of(make_task: MakeTask, many: TrainingData, steps: int = 30, **fields: Any) -> Task:
    held = split_validation(many, np.random.default_rng(0))
    recipe = {"batch_size": 8, "learning_rate": 3e-2, "vocabulary": "new"}
    return make_task(steps, data=held, **{"recipe": recipe, **fields})


def combined() -> TrainedMethod:
    return Combination([Contrastive(), Optical()], ["contrastive", "optical"])


@pytest.mark.parametrize("make", [Distillation, combined])
def test_the_weights_with_the_lowest_loss_are_kept(
    make_task: MakeTask, many: TrainingData, make: Callable[[], TrainedMethod]
) -> None:
    method, seen = make(), {}

    def on_step(record: dict[str, Any]) -> None:
        loss = validation_loss(method.student, method.document_encoder, task.data.validation)
        seen[record["step"]] = loss, method.student.fingerprint()

    task = task_of(make_task, many, on_step=on_step)
    method.fit(task)
    chosen = task.outcome["selection"]
    points = range(3, 31, 3)
    assert chosen["losses"] == {step: pytest.approx(seen[step][0]) for step in points}
    assert chosen["step"] == min(points, key=lambda step: seen[step][0]) < 30
    assert method.student.fingerprint() == seen[chosen["step"]][1]
    spent = task.outcome["spent"]
    assert 0 < spent.validation_seconds < spent.seconds


def test_validation_loss_by_hand(make_task: MakeTask, many: TrainingData) -> None:
    """The third row answers the question of the first, so neither is a negative of the other."""
    validation = Relevance.of(ENG, ("what is a", "what is b", "What is A?"), ("a one", "b one", "a two"), "hand")
    task, method = task_of(make_task, many), Distillation()
    method.prepare(task, task.make_student())
    queries = method.student.encode(validation.queries, "query")
    weights = np.exp(queries @ task.teacher.encode(validation.positives, "document").T / 0.05)
    weights[0, 2] = weights[2, 0] = 0
    expected = np.mean(-np.log(np.diag(weights) / weights.sum(axis=1)))
    assert validation_loss(method.student, method.document_encoder, validation) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("last", [4, 17, 30])
def test_resumed_training_chooses_the_same(make_task: MakeTask, many: TrainingData, tmp_path: Path, last: int) -> None:
    whole = task_of(make_task, many)
    expected = Distillation().fit(whole).query_encoder.fingerprint()

    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=0)
    with pytest.raises(Died):
        Distillation().fit(task_of(make_task, many, checkpoint=checkpoint, on_step=dies_after(last)))
    resumed = task_of(make_task, many, checkpoint=checkpoint)
    assert Distillation().fit(resumed).query_encoder.fingerprint() == expected
    assert resumed.outcome["selection"] == whole.outcome["selection"]
    assert resumed.outcome["spent"].tokens == whole.outcome["spent"].tokens


def test_a_tie_goes_to_the_earlier_and_without_validation_the_last_weights_stay(
    make_task: MakeTask, many: TrainingData
) -> None:
    frozen = task_of(make_task, many, recipe={"learning_rate": 1e-30, "embedding_learning_rate": 1e-30})
    Distillation().fit(frozen)
    assert frozen.outcome["selection"]["step"] == 3
    task = make_task(5)
    Distillation().fit(task)
    assert "selection" not in task.outcome
    assert task.outcome["spent"].validation_seconds == 0


def test_every_method_of_a_call_is_chosen_by_the_same_judgments(
    small_conlang: dict[str, Card], encoder_folder: Path, tmp_path: Path
) -> None:
    request = Request(
        methods=("distillation", "optical"),
        datasets=("conlang",),
        encoder=str(encoder_folder),
        budget=Budget(20, "steps"),
        scoring=("single-vector",),
        recipe={"selection": "english"},
        results=tmp_path,
        offline=True,
        quiet=True,
    )
    assert run(request, small_conlang) == 0
    manifests = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("trainings/*seed0*/manifest.json"))]
    trained = [manifest for manifest in manifests if manifest["spec"]["budget"]]
    assert [manifest["spec"]["methods"][0]["name"] for manifest in trained] == ["distillation", "optical"]
    assert len({json.dumps(manifest["data_report"]["held_out"]) for manifest in manifests}) == 1
    assert trained[0]["data_report"]["held_out"]["validation"] == 20  # a tenth of the collection's 200 questions
    for manifest in trained:
        assert manifest["spec"]["recipe"]["changed"] == ["selection"]
        assert list(map(int, manifest["outcome"]["selection"]["losses"])) == list(range(2, 21, 2))
        assert manifest["outcome"]["selection"]["step"] in range(2, 21, 2)
        assert manifest["cost"]["trained_validation_seconds"] > 0


def test_a_budget_in_seconds_is_looked_at_when_it_ends(make_task: MakeTask, many: TrainingData) -> None:
    task = task_of(make_task, many, budget=Budget(1, "seconds"))
    Distillation().fit(task)
    assert max(task.outcome["selection"]["losses"]) == task.outcome["spent"].steps
