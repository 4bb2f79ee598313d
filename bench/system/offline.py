"""`--offline`: neither this program nor a library opens a socket."""

import errno
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

MESSAGE = "--offline forbids the network"

_forbidden = False


def forbid_network() -> None:
    """Raise `OSError` at every attempt to open an internet socket, until this process ends."""
    global _forbidden
    os.environ["HF_HUB_OFFLINE"] = "1"  # libraries then report clearer errors
    _watch()
    _forbidden = True


def network_forbidden() -> bool:
    return _forbidden


@contextmanager
def local_only() -> Iterator[None]:
    """Forbid the network within the block, and silence warnings of libraries about missing files."""
    global _forbidden
    before = _forbidden, logging.root.manager.disable
    _watch()
    logging.disable(logging.WARNING)
    _forbidden = True
    try:
        yield
    finally:
        _forbidden, disabled = before
        logging.disable(disabled)


@cache  # an audit hook cannot be removed
def _watch() -> None:
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    internet = event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6)
    if _forbidden and (internet or event == "socket.getaddrinfo"):
        raise OSError(errno.ENETUNREACH, MESSAGE)
