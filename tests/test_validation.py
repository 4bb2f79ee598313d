"""`bench validate` passes what is sound, and each planted fault is found by the check that is about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import make_encoder

from bench import registry
from bench.authoring import validation
from bench.authoring.fixture import Fixture
from bench.authoring.validation import CHECKS, FAIL, PASS, Finding
from bench.cli import main
from bench.progress import Display
from bench.request import Validation

NAMES = [check.__name__.replace("_", " ") for check in CHECKS]
OWN = [name for name, entry in registry.known().items() if entry.package == registry.OWN]

FAULTS = '''
import itertools
import json
import os
from pathlib import Path

import numpy as np
import torch
from pydantic import ConfigDict
from tokenizers import Tokenizer, models, trainers

from bench.data import conlang
from bench.api import DualEncoder, Method, TrainedConfig, TrainedMethod
from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.data.loading import load_test
from bench.authoring.template.new_method import NewMethod, NewMethodConfig


class Unseeded(NewMethod):
    """Draws its batches from nowhere."""

    def batches(self, rng):
        return super().batches(np.random.default_rng())


class Greedy(NewMethod):
    """Takes some more steps when its budget is spent."""

    def fit(self, task):
        retriever = super().fit(task)
        optimiser = torch.optim.SGD(self.student.parameters(), lr=0.1)
        for batch in itertools.islice(self.batches(task.numpy_generator("more")), 3):
            optimiser.zero_grad()
            self.loss(batch, 1.0)[0].backward()
            optimiser.step()
        return retriever


class Secretive(NewMethod):
    """Changes the student between its steps."""

    def on_step_start(self, spent):
        with torch.no_grad():
            self.student.word_embeddings.weight.mul_(0.9)


class Uncounted(NewMethod):
    """Has the student read before anybody counts."""

    def prepare(self, task, student):
        super().prepare(task, student)
        student.encode(task.data.bitext.query_side[:20], "query")


class Modest(Greedy):
    """Says that it spends nothing."""

    depends_on = ("data", "seed")


class Unpaid(NewMethod):
    """Does not say what it spent."""

    def fit(self, task):
        retriever = super().fit(task)
        del task.outcome["spent"]
        return retriever


class Endless(NewMethod):
    """Heeds steps, but no other budget."""

    def fit(self, task):
        task.budget = type(task.budget)(6, "steps")
        return super().fit(task)


class Tester(NewMethod):
    """Looks at the test queries."""

    def prepare(self, task, student):
        for path in Path(os.environ["BENCH_MIRROR"]).rglob("queries.jsonl"):
            path.read_text()
        super().prepare(task, student)


class Loader(NewMethod):
    """Looks at the test collection as the harness does."""

    def prepare(self, task, student):
        load_test(load_cards()["conlang"], task.data.pairs[0], Resolver())
        super().prepare(task, student)


class Native(NewMethod):
    """Looks at the test queries by a library that Python does not see opening a file."""

    def prepare(self, task, student):
        words = Tokenizer(models.BPE())
        found = map(str, Path(os.environ["BENCH_MIRROR"]).rglob("queries.jsonl"))
        words.train(list(found), trainers.BpeTrainer(vocab_size=300, show_progress=False))
        with torch.no_grad():
            student.word_embeddings.weight[0, 0] = len("".join(sorted(words.get_vocab())))
        super().prepare(task, student)


class Scaled(DualEncoder):
    """Has a state that its encoders do not have."""

    sign = 1.0

    def encode_queries(self, texts, on_batch=None):
        return self.sign * super().encode_queries(texts, on_batch)


class Forgetful(NewMethod):
    """Does not save all of its state."""

    def fit(self, task):
        retriever = super().fit(task)
        changed = Scaled(retriever.query_encoder, retriever.document_encoder)
        object.__setattr__(changed, "sign", -1.0)
        return changed


class Amnesiac(NewMethod):
    """Has a state that its checkpoint does not have."""

    steps = 0

    def loss(self, batch, progress):
        loss, figures = super().loss(batch, progress)
        self.steps += 1
        return loss * self.steps ** 0.5 / 10, figures


class LaxConfig(NewMethodConfig):
    model_config = ConfigDict(extra="ignore")


class Lax(NewMethod):
    """Takes any setting."""

    Config = LaxConfig


class SilentConfig(TrainedConfig):
    temperature: float = 0.05


class Silent(NewMethod):
    """Says nothing of its settings."""

    Config = SilentConfig


class Nameless(NewMethod):
    source = ""


class Teaching(NewMethod):
    """Moves the teacher."""

    def prepare(self, task, student):
        with torch.no_grad():
            task.teacher.word_embeddings.weight.add_(0.5)
        super().prepare(task, student)


class Still(NewMethod):
    """Has a loss without a slope."""

    def loss(self, batch, progress):
        loss, figures = super().loss(batch, progress)
        return loss * 0, figures


class Breaks(NewMethod):
    """Fails."""

    def prepare(self, task, student):
        raise KeyError("nothing of this name")


class Sets(NewMethod):
    """Relies on the order of a set."""

    def prepare(self, task, student):
        with torch.no_grad():
            student.word_embeddings.weight[0, 0] = len(list(set(task.data.bitext.query_side))[0])
        super().prepare(task, student)
'''

EXPECTED = {
    "Unseeded": ("deterministic", "a second training with the same seed differs in query/model.safetensors"),
    "Greedy": ("within budget", "given 6 steps it takes 9, logs 6 and reports 6"),
    "Secretive": ("within budget", "the student changes between its steps (5 times)"),
    "Uncounted": ("within budget", "tokens, but the student reads"),
    "Modest": ("within budget", "its depends_on lacks 'budget', but it takes 9 optimiser steps"),
    "Unpaid": ("within budget", "its depends_on has 'budget', but it reports nothing in task.outcome['spent']"),
    "Endless": ("within budget", "tokens it ends after"),
    "Tester": ("sees no test", "it reads test data: clir-bench/validation/queries.jsonl"),
    "Loader": ("sees no test", "it reads test data: conlang qaa-eng"),
    "Native": ("sees no test", "another test collection changes query/model.safetensors"),
    "Forgetful": ("survives saving", "saved and loaded, it ranks 40 of 40 queries differently by single-vector"),
    "Amnesiac": ("resumes", "killed at step 4 and resumed from step 3, it differs in query/model.safetensors"),
    "Lax": ("configured", "Lax accepts a setting that it does not have"),
    "Silent": ("configured", "Silent has settings without a docstring below them: temperature"),
    "Nameless": ("described", "Nameless has no docstring"),
    "Teaching": ("leaves the teacher", "it moves the frozen teacher's weights by up to 0.5"),
    "Still": ("has gradients", "no gradient reaches the student"),
    "Breaks": ("trains", "KeyError: 'nothing of this name'"),
}

FAST = ("Unseeded", "Greedy", "Tester", "Native", "Forgetful", "Lax")

Validate = Callable[..., list[Finding]]


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "faults.py"
    path.write_text(FAULTS)
    return path


@pytest.fixture
def validate(monkeypatch: pytest.MonkeyPatch) -> Validate:
    """Validates with the small encoder; what another process should do is done by this one."""
    monkeypatch.setattr("bench.running.resources.load_teacher", lambda *_, **__: make_encoder().freeze())
    monkeypatch.setattr(Fixture, "elsewhere", lambda self, work: work(Fixture(self.text, self.options, self.folder)))

    def run(text: str, **options: Any) -> list[Finding]:
        given = Validation(steps=6, recipe={"vocabulary_size": 300, "batch_size": 16}, **options)
        return validation.validate(text, given, Display(quiet=True))

    return run


@pytest.mark.parametrize(
    "fault", [*FAST, *(pytest.param(fault, marks=pytest.mark.slow) for fault in EXPECTED if fault not in FAST)]
)
def test_fault_is_found_by_the_check_that_is_about_it(fault: str, validate: Validate, faults: Path) -> None:
    findings = validate(f"{faults}:{fault}")
    check, text = EXPECTED[fault]
    assert [finding.check for finding in findings if finding.verdict == FAIL] == [check]
    assert text in next(finding.text for finding in findings if finding.check == check)
    assert not any("\n" in finding.text for finding in findings)


@pytest.mark.parametrize("text", ["optical:epsilon=0.1+distillation"])
def test_sound_method_passes_every_check(text: str, validate: Validate) -> None:
    assert [(finding.check, finding.verdict) for finding in validate(text)] == [(name, PASS) for name in NAMES]


@pytest.mark.parametrize("name", ["zero-shot", "untrained", "oracle"])
def test_what_does_not_train_passes_what_applies(name: str, validate: Validate) -> None:
    verdicts = {finding.check: finding.verdict for finding in validate(name)}
    assert verdicts == {**dict.fromkeys(NAMES, PASS), "has gradients": "-", "resumes": "-"}


def test_what_does_not_repeat_itself_is_not_blamed_for_more(validate: Validate, faults: Path) -> None:
    findings = validate(f"{faults}:Unseeded")
    assert [finding.check for finding in findings if finding.verdict == "-"] == ["resumes", "sees no test"]


def test_settings_are_those_of_the_call(validate: Validate) -> None:
    with pytest.raises(registry.BenchError, match="method 'optical': unknown key 'epsiln'; did you mean epsilon"):
        validate("optical", method={"optical": {"epsiln": 1}})


def test_mistake_is_answered_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "optcal"]) == 2
    assert capsys.readouterr().err == "bench: unknown method 'optcal'; did you mean optical or oracle?\n"
    assert main(["validate", "optical", "--set", "method.optcal.epsilon=1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_own_methods_are_valid(name: str, encoder_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_encoder = ["--set", f"method.off-the-shelf.encoder={encoder_folder}"]  # its own would have to be downloaded
    assert main(["validate", name, "--steps", "6", *own_encoder]) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_order_of_a_set_shows_in_another_process(faults: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", f"{faults}:Sets", "--steps", "6"]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if FAIL in line]
    assert len(failed) == 1
    assert "a training in another process differs in query/model.safetensors" in failed[0]
