"""Fixtures of the end-to-end tests: everything they start is ended when the test is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e.browser import Tab, chromium
from tests.e2e.browser import tab as opened
from tests.e2e.programs import Inbox, Launcher

FIRST = ("survives", "alertmanager", "soak", "operations", "run", "page", "page_crash", "demo", "container")
"""The files that begin first, longest first, so that the workers end together.

A soak takes a processor for two minutes, and what is killed again and again has to come up in seconds: with the short file between them
both go to one worker, one after the other.
"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the long files over the workers; the tests of a file stay together."""
    order = {f"test_e2e_{name}": number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(FIRST)))


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_launcher(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Launcher]:
    """Starts processes that the tests of a module share."""
    launcher = Launcher(tmp_path_factory.mktemp("shared") / "state")
    try:
        yield launcher
    finally:
        await launcher.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(require_server: Callable[[str], Path]) -> AsyncIterator[Browser]:
    """Chromium, one for a module."""
    async with chromium(require_server("chromium")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: Browser) -> AsyncIterator[Tab]:
    """An empty tab; the test fails when anything went wrong in it."""
    async with opened(browser) as one:
        yield one
