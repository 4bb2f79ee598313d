"""The contract of a training method: a typed configuration and `fit(task) -> Retriever`.

Most methods train a student by gradient steps; they extend `TrainedMethod` and say only what they sample and what
they minimise. The loop, the optimiser, precision, the budget and all else that must be equal is `bench.training.loop`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from bench.data import TrainingData
from bench.encoders.encoder import Encoder
from bench.evaluation.retriever import DualEncoder, Retriever
from bench.training.budget import Budget, Spent
from bench.training.checkpoint import Checkpoint
from bench.training.recipe import Recipe
from bench.training.seeds import numpy_generator, torch_generator

Batch = Mapping[str, np.ndarray]
"""Row indices into the method's data, by the name of what they index."""


class MethodConfig(BaseModel):
    """A method's configuration: typed fields with defaults, each with a docstring; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    always_shown: ClassVar[tuple[str, ...]] = ()
    """The fields that leaderboards show even where they have their usual values."""


@dataclass
class Task:
    """All that a method is given. It never holds a test query or a judgment."""

    data: TrainingData
    teacher: Encoder
    make_student: Callable[[], Encoder]
    """A fresh student, the same bytes for every method of a comparison."""
    budget: Budget
    recipe: Recipe
    seed: int
    precision: str = "float32"
    """`float32` or `bfloat16`: what the forward passes of training are autocast to."""
    on_step: Callable[[dict[str, Any]], None] = lambda record: None
    """Called after every step with its record (step, loss, share of the budget spent ...)."""
    on_resume: Callable[[int], None] = lambda steps: None
    """Called before the first step with the number of steps that a checkpoint holds, 0 without one."""
    checkpoint: Checkpoint | None = None
    """Where the state of a training is kept, for one that dies to be resumed."""
    outcome: dict[str, Any] = field(default_factory=dict)
    """What the training reports besides its retriever: `spent`, `diagnostics`, and whatever else is worth to be kept in
    its manifest."""

    def numpy_generator(self, purpose: str) -> np.random.Generator:
        return numpy_generator(self.seed, purpose)

    def torch_generator(self, purpose: str) -> torch.Generator:
        return torch_generator(self.seed, purpose)


class Method(ABC):
    """A way from a task to a retriever.

    The first line of a subclass's docstring is its description in `bench ls methods`, the rest says what it minimises;
    a paragraph that begins with "Known limits:" has them. All of it makes the method's page (`bench ls methods NAME`).
    """

    name: ClassVar[str]
    Config: ClassVar[type[MethodConfig]] = MethodConfig
    source: ClassVar[str] = ""
    """Where the method comes from, for `bench ls methods`."""
    uses: tuple[str, ...] = ()
    """The training data it looks at: `bitext`, `unpaired text`, `relevance`. Shown next to its scores; what its
    configuration leaves out an instance does not name."""
    variants: ClassVar[dict[str, dict[str, Any]]] = {}
    """Configurations that can be asked for by a name of their own, which no other method may have."""
    depends_on: tuple[str, ...] = ("data", "budget", "seed")
    """What can change its retriever besides the teacher; a reference row that needs no training says less."""
    oracle: ClassVar[bool] = False
    """Whether its retriever is given the queries' translations into the document language instead of the queries."""
    scorings: ClassVar[tuple[str, ...]] = DualEncoder.scorings
    """What its retriever can score documents by; where none of them is asked for, it is evaluated by all."""

    def __init__(self, config: MethodConfig | None = None) -> None:
        self.config: Any = config if config is not None else self.Config()

    @abstractmethod
    def fit(self, task: Task) -> Retriever:
        """Make a retriever from the task's data within its budget."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it uses besides the teacher: known encoders, folders or ids of the hub.

        Their files are part of the training's fingerprint. `--methods all` leaves a method out whose models would have
        to be downloaded.
        """
        return ()

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> Retriever:
        """Read the retriever that `fit` returned and its `save` wrote to the folder.

        `DualEncoder.save` copies every encoder but the teacher; where anybody can get it by its name, override both to
        keep that and its fingerprint only.
        """
        return DualEncoder.load(folder, teacher)


class TrainedConfig(MethodConfig):
    """What every trained method can be told."""

    documents: Literal["teacher", "student"] = "teacher"
    """Who encodes documents: the frozen teacher, so that the student reads queries only, or the student itself."""
    weight: float = Field(1.0, gt=0)
    """Of this method's loss, where it is combined with others."""


class TrainedMethod(Method):
    """A method that trains a student by gradient steps on `loss`."""

    Config: ClassVar[type[MethodConfig]] = TrainedConfig
    aligners: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Configurations whose word alignment `bench inspect alignment` compares."""

    task: Task
    student: Encoder

    def fit(self, task: Task) -> DualEncoder:
        from bench.training.loop import train

        self.prepare(task, task.make_student())
        task.outcome["spent"] = train(self, task)
        task.outcome["diagnostics"] = self.diagnose()
        return DualEncoder(self.student, self.document_encoder)

    @property
    def document_encoder(self) -> Encoder:
        """What documents are encoded by, in training as in retrieval: the frozen teacher or the student."""
        return self.task.teacher if self.config.documents == "teacher" else self.student

    def prepare(self, task: Task, student: Encoder) -> None:
        """Keep what training needs; a subclass tokenises its data here."""
        self.task = task
        self.student = student

    def modules(self) -> list[tuple[nn.Module, float]]:
        """Trained modules besides the student, each with its learning rate."""
        return []

    def refresh(self, spent: Spent) -> None:
        """Called before every step, with what was spent so far: mine again, update a momentum, and the like.

        What that costs is added to `spent.mining_texts` and `spent.mining_seconds`.
        """

    def state(self) -> dict[str, Tensor]:
        """What a training goes on from besides the student's and the modules' weights; kept in its checkpoints."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` returned."""

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """What it samples: an endless stream of row indices, a function of `rng` alone."""

    @abstractmethod
    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        """What it minimises on one batch: a scalar, and figures for the log.

        `progress` is the share of the budget that is spent, 0 to 1.
        """

    def align(self, english: Sequence[str], foreign: Sequence[str]) -> np.ndarray:
        """How much the loss relates each word of an English sentence to each of its translation: (words, words) float.

        Only a method that names `aligners` is asked.
        """
        raise NotImplementedError

    def diagnose(self) -> dict[str, Any]:
        """Figures about the trained student, computed once after training."""
        return {}
