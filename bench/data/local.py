"""Libraries that download what they miss, kept to the files on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from bench import offline


@contextmanager
def local_only() -> Iterator[None]:
    """Within the block, no library reaches the network, and none logs a warning about what it misses."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with offline.no_network():
            yield
    finally:
        logging.disable(before)
