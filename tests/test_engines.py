"""Clusters: Ray and Slurm give the bytes of this machine alone, also if a machine is lost."""

import itertools
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_bench import Command, steps_of
from test_failures import logged, started, wait

from bench.results.store import CHECKPOINT, LOG
from bench.running import engines
from bench.running.engines import Engine, at_once
from bench.running.resources import Resources

EXPLICIT = ("--device", "cpu", "--precision", "float32", "--threads", "1")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster on the loopback address, whose head computes nothing."""
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # read by the import: no other address is used
    monkeypatch.setenv("RAY_worker_niceness", "0")
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(True, head_node_args={"num_cpus": 0, "node_ip_address": "127.0.0.1"})
    yield cluster
    cluster.shutdown()


@pytest.mark.slow
def test_ray_gives_the_same_bytes_although_a_node_is_lost(misbehaving: Command, tmp_path: Path, cluster: Any) -> None:
    """The only node is lost in the middle of a training, and then there is another."""
    command, node = misbehaving, {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    options = (*EXPLICIT, "--engine", f"ray:{cluster.address}")
    only = cluster.add_node(**node)
    with started(command, tmp_path / "errors.txt", *options) as process:
        wait(process, lambda: logged(command) >= 2)
        cluster.remove_node(only, allow_graceful=False)
        assert logged(command) < 30
        cluster.add_node(**node)
    assert process.returncode == 0, (tmp_path / "errors.txt").read_text()
    assert steps_of(command.entry("trainings", "Waits") / LOG) == [*range(1, 31)]
    single = replace(command, results=tmp_path / "single")
    assert single("Waits", *EXPLICIT, budget="30steps").code == 0
    assert command.files() == single.files()


def test_slurm_jobs_as_processes_of_this_machine_give_the_same_bytes(misbehaving: Command, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    command = misbehaving
    single = replace(command, results=tmp_path / "single")
    methods = "Good psq"
    assert single(methods, *EXPLICIT).code == 0
    said = command(f"{methods} Fails", *EXPLICIT, "--engine", "slurm:local", "--jobs", "2")
    assert (said.code, said.lines[-1]) == (1, "5 cells computed, 0 found finished, 1 FAILED")
    assert "RuntimeError: as it must" in said.line("FAILED Fails.")  # which the job wrote to its log
    assert command.files() == single.files()


FAKE = {
    "sbatch": """
        env --default-signal=INT setsid bash "$1" > /dev/null 2>&1 &
        echo $! >> "$FAKE/jobs"
        echo "Submitted batch job $!"
    """,
    "srun": """
        export SLURM_JOB_ID=$PPID SLURM_JOB_NODELIST=node
        while [[ $1 == --* ]]; do
            case $1 in --output) out=$2; shift;; --error) err=$2; shift;; esac
            shift
        done
        for name in out err; do printf -v $name %s "$(sed "s/%j/$SLURM_JOB_ID/g; s/%t/0/" <<< "${!name}")"; done
        exec "$@" >> "$out" 2>> "$err"
    """,
    "scancel": 'echo "$@" >> "$FAKE/cancelled"; [[ $1 == --signal=INT ]] && kill -INT -- "-$2"',
    "sacct": """
        echo 'JobID|State|NodeList'
        while read job; do
            kill -0 $job 2> /dev/null && echo "$job|RUNNING|node" || echo "$job|COMPLETED|node"
        done < "$FAKE/jobs"
    """,
}
"""Commands of Slurm as bash scripts: a job is a group of processes of this machine, listed in $FAKE."""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of those commands."""
    pytest.importorskip("submitit")
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, script in FAKE.items():
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.mark.slow
def test_ctrl_c_lets_slurm_jobs_save_and_go_on_from_there(misbehaving: Command, tmp_path: Path, slurm: Path) -> None:
    command, more = misbehaving, ("--device", "cpu", "--precision", "float32", "--engine", "slurm")
    with started(command, tmp_path / "errors.txt", *more) as process:
        wait(process, lambda: logged(command) >= 2)
        process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    (cancelled,) = {line.split()[-1] for line in (slurm / "cancelled").read_text().splitlines()[-2:]}
    assert cancelled in (slurm / "jobs").read_text().split()
    assert command.entry("trainings", "Waits").joinpath(CHECKPOINT).exists()
    assert 2 <= logged(command) < 30
    with started(command, tmp_path / "again.txt", *more) as process:
        pass
    assert process.returncode == 0
    assert "continuing from step " in (tmp_path / "again.txt").read_text()
    single = replace(command, results=tmp_path / "single")
    assert single("Waits", *EXPLICIT, budget="30steps").code == 0
    assert command.files() == single.files()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--engine", "ray"), "--engine ray: the other machines may differ from this one; give --device"),
        (("--engine", "slurm", *EXPLICIT[:4]), "--engine slurm: the other machines may differ"),
        (("--engine", "moon"), "engine = 'moon': write local, slurm, slurm:local, ray or ray:ADDRESS"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], line: str
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: True)
    said = command("zero-shot", *options)
    assert (said.code, len(said.lines)) == (2, 1)
    assert line in said.lines[0]


def test_a_missing_package_is_named_with_its_cure(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    (line,) = command("zero-shot", "--engine", "slurm:local").lines
    assert line.endswith("--engine slurm needs submitit, which is not installed: pip install 'submitit>=1.5.4'")


def test_inputs_that_differ_on_another_machine_fail_the_job(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "submit", lambda self, *job: at_once(engines.perform_there, Path.cwd(), *job))
    inputs = Resources.cell_inputs
    calls = itertools.count()
    changed = {"library torch": "another"}
    monkeypatch.setattr(
        Resources, "cell_inputs", lambda self, cell: inputs(self, cell) | (changed if next(calls) % 2 else {})
    )
    said = command("zero-shot", *EXPLICIT)
    assert said.code == 2
    assert "another library torch than this one; install the same packages" in said.line("FAILED zero-shot.")
