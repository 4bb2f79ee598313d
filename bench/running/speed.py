"""What `bench speed` gives a measurement: trainings that are short and go through the same loop as any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.data.cards import Card
from bench.data.files import Resolver
from bench.data.mixing import default_mix, training_data
from bench.encoders.models import default_recipe
from bench.encoders.vocabulary import make_student
from bench.errors import BenchError
from bench.machine import machine
from bench.progress import Display
from bench.request import Speed
from bench.running.materials import Materials
from bench.training.method import Task


def tasks(options: Speed, cards: Mapping[str, Card], display: Display) -> Iterator[Task]:
    """A task per encoder and pair; what cannot be had is left out with a line."""
    resolver = Resolver(options.mirror, offline=options.offline, display=display)
    for encoder in options.encoders:
        materials = Materials(encoder, "auto", "auto", cards, resolver, display, options.threads or machine().threads)
        recipe = default_recipe(encoder)
        for pair in options.pairs:
            try:
                data = training_data((default_mix(pair, cards),), (pair,), resolver, cards)
                teacher = materials.teacher
            except BenchError as error:
                display.warn(f"left out: {encoder} on {pair}: {error}")
                continue
            student = make_student(teacher, data.texts, recipe, 0)
            yield Task(data, teacher, student.copy, options.budget, recipe, 0, materials.precision)
