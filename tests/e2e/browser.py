"""The page in a real Chromium: the one that is installed, never one that playwright would download."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, ConsoleMessage, Page, Request, Response, async_playwright

from tests.e2e.programs import PROJECT, until

ARTEFACTS = PROJECT / "e2e-artefacts"
"""Screenshots and what was measured stay there until the next run writes them anew."""

DESK, PHONE = (1280, 900), (390, 844)
FIRST_FIGURES_S = 60.0
START_S = 120.0
"""Until a demo has every ratio, on a machine with other things to do and an empty cache of kernels."""

# without a sandbox: CI runs as root in a container
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def chromium(path: Path) -> AsyncIterator[Browser]:
    """A browser with a profile of its own."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(path), args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


def note(name: str, told: str) -> None:
    """Keep what was measured; `make e2e` prints it in the end."""
    ARTEFACTS.mkdir(exist_ok=True)
    (ARTEFACTS / f"{name}.txt").write_text(f"{told}\n")


class Tab:
    """One page and everything that went wrong in it: console errors and warnings, exceptions, requests that failed or were refused."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.problems.append(f"console {message.type}: {message.text}")

    def _failed(self, request: Request) -> None:
        # given up by the page itself, which leaves or needs it no more
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"failed: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"refused: {response.request.method} {response.url}: {response.status}")

    @contextmanager
    def expecting(self, words: str) -> Iterator[None]:
        """Problems that match this pattern are what the test is after."""
        before = list(self.problems)
        yield
        self.problems[:] = before + [one for one in self.problems[len(before) :] if not re.search(words, one)]

    async def open(self, url: str) -> None:
        """Go there and wait for figures in every panel that has them from the start."""
        await self.page.goto(url)
        await self.figures()

    async def figures(self) -> None:
        """Wait for pools and for the report of a portfolio."""
        for panel in ("summary", "contribution", "calendar"):
            await self.page.wait_for_selector(f"#panel-{panel} .num[data-key]", timeout=1000 * FIRST_FIGURES_S)

    async def ask(self, script: str, *given: Any) -> Any:
        """What a function of JavaScript answers in the page."""
        return await self.page.evaluate(script, *given)

    async def shows(self, script: str, seconds: float) -> None:
        """Wait until an expression of JavaScript holds."""

        async def holds() -> bool:
            return bool(await self.page.evaluate(script))

        await until(holds, seconds, lambda: f"{script}; {self.problems}")

    async def size(self, width: int, height: int, scheme: Literal["light", "dark"] = "light") -> None:
        """Set the window's size and the theme."""
        await self.page.set_viewport_size({"width": width, "height": height})
        await self.page.emulate_media(color_scheme=scheme)

    async def shot(self, name: str, *, whole: bool = True) -> Path:
        """Keep a screenshot."""
        path = ARTEFACTS / f"{name}.png"
        await self.page.screenshot(path=path, full_page=whole)
        return path


@asynccontextmanager
async def tab(browser: Browser) -> AsyncIterator[Tab]:
    """An empty tab in a context of its own; fails at the end for what went wrong in it."""
    context = await browser.new_context(viewport={"width": DESK[0], "height": DESK[1]})
    opened = Tab(await context.new_page())
    try:
        yield opened
    finally:
        await context.close()
    assert not opened.problems, "\n".join(opened.problems)
