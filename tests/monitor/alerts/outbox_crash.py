"""Kills a process that writes an outbox, again and again: `python -m tests.monitor.alerts.outbox_crash DIRECTORY SEED ROUNDS`.

Each batch has two alerts that belong together. After each kill the file is opened: every batch that `write` called durable is there,
none is there by half, and what is not settled is pending. Prints one line of counts; a failed check ends it with a traceback.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from pathlib import Path

from monitor.alerts.outbox import Outbox, Outcome, read_history
from tests.monitor.alerts.outbox_samples import EPOCH_MS, NOW_MS, alert, fired, seams

POOLS = ("left", "right")
KEPT = 5
"""Of every so many batches one is never delivered to `log`."""


async def _write_for_ever(path: Path, out: int) -> None:
    box = Outbox(path, limit_s=10.0, seams=seams(checkpoint_at_last=7, open_s=20.0))
    number = box.open(EPOCH_MS, NOW_MS).last_number
    while True:
        number += 1
        pair = [alert(number, pool=pool) for pool in POOLS]
        if await box.write(fired(*pair)):
            os.write(out, b"%d\n" % number)
        for receiver in ("ops",) if number % KEPT == 0 else ("ops", "log"):
            box.settle([each.id for each in pair], receiver, Outcome.DELIVERED, NOW_MS)


def _killed(path: Path, wanted: int, pause_s: float) -> int:
    """The last batch that a process called durable before it was killed: `pause_s` after its `wanted`-th, or after its start."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            asyncio.run(_write_for_ever(path, writing))
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as lines:
        said = [lines.readline() for _ in range(wanted)]
        time.sleep(pause_s)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        said += lines.readlines()
    assert os.WIFSIGNALED(status), "the process ended by itself"
    return int(said[-1]) if said else 0


def _check(path: Path, durable: int) -> int:
    """How many batches the file has."""
    box = Outbox(path, limit_s=10.0, seams=seams(open_s=20.0))
    found = box.open(EPOCH_MS, NOW_MS)
    box.close(10.0)
    assert (found.problem, box.statistics().failures) == ("", 0), (found.problem, box.problem)
    last = found.last_number
    assert last >= durable, f"lost: {durable} was durable, the file ends with {last}"
    wanted = {alert(number, pool=pool).id for number in range(1, last + 1) for pool in POOLS}
    entries = read_history(path, 10**6)
    assert {entry.alert.id for entry in entries} == wanted
    assert all({each.receiver for each in entry.deliveries} == {"ops", "log"} for entry in entries)
    assert {(held.scope.name, held.number) for held in found.open} == ({(pool, last) for pool in POOLS} if last else set())
    assert {each.id for each in found.latest} == {alert(last, pool=pool).id for pool in POOLS if last}
    pending = {item.alert.id for item in found.pending if item.receiver == "log"}
    assert pending >= {alert(number, pool=pool).id for number in range(KEPT, last + 1, KEPT) for pool in POOLS}
    return last


def main(directory: Path, seed: int, rounds: int) -> None:
    """Every third round begins a new file and is killed while it does; the others go on with one."""
    dice, told, held = random.Random(seed), 0, 0
    for number in range(rounds):
        if number % 3 == 0:
            fresh = directory / f"fresh-{number}.db"
            _check(fresh, _killed(fresh, 0, dice.uniform(0, 0.012)))
        else:
            told = _killed(directory / "long.db", dice.randrange(20), dice.uniform(0, 0.003)) or told
            held = _check(directory / "long.db", told)
    print(f"{rounds} kills; of the long file {told} batches were durable, {held} found")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
