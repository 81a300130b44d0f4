from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitor.watch.watch_desk import WatchDesk


@pytest.fixture
def desk(tmp_path: Path) -> WatchDesk:
    return WatchDesk(tmp_path).open()
