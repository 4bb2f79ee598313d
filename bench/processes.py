"""Work in processes of its own, some at a time; what comes out does not depend on how many."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from bench.errors import CellFailed

Item = TypeVar("Item")
Result = TypeVar("Result")

SPAWN = multiprocessing.get_context("spawn")


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(work: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> list[Result]:
    """`work` of each item, in the order of the items, `jobs` at a time; one at a time it is done in this process.

    All of it must be picklable. The first error is raised here, and ends the other processes at once, as Ctrl-C does;
    of that they hear nothing themselves. Raises `CellFailed` if a process is killed.
    """
    if min(jobs, len(items)) <= 1:
        return [work(item) for item in items]
    results: dict[int, Result] = {}
    waiting = deque(enumerate(items))
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, item = waiting.popleft()
                connection, process = _start()
                running[connection] = number, process
                _talk(connection.send, (work, item))
            ready = wait(running)
            for connection in [one for one in running if one in ready]:
                result, error = _talk(connection.recv)
                number, process = running.pop(connection)
                process.join()
                if error is not None:
                    raise error
                results[number] = result
    finally:
        for _, process in running.values():
            process.terminate()
        for connection, (_, process) in running.items():
            process.join()
            connection.close()
    return [results[number] for number in range(len(items))]


def _start() -> tuple[Connection, BaseProcess]:
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()  # or the end of the process would not be the end of what it says
    return ours, process


def _talk(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except (EOFError, BrokenPipeError, ConnectionResetError) as error:
        raise CellFailed("a process was killed, perhaps for want of memory; --jobs 1 needs the least") from error


def _serve(connection: Connection) -> None:
    """The life of a process: it is told what to do, does it, and says what came of it."""
    if hasattr(signal, "pthread_sigmask"):  # Ctrl-C is the parent's affair, whatever handlers the work sets
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work, item = connection.recv()  # imports what they are made of
    answer: tuple[Any, Exception | None]
    try:
        answer = work(item), None
    except Exception as error:
        error.add_note(traceback.format_exc())  # tracebacks do not travel
        answer = None, error
    connection.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
