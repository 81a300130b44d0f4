from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROUNDS = 30


def test_nothing_durable_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.monitor.alerts.outbox_crash", str(tmp_path), "6", str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.fullmatch(r"30 kills; of the long file (\d+) batches were durable, (\d+) found\n", done.stdout)
    assert found, done.stdout
    print(done.stdout)
    assert int(found[2]) >= int(found[1]) > 3 * ROUNDS
