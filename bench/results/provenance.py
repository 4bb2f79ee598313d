"""Where and by what a result was made: recorded beside it, never part of its identity."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bench
from bench.fingerprint import library_versions

LIBRARIES = ("torch", "transformers", "tokenizers", "POT", "faiss-cpu", "ir-measures", "pytrec-eval-terrier", "numpy")


def provenance() -> dict[str, Any]:
    """Versions, the commit of the package's own checkout, the machine, threads and time."""
    import torch

    return {
        "bench": bench.__version__,
        **package_commit(),
        "libraries": library_versions(*LIBRARIES),
        "platform": platform.platform(),
        "distribution": distribution(),
        "processor": platform.processor() or platform.machine(),
        "processor_model": processor_model(),
        "processors": os.cpu_count(),
        "memory_gib": memory_gib(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "finished": datetime.now(UTC).isoformat(timespec="microseconds"),
    }


def distribution() -> str | None:
    """The operating system's name and version, where it has a file that says so."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return None


def processor_model() -> str | None:
    """As the kernel calls it; None where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def memory_gib() -> float | None:
    """Of the whole machine; None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def package_commit() -> dict[str, Any]:
    """`commit` and `dirty` of the checkout that the package runs from; both None for an installed wheel."""
    root = Path(bench.__file__).parents[1]
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return {
            "commit": commit,
            "dirty": bool(_git(root, "status", "--porcelain", "--", "bench", "methods", "datasets")),
        }
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _git(root: Path, *arguments: str) -> str:
    result = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return result.stdout.strip()


class PeakMemory:
    """The largest resident memory of this process (or allocated memory of the GPU) since the object was made."""

    def __init__(self, device: str) -> None:
        self.device = device
        if device == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats()
        elif os.access("/proc/self/clear_refs", os.W_OK):
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak; see proc(5)

    def mebibytes(self) -> float | None:
        """None where the system does not tell."""
        if self.device == "cuda":
            import torch

            return round(torch.cuda.max_memory_allocated() / 2**20, 1)
        try:
            status = Path("/proc/self/status").read_text()
        except OSError:
            return None
        line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
        return round(int(line.split()[1]) / 1024, 1) if line else None
