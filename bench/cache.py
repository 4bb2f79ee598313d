"""The folder of downloaded and derived files."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def default_cache() -> Path:
    """Return `BENCH_HOME`, else the platform's cache folder for this program."""
    home = os.environ.get("BENCH_HOME")
    return Path(home) if home else platformdirs.user_cache_path("bench")
