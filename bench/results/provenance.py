"""The provenance of a result: machine, versions and command. It is not part of the identity."""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bench
from bench.dependencies.fingerprint import library_versions

LIBRARIES = ("torch", "transformers", "tokenizers", "POT", "faiss-cpu", "ir-measures", "pytrec-eval-terrier", "numpy")


def provenance() -> dict[str, Any]:
    """Return versions, commit, machine, command and time; None for facts that the system does not report."""
    import torch

    memory = None
    with suppress(AttributeError, OSError, ValueError):
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    return {
        "bench": bench.__version__,
        **package_commit(),
        "libraries": library_versions(*LIBRARIES),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "processor_model": value_after("model name", Path("/proc/cpuinfo")),
        "processors": os.cpu_count(),
        "memory_gib": memory,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "finished": datetime.now(UTC).isoformat(timespec="microseconds"),
    }


def package_commit() -> dict[str, Any]:
    """Return `commit` and `dirty` of the checkout that the package runs from; both are None for an installed wheel."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    root = Path(bench.__file__).parents[1]
    if (root / ".git").exists():
        with suppress(OSError, subprocess.CalledProcessError):
            changes = git("status", "--porcelain", "--", "bench", "methods", "datasets")
            return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changes)}
    return {"commit": None, "dirty": None}


def value_after(name: str, path: Path) -> str | None:
    """Return the first value of `name` in a file of `name: value` lines, or None."""
    with suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return None
