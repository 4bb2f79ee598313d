"""The machine, teacher, data and students of a call, shared by its trainings and cells.

`training_inputs` and `cell_inputs` load none of them. Only functions that load something import heavy libraries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from bench import registry
from bench.data import TrainingData
from bench.data.bitext_subsets import BitextSubset, take_subset
from bench.data.cards import Card
from bench.data.files import Resolver
from bench.data.sources import LazyTrainingData
from bench.dependencies.fingerprint import of_code, of_libraries, of_test, plugin_libraries
from bench.encoders.models import TINY, model_folder
from bench.evaluation.measures import LIBRARIES, RUN_DEPTH
from bench.progress import Display
from bench.recipe import Budget, Recipe
from bench.request import Scoring
from bench.results.store import EMBEDDINGS
from bench.running.experiment import Cell, Training
from bench.spec import RunSpec
from bench.storage.sealed import default_cache
from bench.system.machine import kind_of, machine, precision
from bench.system.offline import forbid_network
from bench.training.teachers import Identity, fingerprint_of, identity_if_known, load_teacher

if TYPE_CHECKING:
    import numpy as np

    from bench.encoders.encoder import Encoder
    from bench.training.method import Task

ENCODER_LIBRARIES = ("torch", "transformers", "tokenizers", "faiss-cpu")
TRAINING_LIBRARIES = (*ENCODER_LIBRARIES, "POT", "numpy", "pandas", "scipy", "scikit-learn")
CELL_LIBRARIES = (*ENCODER_LIBRARIES, *LIBRARIES)
CELL_CODE = ("bench.evaluation.evaluate", "bench.evaluation.tasks")
TOKENS = "tokens"
"""The folder of tokenised texts in the cache."""


@dataclass
class Resources:
    """Teacher, data and the last student of one call."""

    encoder: str
    device: str
    """The device of torch, such as `cpu` or `cuda:1`; several that share a training, as `cuda:0+cuda:1`."""
    precision_name: str
    cards: Mapping[str, Card]
    resolver: Resolver
    display: Display
    threads: int
    """Number of processor threads; the caller sets it in the libraries."""
    _data: dict[Any, LazyTrainingData] = field(default_factory=dict, init=False)
    _students: dict[Any, Encoder] = field(default_factory=dict, init=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the fields, from which another process makes its own resources once."""
        return _made_once, tuple(getattr(self, each.name) for each in fields(self) if each.init)

    @property
    def cache(self) -> Path:
        """The folder of derived files."""
        return self.resolver.derived or default_cache()

    @property
    def devices(self) -> list[str]:
        """The devices that share a training. The first one also evaluates its cells."""
        return self.device.split("+")

    @property
    def device_type(self) -> str:
        """`cpu`, `cuda` or `mps`."""
        return kind_of(self.device)

    @cached_property
    def precision(self) -> str:
        """Number format of forward passes: `float32` or `bfloat16`."""
        return precision(self.precision_name, self.device_type, self.identity.dimension, machine())

    @cached_property
    def teacher(self) -> Encoder:
        """The frozen encoder. Raises `BenchError` if it cannot be loaded."""
        import torch

        if self.device.startswith("cuda:"):
            torch.cuda.set_device(self.devices[0])  # meters and generators are those of the current one
        with self.display.stage(f"loading {self.encoder}", 1, "of its training") as stage:
            encoder = load_teacher(
                self.encoder,
                torch.device(self.devices[0]),
                offline=self.resolver.offline,
                on_step=lambda record: stage(record["share"], f"loss {record['loss']:.3f}"),
                on_damage=self.display.warn,
            )
        encoder.token_cache = self.cache / TOKENS
        folder = None if TINY.fullmatch(self.encoder) else model_folder(self.encoder, offline=True)
        if folder and not (folder / "modules.json").is_file():
            self.display.say(f"{self.encoder} states no pooling; its embedding is the mean of the token embeddings")
        return encoder

    @cached_property
    def identity(self) -> Identity:
        """The fingerprint and the dimension of the teacher. Raises `BenchError` if it cannot be loaded."""
        known = identity_if_known(self.encoder, offline=self.resolver.offline)
        return known or Identity(self.teacher.fingerprint(), self.teacher.dimension)

    def lazy_data(self, spec: RunSpec) -> LazyTrainingData:
        """Return the training data of a spec, before validation rows are removed and the rest is sampled."""
        key = (spec.train, spec.pairs, spec.unseen, spec.leakage)
        if key not in self._data:
            keep = spec.leakage == "keep"
            self._data[key] = LazyTrainingData(spec.train, spec.pairs, self.resolver, self.cards, keep, spec.unseen)
        return self._data[key]

    def data(self, spec: RunSpec) -> TrainingData:
        """Return the data of a training. Raises `BenchError` if they are missing or malformed."""
        from bench.data.validation_split import split_validation
        from bench.sampling import numpy_generator

        if not spec.train:
            return TrainingData.none(spec.pairs)
        data, generator = self.lazy_data(spec).load(), partial(numpy_generator, spec.seed or 0)
        if recipe_of(spec).selection != "last":
            data = split_validation(data, generator("validation"))
        return take_subset(data, spec.subset, generator)

    def student(self, spec: RunSpec, data: TrainingData, *, reads_documents: bool = False) -> Encoder:
        """Return a copy of the untrained student for this data, recipe and seed."""
        from bench.encoders.student import make_student

        if not spec.train:
            return self.teacher.copy()
        key = (spec.train, spec.pairs, spec.leakage, spec.subset, spec.recipe, spec.seed, reads_documents)
        if key not in self._students:
            self._students = {other: made for other, made in self._students.items() if other[:-1] == key[:-1]}
            self._students[key] = make_student(
                self.teacher,
                data,
                recipe_of(spec),
                spec.seed or 0,
                reads_documents=reads_documents,
                cache=self.cache,
            )
        return self._students[key].copy()

    def task(self, spec: RunSpec) -> Task:
        """Return the task of a training, with a copy of the teacher."""
        from bench.training.method import Task

        data = self.data(spec)
        return Task(
            data=data,
            teacher=self.teacher.copy(),
            make_student=partial(self.student, spec, data),
            budget=spec.budget or Budget(1, "steps"),  # a method without a budget has none
            recipe=recipe_of(spec),
            seed=spec.seed or 0,
            precision=self.precision,
            stored_embeddings=self.teacher_embeddings,
        )

    def teacher_embeddings(self, texts: Sequence[str]) -> np.ndarray:
        """Return the teacher's L2-normalised embeddings of documents, (n, dimension) float32, stored in the cache."""
        import numpy as np

        from bench.evaluation.embeddings import Embeddings
        from bench.evaluation.retriever import DualEncoder

        done = 0

        def on_texts(count: int) -> None:
            nonlocal done
            done += count
            stage(done)

        with self.display.stage("encoding training documents", len(texts), "texts") as stage:
            retriever = DualEncoder(self.teacher, self.teacher)
            blocks = Embeddings(retriever, "document", texts, self.cache / EMBEDDINGS, on_texts)
            return np.concatenate(list(blocks))

    def are_known(self, training: Training, cells: Sequence[Cell]) -> bool:
        """Return True if all inputs are known without reading a text or training a teacher."""
        spec = training.spec
        return (
            identity_if_known(spec.encoder, offline=True) is not None
            and all(cell.test.summary_if_known for cell in cells)
            and (not spec.train or self.lazy_data(spec).summary_if_known is not None)
        )

    def training_inputs(self, training: Training) -> dict[str, str]:
        """Return all inputs of a training by name, without its spec."""
        spec, row = training.spec, training.method
        inputs = {f"encoder {spec.encoder}": self.identity.fingerprint}
        code = {
            "bench.encoders.student": bool(spec.train),
            "bench.data.bitext_subsets": bool(spec.train) and spec.subset != BitextSubset(),
            "bench.data.validation_split": bool(spec.train) and recipe_of(spec).selection != "last",
            "bench.training.combination": len(row.methods) > 1 and not row.parts,
        }
        inputs |= of_code(module for module, used in code.items() if used)
        if spec.train:
            data = f"training data {'+'.join(spec.train)} {'+'.join(map(str, spec.pairs))}"
            inputs[f"{data} with leaks" if spec.leakage == "keep" else data] = self.lazy_data(spec).summary.digest
        for method, module in zip(row.methods, row.modules, strict=True):
            inputs |= of_code([module], method.name)
            if registry.find_method(method.place or method.name).package != registry.OWN:
                inputs |= {f"library {name}": version for name, version in plugin_libraries(module).items()}
        for model in row.models:
            inputs[f"model {model}"] = fingerprint_of(model, offline=self.resolver.offline)
        inputs |= of_libraries(*TRAINING_LIBRARIES)
        how = {"device": self.device_type, "threads": str(self.threads)}
        if spec.budget is not None:
            how["precision"] = self.precision
            if len(self.devices) > 1:
                how["devices"] = str(len(self.devices))
        return inputs | how

    def cell_inputs(self, cell: Cell) -> dict[str, str]:
        """Return all inputs of a cell by name, without its spec and retriever."""
        inputs = of_test(cell.test.name, cell.test.pair, cell.test.summary.digest)
        inputs |= of_code(CELL_CODE) | of_libraries(*CELL_LIBRARIES)
        how = {"device": self.device_type, "threads": str(self.threads)}
        if (precision := self.precision_of(cell)) != "float32":
            how["precision"] = precision
        return inputs | {"depth": str(RUN_DEPTH), **how}

    def precision_of(self, cell: Cell) -> str:
        """Return the precision of the encoders of a cell; float32 for a ranker."""
        return self.precision if cell.spec.scoring in get_args(Scoring) else "float32"


_made: list[Resources] = []


def _made_once(*how: Any) -> Resources:
    """Return the resources of this process, which works for one call. Its jobs share teacher and student."""
    if not _made:
        _made.append(Resources(*how))
        if _made[0].resolver.offline:
            forbid_network()
    return _made[0]


def recipe_of(spec: RunSpec) -> Recipe:
    """Return the recipe of a training, or the defaults for a method without training."""
    return Recipe.model_validate(dict(spec.recipe.settings))
