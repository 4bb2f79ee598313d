"""The record of a training, made from outside: optimiser steps, tokens read by the student, test data opened."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
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
from bench.recipe import Spent
from bench.storage.hashing import digest_bytes


class Died(BaseException):
    """A simulated power cut, which no `except Exception` catches."""


@dataclass
class RecordedRun:
    """The record of one training."""

    teacher: Encoder
    guarded: Sequence[Path]
    """Folders of test collections, in which no file may be opened."""
    die_at: int | None = None
    """The step after which `Died` is raised."""
    retriever: Retriever = field(init=False)
    files: dict[str, str] = field(default_factory=dict)
    """The sha256 of each file of the saved retriever."""
    spent: Spent | None = None
    """The spent budget that the method reports."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """The log records of all steps."""
    norms: list[float] = field(default_factory=list)
    """The norm of the student's gradient at each of its optimiser steps."""
    other_steps: int = 0
    """Steps of optimisers without a parameter of the student."""
    changes: int = 0
    """Steps before which the student had changed since its previous step."""
    tokens: int = 0
    """Tokens that the student read until its last step."""
    seconds: float = 0.0
    """Seconds from before the first step until after the last."""
    resumed_from: int = 0
    test_data: list[str] = field(default_factory=list)
    """Test collections that were read, and files in the guarded folders that were opened."""
    _students: list[Encoder] = field(default_factory=list)
    _tokens: int = 0
    _weights: str = ""
    _started: float = 0.0

    def watched(self, student: Encoder) -> Encoder:
        """Return the student, whose steps and tokens are recorded from now on. Its copies are not recorded."""
        transformer = student.transformer

        def count(module: Any, arguments: Any, named: Mapping[str, Any]) -> None:
            if module is transformer:  # a copy has the same hook
                self._tokens += int(named["attention_mask"].sum())

        transformer.register_forward_pre_hook(count, with_kwargs=True)
        self._students.append(student)
        return student

    def on_resume(self, steps: int) -> None:
        self.resumed_from = steps
        self._started = time.perf_counter()

    def on_step(self, record: dict[str, Any]) -> None:
        self.records.append(record)
        self.tokens = self._tokens
        self.seconds = time.perf_counter() - self._started
        if record["step"] == self.die_at:
            raise Died

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record every optimiser step and every opened file within the block."""
        global _recording
        _install_hook()
        self._started = time.perf_counter()
        with register_optimizer_step_pre_hook(self._before_step), register_optimizer_step_post_hook(self._after_step):
            _recording = self
            try:
                yield
            finally:
                _recording = None

    def _before_step(self, optimiser: Optimizer, *_: Any) -> None:
        stepped = self._stepped(optimiser)
        if not stepped:
            self.other_steps += 1
            return
        self.changes += self._weights not in ("", self._digest())
        gradients = [parameter.grad.double().norm() for parameter in stepped if parameter.grad is not None]
        self.norms.append(float(torch.stack(gradients).norm()) if gradients else 0.0)

    def _after_step(self, optimiser: Optimizer, *_: Any) -> None:
        if self._stepped(optimiser):
            self._weights = self._digest()

    def _stepped(self, optimiser: Optimizer) -> list[Tensor]:
        """Return the student's parameters that an optimiser steps on."""
        stepped = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
        return [parameter for parameter in self._parameters() if id(parameter) in stepped]

    def _digest(self) -> str:
        return digest_bytes(b"".join(parameter.detach().cpu().numpy().tobytes() for parameter in self._parameters()))

    def _parameters(self) -> Iterator[Tensor]:
        return (parameter for student in self._students for parameter in student.parameters())

    def _on_audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        found = ""
        if event == READS_TEST:
            found = arguments[0]
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            found = path if any(Path(path).is_relative_to(folder) for folder in self.guarded) else ""
        if found and found not in self.test_data:
            self.test_data.append(found)


_recording: RecordedRun | None = None


@cache  # once: an audit hook cannot be removed
def _install_hook() -> None:
    sys.addaudithook(lambda event, arguments: _recording._on_audit(event, arguments) if _recording else None)
