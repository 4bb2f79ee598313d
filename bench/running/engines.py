"""Engines that compute jobs: this process, several processes, a Ray cluster, or Slurm.

All machines of a cluster have the results folder and the data under the same paths (docs/machines.md).
"""

from __future__ import annotations

import math
import operator
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from bench.errors import BenchError, pip_install
from bench.request import Request
from bench.results.store import Store
from bench.running.work import Job, perform
from bench.system.processes import Worker, Workers
from bench.terminal import write_error

LEAST_PATIENCE = 60.0
"""Least timeout in seconds of the process of a plugin, which imports libraries first."""
RETRIES = 3
"""Number of retries of a job after Ray lost its machine or process."""
DAY = 24 * 60
"""Default time limit of a Slurm job in minutes; the variable SBATCH_TIMELIMIT has priority."""
ALL = 10_000
"""Maximum number of jobs on a cluster at a time."""
EXTRAS = {"ray": "ray", "slurm": "submitit"}
"""The package of each engine except `local`, by the name of the extra that installs it."""


def check_engine(request: Request) -> None:
    """Raise `BenchError` if the engine is not installed, or if options that depend on the machine are missing."""
    name = request.engine.partition(":")[0]
    if any("+" in device for device in request.device) and request.budget.unit.endswith("seconds"):
        raise BenchError("devices that share a training need a budget in steps, examples or tokens (--budget 200steps)")
    if name not in EXTRAS:
        return
    if find_spec(EXTRAS[name]) is None:
        raise BenchError(f"--engine {name} needs {EXTRAS[name]}, which is not installed: {pip_install(name)}")
    if request.device not in (("cpu",), ("cuda",)) or request.precision == "auto" or request.threads is None:
        options = "--device (cpu or cuda), --precision (float32 or bfloat16) and --threads"
        raise BenchError(f"--engine {name}: the other machines may differ from this one; give {options}")


def make_engine(request: Request, devices: Sequence[str], jobs: int, worker: Worker) -> Engine:
    """Return the engine of a call. If it computes in this process, `worker` runs plugins."""
    name, _, place = request.engine.partition(":")
    if name == "ray":
        return Ray(place, request)
    if name == "slurm":
        return Slurm(place, request)
    return Processes(jobs, devices, worker.timeout) if jobs > 1 else Engine(worker)


class Engine:
    """Compute jobs one at a time, in this process, or in `worker` for plugins."""

    slots = 1
    """Number of jobs at a time."""

    def __init__(self, worker: Worker | None = None) -> None:
        self.worker = worker

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """End all jobs at once."""

    def submit(self, job: Job, missing: Sequence[Any]) -> Future[bool]:
        """Start a job, and return the future of its result."""
        call = operator.call if self.worker is None or job.training.method.own else self.worker.run
        return at_once(call, perform, job, missing)

    def interrupt(self) -> None:
        """End each job after its step. Its future is then done."""


def at_once(function: Callable[..., bool], *arguments: Any) -> Future[bool]:
    """Call a function, and return its result as a future. Raises KeyboardInterrupt."""
    future: Future[bool] = Future()
    try:
        future.set_result(function(*arguments))
    except Exception as error:
        future.set_exception(error)
    return future


class Processes(Engine):
    """Compute jobs in several processes, distributed over the devices."""

    def __init__(self, jobs: int, devices: Sequence[str], timeout: float) -> None:
        self.slots, self._timeout, self._workers = jobs, timeout, Workers(jobs)
        self._device = {id(worker): devices[i % len(devices)] for i, worker in enumerate(self._workers.workers)}

    def __exit__(self, *exception: object) -> None:
        self._workers.__exit__()

    def submit(self, job: Job, missing: Sequence[Any]) -> Future[bool]:
        return self._workers.submit(partial(self._perform, job, missing))

    def _perform(self, job: Job, missing: Sequence[Any], worker: Worker) -> bool:
        worker.timeout = math.inf if job.training.method.own else self._timeout
        resources = replace(job.resources, device=self._device[id(worker)])
        return worker.run(perform, replace(job, resources=resources), missing)

    def interrupt(self) -> None:
        for worker in self._workers.workers:
            worker.interrupt()


class Ray(Engine):
    """Compute each job as a task of a Ray cluster: at the address, the running one, or a new one."""

    def __init__(self, address: str, request: Request) -> None:
        import ray

        self.slots = request.jobs or ALL
        self._ray, self._tasks = ray, list[Any]()
        try:
            ray.init(address or None, logging_level="warning", include_dashboard=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise BenchError(f"--engine ray:{address}: {error}") from error
        needs = {"num_cpus": request.threads, "num_gpus": int(request.device == ("cuda",))}
        self._remote = ray.remote(**needs, max_retries=RETRIES)(perform_there)

    def __exit__(self, *exception: object) -> None:
        self._ray.shutdown()

    def submit(self, job: Job, missing: Sequence[Any]) -> Future[bool]:
        self._tasks.append(self._remote.remote(Path.cwd(), job, missing))
        return self._tasks[-1].future()

    def interrupt(self) -> None:
        for task in self._tasks:
            self._ray.cancel(task)


class Slurm(Engine):
    """Compute each job as a job of Slurm, or as a process of this machine if the cluster is `local`."""

    def __init__(self, cluster: str, request: Request) -> None:
        import submitit

        self.slots = request.jobs or ALL
        self._jobs, self._threads = list[Any](), ThreadPoolExecutor(self.slots)
        try:
            self._executor = submitit.AutoExecutor(request.results / "slurm" / "%j", cluster or "slurm")
        except RuntimeError as error:
            raise BenchError(f"--engine slurm: {error}; slurm:local runs the jobs on this machine") from error
        needs = {"cpus_per_task": request.threads, "gpus_per_node": int(request.device == ("cuda",))}
        self._executor.update_parameters(name="bench", timeout_min=DAY, **needs)

    def __exit__(self, *exception: object) -> None:
        for job in self._jobs:
            if not job.done():
                job.cancel(check=False)
        self._threads.shutdown(wait=False)

    def submit(self, job: Job, missing: Sequence[Any]) -> Future[bool]:
        self._jobs.append(self._executor.submit(Requeued(), Path.cwd(), job, missing))
        return self._threads.submit(_awaited, self._jobs[-1])

    def interrupt(self) -> None:
        running = [job for job in self._jobs if not job.done()]
        for job in running:
            if self._executor.cluster == "slurm":
                subprocess.call(["scancel", "--signal=INT", job.job_id])
                subprocess.call(["scancel", "--state=PENDING", job.job_id])
            else:
                job.cancel()


class Requeued:
    """The function of a Slurm job. Slurm restarts the job after a preemption or its time limit."""

    def __call__(self, *arguments: Any) -> bool:
        return perform_there(*arguments)

    def checkpoint(self, *arguments: Any) -> Any:
        """Return the call that continues from the last checkpoint of the training."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)


def _awaited(submitted: Any) -> bool:
    bad_input = bool(submitted.result())
    for line in (submitted.stderr() or "").splitlines():
        write_error(line)
    return bad_input


def perform_there(folder: Path, job: Job, missing: Sequence[Any]) -> bool:
    """Return the result of `perform` on another machine with the working directory `folder`.

    Raises `BenchError` if its inputs differ. A second lock outlives the caller, since a first try may still run when a
    retry starts.
    """
    os.chdir(folder)
    with Store(job.entry.folder.parents[1]).lock(job.entry, ".remote"):
        try:
            _compare_inputs(job)
        except BenchError as error:
            job.fail(error)
            return True
        return perform(job, missing)


def _compare_inputs(job: Job) -> None:
    """Raise `BenchError` if data, code or libraries of this machine differ from those of the caller."""
    here = [(job.entry, job.resources.training_inputs(job.training))]
    here += [(entry, job.resources.cell_inputs(cell)) for cell, entry in job.cells.items()]
    for entry, inputs in here:
        if other := sorted(dict(inputs.items() ^ entry.inputs.items())):
            where = f"the machine {platform.node()} has another {', '.join(other)} than this one"
            raise BenchError(f"{where}; install the same packages, and share the same files")
