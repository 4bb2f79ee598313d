"""The word alignment of methods before and after training, on generated languages with a known alignment."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench import registry
from bench.data import Pair, conlang
from bench.errors import BenchError
from bench.evaluation.alignment import Row, alignment_f1, chance_f1, mutual_f1
from bench.running.experiment import Experiment
from bench.running.method_specs import make_method
from bench.running.resources import Resources
from bench.sampling import numpy_generator
from bench.spec import Configured
from bench.tables import Column
from bench.training.loop import TrainedMethod

ROWS = 200
"""Number of sentence pairs, from the beginning of the bitext without noise."""
COLUMNS = [
    *(Column("pair", "word"), Column("method", "name"), Column("mass, untrained"), Column("mass, trained")),
    *(Column("cosine, untrained"), Column("cosine, trained")),
]
"""F1 of the links by the mass that the method moves, and by the cosines of teacher and student."""


def aligners() -> tuple[str, ...]:
    """Return all methods that align words, in each configuration with an alignment of its own."""
    specs = []
    for entry in registry.known().values():
        method = entry.load()
        configurations = method.aligners if issubclass(method, TrainedMethod) and not entry.settings else ()
        specs += [":".join([entry.name, *(f"{key}={value}" for key, value in each.items())]) for each in configurations]
    return tuple(specs)


def alignment_rows(experiment: Experiment, resources: Resources) -> Iterator[list[str]]:
    """Yield a row per training, and a row for chance. Raises `BenchError` if a method aligns no words."""
    pairs: dict[Pair, Sequence[Row]] = {}
    for training in experiment.cells:
        if not training.method.asked:
            continue
        (pair,) = training.spec.pairs
        rows = conlang.aligned_bitext(pair.query)[:ROWS]
        pairs[pair] = rows
        method, task = make_method(training.spec.methods), resources.task(training.spec)
        if not (isinstance(method, TrainedMethod) and method.aligners):
            raise BenchError(f"method '{training.method.name}' aligns no words")
        student = task.make_student().eval()
        method.prepare(task, student)
        untrained = mutual_f1(method.align, rows), alignment_f1(task.teacher, student, rows)
        method.fit(task)
        trained = mutual_f1(method.align, rows), alignment_f1(task.teacher, method.student, rows)
        values = [value for both in zip(untrained, trained, strict=True) for value in both]
        yield [str(pair), replace(training.spec, recipe=Configured()).name, *(f"{value:.3f}" for value in values)]
    for pair, aligned in pairs.items():
        yield [str(pair), "chance", f"{chance_f1(aligned, numpy_generator(0, 'chance')):.3f}", "", "", ""]
