"""Sources of the methods that tests load as plugins: sound, broken and hostile ones; and how a test installs one."""

from __future__ import annotations

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
ODD = '''
import os
import shutil
import signal
import sys
import time

from bench.api import DualEncoder, Method, Ranker
from methods.references import ZeroShot


class Good(Method):
    """Does as it should, after the others."""

    def fit(self, task):
        return ZeroShot().fit(task)


class Leaves(Good):
    def fit(self, task):
        sys.exit(0)


class Vanishes(Good):
    def fit(self, task):
        os._exit(0)


class IsKilled(Good):
    def fit(self, task):
        os.kill(os.getpid(), signal.SIGKILL)


class ClosesItsPipes(Good):
    def fit(self, task):
        os.closerange(3, 100)


class Custom(BaseException):
    pass


class Raises(Good):
    def fit(self, task):
        raise Custom("on purpose")


class PretendsCtrlC(Good):
    def fit(self, task):
        raise KeyboardInterrupt


class TellsNoNumber(Good):
    def fit(self, task):
        task.outcome["diagnostics"] = {"a": {1, 2}}
        return super().fit(task)


class TellsNoMapping(Good):
    def fit(self, task):
        task.outcome["diagnostics"] = "fine"
        return super().fit(task)


class KeepsTheUnkeepable(Good):
    def fit(self, task):
        task.outcome[("a", 1)] = 1
        return super().fit(task)


class DeletesItsFolder(Good):
    def fit(self, task):
        shutil.rmtree(task.checkpoint.path.parent)
        return super().fit(task)


class Ranks(Ranker):
    scorings = ("odd",)

    def __init__(self, found):
        self.found = found

    def save(self, folder, teacher):
        folder.mkdir()

    def rank(self, queries, documents, ids, depth, on_texts):
        return self.found(ids)


class Invents(Method):
    scorings = ("odd",)

    def fit(self, task):
        return Ranks(lambda ids: {ids.queries[0]: [("no such document", 1.0)]})


class Repeats(Method):
    scorings = ("odd",)

    def fit(self, task):
        return Ranks(lambda ids: {ids.queries[0]: [(ids.documents[0], 1.0), (ids.documents[0], 0.5)]})


class Unwritable(Method):
    scorings = ("odd",)

    def fit(self, task):
        return Ranks(lambda ids: {ids.queries[0]: [("two words", 1.0)], "no such query": []})


class Overwrites(Good):
    """Reports what has the names of the harness's own."""

    def fit(self, task):
        task.outcome |= {"fingerprint": "mine", "kind": "cell", "cost": None, "files": {}, "sha256": "0", "spec": {}}
        return super().fit(task)


class Forks(Good):
    """Lets a copy of the process return as well."""

    def fit(self, task):
        os.fork()
        time.sleep(0.2)
        return super().fit(task)


class DeletesEverything(Good):
    def fit(self, task):
        shutil.rmtree(task.checkpoint.path.parents[2])
        return super().fit(task)


class Hangs(Good):
    """In a call that no signal ends."""

    def fit(self, task):
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        time.sleep(600)
'''
"""Methods of `bench run` that misuse their process, their task or their retriever, and a good one."""
FAILS = {
    "Leaves": "it ended with SystemExit: 0",
    "Vanishes": "its process ended with exit code 0",
    "IsKilled": "its process was killed by signal 9",
    "ClosesItsPipes": "",
    "Raises": "it ended with Custom: on purpose",
    "PretendsCtrlC": "it ended with KeyboardInterrupt",
    "TellsNoNumber": "its diagnostic 'a' must be a number, not a set",
    "TellsNoMapping": "its diagnostics must be a mapping, not a str",
    "KeepsTheUnkeepable": "keys must be str",
    "DeletesItsFolder": "it deleted the log of its training",
    "Invents": "no such document",
    "Repeats": "twice",
    "Unwritable": "",
}
"""Classes of `ODD` whose training or evaluation fails, with the reason that a user reads."""


def install(site: Path, name: str, target: str, source: str, package: str = "") -> None:
    """Write an installed distribution with one module and an entry point for it to a folder of such."""
    package = package or f"package-{name}"
    about = site / f"{package.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[bench.methods]\n{name} = {target}\n")
    if source:
        (site / f"{target.partition(':')[0]}.py").write_text(source)
