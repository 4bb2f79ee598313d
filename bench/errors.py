"""Errors that a user can cause, each with one line of text and an exit code.

Exit codes of the command line: 0 done, 1 a cell failed (the others finished),
2 bad usage or bad input, 3 metric regression.
"""

import difflib
from collections.abc import Iterable

OUT_OF_MEMORY = ("out of memory", "DefaultCPUAllocator")
"""Parts of torch's error messages about the memory of a GPU or of the machine."""
SMALLER_BATCH = "use a smaller batch, such as --set recipe.batch_size=16, or fewer --jobs"
FAILURES = (Exception, SystemExit)
"""The errors that fail a training. Others, such as Ctrl-C, end the call."""
LONGEST_MESSAGE = 1000
PROJECT = "clir-bench"
"""The name of the installed distribution."""


class BenchError(ValueError):
    """Bad usage or bad input. The text is one line that names cause and cure."""

    exit_code = 2

    def __init__(self, text: str) -> None:
        line = " ".join(text.splitlines())  # values from files may have line breaks or be long
        super().__init__(line if len(line) <= LONGEST_MESSAGE else f"{line[:700]} ... {line[-250:]}")


class MissingFile(BenchError):
    """A file of a collection or a model is not on this machine, and cannot or must not be downloaded."""


class Interrupted(BenchError):
    """Ctrl-C in a command that stores no intermediate results."""

    exit_code = 130


class CellFailed(BenchError):
    """One training or cell failed; the others continue."""

    exit_code = 1


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.5) -> list[str]:
    """Return the one or two known names that are most similar to `name`."""
    return difflib.get_close_matches(name, sorted(known), n=2, cutoff=cutoff)


def unknown(kind: str, name: str, known: Iterable[str]) -> BenchError:
    """Return the error for an unknown name, with the nearest known names as a suggestion."""
    known = sorted(known)
    if near := nearest(name, known):
        return BenchError(f"unknown {kind} '{name}'; did you mean {' or '.join(near)}?")
    return BenchError(f"unknown {kind} '{name}'; known: {', '.join(known) or 'none'}")


def describe(error: BaseException) -> str:
    """Return one line about an error: its text, with its type if it is no `BenchError`."""
    if isinstance(error, BenchError):
        return str(error)
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY):
        return f"out of memory; {SMALLER_BATCH}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def pip_install(extra: str) -> str:
    """Return the command that installs the packages of an extra. It needs no index that has this project."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    wanted = (Requirement(line) for line in requires(PROJECT) or ())
    of_extra = (each for each in wanted if each.marker and each.marker.evaluate({"extra": extra}))
    return " ".join(["pip install", *(f"'{each.name}{each.specifier}'" for each in of_extra)])


def root_cause(error: BaseException) -> str:
    """Return the message of the innermost of nested network errors, in one line, since outer messages are vague."""
    from http.client import HTTPException

    root, inner = error, error.__cause__ or error.__context__
    while inner is not None:
        root = inner if isinstance(inner, (OSError, HTTPException)) else root
        inner = inner.__cause__ or inner.__context__
    return " ".join(str(root).split()) or type(root).__name__
