"""Trained methods and their one training loop: optimiser, schedule, precision and budget are the same for all."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from bench.encoders import sharing
from bench.encoders.encoder import Encoder, autocast
from bench.errors import CellFailed
from bench.evaluation.retriever import DualEncoder
from bench.recipe import Recipe, Spent
from bench.system.interrupt import deferred_interrupt
from bench.training.method import Method, MethodConfig, Task
from bench.training.selection import Selection, validation_loss

Batch = Mapping[str, np.ndarray]
"""Row indices into the method's data, (rows,) int64, by the name of the data. An array without dimensions, such as a
seed, has no rows."""


DIAGNOSED = 500
"""Texts that the figures about a trained student are computed on."""


class TrainedConfig(MethodConfig):
    """The configuration fields of every trained method."""

    document_encoder: Literal["teacher", "student"] = "teacher"
    """Encoder of documents: the frozen teacher, so that the student reads queries only, or the student itself."""
    weight: float = Field(1.0, gt=0)
    """Weight of this method's loss in a combination of methods."""
    learning_rate_factor: float = Field(1.0, gt=0)
    """Factor on the recipe's learning rates, also on that of word embeddings."""


class TrainedMethod(Method):
    """A method that trains a student by gradient steps on `loss`. It defines its batches and its loss."""

    Config: ClassVar[type[MethodConfig]] = TrainedConfig
    tuned: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """The values that `bench tune` draws from, by setting, besides those of `learning_rate_factor`."""
    aligners: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Configurations whose word alignment `bench inspect alignment` compares."""

    task: Task
    student: Encoder

    def fit(self, task: Task) -> DualEncoder:
        student = task.make_student(reads_documents=self.config.document_encoder == "student")
        with autocast(student.device, task.precision):
            self.prepare(task, student)
        task.outcome["spent"] = train(self, task)
        with autocast(student.device, task.precision):
            task.outcome["diagnostics"] = {**self._collapse(), **self.diagnose()}
        return DualEncoder(self.student, self.document_encoder)

    def _collapse(self) -> dict[str, float]:
        """Return figures about the queries of the training, of a sample of `DIAGNOSED` texts of the query languages.

        `mean_cosine` of different texts is 1 for a collapsed student; `unknown_pieces` is the share of [UNK].
        """
        texts = list(dict.fromkeys(self.task.data.texts(query_languages=True)))
        chosen = self.task.numpy_generator("diagnostics").permutation(len(texts))[:DIAGNOSED]
        if len(chosen) < 2:
            return {}
        sample = [texts[i] for i in chosen]
        total = self.student.encode(sample, "query").sum(axis=0)
        return {
            "mean_cosine": float((total @ total - len(sample)) / (len(sample) * (len(sample) - 1))),
            "unknown_pieces": self.student.unknown_pieces(sample, "query") or 0.0,
        }

    @property
    def document_encoder(self) -> Encoder:
        """The encoder of documents, in training and in retrieval: the frozen teacher or the student."""
        return self.task.teacher if self.config.document_encoder == "teacher" else self.student

    def prepare(self, task: Task, student: Encoder) -> None:
        """Keep the input of the training; a subclass also tokenises its data here."""
        self.task = task
        self.student = student

    def modules(self) -> list[tuple[nn.Module, float]]:
        """Return the trained modules besides the student, each with its learning rate."""
        return []

    def on_step_start(self, spent: Spent) -> None:
        """Act before a step, for example mine again or update a momentum.

        `spent` holds the expenses so far. Add those of mining to `spent.extra_texts` and `spent.extra_seconds`.
        """

    def state(self) -> dict[str, Tensor]:
        """Return the state of the training besides the weights of student and modules, for checkpoints."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of `state`."""

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield endless batches of row indices, a function of `rng` alone."""

    @abstractmethod
    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of one batch, a scalar, and figures for the log.

        `progress` is the spent share of the budget, 0 to 1.
        """

    def bitext_rows(self, batch: Batch) -> np.ndarray:
        """Return the rows of the task's bitext whose translation pairs a batch has; by default those named `bitext`.

        They are counted to report the epochs.
        """
        return batch.get("bitext", np.empty(0, dtype=np.int64))

    def align(self, english: Sequence[str], foreign: Sequence[str]) -> np.ndarray:
        """Return the relatedness of each word of an English sentence to each of its translation, (words, words) float.

        Only called for methods with `aligners`.
        """
        raise NotImplementedError

    def diagnose(self) -> dict[str, Any]:
        """Return figures about the trained student, computed once after training."""
        return {}


def train(method: TrainedMethod, task: Task) -> Spent:
    """Minimise `method.loss` until the budget is spent, and return what was spent.

    The training continues from the task's checkpoint if there is one. If the data have validation judgments, it ends
    with the weights that have the lowest loss on them. Raises `CellFailed` when the loss or a gradient is no longer a
    number. Ctrl-C raises KeyboardInterrupt at the end of the step, after saving.
    """
    student, budget, checkpoint, validation = method.student, task.budget, task.checkpoint, task.data.validation
    torch.manual_seed(task.seed)  # dropout draws from torch's global generator
    student.train()
    optimiser, selection = make_optimiser(method, task.recipe), Selection()
    base_rates = [group["lr"] for group in optimiser.param_groups]
    state, spent = checkpoint.load() if checkpoint else ({}, Spent())
    if state:
        _restore(state, method, optimiser, selection)
    task.on_resume(spent.steps)
    tokens_before, started = student.tokens_seen - spent.tokens, time.perf_counter() - spent.seconds
    cpu_started = time.process_time() - spent.cpu_seconds

    def count() -> None:
        spent.tokens = student.tokens_seen - tokens_before
        spent.seconds = time.perf_counter() - started
        spent.cpu_seconds = time.process_time() - cpu_started

    batches = islice(method.batches(task.numpy_generator("batches")), spent.steps, None)
    with deferred_interrupt() as interrupt:
        while spent.share(budget) < 1:
            with autocast(student.device, task.precision):
                method.on_step_start(spent)
            for group, rate in zip(optimiser.param_groups, base_rates, strict=True):
                group["lr"] = rate * schedule(spent.share(budget), task.recipe.warmup)
            batch = next(batches)
            figures = optimise(method, optimiser, batch, spent, task)
            spent.steps += 1
            count_rows(method, batch, spent)
            count()
            if len(validation) and selection.due(spent.share(budget)):
                before = time.perf_counter()
                with autocast(student.device, task.precision):
                    loss = validation_loss(student, method.document_encoder, validation)
                selection.add(spent.steps, loss, _weights(method))
                spent.validation_seconds += time.perf_counter() - before
                count()
            task.on_step(
                {
                    "step": spent.steps,
                    "share": spent.share(budget),
                    "learning_rate": optimiser.param_groups[0]["lr"],
                    "tokens": spent.tokens,
                    "examples": spent.examples,
                    "seconds": round(spent.seconds, 3),
                    "cpu_seconds": round(spent.cpu_seconds, 3),
                    **figures,
                }
            )
            if checkpoint and (checkpoint.due or interrupt.requested):
                checkpoint.save(_state(method, optimiser, selection), spent)
            interrupt.obey()
    student.eval()
    if selection.losses:
        _load_weights(method, selection.weights)
        task.outcome["selection"] = selection.report()
    return spent


def optimise(
    method: TrainedMethod, optimiser: torch.optim.Optimizer, batch: Batch, spent: Spent, task: Task
) -> dict[str, float]:
    """Do one step (loss, gradient, clipping, update) and return the figures for the log.

    Each module is clipped by its own norm, so that a discriminator's gradient never shortens the student's.
    """
    with sharing.shared(), autocast(method.student.device, task.precision):
        loss, figures = method.loss(batch, spent.share(task.budget))
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    modules = [method.student, *(module for module, _ in method.modules())]
    sharing.add_gradients(*modules)
    norms = [float(nn.utils.clip_grad_norm_(module.parameters(), task.recipe.clip_norm)) for module in modules]
    value = float(loss.detach())
    if not all(math.isfinite(number) for number in (value, *norms)):
        raise CellFailed(
            f"the loss is {value:g} and its gradient's norm {max(norms):g} at step {spent.steps + 1}; "
            "a lower learning rate or float32 may cure it"
        )
    optimiser.step()
    return {"loss": value, "gradient_norm": norms[0], **figures}


def count_rows(method: TrainedMethod, batch: Batch, spent: Spent) -> None:
    """Add the rows of a batch to the expenses, and those of the bitext by language pair."""
    spent.examples += sum(len(rows) for rows in batch.values() if rows.ndim)
    for row in method.bitext_rows(batch).tolist():
        pair = str(method.task.data.bitext.pairs[row])
        spent.bitext_rows[pair] = spent.bitext_rows.get(pair, 0) + 1


def make_optimiser(method: TrainedMethod, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW with groups for matrices, for biases and normalisation weights (undecayed), for word embeddings
    (undecayed) and for each extra module.
    """
    embeddings, factor = method.student.word_embeddings.weight, method.config.learning_rate_factor
    rest = [p for p in method.student.parameters() if p.requires_grad and p is not embeddings]
    matrices, vectors = [p for p in rest if p.ndim > 1], [p for p in rest if p.ndim <= 1]
    groups = [
        {"params": matrices, "lr": factor * recipe.learning_rate, "weight_decay": recipe.weight_decay},
        {"params": vectors, "lr": factor * recipe.learning_rate, "weight_decay": 0.0},
        {"params": [embeddings], "lr": factor * recipe.embedding_learning_rate, "weight_decay": 0.0},
    ]
    for module, rate in method.modules():
        groups.append({"params": list(module.parameters()), "lr": rate, "weight_decay": recipe.weight_decay})
    return torch.optim.AdamW(groups, fused=True)


def schedule(progress: float, warmup: float) -> float:
    """Return the factor on learning rates: linear warm-up over the share `warmup` of the budget, then linear decay to
    zero. It is never zero at the first step.
    """
    if progress < warmup:
        # With a budget in tokens or seconds the first steps' share is not known in advance.
        return max(progress / warmup, 0.01)
    return max((1 - progress) / max(1 - warmup, 1e-9), 0.0)


def _state(method: TrainedMethod, optimiser: torch.optim.Optimizer, selection: Selection) -> dict[str, Tensor]:
    """Return everything that the next step depends on."""
    moments = optimiser.state_dict()["state"]
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    parts = {"weights": _weights(method), "method": method.state(), "selection": selection.state(), "random": random}
    return prefixed(parts | {f"optimiser.{parameter}": tensors for parameter, tensors in moments.items()})


def _restore(
    state: Mapping[str, Tensor], method: TrainedMethod, optimiser: torch.optim.Optimizer, selection: Selection
) -> None:
    """Restore the result of `_state`."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in without_prefix("optimiser", state).items():
        parameter, _, key = name.partition(".")
        moments.setdefault(int(parameter), {})[key] = tensor
    _load_weights(method, without_prefix("weights", state))
    method.load_state(without_prefix("method", state))
    selection.load_state(without_prefix("selection", state))
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    torch.set_rng_state(state["random.cpu"])
    if "random.cuda" in state:
        torch.cuda.set_rng_state(state["random.cuda"])


def _weights(method: TrainedMethod) -> dict[str, Tensor]:
    """Return the tensors of the student and of the method's other modules, by unique names."""
    others = {f"module{i}": module.state_dict() for i, (module, _) in enumerate(method.modules())}
    return prefixed({"student": method.student.state_dict(), **others})


@torch.no_grad()
def _load_weights(method: TrainedMethod, weights: Mapping[str, Tensor]) -> None:
    for name, tensor in _weights(method).items():
        tensor.copy_(weights[name])


def prefixed(groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values of all groups, each named `group.name`."""
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}


def without_prefix(group: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of one group of a `prefixed` result."""
    return {name.removeprefix(f"{group}."): value for name, value in values.items() if name.startswith(f"{group}.")}
