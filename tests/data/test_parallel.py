"""Work in several processes gives what one would, and outlives a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from knee_i2m2.data import parallel
from knee_i2m2.data.parallel import in_parallel
from knee_i2m2.errors import ConfigError, DataError


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_results_come_in_the_items_order(jobs: int) -> None:
    assert list(in_parallel(abs, [-3, 1, -2, 0], jobs)) == [3, 1, 2, 0]


def test_no_process_does_nothing() -> None:
    with pytest.raises(ConfigError, match="--jobs 0: give at least 1"):
        list(in_parallel(abs, [1], 0))


def test_an_error_of_the_task_is_the_callers() -> None:
    with pytest.raises(DataError, match=r"a\.h5: is bad; mend it"):
        list(in_parallel(_fail, ["a.h5"] * 3, 2))


def test_a_killed_process_costs_its_own_item_alone() -> None:
    found = list(in_parallel(_killed_by_3, range(6), 2, lost=partial(round, ndigits=0)))
    assert found == [0, 10, 20, 3, 40, 50]


def test_a_killed_process_ends_in_words() -> None:
    with pytest.raises(ConfigError, match="a process was killed"):
        list(in_parallel(_killed_by_3, [3], 2))


SLEEPER = """
import os, sys, time
from knee_i2m2.data import parallel
from knee_i2m2.data.parallel import in_parallel

def sleep(folder):
    open(f"{folder}/{os.getpid()}.pid", "w").close()
    time.sleep(600)

if __name__ == "__main__":
    list(in_parallel(sleep, [sys.argv[1]] * 2, 2))
"""


def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    parent = subprocess.Popen([sys.executable, tmp_path / "sleeper.py", tmp_path])
    _wait(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    parent.kill()
    parent.wait()
    workers = [int(path.stem) for path in tmp_path.glob("*.pid")]
    _wait(lambda: not any(map(_runs, workers)))


def _fail(path: str) -> None:
    raise DataError(path, "is bad", "mend it")


def _killed_by_3(item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * item


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def _wait(condition) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited for a minute in vain"
        time.sleep(0.05)


def test_ctrl_c_waits_until_the_processes_have_started() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), parallel._interrupts_deferred():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("started")
    assert done == ["started"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_who_does_not_hear_ctrl_c_is_not_interrupted() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with parallel._interrupts_deferred():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_item_is_worked_on_by_one_thread_and_this_process_keeps_its_own(jobs: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(in_parallel(_threads, range(2), jobs)) == [1, 1]
        with pytest.raises(ZeroDivisionError):
            list(in_parallel(_divide, [0], 1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def _threads(item: int) -> int:
    return torch.get_num_threads()


def _divide(item: int) -> float:
    return 1 / item
