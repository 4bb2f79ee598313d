"""The facts about a machine: right whatever this process has set, and asked for once."""

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.errors import BenchError
from bench.system import machine as module
from bench.system.machine import Machine, machine, precision


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    return tmp_path


def test_facts_are_those_of_a_fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import torch; print(torch.get_num_threads())"
    fresh = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    torch.set_num_threads(fresh + 1)
    try:
        found = machine()
    finally:
        torch.set_num_threads(1)
    assert found.threads == fresh
    assert found.device == ("cuda" if torch.cuda.is_available() else "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(module, "_facts", None)
        assert machine() == found
    monkeypatch.setenv("OMP_NUM_THREADS", str(fresh + 1))
    assert machine().threads == fresh + 1


def test_torch_that_cannot_be_imported_is_said_in_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "torch.py").write_text("raise ImportError('broken')")
    monkeypatch.syspath_prepend(home)
    with pytest.raises(BenchError, match="torch cannot be imported: ImportError: broken"):
        machine()


@pytest.mark.parametrize(
    ("asked", "device", "dimension", "expected"),
    [
        ("auto", "cpu", 384, "bfloat16"),
        ("auto", "cpu", 128, "float32"),
        ("auto", "cuda", 128, "float32"),
        ("float32", "cpu", 384, "float32"),
        ("bfloat16", "cuda", 128, "bfloat16"),
    ],
)
def test_precision_is_the_faster_one_unless_asked_for(asked: str, device: str, dimension: int, expected: str) -> None:
    facts = Machine(1, mps=False, cpu_bfloat16=True, gpu_bfloat16=False, threads=2)
    assert precision(asked, device, dimension, facts) == expected


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory in this way")
def test_freed_memory_is_returned_to_the_system() -> None:
    def pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    blocks = [bytes(64 * 1024) for _ in range(2048)]  # 128 MB in blocks that glibc keeps
    kept = blocks[-1]
    del blocks
    before = pages()
    module.release_memory()
    assert (before - pages()) * resource.getpagesize() > 64e6
    assert not any(kept)
