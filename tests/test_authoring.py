"""`bench validate` finds each planted fault by its check; `bench new-method` writes a sound package."""

import csv
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, make_encoder

from bench import registry
from bench.authoring import validation
from bench.authoring.template import write_method
from bench.authoring.validation import CHECKS, FAIL, PASS, Finding
from bench.cli import main
from bench.errors import BenchError
from bench.progress import Display
from bench.request import Validation
from bench.system.processes import Worker

HEAD = """
import itertools, os
from pathlib import Path
import numpy as np
import torch
from pydantic import ConfigDict
from tokenizers import Tokenizer, models, trainers
from bench.api import DualEncoder, TrainedConfig
from bench.authoring.template.new_method import NewMethod, NewMethodConfig
from bench.data.cards import load_cards
from bench.data.files import Resolver
from bench.data.loading import load_test

class Scaled(DualEncoder):
    sign = 1.0
    def encode_queries(self, texts, on_batch=None):
        return self.sign * super().encode_queries(texts, on_batch)
"""
GREEDY = """
    def fit(self, task):
        retriever = super().fit(task)
        optimiser = torch.optim.SGD(self.student.parameters(), lr=0.1)
        for batch in itertools.islice(self.batches(task.numpy_generator("more")), 3):
            optimiser.zero_grad()
            self.loss(batch, 1.0)[0].backward()
            optimiser.step()
        return retriever
"""
FAULTS = {
    "Unseeded": ("deterministic", "a second training with the same seed differs in query/model.safetensors", """
    def batches(self, rng):
        return super().batches(np.random.default_rng())
    """),
    "Greedy": ("within budget", "given 6 steps it takes 9, logs 6 and reports 6", GREEDY),
    "Modest": ("within budget", "its depends_on lacks 'budget', but it takes 9 optimiser steps", f"""
    depends_on = ("data", "seed")
    {GREEDY}"""),
    "Secretive": ("within budget", "the student changes between its steps (5 times)", """
    def on_step_start(self, spent):
        self.student.word_embeddings.weight.data.mul_(0.9)
    """),
    "Uncounted": ("within budget", "tokens, but the student reads", """
    def prepare(self, task, student):
        super().prepare(task, student)
        student.encode(task.data.bitext.query_side[:20], "query")
    """),
    "Unpaid": ("within budget", "its depends_on has 'budget', but it reports nothing in task.outcome['spent']", """
    def fit(self, task):
        retriever = super().fit(task)
        del task.outcome["spent"]
        return retriever
    """),
    "Endless": ("within budget", "tokens it ends after", """
    def fit(self, task):
        task.budget = type(task.budget)(6, "steps")
        return super().fit(task)
    """),
    "Tester": ("sees no test", "it reads test data: validation/queries.jsonl", """
    def prepare(self, task, student):
        super().prepare(task, student)
        for path in Path(os.environ["BENCH_MIRROR"]).rglob("queries.jsonl"):
            path.read_text()
    """),
    "Loader": ("sees no test", "it reads test data: conlang qaa-eng", """
    def prepare(self, task, student):
        super().prepare(task, student)
        load_test(load_cards()["conlang"], task.data.pairs[0], Resolver())
    """),
    # Python does not see the library open a file.
    "Native": ("sees no test", "another test collection changes query/model.safetensors", """
    def prepare(self, task, student):
        words = Tokenizer(models.BPE())
        queries = map(str, Path(os.environ["BENCH_MIRROR"]).rglob("queries.jsonl"))
        words.train(list(queries), trainers.BpeTrainer(vocab_size=300, show_progress=False))
        student.word_embeddings.weight.data[0, 0] = len("".join(sorted(words.get_vocab())))
        super().prepare(task, student)
    """),
    "Forgetful": ("survives saving", "saved and loaded, it ranks 40 of 40 queries differently by single-vector", """
    def fit(self, task):
        retriever = super().fit(task)
        changed = Scaled(retriever.query_encoder, retriever.document_encoder)
        object.__setattr__(changed, "sign", -1.0)
        return changed
    """),
    # Its checkpoint lacks the number of steps.
    "Amnesiac": ("resumes", "killed at step 4 and resumed from step 3, it differs in query/model.safetensors", """
    steps = 0
    def loss(self, batch, progress):
        loss, figures = super().loss(batch, progress)
        self.steps += 1
        return loss * self.steps ** 0.5 / 10, figures
    """),
    "Lax": ("configured", "Lax accepts a setting that it does not have", """
    class Config(NewMethodConfig):
        model_config = ConfigDict(extra="ignore")
    """),
    "Silent": ("configured", "Silent has settings without a docstring below them: temperature", """
    class Config(TrainedConfig):
        temperature: float = 0.05
    """),
    "Nameless": ("described", "Nameless has no docstring", """
    __doc__ = None
    """),
    "Teaching": ("leaves the teacher", "it moves the teacher's weights by up to 0.5", """
    def prepare(self, task, student):
        task.teacher.word_embeddings.weight.data.add_(0.5)
        super().prepare(task, student)
    """),
    "Still": ("has gradients", "no gradient reaches the student", """
    def loss(self, batch, progress):
        loss, figures = super().loss(batch, progress)
        return loss * 0, figures
    """),
    "Breaks": ("trains", "KeyError: 'nothing of this name'", """
    def prepare(self, task, student):
        raise KeyError("nothing of this name")
    """),
    # It relies on the order of a set, which differs in another process.
    "Sets": ("deterministic", "a training in another process differs in query/model.safetensors", """
    def prepare(self, task, student):
        student.word_embeddings.weight.data[0, 0] = len(list(set(task.data.bitext.query_side))[0])
        super().prepare(task, student)
    """),
}  # fmt: skip
"""Name of a faulty method -> the check that fails, a part of its finding, and the body of the class."""
FAST = ("Unseeded", "Greedy", "Tester", "Native", "Forgetful", "Lax")

Validate = Callable[..., list[Finding]]


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "faults.py"
    classes = (f'class {name}(NewMethod):\n    "A fault."\n{body}' for name, (_, _, body) in FAULTS.items())
    path.write_text("\n".join([HEAD, *classes]))
    return path


@pytest.fixture
def validate(monkeypatch: pytest.MonkeyPatch) -> Validate:
    """Validates with the small encoder; this process does the work of the other one."""
    monkeypatch.setattr("bench.running.resources.load_teacher", lambda *_, **__: make_encoder().freeze())
    monkeypatch.setattr(Worker, "run", lambda self, function, *arguments: function(*arguments))

    def run(text: str, **options: Any) -> list[Finding]:
        given = Validation(steps=6, recipe={"vocabulary_size": 300, "batch_size": 16}, **options)
        return validation.validate(text, given, Display(quiet=True))

    return run


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in FAULTS if name != "Sets"]
)
def test_fault_is_found_by_the_check_that_is_about_it(fault: str, validate: Validate, faults: Path) -> None:
    findings = validate(f"{faults}:{fault}")
    check, text, _ = FAULTS[fault]
    (failed,) = (finding for finding in findings if finding.verdict == FAIL)
    assert failed.check == check and text in failed.text
    assert not any("\n" in finding.text for finding in findings)


@pytest.mark.parametrize("text", ["optical:epsilon=0.1+distillation", "zero-shot", "untrained", "oracle"])
def test_sound_method_passes_every_check(text: str, validate: Validate) -> None:
    checks = [check.__name__.replace("_", " ") for check in CHECKS]
    assert [(finding.check, finding.verdict) for finding in validate(text)] == [(name, PASS) for name in checks]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["optcal"], "bench: unknown method 'optcal'; did you mean optical or oracle?"),
        (["optical", "--set", "method.optcal.epsilon=1"], "optcal"),
        (["optical", "--set", "method.optical.epsiln=1"], "unknown key 'epsiln'; did you mean epsilon"),
    ],
)
def test_mistake_is_answered_in_one_line(arguments: list[str], line: str, cli: Cli) -> None:
    (said,) = cli("validate", *arguments, code=2).lines
    assert line in said


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, entry in registry.known().items() if entry.package == registry.OWN])
def test_own_methods_are_valid(name: str, encoder_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_encoder = ["--set", f"method.off-the-shelf.encoder={encoder_folder}"]  # its own would have to be downloaded
    assert main(["validate", name, "--steps", "6", *own_encoder]) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_order_of_a_set_shows_in_another_process(faults: Path, cli: Cli) -> None:
    said = cli("validate", f"{faults}:Sets", "--steps", "6", code=1)
    (failed,) = [line for line in said.out.splitlines() if FAIL in line]
    assert FAULTS["Sets"][1] in failed


def test_package_is_written_under_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(tmp_path)
    assert "bench validate my-own-2/my_own_2.py:MyOwn2" in cli("new-method", "my-own-2").out
    texts = {path.name: path.read_text() for path in (tmp_path / "my-own-2").iterdir()}
    assert sorted(texts) == ["my_own_2.py", "pyproject.toml", "test_my_own_2.py"]
    assert not any("ew-method" in text or "ew_method" in text or "NewMethod" in text for text in texts.values())
    assert "class MyOwn2(" in texts["my_own_2.py"]
    entry_points = tomllib.loads(texts["pyproject.toml"])["project"]["entry-points"]
    assert entry_points["bench.methods"] == {"my-own-2": "my_own_2:MyOwn2"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("optical", "there is a method 'optical' already"),
        ("all", "there is a method 'all' already"),
        ("torch", "'torch' is taken by Python"),
        ("class", "'class' is taken by Python"),
        ("My Method", "is not a name of a method; use small letters"),
        ("../up", "is not a name of a method"),
        ("there", "exists already"),
    ],
)
def test_name_that_will_not_do_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(BenchError, match=reason):
        write_method(name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.slow
def test_installed_method_of_somebody_else_is_listed_validated_and_compared(tmp_path: Path) -> None:
    write_method("their-own", tmp_path)
    package, site = tmp_path / "their-own", tmp_path / "site"
    run_python(
        "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--target", str(site), str(package)
    )
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))}

    def bench(*arguments: str) -> str:
        call = f"import sys; from bench.cli import main; sys.exit(main({list(arguments)}))"
        return run_python("-c", call, cwd=tmp_path, **environment)

    assert "their-own" in bench("ls", "methods")
    assert "a template: write authors" in bench("ls", "methods", "their-own").replace("\n", " ")
    bench("run", "--methods", "distillation,their-own", "--pairs", "qaa-eng", "--budget", "5steps", "--quiet")
    with (tmp_path / "results" / "runs" / "leaderboard.csv").open() as file:
        assert {"their-own", "distillation", "zero-shot"} <= {row["method"] for row in csv.DictReader(file)}
    assert "1 passed" in run_python("-m", "pytest", "-p", "no:cacheprovider", str(package), cwd=package, **environment)


def run_python(*arguments: str, cwd: Path | None = None, **environment: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
