"""Several trainings at a time: the bytes, the failures and the interrupts of one after another."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_bench import REFERENCES, Command, steps_of
from test_failures import started, wait

from bench.data.files import Resolver
from bench.errors import BenchError
from bench.progress import Display
from bench.results.store import CHECKPOINT, LOG
from bench.running import resources as resources_module
from bench.running.resources import Resources
from bench.system import machine as machine_module
from bench.system.machine import Machine, find_devices

METHODS = "distillation optical psq fusion+psq+distillation"


def test_two_jobs_give_the_bytes_of_one(command: Command, tmp_path: Path) -> None:
    single = replace(command, results=tmp_path / "single")
    assert single(METHODS, "--threads", "1").code == 0
    said = command(METHODS, "--threads", "1", "--jobs", "2", "--seeds", "0")
    assert (said.code, said.lines[-1]) == (0, f"{len(REFERENCES) + 4} cells computed, 0 found finished")
    assert command.files() == single.files()
    again = command(METHODS, "--threads", "1", "--jobs", "3")
    assert again.lines[-1].startswith(f"nothing to compute: all {len(REFERENCES) + 4} cells")


def test_a_job_that_fails_or_dies_does_not_end_the_others(misbehaving: Command) -> None:
    said = misbehaving("Fails Vanishes Quits Good", "--threads", "1", "--jobs", "2")
    assert said.code == 1
    for method in ("Fails", "Vanishes", "Quits"):
        assert said.line(f"FAILED {method}.")
    assert misbehaving.methods() == {"Good", *REFERENCES}


@pytest.mark.slow
def test_ctrl_c_lets_all_jobs_save_and_go_on_from_there(misbehaving: Command, tmp_path: Path) -> None:
    command, options = misbehaving, ("--seeds", "0,1", "--jobs", "2")

    def logs() -> list[int]:
        return [len(steps_of(log)) for log in sorted(command.results.glob(f"trainings/Waits.*/{LOG}"))]

    with started(command, tmp_path / "errors.txt", *options) as process:
        wait(process, lambda: len(logs()) == 2 and min(logs()) >= 2)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    assert (tmp_path / "errors.txt").read_text().splitlines()[-1].startswith("bench: interrupted")
    assert max(logs()) < 30
    assert len([*command.results.glob(f"trainings/Waits.*/{CHECKPOINT}")]) == 2
    with started(command, tmp_path / "again.txt", *options) as process:
        pass
    assert process.returncode == 0
    assert (tmp_path / "again.txt").read_text().count(": continuing from step ") == 2
    single = replace(command, results=tmp_path / "single")
    assert single("Waits", "--threads", "1", *options[:2], budget="30steps").code == 0
    assert command.files() == single.files()


@pytest.mark.slow
def test_calls_on_one_folder_share_the_trainings(misbehaving: Command, tmp_path: Path) -> None:
    command, options = misbehaving, ("--seeds", "0,1,2", "--jobs", "2")
    with started(command, tmp_path / "one", *options) as one, started(command, tmp_path / "other", *options) as other:
        pass
    assert (one.returncode, other.returncode) == (0, 0)
    computed = [int((tmp_path / name).read_text().split(" cells computed")[0].split()[-1]) for name in ("one", "other")]
    assert sum(computed) == 8, computed  # zero-shot and oracle do not depend on the seed
    assert min(computed) > 0
    for log in command.results.glob(f"trainings/Waits.*/{LOG}"):
        assert steps_of(log) == [*range(1, 31)]


MACHINE = Machine(2, mps=False, cpu_bfloat16=False, gpu_bfloat16=True, threads=8)


def test_devices_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "machine", lambda: MACHINE)
    assert find_devices(["auto"]) == ("cuda",)
    for names in (["cuda:0", "cuda:1"], ["cuda:0+cuda:1"]):
        assert find_devices(names) == tuple(names)
    for names, line in {
        ("cuda:2",): "--device cuda:2: torch finds no such device; choose from cpu, cuda, cuda:0, cuda:1",
        ("cuda:0+cuda:2",): "--device cuda:2: torch finds no such device",
        ("cuda:0+cpu",): "--device cuda:0[+]cpu: a call needs devices of one kind",
        ("mps",): "--device mps: torch finds no such device",
        ("cpu", "cuda"): "--device cpu,cuda: a call needs devices of one kind",
    }.items():
        with pytest.raises(BenchError, match=f"^{line}"):
            find_devices(names)


def test_a_gpu_is_the_current_one_before_the_teacher_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def load(name: str, device: torch.device, **options: object) -> torch.nn.Module:
        calls.append(str(device))
        return torch.nn.Linear(1, 1, device="meta")

    monkeypatch.setattr(torch.cuda, "set_device", calls.append)
    monkeypatch.setattr(resources_module, "load_teacher", load)
    resources = Resources("tiny", "cuda:1", "float32", {}, Resolver(offline=True), Display(quiet=True), threads=1)
    assert resources.device_type == "cuda"
    _ = resources.teacher
    assert calls == ["cuda:1", "cuda:1"]
