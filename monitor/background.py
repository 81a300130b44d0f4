"""Work beside the event loop that a stop does not wait for."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

COMPILING = "marginwatch compiling"
"""Name of the thread that compiles kernels, which nothing can interrupt for up to half a minute."""


async def beside(work: Callable[[], None], name: str) -> None:
    """Run `work` in a thread of its own and wait for it; raises what it raised. A cancelled wait leaves it running."""
    loop, failed = asyncio.get_running_loop(), list[BaseException]()
    done = asyncio.Event()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # handed on to who waits
            failed.append(error)
        with suppress(RuntimeError):  # the loop may be closed meanwhile
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name=name, daemon=True).start()
    await done.wait()
    if failed:
        raise failed[0]


def leave(code: int) -> NoReturn:
    """End the process with an exit code, also while kernels are being compiled: a compiler cannot be asked to stop."""
    if any(thread.name == COMPILING for thread in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
