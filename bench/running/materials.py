"""What trainings are made from: device, teacher, data and student, each made once and shared by all methods."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from bench.data import Bitext, TrainingData
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.data.heldout import hold_out
from bench.data.levels import Level, misalign, sample
from bench.data.mixing import training_data
from bench.encoders.encoder import Encoder
from bench.encoders.models import load_teacher
from bench.encoders.vocabulary import make_student
from bench.errors import BenchError
from bench.evaluation.measures import RUN_DEPTH
from bench.fingerprint import code_digest, digest_texts, library_versions
from bench.progress import Display
from bench.running.plan import Cell, Training
from bench.training.budget import Budget
from bench.training.loop import fast_precision
from bench.training.method import Task
from bench.training.seeds import numpy_generator

TRAINING_LIBRARIES = ("torch", "transformers", "tokenizers", "POT", "faiss-cpu", "numpy", "scipy", "scikit-learn")
CELL_LIBRARIES = ("torch", "transformers", "tokenizers", "faiss-cpu", "ir-measures", "pytrec-eval-terrier", "numpy")


@dataclass
class Materials:
    """Teacher, data and students of one call; of data and students only the last asked for are kept."""

    encoder: str
    device_name: str
    precision_name: str
    cards: Mapping[str, Card]
    resolver: Resolver
    display: Display
    _data: dict[Any, TrainingData] = field(default_factory=dict)
    _students: dict[Any, Encoder] = field(default_factory=dict)

    @cached_property
    def device(self) -> torch.device:
        """Raises `BenchError` for a GPU that is not there."""
        if self.device_name == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device_name == "cuda" and not torch.cuda.is_available():
            raise BenchError("--device cuda: torch sees no GPU here; use --device cpu")
        return torch.device(self.device_name)

    @cached_property
    def precision(self) -> str:
        """What training is autocast to: `float32` or `bfloat16`."""
        return (
            fast_precision(self.device, self.teacher.dimension)
            if self.precision_name == "auto"
            else self.precision_name
        )

    @cached_property
    def teacher(self) -> Encoder:
        """The frozen encoder. Raises `BenchError` if it cannot be had."""
        with self.display.stage(f"loading {self.encoder}", 1, "of its training") as stage:
            return load_teacher(
                self.encoder,
                self.device,
                offline=self.resolver.offline,
                on_step=lambda record: stage.update(record["share"], f"loss {record['loss']:.3f}"),
            )

    @cached_property
    def teacher_fingerprint(self) -> str:
        return self.teacher.fingerprint()

    def data(self, training: Training) -> TrainingData:
        """What a training may look at. Raises `BenchError` for data that are missing or malformed."""
        if not training.train:
            return TrainingData.none(training.pairs)
        seed = training.seed or 0
        validated = training.recipe.selection != "last"
        key = (training.train, training.pairs, training.keep_leaks, validated and seed)
        if key not in self._data:
            self._data.clear()
            data = training_data(
                training.train, training.pairs, self.resolver, self.cards, keep_leaks=training.keep_leaks
            )
            self._data[key] = hold_out(data, numpy_generator(seed, "validation")) if validated else data
        return at_level(self._data[key], training.level, seed)

    def student(self, training: Training) -> Encoder:
        """The student that every method of this pair, level, recipe and seed trains a copy of."""
        if not training.train:
            return self.teacher
        key = (
            training.train,
            training.pairs,
            training.keep_leaks,
            training.level,
            training.recipe,
            training.seed,
        )
        if key not in self._students:
            self._students.clear()
            texts = self.data(training).texts
            self._students[key] = make_student(self.teacher, texts, training.recipe, training.seed or 0)
        return self._students[key]

    def task(self, training: Training) -> Task:
        """What the method of a training is given, with a teacher of its own, so that training it harms nobody else."""
        return Task(
            data=self.data(training),
            teacher=self.teacher.copy(),
            make_student=self.student(training).copy,
            budget=training.budget or Budget(1, "steps"),  # a method that says it spends none is given next to none
            recipe=training.recipe,
            seed=training.seed or 0,
            precision=self.precision,
        )

    def training_inputs(self, training: Training) -> dict[str, Any]:
        """Everything that can change the retriever; its digest is the training's fingerprint."""
        inputs: dict[str, Any] = {
            "methods": [
                {
                    "name": part.entry.name,
                    "config": part.config.model_dump(),
                    "code": code_digest(part.entry.module),
                    "inputs": part.make().inputs(),
                }
                for part in training.row.parts
            ],
            "teacher": self.teacher_fingerprint,
            "libraries": library_versions(*TRAINING_LIBRARIES),
            "device": self.device.type,
        }
        if len(training.row.parts) > 1:
            inputs["combination"] = code_digest("bench.training.combination")
        if training.train:
            inputs["data"] = digest_data(self.data(training))
            inputs["vocabulary"] = code_digest("bench.encoders.vocabulary")
            inputs["recipe"] = training.recipe.model_dump()
        if training.keep_leaks:
            inputs["leakage"] = "keep"  # even if there is none, so that no clean row is found marked, or the reverse
        if training.budget is not None:
            inputs["budget"] = str(training.budget)
            inputs["precision"] = self.precision
        if training.seed is not None:
            inputs["seed"] = training.seed
        return inputs


def at_level(data: TrainingData, level: Level, seed: int) -> TrainingData:
    """The data with less or worse bitext of each pair, the same rows for every method that trains with this seed.

    The report gains `level`: the number of pairs `kept` of each source, and how many pairs are `misaligned`.
    """
    if level == Level():
        return data
    parts = [data.bitext.between(pair) for pair in data.pairs]
    if level.size is not None:
        parts = [sample(part, level.size, numpy_generator(seed, "bitext size")) for part in parts]
    aligned = Bitext.join(parts)
    if level.noise:
        parts = [misalign(part, level.noise, numpy_generator(seed, "bitext noise")) for part in parts]
    bitext = Bitext.join(parts)
    misaligned = sum(map(operator.ne, aligned.document_side, bitext.document_side))
    return replace(
        data,
        bitext=bitext,
        report={**data.report, "level": {"kept": Counter(bitext.sources), "misaligned": misaligned}},
    )


def cell_inputs(cell: Cell, training_fingerprint: str) -> dict[str, Any]:
    """Everything that can change the run; its digest is the cell's fingerprint."""
    return {
        "training": training_fingerprint,
        "test": cell.test.digest,
        "scoring": cell.scoring,
        "depth": RUN_DEPTH,
        "code": {module: code_digest(module) for module in ("bench.evaluation.evaluate", "bench.evaluation.measures")},
        "libraries": library_versions(*CELL_LIBRARIES),
    }


def digest_data(data: TrainingData) -> str:
    """The hash of the texts that are trained on or chosen by, and of their languages."""
    return digest_texts(
        *(
            map(str, column)
            for rows in (data.bitext, data.relevance, data.validation)
            for column in (*rows.columns[:2], rows.pairs)
        )
    )
