"""What the connector tells for resolvers: turnover of all symbols and daily closes; and that it costs no page."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from connectors.aster.answers import parse_closes, parse_turnover
from connectors.aster.rest import PUBLIC
from connectors.aster.settings import AgentKey, AsterAccountRef
from connectors.clock import ManualClock
from connectors.events import DailyCloses, FeedState, FeedStatus, FuturesSnapshot, ParseError, Volumes
from connectors.fields import WrongShape
from connectors.transport import HttpResponse
from tests.connectors.aster import aster_wire as wire
from tests.connectors.aster.aster_fake import MAKER, Stage, forbidden, klines, ticker

DAY_MS = 86_400_000


# -- turnover -----------------------------------------------------------------------------------------------------------


async def test_turnover_of_all_listed_symbols_is_told_every_five_minutes() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(20.0)
        (told,) = stage.of(Volumes)
        assert (told.feed, told.volumes) == ("ticker/24hr", {"aster:BTCUSDT": 1200000.5, "aster:ETHUSDT": 30000.0})
        await stage.advance(600.0, step=4.0)
        assert stage.count("24hr") == len(stage.of(Volumes)) == 3
    assert forbidden(stage) == []
    assert urlsplit(stage.venue.asked("/fapi/v3/ticker/24hr")[0].url).query == ""


def test_rows_that_make_no_sense_are_told_and_cost_no_other() -> None:
    rows = [ticker("BTCUSDT", "7"), {"symbol": "ETHUSDT"}, {**ticker("BNBUSDT", "x")}, "row", ticker("NEWUSDT", "x")]
    volumes, problems = parse_turnover(rows, wire.reference())
    assert volumes == {"aster:BTCUSDT": 7.0}
    assert problems == ["ticker/24hr.quoteVolume", "ticker/24hr.quoteVolume", "ticker/24hr"]


async def test_a_bad_row_is_one_parse_error() -> None:
    stage = Stage()
    stage.refuse([ticker("BTCUSDT", "7"), ticker("ETHUSDT", "x"), ticker("BNBUSDT", "x")], "ticker/24hr")
    async with stage:
        await stage.advance(20.0)
        (problem,) = stage.of(ParseError)
        assert (problem.feed, problem.detail) == ("ticker/24hr", "ticker/24hr.quoteVolume")
        assert stage.last(Volumes).volumes == {"aster:BTCUSDT": 7.0}


async def test_turnover_that_fails_is_asked_for_ever_more_rarely_and_says_so() -> None:
    stage = Stage(MAKER)
    stage.refuse(HttpResponse(500), "ticker/24hr")
    async with stage:
        await stage.advance(1800.0, step=6.0)
        assert 3 <= stage.count("24hr") <= 20
        assert sum(n for key, n in stage.connector.describe()["failures"].items() if key.startswith("ticker/24hr:")) == stage.count("24hr")
        assert stage.status("account", "maker") is FeedStatus.FRESH
        stage.refuse(None)
        await stage.advance(2000.0, step=6.0)
        assert stage.of(Volumes)


# -- closes -------------------------------------------------------------------------------------------------------------


async def test_closes_are_told_for_watched_coins_only() -> None:
    stage = Stage()
    async with stage:
        await stage.advance(20.0)
        assert stage.of(DailyCloses) == [], "nobody watches"
        stage.connector.watch_coins(["BTC", "PEPE", "XAU", "SAND", "NEW"])
        await stage.advance(60.0)
        assert {one.instrument for one in stage.of(DailyCloses)} == {"aster:BTCUSDT", "aster:1000PEPEUSDT"}, "quoted in USDT and trading"
        today = wire.NOW_MS - wire.NOW_MS % DAY_MS
        told = stage.of(DailyCloses)[0]
        assert told.times_ms == tuple(today - back * DAY_MS - 1 for back in (2, 1, 0)), "without the running day"
        assert told.closes == (100.0, 101.0, 102.0)
        query = dict(parse_qsl(urlsplit(stage.venue.asked("/fapi/v3/klines")[0].url).query))
        assert query == {"symbol": "BTCUSDT", "interval": "1d", "limit": "31"}
    assert forbidden(stage) == []


async def test_coins_may_be_watched_before_anything_is_known() -> None:
    stage = Stage()
    stage.connector.watch_coins(["BTC", "ETH"])
    stage.connector.watch_coins(["ETH"])
    async with stage:
        await stage.advance(30.0)
        assert [one.instrument for one in stage.of(DailyCloses)] == ["aster:ETHUSDT"]


async def test_closes_come_again_after_midnight_by_the_venues_clock() -> None:
    stage = Stage(clock=ManualClock(time_ms=20_000 * DAY_MS - 3_600_000))
    stage.venue.ahead_ms = 3_600_000 - 120_000
    stage.connector.watch_coins(["BTC"])
    async with stage:
        await stage.advance(100.0, step=2.0)
        assert len(stage.of(DailyCloses)) == 1
        await stage.advance(720.0, step=4.0)
        before, after = stage.of(DailyCloses)
        assert (before.times_ms[-1], after.times_ms[-1]) == (19_999 * DAY_MS - 1, 20_000 * DAY_MS - 1)


@pytest.mark.parametrize(
    "rows",
    [
        {},
        ["row"],
        [[1, "1", "1", "1", "1", "1"]],
        [[1, "1", "1", "1", "0", "1", 5]],
        [[1, "1", "1", "1", "x", "1", 5]],
        [[1, "1", "1", "1", "1", "1", "5"]],
        [*klines(DAY_MS * 10)[1:], klines(DAY_MS * 10)[0]],
        [klines(DAY_MS * 10)[0]] * 2,
    ],
)
def test_klines_that_make_no_sense_are_refused(rows: Any) -> None:
    with pytest.raises(WrongShape, match="klines"):
        parse_closes(rows, 10**15)


# -- budget -------------------------------------------------------------------------------------------------------------


async def test_turnover_waits_behind_the_accounts_and_leaves_them_their_pace() -> None:
    others = [AsterAccountRef(f"a{number}", f"0x{number:040x}", AgentKey(wire.PRIVATE_KEY)) for number in range(1, 7)]
    stage = Stage(MAKER, *others, ip_budget_share=0.25)
    stage.connector.watch_coins(["BTC", "ETH", "BNB"])
    async with stage:
        await stage.advance(900.0, step=4.0)
        paths = [path for _, _, path in stage.asked]
        first = paths.index("/fapi/v3/ticker/24hr")
        assert paths[:first].count("/fapi/v3/accountWithJoinMargin") >= len(others) + 1
        assert {one.account for one in stage.of(FuturesSnapshot)} == set(stage.holdings)
        ours = [at for at, _, path in stage.asked if path.endswith(("24hr", "klines"))]
        assert len(ours) >= 5
        assert min(later - sooner for sooner, later in pairwise(ours)) >= 1e9
        assert stage.heaviest_minute() <= 600 + 10, "the clock may pass between paying and sending"
        begun_ns = stage.asked[0][0] + 60 * 10**9
        late = [one for one in stage.of(FeedState) if one.account and one.status is FeedStatus.STALE and one.at_ns > begun_ns]
        assert late == []
    assert forbidden(stage) == []


def test_the_paths_are_reads_with_the_weights_of_the_venue() -> None:
    assert (PUBLIC["/fapi/v3/ticker/24hr"], PUBLIC["/fapi/v3/klines"]) == (40, 1)
