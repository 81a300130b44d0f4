"""A process beside this one for work that is all Python: in a thread it would take the interpreter from every tick for milliseconds.

    aside = Aside()
    aside.begin()                    starts the process; until it is ready `run` uses a thread
    await aside.run(work)            the result of work(), which has to be picklable, as its result has to be
    await aside.close()

The process speaks over its standard input and output, so it ends with this one, however this one ends. It runs at low priority.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from kernels.warmup import warm_up, warm_up_portfolio

T = TypeVar("T")

AGAIN_S = 60.0
"""A process that broke is started again no sooner."""

LONGEST_S = 60.0
"""What takes longer is given up, and the process with it."""

_HEAD = 8
_NICE = 10

_log = logging.getLogger("marginwatch.web")


class Aside:
    """One process, one work at a time. Use it on the event loop. `clock` tells monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._process: Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._began_s: float | None = None
        self._turn = asyncio.Lock()

    @property
    def is_ready(self) -> bool:
        """Whether `run` uses the process."""
        return self._process is not None

    def begin(self) -> None:
        """Start the process unless it runs, is being started, or broke a moment ago."""
        is_due = self._began_s is None or self._clock() - self._began_s >= AGAIN_S
        if self._process is None and is_due and (self._starting is None or self._starting.done()):
            self._began_s = self._clock()
            self._starting = asyncio.create_task(self._start())

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns; raises what it raises in a thread, RuntimeError with its words in the process, CancelledError on `close`."""
        if self._process is None:
            return await asyncio.to_thread(work)
        async with self._turn:
            process = self._process
            if process is not None:
                try:
                    is_done, found = await asyncio.wait_for(_ask(process, work), LONGEST_S)
                except (OSError, EOFError, asyncio.IncompleteReadError, TimeoutError) as broken:
                    if self._process is None:
                        # closed meanwhile: nobody needs it any more
                        raise asyncio.CancelledError from broken
                    self._give_up(type(broken).__name__)
                except BaseException:
                    # an answer that nobody waits for would be taken for the next one
                    self._give_up("a cancelled work")
                    raise
                else:
                    if not is_done:
                        raise RuntimeError(found)
                    result: T = found
                    return result
        return await asyncio.to_thread(work)

    async def close(self) -> None:
        """End the process; idempotent."""
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        process, self._process = self._process, None
        await _end(process)

    async def _start(self) -> None:
        process = None
        try:
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "monitor.web.aside", stdin=PIPE, stdout=PIPE)
            # kernels may have to be compiled: nothing waits for it
            is_done, found = await _ask(process, _warm)
            if not is_done:
                raise RuntimeError(found)
        except (OSError, RuntimeError, asyncio.IncompleteReadError) as error:
            _log.warning("reports are computed in this process, for the one beside it does not start: %s", error)
            await _end(process)
        except BaseException:
            await _end(process)
            raise
        else:
            self._process = process

    def _give_up(self, why: str) -> None:
        process, self._process = self._process, None
        _log.warning("the process that computes reports is given up (%s); another one is started in %.0f s at the soonest", why, AGAIN_S)
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()


async def _ask(process: Process, work: Callable[[], Any]) -> tuple[bool, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    asked = pickle.dumps(work)
    process.stdin.write(len(asked).to_bytes(_HEAD, "big") + asked)
    await process.stdin.drain()
    size = int.from_bytes(await process.stdout.readexactly(_HEAD), "big")
    told: tuple[bool, Any] = pickle.loads(await process.stdout.readexactly(size))
    return told


async def _end(process: Process | None) -> None:
    if process is None:
        return
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    await process.wait()


# -- in the process ----------------------------------------------------------------------------------------------------------


def _warm() -> None:
    warm_up(forbid=False)
    warm_up_portfolio()


def serve(asked: BinaryIO, told: BinaryIO) -> None:
    """Do what is asked, one work after the other, until there is no more."""
    while head := asked.read(_HEAD):
        try:
            work = pickle.loads(asked.read(int.from_bytes(head, "big")))
            answer = pickle.dumps((True, work()))
        except Exception as error:
            answer = pickle.dumps((False, f"{type(error).__name__}: {error}"))
        told.write(len(answer).to_bytes(_HEAD, "big") + answer)
        told.flush()


def main() -> None:
    """The process: its input and output belong to the one that started it, which also ends it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    with suppress(OSError):  # where there is such a thing: short of memory this one goes before the monitor
        Path("/proc/self/oom_score_adj").write_text("500")
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whoever prints must not speak for us
    with suppress(BrokenPipeError):
        serve(sys.stdin.buffer, told)


if __name__ == "__main__":
    main()
