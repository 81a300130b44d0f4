"""The connectors of a replay, and the configurations that the recorded run took while it ran, each taken where it was then."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from config.settings import Settings
from connectors.clock import Clock
from connectors.events import Event
from monitor.app import Application, Connector, ConnectorFactory
from monitor.margin.aster import VENUE as ASTER
from monitor.recording import ops
from monitor.recording.keys import RELOAD_KEY
from monitor.recording.recorder import sink_document
from monitor.reloading.prepared import Makers
from monitor.reloading.reloader import ReloadError, take
from monitor.replay.conductor import Conductor
from monitor.replay.seams import ReplayHttp, ReplayWebSockets
from monitor.venues import Transports, account_refs, aster_accounts, connector_factory

Configured = Callable[[Mapping[str, Any]], Settings]
"""What the document of a configuration is replayed as."""

Agents = Mapping[str, str]
"""Addresses of agents by account."""

_log = logging.getLogger("marginwatch.replay")


class ReplayConnectors:
    """Connectors over the recorded answers, all on one budget as they were."""

    def __init__(self, conductor: Conductor, clock: Clock, seed: int) -> None:
        websockets = ReplayWebSockets(conductor)
        self._transports = Transports(ReplayHttp(conductor), websockets, websockets)
        self._conductor = conductor
        self._clock = clock
        self._seed = seed

    def factory(self, settings: Settings, agents: Agents, only: Collection[str] | None = None) -> ConnectorFactory:
        """The factory of connectors, of all venues or `only` of some."""
        build = connector_factory(settings, self._transports, self._clock, self._seed, agents, only)

        def factory(sink: Callable[[list[Event]], None]) -> Sequence[Connector]:
            def noted(events: list[Event]) -> None:
                self._conductor.did(ops.SINK, sink_document(events))
                sink(events)

            return build(noted)

        return factory


class Reloads:
    """Gives an application the later configurations of a recorded run; `agents` are those of the first one."""

    def __init__(
        self, conductor: Conductor, app: Application, connectors: ReplayConnectors, configured: Configured, agents: Agents
    ) -> None:
        self._conductor = conductor
        self._app = app
        self._connectors = connectors
        self._configured = configured
        self._agents = agents

    async def follow(self) -> None:
        """Until cancelled. Ends the replay where one cannot be taken, and raises why."""
        try:
            while True:
                self._take((await self._conductor.call(RELOAD_KEY)).extra)
        finally:
            self._conductor.stop()

    def _take(self, document: Mapping[str, Any]) -> None:
        settings, agents = self._configured(document), document["agents"]
        makers = Makers(
            connectors=lambda changed, venues: self._connectors.factory(changed, agents, venues),
            lines=lambda _: [],
            heartbeat=lambda _: None,
            refs=lambda one: _refs(one, agents if one is settings else self._agents),
        )
        try:
            take(self._app, settings, makers)
        except ReloadError as refused:
            # as it was then; if it was not, evaluations tell it
            _log.warning("a configuration of the recorded run is not taken: %s", refused)
        else:
            self._agents = agents


def _refs(settings: Settings, agents: Agents) -> dict[str, list[Any]]:
    refs = account_refs(settings)
    return refs | ({ASTER: aster_accounts(settings, agents)} if ASTER in refs else {})
