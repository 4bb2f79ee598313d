"""Stored facts about this machine, so that planning imports no torch, and the setup of libraries."""

import ctypes
import inspect
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.dependencies.fingerprint import library_versions
from bench.errors import BenchError, describe
from bench.storage.hashing import digest
from bench.storage.sealed import default_cache, remembered
from bench.system.processes import Worker, cores

VARIABLES = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "ATEN_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_")
"""Prefixes of environment variables that can change the facts."""
SMALL_DIMENSION = 256
"""Encoders of a smaller dimension are faster in float32 on a processor, because of the conversions."""


@dataclass(frozen=True)
class Machine:
    """Number of GPUs, devices with native bfloat16, and torch's number of threads."""

    gpus: int
    mps: bool
    """True if there is a GPU of Apple."""
    cpu_bfloat16: bool
    gpu_bfloat16: bool
    threads: int

    @property
    def device(self) -> str:
        """The device of `auto`. It is never a GPU of Apple, the least tested device."""
        return "cuda" if self.gpus else "cpu"


def machine() -> Machine:
    """Return the stored facts about this machine, or determine them in a new interpreter."""
    return Machine(**remembered(default_cache() / "machine" / f"{digest(_key())}.json", _facts))


def find_devices(names: Sequence[str]) -> tuple[str, ...]:
    """Return the devices of these names, with `auto` replaced. Raises `BenchError` for missing or mixed devices."""
    facts = machine()
    devices = tuple(facts.device if name == "auto" else name for name in names)
    here = {"cpu", *["mps"] * facts.mps, *["cuda"] * bool(facts.gpus), *(f"cuda:{i}" for i in range(facts.gpus))}
    every = "+".join(devices).split("+")
    for device in every:
        if device not in here:
            raise BenchError(f"--device {device}: torch finds no such device; choose from {', '.join(sorted(here))}")
        if kind_of(device) != kind_of(every[0]):
            raise BenchError(f"--device {','.join(devices)}: a call needs devices of one kind")
    return devices


def kind_of(device: str) -> str:
    """Return the kind of a device, or of several as `cuda:0+cuda:1`: `cpu`, `cuda` or `mps`."""
    return re.split("[:+]", device)[0]


def precision(requested: str, device: str, dimension: int, facts: Machine) -> str:
    """Return `float32` or `bfloat16`; `auto` is the faster of both for an encoder of this dimension."""
    if requested != "auto":
        return requested
    fast = {"cuda": facts.gpu_bfloat16, "cpu": facts.cpu_bfloat16 and dimension >= SMALL_DIMENSION}
    return "bfloat16" if fast.get(device) else "float32"


def prepare_libraries(*, offline: bool, threads: int | None) -> None:
    """Set the environment that libraries read at import, and the number of threads."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    if threads is not None:
        import faiss
        import torch

        torch.set_num_threads(threads)
        faiss.omp_set_num_threads(threads)


def release_memory() -> None:
    """Return freed memory to the system. glibc keeps it otherwise, which adds up to gigabytes after a few trainings."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(ctypes.c_size_t(0))


def _key() -> list[Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    processor = [platform.uname()[4:], *sorted({line for line in lines if line.startswith(("model name", "flags"))})]
    devices = sorted(path.name for pattern in ("nvidia*", "kfd") for path in Path("/dev").glob(pattern))
    variables = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    return [inspect.getsource(_torch_facts), library_versions("torch"), processor, cores(), devices, variables]


def _facts() -> dict[str, Any]:
    with Worker() as fresh:  # a new interpreter, since this process may have set the number of threads
        return fresh.run(_torch_facts)


def _torch_facts() -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        raise BenchError(f"torch cannot be imported: {describe(error)}") from error
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    native = torch.cpu.get_capabilities()
    return {
        "gpus": gpus,
        "mps": torch.backends.mps.is_available(),
        "cpu_bfloat16": bool(native.get("avx512_bf16") or native.get("amx_bf16")),
        "gpu_bfloat16": gpus > 0 and torch.cuda.is_bf16_supported(including_emulation=False),
        "threads": torch.get_num_threads(),
    }
