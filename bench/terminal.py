"""Output to stdout and stderr. Only this module prints, since names, ids and errors may contain terminal commands."""

import io
import os
import re
import sys

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (except tab and line feed), line separators, bidirectional overrides and lone surrogates."""
STREAMS = ("stdin", "stdout", "stderr")


def printable(text: str) -> str:
    """Return the text with control characters as JSON escapes, such as `\\u001b`, so that JSON stays JSON."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def one_line(text: str) -> str:
    """Return the printable text with line feeds as `\\n`."""
    return printable(text).replace("\n", "\\n")


def write_out(*lines: object, end: str = "\n") -> None:
    """Print lines to stdout."""
    print(*(printable(str(line)) for line in lines), sep="\n", end=end)


def write_error(line: str) -> None:
    """Print one line to stderr."""
    print(one_line(line), file=sys.stderr, flush=True)


def open_streams() -> None:
    """Replace closed streams by the null device, and escape characters that the encoding of stdout lacks."""
    for number, name in enumerate(STREAMS):
        if getattr(sys, name) is None:
            discard(number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def discard(number: int) -> None:
    """Redirect a file descriptor of this process and of its children to the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, number)
    if null != number:
        os.close(null)
