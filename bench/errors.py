"""The errors a user can cause, each with one line of text and an exit code.

Exit codes of the command line: 0 done, 1 a cell failed (the others finished),
2 bad usage or bad input, 3 metric regression.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Bad usage or bad input; its text is one line that names the cause and the cure."""

    exit_code = 2


class CellFailed(BenchError):
    """Something went wrong inside one training or cell; the others go on."""

    exit_code = 1


def unknown(kind: str, name: str, known: Iterable[str]) -> BenchError:
    """The error for a name nobody knows, with the nearest known names as a suggestion."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    if near:
        return BenchError(f"unknown {kind} '{name}'; did you mean {' or '.join(near)}?")
    return BenchError(f"unknown {kind} '{name}'; known: {', '.join(known)}")
