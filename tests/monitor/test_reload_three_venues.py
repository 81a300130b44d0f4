"""A reload over the sockets of all three venues: accounts of each leave and come back, the others never lose their figures."""

from __future__ import annotations

from config.settings import Settings
from monitor.alerts.dispatcher import LineSettings
from monitor.reloading.prepared import Makers
from monitor.reloading.reloader import Reloader
from monitor.venues import connector_factory
from tests.monitor.live.three_venues import ThreeVenues, three_venues


def without(settings: Settings, *accounts: str) -> Settings:
    """The same desk less some accounts, also in its portfolios."""
    kept = tuple(account for account in settings.accounts if account.id not in accounts)
    portfolios = [
        one.model_copy(update={"accounts": tuple(name for name in one.accounts if name not in accounts)}) for one in settings.portfolios
    ]
    return settings.model_copy(update={"accounts": kept, "portfolios": tuple(one for one in portfolios if one.accounts)})


async def reload(desk: ThreeVenues, settings: Settings) -> list[str]:
    makers = Makers(
        lambda changed, venues: connector_factory(changed, desk.transports, desk.clock, only=venues),
        lambda changed: [LineSettings(desk.recorder)],
        lambda changed: None,
    )
    return await Reloader(desk.app, lambda: settings, makers).reload()


def valid(desk: ThreeVenues) -> set[str]:
    """Accounts of which every pool has a value on fresh data."""
    results = desk.app.results()
    return {result.account for result in results} - {result.account for result in results if not result.valid}


async def test_accounts_of_every_venue_leave_and_come_back_over_the_same_connectors() -> None:
    async with three_venues("calm") as desk:
        whole = desk.app.settings
        everybody = {account.id for account in whole.accounts}
        await desk.until(lambda: valid(desk) == everybody, 20.0)
        by_venue: dict[str, list[str]] = {}
        for account in whole.accounts:
            by_venue.setdefault(account.venue, []).append(account.id)
        left = {names[-1] for names in by_venue.values() if len(names) > 1} | set(by_venue["deribit"])
        connectors = list(desk.app.connectors)

        changed = await reload(desk, without(whole, *left))
        assert {line for line in changed if line.endswith("removed")} >= {f"account {name} removed" for name in left}
        assert valid(desk) == everybody - left
        await desk.run(5.0)
        assert valid(desk) == everybody - left
        await desk.until(desk.has_values, 10.0)
        assert desk.app.connectors == connectors

        await reload(desk, whole)
        assert valid(desk) == everybody - left, "the others go on"
        await desk.until(lambda: valid(desk) == everybody and desk.has_values(), 30.0)
        assert desk.app.connectors == connectors
        assert desk.recorder.titles == []
