"""Work on many items in several processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import connection, forkserver, get_context, parent_process, resource_tracker
from typing import Any

import torch

from knee_i2m2.errors import ConfigError
from knee_i2m2.types import Progress

__all__ = ["counted", "in_parallel"]


def in_parallel(
    task: Callable[[Any], Any], items: Iterable[Any], jobs: int, lost: Callable[[Any], Any] | None = None
) -> Iterator[Any]:
    """Yields `task(item)` in the items' order.

    Every process has one thread, gets what it needs by pickle and ends with its parent, even if that is killed. So has
    this one while it works: on slices, torch's threads wait for each other longer than they work.

    Args:
        task: A function of a module, or a partial of one.
        items: What is worked on.
        jobs: Processes; 1 works in this one.
        lost: Gives the result of an item whose process was killed, such as by want of memory; by default an error.

    Raises:
        ConfigError: There are fewer than one job, or a process was killed.
    """
    if jobs < 1:
        raise ConfigError(f"--jobs {jobs}: give at least 1")
    if jobs == 1:
        yield from map(partial(_one_thread, task), items)
        return
    left = list(items)
    while left:
        done = 0
        try:
            with _pool(min(jobs, len(left)), task) as pool:
                with _interrupts_deferred():
                    results = pool.map(task, left)
                for result in results:
                    done += 1
                    yield result
        except BrokenProcessPool:  # one of the first items left is the cause: run the first alone, then go on
            yield _alone(task, left[done], lost or _refuse)
            done += 1
        left = left[done:]


def _one_thread(task: Callable[[Any], Any], item: Any) -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return task(item)
    finally:
        torch.set_num_threads(threads)


def counted(work: str, items: Iterable[Any], total: int, progress: Progress) -> Iterator[Any]:
    """Yields the items and reports each one, once its receiver comes for the next."""
    progress(work, 0, total)
    for done, item in enumerate(items, 1):
        yield item
        progress(work, done, total)


def _alone(task: Callable[[Any], Any], item: Any, lost: Callable[[Any], Any]) -> Any:
    try:
        with _pool(1, task) as pool:
            return pool.submit(task, item).result()
    except BrokenProcessPool:
        return lost(item)


def _refuse(item: Any) -> None:
    raise ConfigError("a process was killed, probably for want of memory; use fewer --jobs")


def _pool(jobs: int, task: Callable[[Any], Any]) -> ProcessPoolExecutor:
    """Returns processes that fork from a clean one, which has imported the task's module once."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, getattr(task, "func", task).__module__])
    with _interrupts_deferred():
        forkserver.ensure_running()
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_start)


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Defers Ctrl-C while processes start, so that none is left half started without its parent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # its own start would let the signal through again
    signals: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: signals.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if signals and handler is not signal.SIG_IGN:
        raise KeyboardInterrupt


def _start() -> None:
    """Prepares a process: one thread, Ctrl-C ignored (the parent handles it), exit with the parent."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    connection.wait([parent_process().sentinel])
    os._exit(1)
