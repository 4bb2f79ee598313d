"""`bench validate`: the checks of a method, with the tiny encoder on the generated collection."""

from __future__ import annotations

import inspect
import math
import os
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from pydantic import ValidationError

from bench import registry
from bench.authoring.fixture import OPTIONS, Fixture, write_test
from bench.authoring.recorded_run import Died
from bench.errors import describe
from bench.evaluation.run import Run
from bench.inspection.pages import meaning
from bench.progress import Display
from bench.recipe import Budget
from bench.request import Validation
from bench.running.method_specs import load_retriever, method_class, settings_of
from bench.running.work import compare_teacher
from bench.storage.sealed import default_cache
from bench.system.processes import Worker
from bench.training.checkpoint import Checkpoint
from bench.training.tiny import one_thread

SLACK = 0.5
"""Seconds that a method's clock may differ from ours."""
PASS, FAIL, NEITHER = "PASS", "FAIL", "-"
MIRROR = "mirror"
"""The folder of test collections, to which `BENCH_MIRROR` points."""


class Fault(Exception):
    """A violation of a rule for methods."""


class DoesNotApply(Exception):
    """The reason why a check does not apply to a method."""


class Finding(NamedTuple):
    """The result of one check."""

    check: str
    verdict: str
    text: str


def validate(text: str, options: Validation, display: Display) -> list[Finding]:
    """Return the findings about a method or a combination, in the syntax of the command line.

    Raises `BenchError` for an unknown method or setting.
    """
    with tempfile.TemporaryDirectory(prefix="bench-validate-") as name:
        folder = Path(name).resolve()
        own = [path for path in default_cache().glob("*") if path.name != "encoders"]
        own += [Path(os.environ["BENCH_MIRROR"])] if os.environ.get("BENCH_MIRROR") else []
        guarded = [folder / MIRROR, *(path.resolve() for path in own)]
        write_test(folder / MIRROR, OPTIONS)
        # In the other process the elements of a set have another order.
        hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
        variables = {"BENCH_MIRROR": str(folder / MIRROR), "PYTHONHASHSEED": hash_seed}
        with one_thread(), patch.dict(os.environ, variables), Worker() as other:
            subject = Fixture(text, options, folder, display, guarded, other)
            findings: list[Finding] = []
            with display.stage(f"validating {subject.row.name}", len(CHECKS), "checks") as stage:
                for check in CHECKS:
                    findings.append(_finding(check, subject))
                    stage.update(len(findings), check.__name__)
                    if check is trains and findings[-1].verdict == FAIL:
                        break
    return findings


def _finding(check: Callable[[Fixture], str], subject: Fixture) -> Finding:
    name = check.__name__.replace("_", " ")
    try:
        return Finding(name, PASS, check(subject))
    except DoesNotApply as reason:
        return Finding(name, NEITHER, str(reason))
    except Fault as fault:
        return Finding(name, FAIL, str(fault))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Finding(name, FAIL, f"{describe(error)} ({Path(last.filename).name}, line {last.lineno})")


def described(subject: Fixture) -> str:
    """Check that it has a docstring and names its source and its training data."""
    for spec in subject.row.methods:
        method, name = method_class(spec), spec.name
        if not (method.__doc__ or "").strip():
            raise Fault(f"{name} has no docstring, whose first line bench ls methods shows")
        if not method.source:
            raise Fault(f"{name} has no source, which names its paper")
        trains_on_data = "data" in method.depends_on and not registry.find_method(spec.place or name).reference
        supervision = method(settings_of(spec)).supervision
        if trains_on_data and not (supervision and isinstance(supervision, tuple)):
            raise Fault(f"{name} does not name its training data, as in supervision = ('bitext',)")
    return "; ".join(inspect.cleandoc(method_class(each).__doc__ or "").split("\n")[0] for each in subject.row.methods)


def configured(subject: Fixture) -> str:
    """Check that every setting has a docstring, and that an unknown setting is refused."""
    settings = 0
    for spec in subject.row.methods:
        config, name = method_class(spec).Config, spec.name
        if silent := [key for key in config.model_fields if not meaning(config, key)]:
            raise Fault(f"{name} has settings without a docstring below them: {', '.join(silent)}")
        settings += len(config.model_fields)
        try:
            config.model_validate({"no_such_setting": 1})
        except ValidationError:
            continue
        raise Fault(f"{name} accepts a setting that it does not have")
    return f"{settings} settings, each with a docstring; an unknown one is refused"


def trains(subject: Fixture) -> str:
    """Check that it returns a retriever, and that this can be saved."""
    trial = subject.first
    return f"{len(trial.records)} steps in {trial.seconds:.1f} s, a {type(trial.retriever).__name__}"


def deterministic(subject: Fixture) -> str:
    """Check that the same seed gives the same bytes, here and in another process."""
    if subject.repeated:
        raise Fault(f"a second training with the same seed differs in {subject.repeated}")
    if different := subject.difference(subject.elsewhere(_fitted)):
        raise Fault(f"a training in another process differs in {different}; does it rely on the order of a set?")
    if not subject.depends_on("seed") and (different := subject.difference(subject.fit(seed=1).files)):
        raise Fault(f"its depends_on lacks 'seed', but another seed changes {different}")
    return "the same files twice, and in another process"


def within_budget(subject: Fixture) -> str:
    """Check the number of steps, and the steps, tokens and seconds that it reports."""
    first, steps = subject.first, subject.options.steps
    if not subject.depends_on("budget"):
        if taken := len(first.norms) + first.other_steps:
            raise Fault(f"its depends_on lacks 'budget', but it takes {taken} optimiser steps")
        if different := subject.difference(subject.fit(Budget(10 * steps, "steps")).files):
            raise Fault(f"its depends_on lacks 'budget', but a larger budget changes {different}")
        return "it spends none, and none changes it"
    spent = first.spent
    if spent is None:
        raise Fault("its depends_on has 'budget', but it reports nothing in task.outcome['spent']")
    taken = len(first.norms) or first.other_steps
    if not spent.steps == len(first.records) == taken == steps:
        raise Fault(f"given {steps} steps it takes {taken}, logs {len(first.records)} and reports {spent.steps}")
    if first.changes:
        raise Fault(f"the student changes between its steps ({first.changes} times): something else trains it, too")
    if first.norms and spent.tokens != first.tokens:
        raise Fault(f"it reports {spent.tokens} tokens, but the student reads {first.tokens}")
    if abs(spent.seconds - first.seconds) > SLACK + 0.1 * first.seconds:
        raise Fault(f"it reports {spent.seconds:.1f} s, but takes {first.seconds:.1f} s")
    for budget in (Budget(max(spent.tokens // 2, 1), "tokens"), Budget(1, "seconds")):
        trial = subject.fit(budget)
        ends = [0, *(record[budget.unit] for record in trial.records)]
        if not ends[-2] <= budget.amount <= ends[-1] + 1e-3:  # logged seconds are rounded
            raise Fault(f"given {budget.amount} {budget.unit} it ends after {ends[-1]:g}")
    return f"{steps} steps and {spent.tokens:,} tokens, as counted from outside; budgets in tokens and seconds end, too"


def has_gradients(subject: Fixture) -> str:
    """Check that the student's gradients are finite and not all 0."""
    norms = subject.first.norms
    if not subject.depends_on("budget"):
        raise DoesNotApply("it takes no steps")
    if not norms:
        raise DoesNotApply("it trains no student")
    if not all(map(math.isfinite, norms)):
        raise Fault("the student's gradient is not finite")
    if not any(norms):
        raise Fault("no gradient reaches the student")
    return f"the norm of the student's, clipped, is between {min(norms):.2g} and {max(norms):.2g}"


def leaves_the_teacher(subject: Fixture) -> str:
    """Check that the teacher stays frozen."""
    after = compare_teacher(subject.first.teacher, subject.resources.teacher)
    if after["drift"]:
        raise Fault(f"it moves the frozen teacher's weights by up to {after['drift']:.2g}")
    if after["trainable"]:
        raise Fault("it makes the frozen teacher's parameters require gradients")
    return "its weights did not move"


def survives_saving(subject: Fixture) -> str:
    """Check that the saved retriever has the same run in another process."""
    here = subject.runs(subject.first.retriever)
    there = subject.elsewhere(_found)
    for scoring, run in here.items():
        if changed := sum(run[query] != there[scoring].get(query) for query in run):
            raise Fault(f"saved and loaded, it ranks {changed} of {len(run)} queries differently by {scoring}")
    return f"loaded in another process, it gives the same runs by {', '.join(here)}"


def sees_no_test(subject: Fixture) -> str:
    """Check that it opens no test collection, and that another one changes nothing."""
    unrepeatable = subject.repeated
    write_test(subject.folder / MIRROR, replace(OPTIONS, seed=1))
    other = subject.fit()
    if opened := [*subject.first.test_data, *other.test_data]:
        raise Fault(f"it reads test data: {opened[0].removeprefix(f'{subject.folder / MIRROR}/')}")
    if unrepeatable:
        raise DoesNotApply("it opened none; no two trainings are the same, so their difference shows no dependence")
    if different := subject.difference(other.files):
        raise Fault(f"another test collection changes {different}")
    return "it opened none, and another one changes nothing"


def resumes(subject: Fixture) -> str:
    """Check that a training that was killed and resumed gives the same bytes."""
    if not subject.depends_on("budget"):
        raise DoesNotApply("it takes no steps")
    if subject.repeated:
        raise DoesNotApply("no two trainings are the same")
    checkpoint = subject.folder / "checkpoint.safetensors"
    last = subject.options.steps // 2 + 1
    try:
        subject.fit(die_at=last, checkpoint=Checkpoint(checkpoint, interval=0))
    except Died:
        trial = subject.fit(checkpoint=Checkpoint(checkpoint, interval=0))
    else:
        raise Fault(f"it never calls task.on_step with step {last}")
    how = f"killed at step {last} and resumed from step {trial.resumed_from}"
    if different := subject.difference(trial.files):
        raise Fault(f"{how}, it differs in {different}")
    return f"{how}, it gives the same files"


CHECKS = (
    described,
    configured,
    trains,
    deterministic,
    within_budget,
    has_gradients,
    leaves_the_teacher,
    survives_saving,
    resumes,
    sees_no_test,  # the last, for it replaces the test collection
)


def _fitted(subject: Fixture) -> dict[str, str]:
    return subject.fit().files


def _found(subject: Fixture) -> dict[str, Run]:
    return subject.runs(load_retriever(subject.row.methods, subject.saved, subject.resources.teacher))
