"""The application under its keys: panels, portfolios, the filter, and a line that falls silent and comes back."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import Static

from monitor.top.app import PANELS, Help, TopApp
from monitor.top.model import Model
from tests.monitor.top.frames import Clock, FakeStream, changes, pool, snapshot


class Desk:
    """A running application, its fake stream and its clock."""

    def __init__(self) -> None:
        self.clock, self.stream = Clock(), FakeStream()
        self.app = TopApp(self.stream, Model(self.clock))
        self.pilot: Pilot[None]

    def tell(self, frame: dict[str, object]) -> None:
        assert self.stream.told is not None
        self.stream.told(frame)
        self.app.draw()

    def lose(self, reason: str) -> None:
        assert self.stream.lost is not None
        self.stream.lost(reason)
        self.app.draw()

    def seen(self, part: str) -> str:
        console = Console(file=io.StringIO(), width=80, color_system="truecolor", force_terminal=True)
        console.print(self.app.screen_stack[0].query_one(part, Static).content)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()


@asynccontextmanager
async def running(size: tuple[int, int] = (80, 24)) -> AsyncIterator[Desk]:
    desk = Desk()
    async with desk.app.run_test(size=size) as desk.pilot:
        await desk.pilot.pause()
        yield desk


async def test_without_a_frame_no_figure_is_shown() -> None:
    async with running() as desk:
        desk.app.draw()
        assert "connecting" in desk.seen("#head")
        assert "waiting for the first frame" in desk.seen("#panel")


async def test_names_and_details_are_shown_as_they_are() -> None:
    async with running() as desk:
        rows = {"a": pool("[red]one[/]", 0.5), "b": pool("[/nope]", None, failures=[{"reason": "X", "detail": "said [b]\x1b[2J\x07this"}])}
        desk.tell(snapshot({"pools": rows}))
        await desk.pilot.pause()
        seen = re.sub(r"\x1b\[[\d;]*m", "", desk.seen("#panel"))
        assert "[red]one[/] main" in seen
        assert "[/nope] main" in seen
        assert "said [b][2Jthis" in seen
        assert not {char for char in seen if not char.isprintable()} - {"\n"}


async def test_keys_switch_panels() -> None:
    async with running() as desk:
        desk.tell(snapshot())
        pictures = []
        for key, name in enumerate(PANELS, 1):
            await desk.press(str(key))
            assert name in desk.seen("#head")
            pictures.append(desk.seen("#panel"))
        assert len(set(pictures)) == 6
        assert "iris main" in pictures[0]


async def test_the_footer_names_the_panels_in_80_columns() -> None:
    async with running() as desk:
        footer = [line.rstrip() for line in desk.app.export_screenshot().replace("&#160;", " ").split("</text>")]
        for name in PANELS:
            assert any(name in line for line in footer), name


async def test_left_and_right_go_through_portfolios_and_all_accounts() -> None:
    async with running() as desk:
        desk.tell(snapshot())
        seen = []
        for key in ("right", "p", "right", "left", "P"):
            await desk.press(key)
            seen.append(desk.app.view.portfolio)
        assert seen == ["desk", "pair", None, "pair", "desk"]
        assert "portfolio desk (1 of 2)" in desk.seen("#head")
        assert "atlas" not in desk.seen("#panel")


async def test_a_portfolio_that_went_gives_way_to_all_accounts() -> None:
    async with running() as desk:
        desk.tell(snapshot())
        await desk.press("right")
        desk.tell(changes({"monitor": {"monitor": {"ready": True, "unready": [], "portfolios": []}}}))
        assert desk.app.view.portfolio is None
        assert "atlas main" in desk.seen("#panel")


async def test_a_filter_is_typed_kept_and_ended() -> None:
    async with running() as desk:
        desk.tell(snapshot())
        await desk.press("slash", "i", "r", "i")
        assert "atlas" not in desk.seen("#panel")
        await desk.press("enter", "2")
        assert desk.app.panel == "Contribution", "keys are keys again"
        assert "umbra" not in desk.seen("#panel")
        await desk.press("1", "escape")
        assert "atlas main" in desk.seen("#panel")


async def test_escape_while_typing_ends_the_filter() -> None:
    async with running() as desk:
        desk.tell(snapshot())
        await desk.press("slash", "q", "escape")
        assert desk.app.view.account == ""
        assert not desk.app.query_one("#filter").display
        assert desk.app.is_running


async def test_help_opens_and_closes() -> None:
    async with running() as desk:
        await desk.press("question_mark")
        assert isinstance(desk.app.screen, Help)
        await desk.press("escape")
        assert not isinstance(desk.app.screen, Help)


async def test_q_ends_it() -> None:
    async with running() as desk:
        await desk.press("q")
        assert not desk.app.is_running
    assert not desk.app.return_code


async def test_down_scrolls_and_another_panel_starts_at_its_top() -> None:
    async with running(size=(80, 10)) as desk:
        desk.tell(snapshot({"pools": {str(n): pool(f"account{n}", 0.5) for n in range(40)}}))
        await desk.pilot.pause()
        body = desk.app.query_one("#body")
        body.scroll_to(y=9, animate=False)
        await desk.pilot.pause()
        assert body.scroll_y == 9
        await desk.press("1")
        assert body.scroll_y == 0


@pytest.mark.parametrize("width", [80, 130])
async def test_a_wider_terminal_shows_more(width: int) -> None:
    async with running() as desk:
        desk.tell(snapshot())
        await desk.pilot.resize_terminal(width, 30)
        async with asyncio.timeout(10.0):
            while desk.app.view.width != width:
                await desk.pilot.pause()
        assert ("maint." in desk.seen("#panel")) is (width == 130)


DIM = "\x1b[2m"


async def test_a_silent_line_is_stale_dimmed_and_recovers() -> None:
    async with running() as desk:
        desk.tell(snapshot())
        assert DIM + "iris" not in desk.seen("#panel")
        desk.clock.now_s += 2.5
        desk.lose("nothing heard for 2.5 s")
        assert " STALE for 2.5s " in desk.seen("#head")
        assert DIM + "iris" in desk.seen("#panel")
        desk.tell(snapshot({"pools": {"a": pool("iris", 0.91)}}))
        assert "live" in desk.seen("#head")
        assert "STALE" not in desk.seen("#head")
        assert DIM + "iris" not in desk.seen("#panel")
        assert "91.0%" in desk.seen("#panel")
