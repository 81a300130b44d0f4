"""A scrape: taken on the event loop in turns, rendered in a thread with pauses.

Prefix `marginwatch_`, base units, components beside ratios, timestamps instead of ages; labels carry aliases only. A figure that
cannot be given has no sample. `docs/metrics.md` names every family.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import ProcessCollector, exposition
from prometheus_client.core import Metric
from prometheus_client.registry import CollectorRegistry

from monitor.app import Application
from monitor.metrics.alarm import AlarmRows, alarm_families, take_alarm
from monitor.metrics.feeds import FeedRows, feed_families, take_feeds
from monitor.metrics.pace import with_pauses
from monitor.metrics.pools import PoolRows, pool_families, take_pools
from monitor.metrics.portfolios import PortfolioRows, detail_families, portfolio_families, take_portfolios
from monitor.metrics.program import ProgramRows, program_families, take_program
from monitor.metrics.series import bounded

Encoder = Callable[[CollectorRegistry], bytes]


@dataclass(frozen=True, slots=True)
class _Scrape:
    pools: PoolRows
    portfolios: PortfolioRows
    feeds: FeedRows
    alarm: AlarmRows
    program: ProgramRows
    limit: int

    def families(self) -> Iterator[Metric]:
        yield from pool_families(self.pools)
        yield from portfolio_families(self.portfolios, self.pools.rows)
        yield from detail_families(self.portfolios)
        yield from feed_families(self.feeds)
        yield from alarm_families(self.alarm)
        yield from program_families(self.program)


class Collector:
    """Scrapes one application. `render` answers a scrape; its two halves are `turns` and `collect`."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._taken: _Scrape | None = None
        self._process = ProcessCollector(registry=None)
        self._rendering: dict[str, asyncio.Task[bytes]] = {}
        self._one_at_a_time = asyncio.Lock()
        self.registry = CollectorRegistry(auto_describe=False)
        """Renders what was last taken."""
        self.registry.register(self)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Body and content type for an Accept header. Scrapes at the same time share one."""
        encoder, content_type = exposition.choose_encoder(accept)
        task = self._rendering.get(content_type)
        if task is None:
            task = self._rendering[content_type] = asyncio.create_task(self._render(encoder))
            task.add_done_callback(lambda _: self._rendering.pop(content_type))
        return await asyncio.shield(task), content_type

    async def _render(self, encoder: Encoder) -> bytes:
        async with self._one_at_a_time:
            for _ in self.turns():
                await asyncio.sleep(0)
            return await asyncio.to_thread(encoder, self.registry)

    def turns(self) -> Iterator[None]:
        """Take what the next `collect` tells, a little at each step. Each pool and portfolio is as of one instant."""
        app = self._app
        pools = yield from take_pools(app)
        yield
        portfolios = yield from take_portfolios(app)
        yield
        feeds = yield from take_feeds(app)
        yield
        self._taken = _Scrape(pools, portfolios, feeds, take_alarm(app), take_program(app), app.settings.metrics.series_limit)

    def collect(self) -> Iterator[Metric]:
        """The families of what was last taken; nothing before that. May run in a thread."""
        taken = self._taken
        if taken is not None:
            families = [*taken.families(), *self._process.collect()]
            yield from map(with_pauses, bounded(families, taken.limit))
