"""`bench validate`: the checks of a method, with the tiny encoder on the generated collection."""

import inspect
import math
import os
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from pydantic import ValidationError

from bench import registry
from bench.authoring.fixture import Died, Fixture, write_test
from bench.errors import FAILURES, BenchError, describe
from bench.inspection.pages import meaning
from bench.progress import Display
from bench.recipe import Budget
from bench.request import Validation
from bench.running.method_specs import method_class, settings_of
from bench.running.work import compare_teacher
from bench.training.checkpoint import Checkpoint
from bench.training.tiny import one_thread

PASS, FAIL = "PASS", "FAIL"


class Finding(NamedTuple):
    """The result of one check."""

    check: str
    verdict: str
    text: str


def validate(text: str, options: Validation, display: Display) -> list[Finding]:
    """Return findings about a method or a combination, up to a training that fails or is not deterministic.

    Raises `BenchError` for an unknown method or setting.
    """
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="bench-validate-") as name, one_thread():
        subject = Fixture(text, options, Path(name).resolve(), display)
        write_test(subject.mirror)
        # In another process the elements of a set have another order.
        variables = {"BENCH_MIRROR": str(subject.mirror), "PYTHONHASHSEED": "1"}
        stage = display.stage(f"validating {subject.method.name}", len(CHECKS), "checks")
        with patch.dict(os.environ, variables), subject.worker, stage as progress:
            for check in CHECKS:
                findings.append(_finding(check, subject))
                progress(len(findings), check.__name__)
                if check in (trains, deterministic) and findings[-1].verdict == FAIL:
                    break
    return findings


def _finding(check: Callable[[Fixture], str], subject: Fixture) -> Finding:
    name = check.__name__.replace("_", " ")
    try:
        return Finding(name, PASS, check(subject))
    except BenchError as fault:
        return Finding(name, FAIL, str(fault))
    except FAILURES as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Finding(name, FAIL, f"{describe(error)} ({Path(last.filename).name}, line {last.lineno})")


def described(subject: Fixture) -> str:
    """Check the docstring, the source and the training data of the method."""
    summaries = []
    for spec in subject.method.methods:
        method, name = method_class(spec), spec.name
        if not (text := inspect.cleandoc(method.__doc__ or "")):
            raise BenchError(f"{name} has no docstring, whose first line bench ls methods shows")
        if not method.source:
            raise BenchError(f"{name} has no source, which names its paper")
        trains_on_data = "data" in method.depends_on and not registry.find_method(spec.place or name).reference
        supervision = method(settings_of(spec)).supervision
        if trains_on_data and not (supervision and isinstance(supervision, tuple)):
            raise BenchError(f"{name} does not name its training data, as in supervision = ('bitext',)")
        summaries.append(text.split("\n")[0])
    return "; ".join(summaries)


def configured(subject: Fixture) -> str:
    """Check that every setting has a docstring, and that unknown settings are errors."""
    settings = 0
    for spec in subject.method.methods:
        config, name = method_class(spec).Config, spec.name
        if silent := [key for key in config.model_fields if not meaning(config, key)]:
            raise BenchError(f"{name} has settings without a docstring below them: {', '.join(silent)}")
        settings += len(config.model_fields)
        with suppress(ValidationError):
            config.model_validate({"no_such_setting": 1})
            raise BenchError(f"{name} accepts a setting that it does not have")
    return f"{settings} settings, each with a docstring; an unknown one is refused"


def trains(subject: Fixture) -> str:
    """Check that the method returns a retriever that can be saved."""
    return f"{len(subject.first.records)} steps, a {type(subject.first.retriever).__name__}"


def within_budget(subject: Fixture) -> str:
    """Check the number of steps, the reported steps and tokens, and other budgets."""
    first, steps = subject.first, subject.options.steps
    if "budget" not in subject.method.depends_on:
        if taken := len(first.norms) + first.other_steps:
            raise BenchError(f"its depends_on lacks 'budget', but it takes {taken} optimiser steps")
        if different := subject.difference(subject.fit(budget=Budget(10 * steps, "steps")).files):
            raise BenchError(f"its depends_on lacks 'budget', but a larger budget changes {different}")
        return "it spends none, and none changes it"
    if (spent := first.spent) is None:
        raise BenchError("its depends_on has 'budget', but it reports nothing in task.outcome['spent']")
    taken = len(first.norms) or first.other_steps
    if not spent.steps == len(first.records) == taken == steps:
        raise BenchError(f"given {steps} steps it takes {taken}, logs {len(first.records)} and reports {spent.steps}")
    if first.changes:
        raise BenchError(f"the student changes between its steps ({first.changes} times): something else trains it")
    if first.norms and spent.tokens != first.tokens:
        raise BenchError(f"it reports {spent.tokens} tokens, but the student reads {first.tokens}")
    for budget in (Budget(max(spent.tokens // 2, 1), "tokens"), Budget(1, "seconds")):
        ends = [0, *(record[budget.unit] for record in subject.fit(budget=budget).records)]
        if not ends[-2] <= budget.amount <= ends[-1] + 1e-3:  # logged seconds are rounded
            raise BenchError(f"given {budget.amount} {budget.unit} it ends after {ends[-1]:g}")
    return f"{steps} steps and {spent.tokens:,} tokens, as counted from outside; budgets in tokens and seconds end, too"


def has_gradients(subject: Fixture) -> str:
    """Check that the student's gradients are finite and not all 0."""
    norms = subject.first.norms
    if not norms:
        return "it trains no student"
    if not any(norms):
        raise BenchError("no gradient reaches the student")
    if not all(map(math.isfinite, norms)):
        raise BenchError("the student's gradient is not finite")
    return f"the norm of the student's, clipped, is between {min(norms):.2g} and {max(norms):.2g}"


def leaves_the_teacher(subject: Fixture) -> str:
    after = compare_teacher(subject.first.teacher, subject.resources.teacher)
    if any(after.values()):
        drift, trainable = after["drift"], after["trainable"]
        raise BenchError(
            f"it moves the teacher's weights by up to {drift:.2g} and makes {trainable:g} of them trainable"
        )
    return "its weights did not move"


def survives_saving(subject: Fixture) -> str:
    """Check that the saved retriever has the same run in another process."""
    here, (_, there) = subject.runs(subject.first.retriever), subject.elsewhere
    for scoring, run in here.items():
        if changed := sum(run[query] != there[scoring].get(query) for query in run):
            raise BenchError(f"saved and loaded, it ranks {changed} of {len(run)} queries differently by {scoring}")
    return f"loaded in another process, it gives the same runs by {', '.join(here)}"


def deterministic(subject: Fixture) -> str:
    """Check that the same seed gives the same bytes, here and in another process."""
    if different := subject.difference(subject.fit().files):
        raise BenchError(f"a second training with the same seed differs in {different}")
    if different := subject.difference(subject.elsewhere[0]):
        raise BenchError(f"a training in another process differs in {different}; does it rely on the order of a set?")
    if "seed" not in subject.method.depends_on and (different := subject.difference(subject.fit(seed=1).files)):
        raise BenchError(f"its depends_on lacks 'seed', but another seed changes {different}")
    return "the same files twice, and in another process"


def resumes(subject: Fixture) -> str:
    """Check that a training that was killed and resumed gives the same bytes."""
    if "budget" not in subject.method.depends_on:
        return "it takes no steps"
    checkpoint = Checkpoint(subject.folder / "checkpoint.safetensors", interval=0)
    last = subject.options.steps // 2 + 1
    with suppress(Died):
        subject.fit(checkpoint=checkpoint, die_at=last)
        raise BenchError(f"it never calls task.on_step with step {last}")
    trial = subject.fit(checkpoint=checkpoint)
    how = f"killed at step {last} and resumed from step {trial.records[0]['step'] - 1}"
    if different := subject.difference(trial.files):
        raise BenchError(f"{how}, it differs in {different}")
    return f"{how}, it gives the same files"


def sees_no_test(subject: Fixture) -> str:
    """Check that the method opens no test collection, and that another one changes nothing."""
    write_test(subject.mirror, seed=1)
    other = subject.fit()
    if opened := [*subject.first.test_data, *other.test_data]:
        raise BenchError(f"it reads test data: {opened[0].removeprefix(f'{subject.mirror}/')}")
    if different := subject.difference(other.files):
        raise BenchError(f"another test collection changes {different}")
    return "it opened none, and another one changes nothing"


CHECKS = (
    described,
    configured,
    trains,
    within_budget,
    has_gradients,
    leaves_the_teacher,
    survives_saving,
    deterministic,
    resumes,
    sees_no_test,  # the last check, since it replaces the test collection
)
