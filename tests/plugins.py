"""Sources of the methods that tests load as plugins: sound, broken and hostile ones; and how a test installs one."""

from pathlib import Path

SOUND = '''"""A file with a method."""

from bench.api import DualEncoder, Method, Retriever


class Mine(Method):
    """Keeps the encoder as it is.

    More about it.
    """

    name = "mine"
    source = "a test"
    supervision = ("bitext", "relevance")

    def fit(self, task):
        return DualEncoder(task.teacher, task.teacher)


class NoMethod:
    pass
'''


def with_attribute(line: str) -> str:
    """Return `SOUND` with one more line in its class."""
    return SOUND.replace("    supervision", f"    {line}\n    supervision", 1)


BROKEN = {
    "no-module": ("gone.inner:Mine", "", "ModuleNotFoundError: No module named 'gone'"),
    "no-syntax": ("syntax:Mine", "class Mine(:", "SyntaxError: "),
    "no-class": ("classless:Mine", SOUND.replace("Mine", "Yours"), "has no attribute 'Mine'"),
    "no-colon": ("colonless", SOUND, "has no attribute ''"),
    "no-method": ("shapeless:Mine", "class Mine:\n    pass\n", "shapeless:Mine is not a subclass of bench.api.Method"),
    "no-library": ("needy:Mine", f"import no_such_library\n{SOUND}", "No module named 'no_such_library'"),
    "no-table": ("listing:Mine", with_attribute("variants = [1]"), "AttributeError"),
    "no-config": (
        "bare:Mine",
        with_attribute("Config = dict"),
        "its Config is not a subclass of bench.api.MethodConfig",
    ),
    "raises": ("raiser:Mine", f"{SOUND}\nraise RuntimeError('no GPU\\nhere')\n", "RuntimeError: no GPU"),
    "exits": ("exiter:Mine", f"{SOUND}\nraise SystemExit(3)\n", "SystemExit: 3"),
    "optical": ("usurper:Mine", SOUND, "the name is taken"),
    "zero-shot": ("usurper:Mine", SOUND, "the name is taken"),
    "all": ("usurper:Mine", SOUND, "the name is taken"),
}
"""Entry points that cannot be used, by name: the target, its source, and the reason that a user reads."""
MISBEHAVING = '''
import itertools
import os
import shutil
import signal
import sys
import time

import torch
from bench.api import DualEncoder, Method, Ranker, TrainedMethod
from methods.distillation import Distillation
from methods.references import ZeroShot


def method(name, fit):
    """Make a method of a function of the task. If it returns nothing, the retriever is that of `zero-shot`."""
    attributes = {"fit": lambda self, task: fit(task) or ZeroShot().fit(task), "__module__": __name__}
    globals()[name] = type(name, (Method,), attributes)


class Custom(BaseException):
    pass


def throw(error):
    raise error


def embed_nothing(task):
    student = task.make_student()
    with torch.no_grad():
        student.word_embeddings.weight.fill_(float("nan"))
    return DualEncoder(student, task.teacher)


def swallow_all(task):
    """Never return, whatever is raised in it."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except Exception:
            pass


def swallow(task):
    """Interrupt itself, and swallow it."""
    try:
        os.kill(os.getppid(), signal.SIGINT)  # that of the call, which passes it on
        time.sleep(5)
    except BaseException:
        pass


OWN_FIELDS = {"fingerprint": "mine", "kind": "cell", "cost": None, "files": {}, "sha256": "0", "spec": {}}
method("Good", lambda task: None)
method("Vanishes", lambda task: os._exit(0))
method("Raises", lambda task: throw(Custom("on purpose")))
method("PretendsCtrlC", lambda task: throw(KeyboardInterrupt()))
method("TellsNoNumber", lambda task: task.outcome.update(diagnostics={"a": {1, 2}}))
method("TellsNoMapping", lambda task: task.outcome.update(diagnostics="fine"))
method("KeepsTheUnkeepable", lambda task: task.outcome.update({("a", 1): 1}))
method("DeletesItsFolder", lambda task: shutil.rmtree(task.checkpoint.path.parent))
method("Overwrites", lambda task: task.outcome.update(OWN_FIELDS))  # names of the harness's own
method("EmbedsNothing", embed_nothing)
method("Sleeps", lambda task: time.sleep(15))
method("Swallows", swallow_all)
method("DeafWithoutSteps", swallow)


class Ranks(Ranker):
    scorings = ("odd",)

    def save(self, folder, teacher):
        folder.mkdir()

    def rank(self, queries, documents, ids, depth, on_texts):
        return {ids.queries[0]: [("no such document", 1.0)]}


class Invents(Method):
    scorings = ("odd",)

    def fit(self, task):
        return Ranks()


class Fails(TrainedMethod):
    error = RuntimeError("as it must\\nwith details")

    def batches(self, rng):
        return itertools.repeat({})

    def loss(self, batch, progress):
        if progress > 0:
            raise self.error
        return self.student.word_embeddings.weight.sum(), {}


class RunsOutOfMemory(Fails):
    error = MemoryError()


class Allocates(Fails):
    error = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
    )


class AllocatesOnGpu(Fails):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


class Diverges(Fails):
    def loss(self, batch, progress):
        return self.student.word_embeddings.weight.sum() * (float("nan") if progress > 0 else 1.0), {}


class FailsElsewhere(Distillation):
    def loss(self, batch, progress):
        if torch.distributed.get_rank() == 1:
            raise RuntimeError("only there")
        return super().loss(batch, progress)


class Meddles(Distillation):
    """Trains the teacher along with the student."""

    def prepare(self, task, student):
        super().prepare(task, student)
        task.teacher.requires_grad_(True)

    def modules(self):
        return [(self.task.teacher, 0.1)]

    def loss(self, batch, progress):
        loss, figures = super().loss(batch, progress)
        return loss + self.task.teacher.word_embeddings.weight.square().mean(), figures


class GoesOn(Method):
    """Never stops making steps."""

    def fit(self, task):
        for step in range(1, 1500):
            time.sleep(0.01)
            self.tell(task, {"step": step, "share": 0.0, "loss": 0.0, "tokens": 10 * step})

    def tell(self, task, record):
        task.on_step(record)


class GoesOnRegardless(GoesOn):
    """Never stops making steps, whatever is raised in it."""

    def tell(self, task, record):
        try:
            task.on_step(record)
        except Exception:
            pass


class Deaf(Distillation):
    """Is interrupted before its first step."""

    def prepare(self, task, student):
        super().prepare(task, student)
        swallow(task)


class Quits(Distillation):
    """Ends Python from its own code."""

    def fit(self, task):
        sys.exit("enough")


class Waits(Distillation):
    """Takes its time."""

    def loss(self, batch, progress):
        time.sleep(0.05)
        return super().loss(batch, progress)
'''
"""Methods of `bench run` that fail, or misuse their process, their task or their retriever, and a good one."""
FAILING_TRAININGS = {
    "Fails": "RuntimeError: as it must (",
    "Diverges": "the loss is nan",
    **dict.fromkeys(("RunsOutOfMemory", "Allocates", "AllocatesOnGpu"), "out of memory; use a smaller"),
    **dict.fromkeys(
        ("Sleeps", "Swallows", "GoesOnRegardless"),
        "no progress for 2 s, so it was stopped; --timeout 4s would",
    ),
    "Vanishes": "its process ended with exit code 0",
    "Raises": "it ended with Custom: on purpose",
    "Quits": "SystemExit: enough",
    "PretendsCtrlC": "it ended with KeyboardInterrupt",
    "TellsNoNumber": "its diagnostics must be numbers by name, not {'a': {1, 2}}",
    "TellsNoMapping": "its diagnostics must be numbers by name, not 'fine'",
    "KeepsTheUnkeepable": "keys must be str",
    "DeletesItsFolder": "it deleted the log of its training",
}
FAILING_CELLS = {"EmbedsNothing": "a query embedding is not a number", "Invents": "no such document"}
"""Classes of `MISBEHAVING` whose training or evaluation fails, with the reason that a user reads."""


def install(site: Path, name: str, target: str, source: str, package: str = "") -> None:
    """Write an installed distribution with one module and an entry point for it to a folder of such."""
    package = package or f"package-{name}"
    about = site / f"{package.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[bench.methods]\n{name} = {target}\n")
    if source:
        (site / f"{target.partition(':')[0]}.py").write_text(source)
