"""Work beside the loop that a stop does not wait for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from monitor.background import beside


async def test_work_is_waited_for_and_its_failure_raised() -> None:
    done: list[str] = []
    await beside(lambda: done.append(threading.current_thread().name), "worker")
    assert done == ["worker"]

    def fails() -> None:
        raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        await beside(fails, "worker")


async def test_a_cancelled_wait_leaves_the_work_alone() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(10.0)
        ended.set()

    task = asyncio.create_task(beside(work, "worker"))
    await asyncio.to_thread(begun.wait, 10.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await asyncio.to_thread(ended.wait, 10.0)


def test_a_process_ends_though_a_compiler_is_at_work() -> None:
    code = (
        "import threading, time\n"
        "from monitor.background import COMPILING, leave\n"
        "threading.Thread(target=time.sleep, args=(60.0,), name=COMPILING).start()\n"
        "print('leaving')\n"
        "leave(7)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30.0, check=False)
    assert (ended.returncode, ended.stdout) == (7, "leaving\n")
