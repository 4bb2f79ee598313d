"""Functions called in other processes: several at a time, or one that may end its process or hang."""

from __future__ import annotations

import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, TypeVar

from bench.errors import CellFailed, describe

Item = TypeVar("Item")
Result = TypeVar("Result")

POLL = 0.2
"""Seconds between two looks at a worker. A child of a dead worker may hold its pipes open, so they do not tell."""
LAST = 5.0
"""Seconds that a worker has to end after a second Ctrl-C."""
SMALLER_BATCH = "a training needs less memory with a smaller batch, such as --set recipe.batch_size=16"

_life: int | None = None
"""The pipe for signs of life, in a worker."""


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alive() -> None:
    """Give a sign of life to the process that waits for this worker; do nothing in any other process."""
    if _life is not None:
        with suppress(OSError):  # a full pipe holds signs enough
            os.write(_life, b".")


def silence(patience: float) -> CellFailed:
    """Return the error for work that gave no sign of life for `patience` seconds."""
    longer = f"--patience {2 * patience:g}s would wait longer"
    return CellFailed(f"no sign of life for {patience:g} s, so it was given up; {longer}")


class Worker:
    """A process that calls functions, one after another, and that can die or hang without harm to this one.

    It starts with the first call and is replaced after it died or was killed. It has this process's environment,
    working directory, `sys.path`, `sys.argv` and output, but no standard input, and it never runs the user's script.
    It is killed with all processes of its group when the block ends, and ends itself within a second or so of the death
    of this process.
    """

    def __init__(self, patience: float = math.inf, *, cure: str = SMALLER_BATCH) -> None:
        """Limit the silence of a call to `patience` seconds and a tenth, so that `watchdog` comes first.

        `cure` ends the message about a worker that was killed, perhaps because memory ran out.
        """
        self._patience, self._cure = patience, cure
        self._process: subprocess.Popen[bytes] | None = None
        self._interrupts = 0
        self._deadline = math.inf
        self._stopped = False

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self._kill()

    def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in the worker and return its value; all must be picklable, and importable there.

        An `Exception` of the function is raised here, with its traceback as a note. Raises `CellFailed` if the process
        ended, if the function raised another `BaseException`, and if `alive` was not called for too long.

        Each Ctrl-C is passed on to the function once. KeyboardInterrupt is raised here when the function has ended, at
        the latest a few seconds after a second Ctrl-C. Outside the main thread Ctrl-C is not passed on.
        """
        request = pickle.dumps((function, arguments))
        with self._interrupts_passed_on():
            try:
                response = self._exchange(request)
            except (EOFError, OSError) as ended:
                raise CellFailed(self._death()) from ended
            except BaseException:
                self._kill()
                raise
            try:
                value, error = pickle.loads(response)
            except BaseException as unreadable:  # reading it may run code of a method
                raise CellFailed(f"its result cannot be read: {describe(unreadable)}") from unreadable
        if error is not None:
            raise error
        return value

    def stop(self) -> None:
        """End the call that another thread is waiting for; it raises `CellFailed` there."""
        self._stopped = True

    def _exchange(self, request: bytes) -> bytes:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            self._start()
        assert self._process is not None
        if self._interrupts:
            raise KeyboardInterrupt
        self._connection.send_bytes(request)
        limit = 1.1 * self._patience + 1
        self._deadline = time.monotonic() + limit
        while True:
            ready = wait([self._connection, self._life], POLL)
            if self._connection in ready:
                return self._connection.recv_bytes()
            if self._life in ready and os.read(self._life, 4096) and self._interrupts < 2:
                self._deadline = time.monotonic() + limit
            if self._stopped:
                raise CellFailed("it was stopped")
            if time.monotonic() > self._deadline:
                raise silence(self._patience)
            if self._process.poll() is not None and not self._connection.poll():
                raise EOFError

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        self._life, their_life = os.pipe()
        passed = theirs.fileno(), their_life
        code = (
            f"import sys; sys.path[:] = {[*map(str, sys.path)]!r}; sys.argv[:] = {sys.argv!r}\n"
            f"from bench.processes import _serve; _serve({passed[0]}, {passed[1]}, {os.getpid()})"
        )
        # The worker inherits the mask, and opens it for each call: no Ctrl-C can hit it anywhere else.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            command = [sys.executable, "-c", code]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=passed, process_group=0)
        except BaseException:
            self._connection.close()
            os.close(self._life)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
            os.close(their_life)

    def _death(self) -> str:
        """Say how the worker ended, and remove what is left of it."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST)
        code = self._process.poll()
        self._kill()
        if code is None:
            return "its process closed the connection to the harness, so it was killed"
        if code >= 0:
            return f"its process ended with exit code {code}"
        name = signal.strsignal(-code) or "unknown"
        cure = f"; perhaps memory ran out: {self._cure}" if -code == signal.SIGKILL else ""
        return f"its process was killed by signal {-code} ({name}){cure}"

    def _kill(self) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses to signal a group of dead processes
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()  # it may have left its group
        with suppress(subprocess.TimeoutExpired):  # a call to a driver may not be interruptible
            self._process.wait(LAST)
        self._process = None
        self._connection.close()
        os.close(self._life)

    @contextmanager
    def _interrupts_passed_on(self) -> Iterator[None]:
        """Pass each SIGINT within the block on to the worker, and leave the first to the usual handler afterwards."""
        usual = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or usual in (signal.SIG_IGN, None):
            yield
            return

        def on_interrupt(number: int, frame: object) -> None:
            self._interrupts += 1
            if self._interrupts == 2:
                self._deadline = time.monotonic() + LAST
            if self._process is not None:
                self._process.send_signal(signal.SIGINT)

        self._interrupts = 0
        signal.signal(signal.SIGINT, on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)
            if self._interrupts:
                self._kill()  # a late SIGINT would hit its next call
                signal.raise_signal(signal.SIGINT)


def in_processes(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> list[Result]:
    """Return `work` of each item, in the order of the items. `jobs` items are processed at a time, each in a process of
    its own; one at a time they are processed in this process.

    All of it must be picklable. The first error is raised here, and ends the other processes at once, as Ctrl-C does;
    they get no signal that they could handle. Raises `CellFailed` if a process ends before its work.
    """
    if min(jobs, len(items)) <= 1:
        return [work(item) for item in items]
    workers = [Worker(cure="--jobs 1 needs the least") for _ in items]

    def call(worker: Worker, item: Item) -> Result:
        with worker:
            return worker.run(work, item)

    threads = ThreadPoolExecutor(jobs)
    try:
        futures = [threads.submit(call, *pair) for pair in zip(workers, items, strict=True)]
        for future in as_completed(futures):
            future.result()
        return [future.result() for future in futures]
    finally:
        for worker in workers:
            worker.stop()
        threads.shutdown(cancel_futures=True)


def _serve(connection: int, life: int, parent: int) -> None:
    """Answer the requests of the parent process until there is none or it ends."""
    global _life
    os.set_blocking(life, False)
    _life = life
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a terminal may stop groups in its background that write
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    pipe = Connection(connection)
    with suppress(EOFError, OSError, KeyboardInterrupt):  # the parent has ended, or will end this process
        while True:
            response = _respond(pipe.recv_bytes())
            with suppress(Exception):  # a method may have closed or replaced them
                sys.stdout.flush()
                sys.stderr.flush()
            pipe.send_bytes(response)


def _respond(request: bytes) -> bytes:
    """Call what is requested; return its pickled value and error, one of them None."""
    process = os.getpid()
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            function, arguments = pickle.loads(request)  # imports their modules
            return pickle.dumps((function(*arguments), None))
        finally:
            if os.getpid() != process:  # a fork of the function came back; it must not go on as the worker
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    except Exception as error:
        return _pickled(error, traceback.format_exc())
    except BaseException as error:
        return _pickled(CellFailed(f"it ended with {describe(error)}"), traceback.format_exc())


def _pickled(error: Exception, text: str) -> bytes:
    """Pickle an error with its traceback; one that does not survive this is replaced by its description."""
    error.add_note(text)
    try:
        response = pickle.dumps((None, error))
        pickle.loads(response)
    except Exception:
        replacement = CellFailed(describe(error))
        replacement.add_note(text)
        return pickle.dumps((None, replacement))
    return response


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)
