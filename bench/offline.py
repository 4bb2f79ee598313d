"""What `--offline` promises: no socket, neither by this program nor by a library that it uses."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Any

MESSAGE = "--offline forbids the network"


def forbid_network() -> None:
    """From now on, and until this process ends, every attempt to open an internet socket raises `OSError`."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # lets libraries say so themselves, before they try
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo" or (
        event == "socket.__new__" and arguments[1] in (socket.AF_INET, socket.AF_INET6)
    ):
        raise OSError(errno.ENETUNREACH, MESSAGE)
