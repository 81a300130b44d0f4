"""Fixtures of the end-to-end tests: everything they start is ended when the test is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.programs import Inbox, Launcher


@pytest.fixture
async def launcher(tmp_path: Path) -> AsyncIterator[Launcher]:
    """Starts processes and ends them."""
    launcher = Launcher(tmp_path / "state")
    try:
        yield launcher
    finally:
        await launcher.close()


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    """A server for alerts."""
    inbox = Inbox()
    await inbox.start()
    try:
        yield inbox
    finally:
        await inbox.stop()
