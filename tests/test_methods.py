"""Properties of every trained method: a seed decides the student, training helps, and the teacher is never changed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Died, MakeTask, dies_after

from bench import registry
from bench.encoders.encoder import Encoder
from bench.training.checkpoint import Checkpoint
from bench.training.combination import Combination
from bench.training.loop import TrainedConfig, TrainedMethod
from methods.adversarial import Adversarial, AdversarialConfig
from methods.code_switch import CodeSwitch
from methods.contrastive import Contrastive, ContrastiveConfig
from methods.distillation import Distillation
from methods.hard_negatives import HardNegatives, HardNegativesConfig
from methods.hybrid_batch import HybridBatch
from methods.optical import SOLVERS, Optical, OpticalConfig
from methods.posterior_alignment import PosteriorAlignment, PosteriorAlignmentConfig
from methods.translate_distill import TranslateDistill

Make = Callable[[], TrainedMethod]
UNTRAINED = {"bm25", "fusion", "off-the-shelf", "psq", "translate-test"}


def negatives(**config: Any) -> HardNegatives:
    settings = {"refresh": 4, "depth": 20, "candidates": 100, "number": 3, "learning_rate_factor": 1.0}
    return HardNegatives(HardNegativesConfig(**{**settings, **config}))


METHODS: dict[str, Make] = {
    "adversarial": Adversarial,
    "adversarial wasserstein": lambda: Adversarial(AdversarialConfig(loss="wasserstein", momentum=0.5, pair_weight=1)),
    "adversarial token": lambda: Adversarial(AdversarialConfig(level="token", schedule="decay")),
    "code-switch": CodeSwitch,
    "contrastive": Contrastive,
    "contrastive student": lambda: Contrastive(ContrastiveConfig(document_encoder="student")),
    "distillation": Distillation,
    "distillation student": lambda: Distillation(TrainedConfig(document_encoder="student")),
    "hard-negatives": negatives,
    "hard-negatives student": lambda: negatives(document_encoder="student"),
    "hybrid-batch": HybridBatch,
    "posterior-alignment": lambda: PosteriorAlignment(PosteriorAlignmentConfig(every=2)),
    "posterior-alignment teacher": lambda: PosteriorAlignment(PosteriorAlignmentConfig(document_encoder="teacher")),
    "optical": Optical,
    "optical student": lambda: Optical(OpticalConfig(document_encoder="student")),
    "translate-distill": TranslateDistill,
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


@pytest.mark.parametrize("last", [1, 4])
@pytest.mark.parametrize("name", ALL)
def test_resumed_training_ends_in_the_same_bytes(
    name: str, last: int, make_task: MakeTask, teacher: Encoder, tmp_path: Path
) -> None:
    def fit(seed: int = 0, **fields: Any) -> list[Any]:
        torch.manual_seed(len(fields))  # the global state has no effect
        method, task = ALL[name](), make_task(6, seed, recipe={"batch_size": 12, "dropout": 0.1}, **fields)
        retriever = method.fit(task)
        expected = teacher if method.config.document_encoder == "teacher" else retriever.query_encoder
        assert retriever.document_encoder is expected
        modules = [module.state_dict() for module, _ in method.modules()]
        weights = [tensor.tolist() for state in modules for tensor in state.values()]
        return [method.student.fingerprint(), weights, task.outcome["diagnostics"]]

    checkpoint, before = Checkpoint(tmp_path / "checkpoint.safetensors", interval=0), teacher.fingerprint()
    with pytest.raises(Died):
        fit(checkpoint=checkpoint, on_step=dies_after(last))
    assert fit(checkpoint=checkpoint) == (whole := fit())
    assert fit(seed=1)[0] != whole[0]
    assert teacher.fingerprint() == before


def learners() -> Iterator[tuple[str, Make, str]]:
    """Methods, and the figure that has to fall."""
    solvers = {f"optical {name}": lambda name=name: Optical(OpticalConfig(solver=name)) for name in SOLVERS}
    for name, make in {**METHODS, **solvers}.items():
        yield name, make, "task_loss" if name.startswith(("adversarial", "posterior")) else "loss"


@pytest.mark.parametrize(("make", "figure"), [each[1:] for each in learners()], ids=[each[0] for each in learners()])
def test_training_reduces_the_loss(make: Make, figure: str, make_task: MakeTask) -> None:
    losses: list[float] = []
    task = make_task(steps=40, recipe={"initialisation": "shared"}, on_step=lambda r: losses.append(r[figure]))
    make().fit(task)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
