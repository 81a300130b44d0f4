"""The Aster desk tells its story at every duration, the same one every time, and a reader of its wire arrives at its numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from connectors.simulator.aster import ALIASES, AsterVenue, aster_demo
from connectors.simulator.hyperliquid import Market
from connectors.simulator.hyperliquid_venue import HyperliquidVenue
from tests.connectors.simulator.aster_reader import Reader, Signer

LEVELS = (0.80, 0.85, 0.90, 1.00)


@dataclass
class Story:
    """First progress at which a pool reached each level, and the highest ratios, of all time and at the end."""

    first: dict[tuple[str, str], dict[float, float]] = field(default_factory=dict)
    highest: float = 0.0
    highest_at_end: float = 0.0


def tell(venue: AsterVenue, dt: float) -> Story:
    story = Story()
    while venue.market.progress < 1.1:
        venue.advance(dt)
        for alias in ALIASES:
            for pool, figures in venue.figures(alias).items():
                story.highest = max(story.highest, figures.ratio)
                for level in LEVELS:
                    if figures.ratio >= level:
                        story.first.setdefault((alias, pool), {}).setdefault(level, venue.market.progress)
                if venue.market.progress >= 0.95:
                    story.highest_at_end = max(story.highest_at_end, figures.ratio)
    return story


@pytest.mark.slow
@pytest.mark.parametrize(("duration", "seed"), [(30.0, 7), (30.0, 8), (120.0, 7), (900.0, 9)])
def test_crash_slices_one_pool_and_a_transfer_saves_another(duration: float, seed: int) -> None:
    venue = aster_demo(duration, seed=seed, funding_interval_s=duration / 10.0)
    story = tell(venue, max(0.1, duration / 600.0))
    assert list(venue.liquidator.slices) == [("wren", "iso:HYPEUSDT:LONG")]
    assert venue.liquidator.slices[("wren", "iso:HYPEUSDT:LONG")] >= 2
    assert 0.0 < venue.exchange.account("wren").position("HYPEUSDT", "LONG").amount < 100_000.0
    hero = story.first[("wren", "iso:HYPEUSDT:LONG")]
    assert hero[0.85] < hero[0.90] < hero[1.00] < 0.62
    saved = story.first[("vela", "multi-assets")]
    assert 0.90 in saved
    assert 1.00 not in saved
    assert story.highest_at_end < 0.85


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 8])
def test_squeeze_is_the_mirror(seed: int) -> None:
    venue = aster_demo(30.0, scenario="squeeze", seed=seed)
    story = tell(venue, 0.1)
    assert list(venue.liquidator.slices) == [("wren", "iso:HYPEUSDT:SHORT")]
    assert story.highest_at_end < 0.85


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_calm_never_warns(seed: int) -> None:
    venue = aster_demo(30.0, scenario="calm", seed=seed)
    assert tell(venue, 0.25).highest < 0.80
    assert not venue.liquidator.slices


def frames_of(seed: int) -> list[str]:
    venue = aster_demo(30.0, seed=seed, funding_interval_s=3.0)
    clients = [venue.connect_market(["!markPrice@arr@1s", "!forceOrder@arr"], combined=True)]
    clients += [venue.connect_user(Signer(venue, alias).listen_key()) for alias in ALIASES]
    texts: list[str] = []
    while venue.market.progress < 1.0:
        venue.advance(0.1)
        texts += [text for client in clients for text in client.drain()]
    return texts


def test_same_seed_same_frames() -> None:
    first = frames_of(7)
    assert first == frames_of(7)
    assert first != frames_of(8)
    assert any('"forceOrder"' in text for text in first)
    assert any('"c":"autoclose-' in text for text in first)
    assert any('"m":"INSURANCE_CLEAR"' in text for text in first)
    assert any('"e":"MARGIN_CALL"' in text for text in first)
    assert any('"m":"FUNDING_FEE"' in text for text in first)


@pytest.mark.parametrize("alias", ALIASES)
def test_a_reader_of_the_wire_arrives_at_the_figures(alias: str) -> None:
    venue = aster_demo(30.0, funding_interval_s=3.0)
    reader, compared = Reader(venue, alias), 0
    while venue.market.progress < 1.05:
        venue.advance(0.1)
        reader.read()
        jlp, expected = venue.prices.collateral["JLP"], venue.figures(alias)
        assert reader.pools(jlp).keys() == expected.keys()
        for name, (equity, maintenance) in reader.pools(jlp).items():
            assert equity == pytest.approx(expected[name].equity, rel=1e-8, abs=1e-6)
            assert maintenance == pytest.approx(expected[name].maintenance_margin, rel=1e-8)
            compared += 1
    assert compared > 300
    assert {"ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"} <= {event["e"] for event in reader.events}
    body = reader.signer.get("accountWithJoinMargin")
    if alias == "vela":
        pool = venue.figures(alias)["multi-assets"]
        assert float(body["totalMarginBalance"]) == pytest.approx(pool.equity, rel=1e-8)
        assert float(body["totalMaintMargin"]) == pytest.approx(pool.maintenance_margin, rel=1e-8)


def test_two_venues_live_on_one_market() -> None:
    market, alone = (Market(7, "crash", 30.0, 1_790_000_000_000) for _ in range(2))
    elsewhere, venue = HyperliquidVenue(market, [], seed=7), aster_demo(30.0, market=market, hedge={"BTC": 5.0, "kPEPE": 1000.0})
    for _ in range(150):
        elsewhere.advance(0.1)
        venue.follow()
        alone.advance(0.1)
    assert market.quotes == alone.quotes
    assert venue.prices.rows["BTCUSDT"].index == pytest.approx(market.oracle("BTC"), rel=1e-4)
    assert venue.prices.rows["1000PEPEUSDT"].mark == pytest.approx(market.mark("kPEPE"), rel=5e-3)
    held = {p.symbol.name: p.amount for p in venue.exchange.account("umbra").open_positions()}
    assert held.keys() == {"BTCUSDT", "1000PEPEUSDT"}
    assert held["BTCUSDT"] == pytest.approx(-5.0, abs=1.0)
