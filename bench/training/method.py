"""The contract of a method: a typed configuration and `fit(task) -> Retriever`.

A method that trains a student by gradient steps extends `bench.training.loop.TrainedMethod` instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from bench.data import TrainingData
from bench.encoders.encoder import Encoder, autocast
from bench.evaluation.retriever import DualEncoder, Retriever
from bench.recipe import Budget, Recipe
from bench.sampling import numpy_generator, torch_generator
from bench.training.checkpoint import Checkpoint


class MethodConfig(BaseModel):
    """A method's configuration: typed fields with defaults, each with a docstring. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    always_shown: ClassVar[tuple[str, ...]] = ()
    """The fields that leaderboards show even if they have their default values."""


@dataclass
class Task:
    """The input of a method. It never holds a test query or a judgment of a test."""

    data: TrainingData
    teacher: Encoder
    make_student: Callable[..., Encoder]
    """Returns a fresh student, the same bytes for every method. With `reads_documents=True` it keeps the vocabulary of
    its teacher besides its own."""
    budget: Budget
    recipe: Recipe
    seed: int
    precision: str = "float32"
    """The precision of forward passes: `float32` or `bfloat16` (by autocast)."""
    on_step: Callable[[dict[str, Any]], None] = lambda record: None
    """Called after every step with its record (step, loss, spent share of the budget ...)."""
    on_resume: Callable[[int], None] = lambda steps: None
    """Called before the first step with the number of steps in the checkpoint, 0 without one."""
    checkpoint: Checkpoint | None = None
    stored_embeddings: Callable[[Sequence[str]], np.ndarray] | None = None
    """Returns the teacher's embeddings of documents from a store that trainings share; None to compute them."""
    outcome: dict[str, Any] = field(default_factory=dict)
    """The results of a training besides its retriever, for its manifest: `spent`, `diagnostics` and others."""

    def teacher_embeddings(self, texts: Sequence[str]) -> np.ndarray:
        """Return the frozen teacher's embeddings of documents in the training's precision.

        Shape (n, dimension), float32, L2-normalised.
        """
        with autocast(self.teacher.device, self.precision):
            if self.stored_embeddings is not None:
                return self.stored_embeddings(texts)
            return self.teacher.encode(texts, "document")

    def numpy_generator(self, purpose: str) -> np.random.Generator:
        return numpy_generator(self.seed, purpose)

    def torch_generator(self, purpose: str) -> torch.Generator:
        return torch_generator(self.seed, purpose)


class Method(ABC):
    """A way from a task to a retriever.

    The docstring of a subclass is its page in `bench ls methods NAME`. The first line is its description in
    `bench ls methods`, the rest states its loss. A paragraph that begins with "Known limits:" states its limits.
    """

    name: ClassVar[str]
    Config: ClassVar[type[MethodConfig]] = MethodConfig
    source: ClassVar[str] = ""
    """The publication of the method, for `bench ls methods`."""
    supervision: tuple[str, ...] = ()
    """The training data that it uses: `bitext`, `unpaired text`, `relevance`. Shown next to its scores. An instance
    leaves out the data that its configuration excludes."""
    variants: ClassVar[dict[str, dict[str, Any]]] = {}
    """Configurations with a name of their own, which no other method may have."""
    depends_on: tuple[str, ...] = ("data", "budget", "seed")
    """The inputs besides the teacher that can change its retriever. Reference rows override this if they do not
    train."""
    oracle: ClassVar[bool] = False
    """True if its retriever is given translations of the queries into the document language instead of the queries."""
    scorings: ClassVar[tuple[str, ...]] = DualEncoder.scorings
    """The scorings that its retriever supports. It is evaluated by all of them if none of them is requested."""

    def __init__(self, config: MethodConfig | None = None) -> None:
        self.config: Any = config if config is not None else self.Config()

    @abstractmethod
    def fit(self, task: Task) -> Retriever:
        """Return a retriever made from the task's data within its budget."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it uses besides the teacher: known encoders, folders or ids of the hub.

        Their files are part of the training's fingerprint. `--methods all` skips a method whose models would have to be
        downloaded.
        """
        return ()

    @classmethod
    def load(cls, folder: Path, teacher: Encoder) -> Retriever:
        """Return the retriever that `fit` returned and that its `save` wrote to the folder.

        `DualEncoder.save` copies every encoder but the teacher. For a published encoder, override both methods to store
        its name and fingerprint only.
        """
        return DualEncoder.load(folder, teacher)
