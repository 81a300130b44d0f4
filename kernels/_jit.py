"""The one decorator and the one cache policy of all kernels.

Compiled code is cached in a directory named by a digest of every kernel source, the numba version and the CPU, because
numba's own cache does not notice an edited helper in another module. Where that directory cannot be written the program
runs without a cache and `CACHE_NOTE` says so.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
from llvmlite import binding

P = ParamSpec("P")
R = TypeVar("R")

_dispatchers: list[Any] = []


def _cache_directory() -> tuple[Path | None, str]:
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    digest.update(f"{numba.__version__} {binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}".encode())
    base = os.environ.get("MARGINWATCH_CACHE_DIR") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "marginwatch")
    directory = Path(base).expanduser() / "kernels" / digest.hexdigest()[:16]
    probe = directory / f".probe-{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        return None, f"kernel cache is off: {error.strerror}; set MARGINWATCH_CACHE_DIR to a writable directory for faster starts"
    return directory, "kernel cache is on"


CACHE_DIRECTORY, CACHE_NOTE = _cache_directory()
if CACHE_DIRECTORY is not None:
    cast(Any, numba.config).CACHE_DIR = str(CACHE_DIRECTORY)


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a kernel: nopython, without the GIL, IEEE arithmetic (no `fastmath`: it breaks isnan), cached where possible."""
    compiled = numba.njit(cache=CACHE_DIRECTORY is not None, nogil=True, error_model="numpy")(function)
    _dispatchers.append(compiled)
    return cast("Callable[P, R]", compiled)


def jit_on_tick(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a short kernel that every tick calls, which keeps the GIL.

    One that gives it up has to get it back, and waits up to the interpreter's switch interval (5 ms) while a worker thread has it.
    """
    compiled = numba.njit(cache=CACHE_DIRECTORY is not None, error_model="numpy")(function)
    _dispatchers.append(compiled)
    return cast("Callable[P, R]", compiled)


def jit_formula(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a branch-free formula into the loops of the kernels that call it, so that LLVM vectorises them there.

    Its products and sums fuse (the flag `contract`): the result differs from the one with the JIT off by rounding only.
    """
    compiled = numba.njit(cache=CACHE_DIRECTORY is not None, nogil=True, error_model="numpy", fastmath={"contract"}, forceinline=True)(
        function
    )
    _dispatchers.append(compiled)
    return cast("Callable[P, R]", compiled)


def jit_inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A part of other kernels that LLVM puts into them, as a call that hands on a whole book of arrays costs 0.1 us."""
    compiled = numba.njit(cache=CACHE_DIRECTORY is not None, nogil=True, error_model="numpy", forceinline=True)(function)
    _dispatchers.append(compiled)
    return cast("Callable[P, R]", compiled)


def forbid_compilation() -> None:
    """After warm-up: a call with a new argument type raises instead of compiling for 200 ms on the event loop."""
    for dispatcher in _dispatchers:
        # with the JIT off it is a plain function; without a signature of its own only other kernels call it
        if getattr(dispatcher, "signatures", None):
            dispatcher.disable_compile()


def permit_compilation() -> None:
    """Undo `forbid_compilation`, for a process that goes on with other argument types (a test run)."""
    for dispatcher in _dispatchers:
        if getattr(dispatcher, "signatures", None):
            dispatcher.disable_compile(False)
