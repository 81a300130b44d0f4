"""The full-screen picture of a running monitor: panels and portfolios by keys, drawn anew as frames come."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Protocol

import click
from rich.console import Group, RenderableType
from rich.styled import Styled
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from monitor.client import MonitorError
from monitor.top import analysis, desk, tables
from monitor.top.model import Connection, Model
from monitor.top.parts import Verbatim, View, portfolio_ids
from monitor.top.stream import StreamClient

DONE, FAILED = 0, 2
"""Exit codes."""

DRAW_S = 0.25
"""The picture is drawn anew at most so often; ages go on without frames."""

PANELS: dict[str, Callable[[Model, View], Iterator[RenderableType]]] = {
    "Summary": tables.summary,
    "Contribution": analysis.contribution,
    "Scenarios": analysis.scenarios,
    "Modes": analysis.modes,
    "Alerts": desk.alerts,
    "Feeds": desk.feeds,
}
"""By their titles, in the order of the keys 1 to 6."""

HELP = """\
1 .. 6        panel: summary, contribution, scenarios, modes and
              venues, alerts, feeds
left, right   the portfolio before, the next (or P, p); the first stop
              is all accounts
up, down      scroll; also page up, page down, home, end
/             only accounts whose id contains a text: enter keeps it,
              escape ends it
q             quit

Levels are ok, warning, critical, liquidation. The bar goes from 0 to
120 %, its ticks are the thresholds. In brackets: what was known last
and holds no more; beneath the table stands why.
STALE: the monitor is not heard, every figure is of then; the line is
opened anew. This program only reads.

Escape, ? or q closes this page."""


class Followed(Protocol):
    """Where frames come from: a StreamClient with its first connection open."""

    async def follow(self, told: Callable[[Mapping[str, Any]], None], lost: Callable[[str], None]) -> None:
        """Give every frame to `told`, and to `lost` why none come; never ends."""
        ...


class Help(ModalScreen[None]):
    """The keys, and how to read the panels."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        """See textual."""
        yield Static(HELP, markup=False)


class TopApp(App[None]):
    """The picture of one monitor. `source` gives the frames, `clock` (of the model) tells monotonic seconds."""

    CSS = """
    #head { height: auto; max-height: 6; }
    #body { height: 1fr; scrollbar-size-vertical: 1; }
    #panel { height: auto; }
    #filter { height: 1; border: none; padding: 0; display: none; }
    Help { align: center middle; }
    Help Static { width: 100%; max-width: 76; height: auto; max-height: 100%; padding: 1 2; background: $panel; }
    """
    ENABLE_COMMAND_PALETTE = False
    TITLE = "marginwatch"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(key), f"panel('{name}')", name) for key, name in enumerate(PANELS, 1)),
        Binding("right,p", "portfolio(1)", "Next portfolio", show=False),
        Binding("left,P", "portfolio(-1)", "Portfolio before", show=False),
        Binding("slash", "filter", "Filter", show=False),
        Binding("escape", "no_filter", "All accounts", show=False),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, source: Followed, model: Model | None = None) -> None:
        super().__init__()
        self.model = model or Model()
        self.panel = next(iter(PANELS))
        self.view = View()
        self._source = source
        # kept, because drawing may be asked for before they stand on the screen and after they left it
        self._head, self._panel = Static(id="head"), Static(id="panel")

    def compose(self) -> ComposeResult:
        """See textual."""
        yield self._head
        with VerticalScroll(id="body"):
            yield self._panel
        yield Input(id="filter", placeholder="accounts whose id contains ...", compact=True)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to follow."""
        self.query_one("#body").focus()
        self.run_worker(self._source.follow(self.model.apply, self.model.lost))
        self.set_interval(DRAW_S, self.draw)

    def draw(self) -> None:
        """Draw what is known now."""
        names = portfolio_ids(self.model)
        portfolio = self.view.portfolio if self.view.portfolio in names else None
        self.view = View(portfolio, self.view.account, self.size.width)
        self._head.update(Verbatim(tables.head(self.model, self.panel, self.view)))
        self._panel.update(Verbatim(self._picture()))

    def _picture(self) -> RenderableType:
        if self.model.as_of_ms is None:
            return "waiting for the first frame"
        picture = Group(*PANELS[self.panel](self.model, self.view))
        # what is of the past must not look like the present
        return Styled(picture, "dim") if self.model.connection in (Connection.STALE, Connection.DELAYED) else picture

    def on_resize(self, event: Resize) -> None:
        """More or fewer columns."""
        self.draw()

    def action_panel(self, name: str) -> None:
        """Show another panel, from its top."""
        self.panel = name
        self.query_one("#body").scroll_home(animate=False)
        self.draw()

    def action_portfolio(self, step: int) -> None:
        """Go to the next portfolio or the one before; among them stands one stop for all accounts."""
        stops = [None, *portfolio_ids(self.model)]
        self.view = View(stops[(stops.index(self.view.portfolio) + step) % len(stops)], self.view.account)
        self.query_one("#body").scroll_home(animate=False)
        self.draw()

    def action_filter(self) -> None:
        """Ask for a part of an account's id."""
        asked = self.query_one("#filter", Input)
        asked.display = True
        asked.focus()

    def action_no_filter(self) -> None:
        """Show all accounts again."""
        self.query_one("#filter", Input).value = ""
        self._close_filter()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        self.view = View(self.view.portfolio, event.value.strip())
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        self._close_filter()

    def _close_filter(self) -> None:
        self.query_one("#filter", Input).display = False
        self.query_one("#body").focus()

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())


def run_top(url: str, token_env: str | None) -> int:
    """Follow a monitor on the whole screen until q is pressed. Returns the exit code: 2 where no monitor lets us in, or no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        click.echo(f"top needs a terminal; for text in a file or a pipe: marginwatch report --live {url} --format text", err=True)
        return FAILED
    try:
        return asyncio.run(_run(StreamClient(url, token_env)))
    except MonitorError as error:
        click.echo(str(error), err=True)
        return FAILED


async def _run(client: StreamClient) -> int:
    async with client.opened() as source:
        app = TopApp(source)
        await app.run_async()
    return app.return_code or DONE
