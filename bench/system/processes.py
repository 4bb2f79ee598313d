"""Calls of functions in other processes: several at a time, or one that may end its process or hang."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from operator import methodcaller
from queue import SimpleQueue
from typing import Any, TypeVar

from bench.errors import SMALLER_BATCH, BenchError, CellFailed, describe
from bench.system.interrupt import handled_interrupts

Item = TypeVar("Item")
Result = TypeVar("Result")

SPAWN = multiprocessing.get_context("spawn")
POLL = 0.1
"""Seconds between two checks of a worker. Its end may not close the pipe if its children inherited it."""
BLOCKED = (signal.SIG_BLOCK, {signal.SIGINT})
"""Arguments of `pthread_sigmask` that block Ctrl-C."""
LAST = 5.0
"""Seconds to wait for the end of a worker."""

_STARTING = threading.Lock()
_last_sign: Any = None
"""In a worker: the time of its last report, a double in memory shared with its caller."""


def cores() -> int:
    """Return the number of processor cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alive() -> None:
    """Report progress to the caller of this worker; do nothing in any other process."""
    if _last_sign is not None:
        _last_sign.value = time.monotonic()


def silence(timeout: float) -> CellFailed:
    """Return the error of work without progress for `timeout` seconds."""
    longer = f"--timeout {2 * timeout:g}s would wait longer"
    return CellFailed(f"no progress for {timeout:g} s, so it was stopped; {longer}")


class Worker:
    """A process that calls functions, and that can die or hang without effect on its caller.

    It has the environment, working directory, `sys.path`, `sys.argv` and output of its caller. A dead process is
    replaced. The process is killed with its group when the block ends, and ends when its caller dies.
    """

    def __init__(self, timeout: float = math.inf) -> None:
        """Limit the time between two reports to 1.1 `timeout` seconds, so that `watchdog` acts first."""
        self.timeout = timeout
        self.closed = False
        """True if the worker accepts no more calls."""
        self._process: SpawnProcess | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in the worker and return its value. Function, arguments and value must be picklable.

        Raises a `BenchError` of the function. Raises `CellFailed` for other errors, if the process ended, and after a
        timeout. The first Ctrl-C is sent to the worker, the second kills it, and KeyboardInterrupt is raised at its
        end.
        """
        process = self.start()
        with self._interrupts_passed_on(process):
            try:
                self._last_sign.value = time.monotonic()
                self._connection.send((function, arguments))
                while not self._connection.poll(POLL):
                    if not process.is_alive() and not self._connection.poll():
                        raise EOFError
                    if time.monotonic() > self._last_sign.value + 1.1 * self.timeout + 1:
                        self.kill()
                        raise silence(self.timeout)
                value, error = self._connection.recv()
            except (EOFError, OSError) as ended:
                process.join(LAST)
                self.kill()
                raise CellFailed(_death(process.exitcode)) from ended
        if error is not None:
            raise error
        return value

    def start(self) -> SpawnProcess:
        """Return the running process, or start one."""
        if self.closed:
            raise CellFailed("the call that it belongs to has ended")
        if self._process is None or not self._process.is_alive():
            self.kill()
            self._connection, theirs = SPAWN.Pipe()
            self._last_sign = SPAWN.RawValue("d")
            self._process = SPAWN.Process(target=_serve, args=(theirs, self._last_sign))
            with _blocked_interrupts(), _nameless_main():
                self._process.start()
            theirs.close()
        return self._process

    def interrupt(self) -> None:
        """Send SIGINT to the process, which handles it in its current or next call."""
        process = self._process
        if process is not None and process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Kill the process and its group. Several threads can call this at the same time."""
        process, self._process = self._process, None
        if process is None or process.pid is None:
            return
        with suppress(ProcessLookupError, PermissionError):  # macOS cannot signal a group of dead processes
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()  # it may have no group of its own
        process.join(LAST)  # a call of a driver may be uninterruptible
        self._connection.close()

    @contextmanager
    def _interrupts_passed_on(self, process: SpawnProcess) -> Iterator[None]:
        """Send a SIGINT within the block to the worker, and raise it in this process afterwards."""
        pid, interrupts = process.pid, 0
        assert pid is not None

        def on_interrupt(number: int, frame: object) -> None:
            nonlocal interrupts
            interrupts += 1
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if interrupts == 1 else signal.SIGKILL)

        try:
            with handled_interrupts(on_interrupt):
                yield
        finally:
            if interrupts:
                self.kill()  # a late SIGINT would hit its next call
                signal.raise_signal(signal.SIGINT)


@contextmanager
def _nameless_main() -> Iterator[None]:
    """Start processes within the block that do not import the caller's script, so that it needs no `__main__` guard."""
    main = vars(sys.modules["__main__"])
    with _STARTING:
        names = {name: main.get(name) for name in ("__file__", "__spec__")}
        main.update(dict.fromkeys(names))
        try:
            yield
        finally:
            main.update(names)
            if names["__file__"] is None:
                del main["__file__"]


class Workers:
    """Several workers with one call at a time each. All are killed when the block ends."""

    def __init__(self, number: int) -> None:
        self.workers = [Worker() for _ in range(number)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(number, initializer=signal.pthread_sigmask, initargs=BLOCKED)
        for worker in self.workers:
            worker.start()  # before a Ctrl-C, so that it reaches the process
            self._idle.put(worker)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.closed = True
            worker.kill()

    def submit(self, call: Callable[[Worker], Result]) -> Future[Result]:
        """Run `call` in a thread, with the next idle worker."""
        return self._threads.submit(self._with_idle, call)

    def _with_idle(self, call: Callable[[Worker], Result]) -> Result:
        worker = self._idle.get()
        try:
            return call(worker)
        finally:
            self._idle.put(worker)


def in_processes(work: Callable[[Item], Result], items: Sequence[Item], jobs: int | None) -> list[Result]:
    """Return `work` of each item, in order, computed by `jobs` workers (default: one per core).

    A single job runs in this process. The first error ends all others, and is raised as by `Worker.run`.
    """
    jobs = min(jobs or cores(), len(items))
    if jobs <= 1:
        return [work(item) for item in items]
    with Workers(jobs) as workers:
        futures = [workers.submit(methodcaller("run", work, item)) for item in items]
        for future in as_completed(futures):
            future.result()
        return [future.result() for future in futures]


def _death(code: int | None) -> str:
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    cure = f"; perhaps memory ran out: {SMALLER_BATCH}" if -code == signal.SIGKILL else ""
    return f"its process was killed by signal {-code} ({signal.strsignal(-code) or 'unknown'}){cure}"


@contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Block SIGINT within the block, and in processes started there."""
    mask = signal.pthread_sigmask(*BLOCKED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _follow_caller() -> None:
    """Detach a process from the signals of the terminal, and end it with its caller."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a terminal may stop background groups that write

    def end_with(caller: Any) -> None:
        caller.join()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _serve(connection: Connection, last_sign: Any) -> None:
    """Answer the requests of the caller until it closes the connection or ends."""
    global _last_sign
    _last_sign = last_sign
    _follow_caller()
    with suppress(EOFError, OSError):  # the caller has ended, or will end this process
        while True:
            response = _respond(connection.recv_bytes())
            sys.stdout.flush()
            connection.send_bytes(response)


def _respond(request: bytes) -> bytes:
    """Call the requested function; return its pickled value and error, one of them None."""
    process = os.getpid()
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())  # no Ctrl-C can hit the process outside the call
            function, arguments = pickle.loads(request)  # imports their modules
            return pickle.dumps((function(*arguments), None))
        finally:
            if os.getpid() != process:  # a fork of the function returned; it must not continue as the worker
                os._exit(1)
            signal.pthread_sigmask(*BLOCKED)
    except BaseException as error:
        ended = "" if isinstance(error, Exception) else "it ended with "
        failure = error if isinstance(error, BenchError) else CellFailed(f"{ended}{describe(error)}")
        failure.add_note(traceback.format_exc())
        return pickle.dumps((None, failure))
