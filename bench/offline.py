"""What `--offline` promises: no socket, neither by this program nor by a library that it uses."""

from __future__ import annotations

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

_forbidden = 0
"""How many forbid the network at present: `forbid_network` for good, each `no_network` until its block ends."""


def forbid_network() -> None:
    """From now on, and until this process ends, every attempt to open an internet socket raises `OSError`."""
    global _forbidden
    os.environ["HF_HUB_OFFLINE"] = "1"  # lets libraries say so themselves, before they try
    _watch()
    _forbidden += 1


def network_forbidden() -> bool:
    """Whether anything forbids the network at present."""
    return _forbidden > 0


@contextmanager
def no_network() -> Iterator[None]:
    """Within the block, every attempt to open an internet socket raises `OSError`."""
    global _forbidden
    _watch()
    _forbidden += 1
    try:
        yield
    finally:
        _forbidden -= 1


@contextmanager
def local_only() -> Iterator[None]:
    """Forbid the network within the block, and silence the warnings of libraries about files that they miss."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with no_network():
            yield
    finally:
        logging.disable(before)


@cache  # a hook stays until the process ends
def _watch() -> None:
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if _forbidden and (
        event == "socket.getaddrinfo"
        or (event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6))
    ):
        raise OSError(errno.ENETUNREACH, MESSAGE)
