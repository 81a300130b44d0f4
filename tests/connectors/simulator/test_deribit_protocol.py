"""The simulated Deribit's protocol: heartbeats, logins, scopes, subscriptions, chains by changed rows, credits, faults."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from connectors.simulator.deribit import ALIASES, AccountPlan, DeribitFaults, DeribitVenue, Market, PositionPlan, credentials, deribit_demo
from tests.connectors.simulator.deribit_reader import SCOPE, Reader, run

START = 1_790_000_000_000
CHAIN = "markprice.options.btc_usd"


@pytest.fixture
def venue() -> DeribitVenue:
    return deribit_demo(120.0, scenario="calm")


def test_a_heartbeat_below_ten_seconds_is_refused(venue: DeribitVenue) -> None:
    error = Reader(venue).reply("public/set_heartbeat", interval=9)["error"]
    assert error == {"code": -32602, "data": {"reason": "value must be >= 10", "param": "interval"}, "message": "Invalid params"}


def test_who_answers_test_requests_stays(venue: DeribitVenue) -> None:
    good, bad, quiet = Reader(venue), Reader(venue), Reader(venue)
    assert good.ask("public/set_heartbeat", interval=10) == bad.ask("public/set_heartbeat", interval=10) == "ok"
    for _ in range(5):
        run(venue, 10.0)
        good.drain()
        good.ask("public/test")
    bad.drain()
    assert bad.beats == ["heartbeat", "test_request"]
    assert (good.client.closed, bad.client.closed, quiet.client.closed) == (False, True, False)
    assert good.beats.count("test_request") == 5


def test_heartbeats_stop_or_are_ignored(venue: DeribitVenue) -> None:
    reader = Reader(venue)
    reader.ask("public/set_heartbeat", interval=10)
    venue.faults.stop_heartbeats()
    run(venue, 30.0)
    reader.drain()
    assert (reader.beats, reader.client.closed) == ([], False)
    venue.faults.heartbeats_stopped = False
    venue.faults.ignore_tests()
    run(venue, 10.0)
    reader.ask("public/test")
    run(venue, 10.0)
    assert reader.client.closed


def test_logins_and_scopes(venue: DeribitVenue) -> None:
    reader = Reader(venue)
    assert reader.code("private/get_positions", currency="any") == 13009
    assert reader.code("private/subscribe", channels=["user.portfolio.any"]) == 13009
    assert reader.code("public/auth", grant_type="client_credentials", client_id="x", client_secret="y") == 13004
    assert reader.code("public/auth", grant_type="password") == -32602
    reply = reader.login("noctua")
    assert reply["expires_in"] == 900
    assert reply["scope"].split() == ["session:monitor", "account:read", "block_trade:read", "trade:read"]
    assert len(reader.ask("private/get_positions", currency="any")) == 6
    assert len(reader.ask("private/get_positions", currency="ETH", kind="option")) == 2
    reader.login("noctua", scope="trade:none")
    assert reader.code("private/get_positions", currency="any") == 13021
    assert reader.ask("private/get_account_summaries")["summaries"][0]["currency"] == "BTC"


def test_a_signature_logs_in_too(venue: DeribitVenue) -> None:
    own = credentials("strix")
    text = f"{START}\nabc\n"
    signature = hmac.new(own.client_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    parameters = {"grant_type": "client_signature", "client_id": own.client_id, "timestamp": START, "nonce": "abc", "data": ""}
    assert Reader(venue).ask("public/auth", **parameters, signature=signature)["token_type"] == "bearer"
    assert Reader(venue).code("public/auth", **parameters, signature=signature[::-1]) == 13004


def test_a_token_is_refreshed_and_expires() -> None:
    venue = deribit_demo(120.0, scenario="calm", token_life_s=20.0)
    reader = Reader(venue)
    refresh = reader.login("noctua")["refresh_token"]
    run(venue, 15.0)
    refresh = reader.ask("public/auth", grant_type="refresh_token", refresh_token=refresh)["refresh_token"]
    run(venue, 15.0)
    reader.ask("private/get_account_summaries")
    run(venue, 10.0)
    assert reader.code("private/get_account_summaries") == 13009
    reader.ask("public/auth", grant_type="refresh_token", refresh_token=refresh)
    reader.ask("private/get_account_summaries")
    assert (venue.authority.logins, venue.authority.refreshes) == (1, 2)
    venue.faults.expire_tokens()
    assert reader.code("private/get_account_summaries") == 13009
    assert reader.code("public/auth", grant_type="refresh_token", refresh_token=refresh) == 13009
    venue.faults.refuse_auth(until=venue.market.time + 5.0)
    assert reader.code("public/auth", grant_type="client_credentials", **vars_of("noctua")) == 13004
    run(venue, 6.0)
    reader.login("noctua")


def vars_of(alias: str) -> dict[str, str]:
    own = credentials(alias)
    return {"client_id": own.client_id, "client_secret": own.client_secret, "scope": SCOPE}


def test_user_channels_speak_to_their_account_while_its_token_lives(venue: DeribitVenue) -> None:
    first, second = (Reader(venue, alias) for alias in ALIASES)
    for reader in (first, second):
        assert reader.subscribe("user.portfolio.any", private=True) == ["user.portfolio.any"]
    run(venue, 2.0)
    assert {row["margin_model"] for row in second.take("user.portfolio")} == {"segregated_sm"}
    assert {row["margin_model"] for row in first.take("user.portfolio")} == {"cross_sm", "segregated_sm"}
    venue.faults.expire_tokens()
    run(venue, 5.0)
    assert first.take() == []


def test_unknown_channels_are_dropped_from_the_echo(venue: DeribitVenue) -> None:
    reader = Reader(venue)
    bad = ["markprice.options.doge_usd", "ticker.BTC-1JAN20-1-C.agg2", "ticker.BTC-PERPETUAL.raw", "user.portfolio.any", "nonsense"]
    good = [CHAIN, "ticker.BTC-PERPETUAL.agg2", "deribit_price_index.hype_usdc", "platform_state", "instrument.state.option.any"]
    assert reader.subscribe(*bad, *good) == good
    assert reader.code("public/subscribe", channels=[f"x{i}" for i in range(501)]) == -32602
    assert reader.code("public/subscribe", channels="all") == -32602
    assert Reader(venue, "strix").subscribe("ticker.BTC-PERPETUAL.raw", "user.portfolio.any") == ["ticker.BTC-PERPETUAL.raw"]


def test_a_chain_comes_whole_and_then_by_changed_rows(venue: DeribitVenue) -> None:
    early, late = Reader(venue), Reader(venue)
    early.subscribe(CHAIN)
    run(venue, 1.0)
    (whole,) = early.take(CHAIN)
    assert {row["instrument_name"] for row in whole} == set(venue.listing.chains["btc_usd"])
    late.subscribe(CHAIN)
    run(venue, 1.0)
    assert [len(frame) for frame in late.take(CHAIN)] == [400]
    (part,) = early.take(CHAIN)
    assert 0 < len(part) < 400
    for frame in (whole, part):
        assert all(row["iv"] == round(row["iv"], 4) < 5.0 and row["mark_price"] == round(row["mark_price"], 4) for row in frame)
    known = {row["instrument_name"]: row for row in whole} | {row["instrument_name"]: row for row in part}
    assert all(venue.prices.options[name].iv == row["iv"] for name, row in known.items())
    early.ask("public/unsubscribe", channels=[CHAIN])
    early.subscribe(CHAIN)
    run(venue, 1.0)
    assert [len(frame) for frame in early.take(CHAIN)] == [400]


def test_a_frame_may_be_empty(venue: DeribitVenue) -> None:
    reader = Reader(venue)
    reader.subscribe(CHAIN)
    run(venue, 1.0)
    reader.take(CHAIN)
    for _ in range(4):
        venue._next = venue.market.time
        venue.follow()
    assert reader.take(CHAIN)[-1] == []


def test_percent_in_tickers_and_decimals_in_chains(venue: DeribitVenue) -> None:
    name = next(iter(venue.accounts["noctua"].positions))
    reader = Reader(venue)
    reader.subscribe(CHAIN, f"ticker.{name}.agg2", f"ticker.{name}.100ms")
    run(venue, 1.0)
    iv = next(row["iv"] for row in reader.take(CHAIN)[0] if row["instrument_name"] == name)
    first, second = reader.take(f"ticker.{name}")
    assert first == second
    assert first["mark_iv"] == pytest.approx(100.0 * iv)
    assert first["underlying_price"] == venue.prices.options[name].forward
    assert first["underlying_index"] == "-".join(name.split("-")[:2])
    summary = {row["instrument_name"]: row for row in reader.ask("public/get_book_summary_by_currency", currency="BTC", kind="option")}
    assert summary[name]["mark_iv"] == first["mark_iv"]
    assert summary[name]["mark_price"] == venue.prices.options[name].mark


def test_volatility_faults_touch_the_wire_and_not_the_truth(venue: DeribitVenue) -> None:
    name, other, third = list(venue.listing.chains["btc_usd"])[100:103]
    reader = Reader(venue)
    reader.subscribe(CHAIN)
    run(venue, 1.0)
    reader.take()
    before = venue.figures("noctua")
    for key, iv in ((name, None), (other, 2.5), (third, 5.0)):
        venue.faults.tell_volatility(key, iv)
    venue.faults.add_phantom("BTC-1JAN99-1-C")
    assert venue.figures("noctua") == before
    run(venue, 1.0)
    rows = {row["instrument_name"]: row["iv"] for row in reader.take(CHAIN)[0]}
    assert (rows[name], rows[other], rows[third], rows["BTC-1JAN99-1-C"]) == (None, 2.5, 5.0, 0.5)
    venue.faults.heal_volatilities()
    run(venue, 1.0)
    assert {row["instrument_name"]: row["iv"] for row in reader.take(CHAIN)[0]}[name] == venue.prices.options[name].iv


def test_an_outage_silences_chains_and_nothing_else() -> None:
    venue = deribit_demo(100.0, scenario="iv_outage")
    name = next(iter(venue.accounts["noctua"].positions))
    reader = Reader(venue)
    reader.subscribe(CHAIN, "deribit_volatility_index.btc_usd", "deribit_price_index.btc_usd", f"ticker.{name}.agg2")
    run(venue, 36.0)
    reader.take()
    run(venue, 20.0)
    assert reader.take(CHAIN) == reader.take("deribit_volatility_index") == []
    assert len(reader.take("deribit_price_index")) == 20
    assert {frame["mark_iv"] for frame in reader.take("ticker")} == {None}
    late = Reader(venue)
    late.subscribe(CHAIN)
    run(venue, 6.0)
    assert reader.take(CHAIN)
    assert len(late.take(CHAIN)[0]) == len(venue.listing.chains["btc_usd"])


def test_a_channel_is_lost_silently(venue: DeribitVenue) -> None:
    reader = Reader(venue)
    reader.subscribe(CHAIN, "deribit_price_index.btc_usd")
    venue.faults.freeze(CHAIN)
    run(venue, 3.0)
    assert (reader.take(CHAIN), len(reader.take("deribit_price_index"))) == ([], 3)
    venue.faults.thaw(CHAIN)
    venue.faults.delay_frames(5.0)
    run(venue, 3.0)
    assert reader.take() == []
    run(venue, 3.0)
    assert 0 < len(reader.take(CHAIN)) < 6


def test_one_request_too_many_ends_the_session(venue: DeribitVenue) -> None:
    reader = Reader(venue)
    for _ in range(100):
        reader.ask("public/get_time")
    assert reader.code("public/get_time") == 10028
    assert reader.client.closed
    again = Reader(venue)
    for i in range(10):
        again.subscribe(f"deribit_price_index.{'btc_usd' if i % 2 else 'eth_usd'}")
    assert again.code("public/subscribe", channels=[CHAIN]) == 10028
    venue.faults.too_many_requests()
    third = Reader(venue)
    assert third.code("public/test") == 10028
    fourth = Reader(venue)
    for _ in range(3):
        assert len(fourth.ask("public/get_instruments", currency="BTC", kind="option")) == 400
    venue.faults.kill_sockets()
    assert fourth.client.closed


def test_nothing_but_reading_is_answered(venue: DeribitVenue) -> None:
    reader = Reader(venue, "noctua")
    assert reader.code("private/buy", instrument_name="BTC-PERPETUAL", amount=10) == 13021
    assert reader.code("public/get_nothing") == -32601
    assert reader.code("public/get_instruments", currency="DOGE") == -32602
    assert venue.forbidden_requests == 1
    reader.client.receive("not json")
    reader.client.receive("[1]")
    reader.drain()
    assert not reader.client.closed


def test_an_expiry_comes_and_one_goes() -> None:
    venue = deribit_demo(60.0, scenario="calm")
    short = next(p.contract for p in venue.accounts["noctua"].positions.values() if p.contract.expiry_ms == START + 36_000)
    reader = Reader(venue, "noctua")
    reader.subscribe(CHAIN, f"ticker.{short.name}.agg2", "instrument.state.option.BTC", "instrument.creation.any.any")
    reader.subscribe("user.changes.any.any.100ms", private=True)
    run(venue, 35.0)
    assert reader.take("user.changes") == []
    assert all(isinstance(frame["estimated_delivery_price"], float) for frame in reader.take("ticker"))
    before = venue.accounts["noctua"].wallet["BTC"]
    run(venue, 6.0)
    (change,) = reader.take("user.changes")
    assert [row["direction"] for row in change["positions"]] == ["zero"]
    assert venue.accounts["noctua"].wallet["BTC"] <= before
    states = reader.take("instrument.state")
    assert {row["state"] for row in states} == {"delivered"}
    assert short.name in {row["instrument_name"] for row in states}
    tail = [frame for frame in reader.take("ticker") if frame["estimated_delivery_price"] == "expired"]
    assert [(frame["mark_iv"], frame["greeks"]["delta"]) for frame in tail] == [(250.0, 0.0)] * 3
    names = {row["instrument_name"] for row in reader.ask("public/get_instruments", currency="BTC", kind="option")}
    assert short.name not in names
    reader.take(CHAIN)
    found = venue.list_expiry(5.5 * 86_400.0)
    assert {row["price_index"] for row in reader.take("instrument.creation")} == {"btc_usd", "eth_usd"}
    run(venue, 1.0)
    fresh = {row["instrument_name"] for row in reader.take(CHAIN)[0]}
    assert fresh >= {contract.name for contract in found if contract.is_option and contract.family.prefix == "BTC"}


def test_trades_orders_and_liquidations_are_told() -> None:
    plan = AccountPlan(
        "noctua",
        credentials("noctua").client_id,
        credentials("noctua").client_secret,
        margin_model="segregated_sm",
        wallet={"BTC": 1.0},
        positions=[PositionPlan(-11.0, option=("BTC", 30.0 * 86_400.0, 86_000.0, False))],
    )
    venue = DeribitVenue(Market(7, "crash", 60.0, START), [plan], faults=DeribitFaults())
    reader = Reader(venue, "noctua")
    reader.subscribe("user.changes.option.BTC.100ms", private=True)
    name = next(iter(venue.accounts["noctua"].positions))
    order = venue.place("noctua", name, 1.0, 0.01)
    assert [row["order_id"] for row in reader.ask("private/get_open_orders")] == [order.number]
    assert reader.take("user.changes")[0]["orders"][0]["order_state"] == "open"
    venue.cancel("noctua", order)
    assert reader.take("user.changes")[0]["orders"][0]["order_state"] == "cancelled"
    assert reader.ask("private/get_open_orders_by_currency", currency="BTC") == []
    venue.trade("noctua", name, 1.0)
    assert reader.take("user.changes")[0]["positions"][0]["size"] == -10.0
    run(venue, 30.0)
    trades = [trade for frame in reader.take("user.changes") for trade in frame["trades"]]
    assert trades
    assert {trade["liquidation"] for trade in trades} == {"T"}


def test_the_platform_locks_and_rests(venue: DeribitVenue) -> None:
    reader = Reader(venue)
    reader.subscribe("platform_state")
    venue.set_maintenance(True)
    venue.set_locked("btc_usd", True)
    assert reader.take("platform_state") == [{"maintenance": True}, {"price_index": "btc_usd", "locked": True}]
    assert reader.ask("public/status") == {"locked": "partial", "locked_indices": ["btc_usd"]}
    venue.set_locked("btc_usd", False)
    assert reader.ask("public/status")["locked"] == "false"
