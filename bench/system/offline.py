"""`--offline`: no socket is opened, neither by this program nor by a library that it uses."""

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
    """Let every attempt to open an internet socket raise `OSError` until this process ends."""
    global _forbidden
    os.environ["HF_HUB_OFFLINE"] = "1"  # libraries report this in clearer words
    _watch()
    _forbidden = True


def network_forbidden() -> bool:
    return _forbidden


@contextmanager
def local_only() -> Iterator[None]:
    """Forbid the network within the block, and silence the warnings of libraries about files that they miss."""
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


@cache  # a hook stays until the process ends
def _watch() -> None:
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    internet = event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6)
    if _forbidden and (internet or event == "socket.getaddrinfo"):
        raise OSError(errno.ENETUNREACH, MESSAGE)
