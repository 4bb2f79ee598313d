"""Properties of every trained method: a seed decides the student, training helps, and the teacher is never changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import registry
from bench.encoders.encoder import Encoder
from bench.training.checkpoint import Checkpoint
from bench.training.combination import Combination
from bench.training.loop import TrainedMethod
from bench.training.method import Task
from methods.adversarial import Adversarial, AdversarialConfig
from methods.code_switch import CodeSwitch
from methods.contrastive import Contrastive
from methods.distillation import Distillation
from methods.hard_negatives import HardNegatives, HardNegativesConfig
from methods.hybrid_batch import HybridBatch
from methods.optical import SOLVERS, Optical, OpticalConfig
from methods.posterior_alignment import PosteriorAlignment, PosteriorAlignmentConfig
from methods.seq2seq import LearningToTranslate

MakeTask = Callable[..., Task]
Make = Callable[[], TrainedMethod]
UNTRAINED = {"off-the-shelf", "psq"}


def negatives(**config: Any) -> HardNegatives:
    return HardNegatives(HardNegativesConfig(refresh=4, depth=20, candidates=100, number=3, **config))


METHODS: dict[str, Make] = {
    "adversarial": Adversarial,
    "adversarial wasserstein": lambda: Adversarial(AdversarialConfig(loss="wasserstein", momentum=0.5, pair_weight=1)),
    "code-switch": CodeSwitch,
    "contrastive": Contrastive,
    "distillation": Distillation,
    "hard-negatives": negatives,
    "hard-negatives student": lambda: negatives(document_encoder="student"),
    "hybrid-batch": HybridBatch,
    "posterior-alignment": PosteriorAlignment,
    "posterior-alignment teacher": lambda: PosteriorAlignment(PosteriorAlignmentConfig(document_encoder="teacher")),
    "translate-test": lambda: LearningToTranslate(20, 5e-3, 0.1),
    "optical": Optical,
    "optical student": lambda: Optical(OpticalConfig(document_encoder="student")),
}
COMBINED: dict[str, Make] = {
    "optical+negatives": lambda: Combination([Optical(), negatives()], ["optical", "negatives"]),
    "negatives+optical": lambda: Combination([negatives(), Optical()], ["negatives", "optical"]),
    "hybrid+adversarial": lambda: Combination([HybridBatch(), Adversarial()], ["hybrid", "adversarial"]),
}
ALL = METHODS | COMBINED


def test_every_method_is_in_the_table() -> None:
    own = {each.base for each in registry.known().values() if each.package == registry.OWN and not each.reference}
    assert own - UNTRAINED == {name.split()[0] for name in METHODS}


@pytest.mark.parametrize("name", ALL)
def test_seed_decides_the_batches_and_the_student(name: str, make_task: MakeTask) -> None:
    students = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(number)  # the global state has no effect
        task = make_task(steps=5, seed=seed)
        method = ALL[name]()
        method.fit(task)
        assert task.outcome["spent"].steps == 5
        students.append(method.student.fingerprint())
    assert students[0] == students[1] != students[2]

    def sample(seed: int) -> list[Any]:
        batches = islice(method.batches(np.random.default_rng(seed)), 3)
        return [{key: rows.tolist() for key, rows in batch.items()} for batch in batches]

    assert sample(0) == sample(0) != sample(1)


@pytest.mark.parametrize("name", ALL)
def test_teacher_is_left_alone_and_documents_are_encoded_as_configured(
    name: str, make_task: MakeTask, teacher: Encoder
) -> None:
    before, task, method = teacher.fingerprint(), make_task(steps=3), ALL[name]()
    retriever = method.fit(task)
    assert teacher.fingerprint() == before
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    expected = teacher if method.config.document_encoder == "teacher" else retriever.query_encoder
    assert retriever.document_encoder is expected
    assert retriever.query_encoder.fingerprint() != task.make_student().fingerprint()


@pytest.mark.parametrize("last", [1, 4])
@pytest.mark.parametrize("name", ALL)
def test_resumed_training_ends_in_the_same_bytes(name: str, last: int, make_task: MakeTask, tmp_path: Path) -> None:
    class Died(Exception):
        pass

    def dies(record: dict[str, Any]) -> None:
        if record["step"] == last:
            raise Died

    def fit(**fields: Any) -> list[Any]:
        method, task = ALL[name](), make_task(6, recipe={"batch_size": 12, "dropout": 0.1}, **fields)
        method.fit(task)
        modules = [module.state_dict() for module, _ in method.modules()]
        weights = [tensor.tolist() for state in modules for tensor in state.values()]
        return [method.student.fingerprint(), weights, task.outcome["diagnostics"]]

    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", interval=0)
    with pytest.raises(Died):
        fit(checkpoint=checkpoint, on_step=dies)
    assert fit(checkpoint=checkpoint) == fit()


def learners() -> Iterator[tuple[str, Make, str]]:
    """Methods, and the figure that has to fall."""
    solvers = {f"optical {name}": lambda name=name: Optical(OpticalConfig(solver=name)) for name in SOLVERS}
    for name, make in {**METHODS, **solvers}.items():
        yield name, make, "task_loss" if name.startswith("adversarial") else "loss"


@pytest.mark.parametrize(("make", "figure"), [each[1:] for each in learners()], ids=[each[0] for each in learners()])
def test_training_reduces_the_loss(make: Make, figure: str, make_task: MakeTask) -> None:
    losses: list[float] = []
    make().fit(make_task(steps=40, on_step=lambda record: losses.append(record[figure])))
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
