"""One training, watched from outside: what is stepped on, what the student reads, which test data are looked at."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from bench.data import READS_TEST
from bench.encoders.encoder import Encoder
from bench.evaluation.retriever import Retriever
from bench.fingerprint import digest_bytes
from bench.training.budget import Spent


class Died(BaseException):
    """Stands for a power cut; no `except Exception` survives it."""


@dataclass
class TokenCounter:
    """Counts the tokens that a transformer reads; a copy of the transformer has a copy of it."""

    tokens: int = 0

    def __call__(self, module: Any, arguments: Any, named: Mapping[str, Any]) -> None:
        self.tokens += int(named["attention_mask"].sum())


@dataclass
class Trial:
    """What was seen of a training."""

    teacher: Encoder
    guarded: Sequence[Path]
    """Folders with test collections, in which nothing may be opened."""
    die_at: int | None = None
    """The step after which the power is cut."""
    retriever: Retriever = field(init=False)
    spent: Spent | None = None
    """What the method reports."""
    records: list[dict[str, Any]] = field(default_factory=list)
    student_steps: int = 0
    """Steps of optimisers that have a parameter of the student."""
    other_steps: int = 0
    norms: list[float] = field(default_factory=list)
    """Of the student's gradient at its steps."""
    changes: int = 0
    """How often the student was another before a step than after the one before."""
    tokens: int = 0
    """Read by the student until its last step."""
    seconds: float = 0.0
    """From before the first step until after the last."""
    resumed_from: int = 0
    test_data: list[str] = field(default_factory=list)
    """Test collections that were read, and files in the guarded folders that were opened."""
    _students: list[tuple[Encoder, TokenCounter]] = field(default_factory=list)
    _weights: str = ""
    _started: float = 0.0

    def watched(self, student: Encoder) -> Encoder:
        """The student, which is from now on this training's."""
        counter = TokenCounter()
        student.transformer.register_forward_pre_hook(counter, with_kwargs=True)
        self._students.append((student, counter))
        return student

    def on_resume(self, steps: int) -> None:
        self.resumed_from = steps
        self._started = time.perf_counter()

    def on_step(self, record: dict[str, Any]) -> None:
        """Raises `Died` where the power is to be cut."""
        self.records.append(record)
        self.tokens = sum(counter.tokens for _, counter in self._students)
        self.seconds = time.perf_counter() - self._started
        if record["step"] == self.die_at:
            raise Died

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block every optimiser and every file that is opened is watched."""
        global _on_test_data
        self._started = time.perf_counter()
        handles = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]
        _audit()
        _on_test_data = self._on_read
        try:
            yield
        finally:
            _on_test_data = None
            for handle in handles:
                handle.remove()

    def _before_step(self, optimiser: Optimizer, *_: Any) -> None:
        own = self._own(optimiser)
        if not own:
            self.other_steps += 1
            return
        self.student_steps += 1
        self.changes += self._weights not in ("", self._digest())
        gradients = [parameter.grad.double().norm() for parameter in own if parameter.grad is not None]
        self.norms.append(float(torch.stack(gradients).norm()) if gradients else 0.0)

    def _after_step(self, optimiser: Optimizer, *_: Any) -> None:
        if self._own(optimiser):
            self._weights = self._digest()

    def _own(self, optimiser: Optimizer) -> list[Tensor]:
        """The students' parameters that an optimiser steps on."""
        stepped = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
        return [parameter for parameter in self._parameters() if id(parameter) in stepped]

    def _digest(self) -> str:
        return digest_bytes(b"".join(parameter.detach().cpu().numpy().tobytes() for parameter in self._parameters()))

    def _parameters(self) -> Iterator[Tensor]:
        return (parameter for student, _ in self._students for parameter in student.parameters())

    def _on_read(self, event: str, what: str) -> None:
        if event == "open" and not any(Path(what).is_relative_to(folder) for folder in self.guarded):
            return
        if what not in self.test_data:
            self.test_data.append(what)


_on_test_data: Callable[[str, str], None] | None = None


@cache  # a hook stays until the process ends
def _audit() -> None:
    sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _on_test_data is None:
        return
    if event == READS_TEST:
        _on_test_data(event, arguments[0])
    elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        _on_test_data(event, os.path.realpath(os.fsdecode(arguments[0])))
