"""Functions called in other processes: several at a time, or one that may end its process or hang.

The standard pools report neither how a worker ended nor which call hangs, and pass no Ctrl-C on; so this is a process
and a connection of our own.
"""

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
from multiprocessing.connection import Connection, Pipe
from typing import Any, TypeVar

from bench.errors import CellFailed, describe

Item = TypeVar("Item")
Result = TypeVar("Result")

POLL = 0.2
"""Seconds between two checks of a worker. Its end may not close its pipe, which its children may have inherited."""
LAST = 5.0
"""Seconds that a worker has to end after a second Ctrl-C."""
SMALLER_BATCH = "a training needs less memory with a smaller batch, such as --set recipe.batch_size=16"

_caller: Connection | None = None
"""In a worker: the connection to the process that waits for it."""
_process = os.getpid()
"""The process that imported this module. Its forks must not write to the connection."""
_sending = threading.Lock()


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alive() -> None:
    """Give a sign of life to the process that waits for this worker; do nothing in any other process."""
    if _caller is not None and os.getpid() == _process:
        with suppress(OSError), _sending:
            _caller.send_bytes(b"")


def silence(timeout: float) -> CellFailed:
    """Return the error for work that gave no sign of life for `timeout` seconds."""
    longer = f"--timeout {2 * timeout:g}s would wait longer"
    return CellFailed(f"no sign of life for {timeout:g} s, so it was given up; {longer}")


class Worker:
    """A process that calls functions, one after another, and that can die or hang without harm to this one.

    It starts with the first call and is replaced after it died or was killed. It has this process's environment,
    working directory, `sys.path`, `sys.argv` and output, but no standard input, and it never runs the user's script.
    It is killed with all processes of its group when the block ends, and ends itself within a second or so of the death
    of this process.
    """

    def __init__(self, timeout: float = math.inf, *, cure: str = SMALLER_BATCH) -> None:
        """Limit the silence of a call to `timeout` seconds and a tenth, so that `watchdog` comes first.

        `cure` ends the message about a worker that was killed, perhaps because memory ran out.
        """
        self._limit, self._patience, self._cure = 1.1 * timeout + 1, timeout, cure
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
            self._process, self._connection = _start()
        if self._interrupts:
            raise KeyboardInterrupt
        self._connection.send_bytes(request)
        self._deadline = time.monotonic() + self._limit
        while not self._stopped:
            ended = self._process.poll() is not None
            if self._connection.poll(0 if ended else POLL):
                if response := self._connection.recv_bytes():
                    return response
                if self._interrupts < 2:
                    self._deadline = time.monotonic() + self._limit
            elif ended:
                raise EOFError
            if time.monotonic() > self._deadline:
                raise silence(self._patience)
        raise CellFailed("it was stopped")

    def _death(self) -> str:
        """Return how the worker ended, and remove its remains."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST)
        code = self._process.poll()
        self._kill()
        if code is None:
            return "its process closed the connection to the harness, so it was killed"
        if code >= 0:
            return f"its process ended with exit code {code}"
        cure = f"; perhaps memory ran out: {self._cure}" if -code == signal.SIGKILL else ""
        return f"its process was killed by signal {-code} ({signal.strsignal(-code) or 'unknown'}){cure}"

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
        futures = list(map(threads.submit, [call] * len(items), workers, items))
        for future in as_completed(futures):
            future.result()
        return [future.result() for future in futures]
    finally:
        for worker in workers:
            worker.stop()
        threads.shutdown(cancel_futures=True)


def _start() -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a worker process; return it and the connection to it."""
    ours, theirs = Pipe()
    code = (
        f"import sys; sys.path[:] = {[*map(str, sys.path)]!r}; sys.argv[:] = {sys.argv!r}\n"
        f"from bench.system.processes import _serve; _serve({theirs.fileno()}, {os.getpid()})"
    )
    # The worker inherits the mask, and opens it for each call: no Ctrl-C can hit it anywhere else.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        command = [sys.executable, "-u", "-c", code]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], process_group=0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
    return process, ours


def _serve(connection: int, parent: int) -> None:
    """Answer the requests of the parent process until there is none or it ends."""
    global _caller
    _caller = Connection(connection)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a terminal may stop groups in its background that write
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with suppress(EOFError, OSError, KeyboardInterrupt):  # the parent has ended, or will end this process
        while True:
            response = _respond(_caller.recv_bytes())
            with _sending:  # a method may have left a thread that gives signs of life
                _caller.send_bytes(response)


def _respond(request: bytes) -> bytes:
    """Call the requested function; return its pickled value and error, one of them None."""
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            function, arguments = pickle.loads(request)  # imports their modules
            return pickle.dumps((function(*arguments), None))
        finally:
            if os.getpid() != _process:  # a fork of the function came back; it must not go on as the worker
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    except BaseException as error:
        failure = error if isinstance(error, Exception) else CellFailed(f"it ended with {describe(error)}")
        failure.add_note(traceback.format_exc())
        try:
            response = pickle.dumps((None, failure))
            pickle.loads(response)
        except Exception:  # pickle cannot write or read this error
            replacement = CellFailed(describe(failure))
            replacement.add_note(traceback.format_exc())
            return pickle.dumps((None, replacement))
        return response


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)
