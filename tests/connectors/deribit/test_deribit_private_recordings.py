"""Every private Deribit recording is read by a named function, or named with the reason why not; the venue's identities hold in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.deribit.errors import TooManyRequests, Unauthorized, refusal
from connectors.deribit.private_answers import parse_positions, parse_summaries, parse_summary, parse_token
from connectors.deribit.reference import Reference
from connectors.events import ParseError, Source, SummarySnapshot
from connectors.model import CurrencySummary
from tests.connectors.deribit.private_venue import PrivateVenue, of

PRIVATE = ("account_summar", "user_portfolio", "pme_simulate", "simulate_portfolio", "get_positions", "subaccounts", "auth", "rpc_error")
"""What the name of a private recording contains."""

READ: dict[str, Callable[[Any], object]] = {
    "rpc_auth_docs.json": lambda row: parse_token(row["result"]),
    "rpc_error_nautilus.json": lambda row: refusal(row["error"], "private/get_positions"),
    "rpc_error_unauthorized_13009.json": lambda row: refusal(row["error"], "private/get_positions"),
    "rpc_error_heartbeat_too_small.json": lambda row: refusal(row["error"], "public/set_heartbeat"),
    "rpc_get_account_summaries_cross_margin_nautilus.json": lambda row: parse_summaries(row["result"]),
    "rpc_get_account_summaries_docs.json": lambda row: parse_summaries(row["result"]),
    "rpc_get_account_summaries_extended_cross_pm_recorded.json": lambda row: parse_summaries(row["result"]),
    "rpc_get_account_summary_btc_docs.json": lambda row: parse_summary(row["result"], "get_account_summary"),
    "rpc_get_positions_docs.json": lambda row: parse_positions(row["result"]),
    "rpc_get_subaccounts_details_docs.json": lambda row: [parse_positions(one["positions"]) for one in row["result"]],
    "ws_user_portfolio_any_cross_pm_sequence.json": lambda rows: [parse_summary(row["params"]["data"], "user.portfolio") for row in rows],
    "ws_user_portfolio_any_cross_sm_usdt.json": lambda row: parse_summary(row["params"]["data"], "user.portfolio"),
    "ws_user_portfolio_btc_docs.json": lambda row: parse_summary(row["params"]["data"], "user.portfolio"),
    "rpc_simulate_portfolio_docs.json": lambda row: parse_summary(row["result"], "simulate_portfolio"),
}
UNREAD = {
    "rpc_simulate_portfolio_eth_recorded.json": "a simulation is never asked for",
    "rpc_pme_simulate_btc_docs.json": "the risk matrix of portfolio margin is the venue's own model, which is taken over as reported",
    "rpc_pme_simulate_eth_recorded.json": "as above",
}


def load(recordings: Path, name: str) -> Any:
    return orjson.loads((recordings / "deribit" / name).read_bytes())


def test_every_private_recording_is_read_or_named(recordings: Path) -> None:
    names = {path.name for path in (recordings / "deribit").glob("*.json") if any(word in path.name for word in PRIVATE)}
    assert names == READ.keys() | UNREAD.keys()


@pytest.mark.parametrize("name", READ)
def test_a_recording_is_read(recordings: Path, name: str) -> None:
    assert READ[name](load(recordings, name))


def test_recorded_errors_are_typed(recordings: Path) -> None:
    assert isinstance(READ["rpc_error_unauthorized_13009.json"](load(recordings, "rpc_error_unauthorized_13009.json")), Unauthorized)
    assert isinstance(READ["rpc_error_nautilus.json"](load(recordings, "rpc_error_nautilus.json")), TooManyRequests)


def test_a_token_shows_no_secret(recordings: Path) -> None:
    token = parse_token(load(recordings, "rpc_auth_docs.json")["result"])
    assert token.expires_s == 31_536_000
    assert token.refresh_token == "<REFRESH_TOKEN>"
    assert token.refresh_token not in repr(token)


def test_the_documented_future_is_usd_signed_by_its_direction(recordings: Path) -> None:
    (row,) = parse_positions(load(recordings, "rpc_get_positions_docs.json")["result"])
    assert (row.instrument, row.quantity, row.mark, row.index) == ("deribit:BTC-PERPETUAL", 50.0, 7476.65, 7466.79)
    assert row.delta == pytest.approx(50.0 / 7476.65)
    (_, sold) = [parse_positions(one["positions"])[0] for one in load(recordings, "rpc_get_subaccounts_details_docs.json")["result"]]
    assert sold.quantity == -60.0


def segregated(recordings: Path) -> list[CurrencySummary]:
    docs = [
        parse_summary(load(recordings, "rpc_get_account_summary_btc_docs.json")["result"], ""),
        parse_summary(load(recordings, "ws_user_portfolio_btc_docs.json")["params"]["data"], ""),
    ]
    return [*docs, *parse_summaries(load(recordings, "rpc_get_account_summaries_docs.json")["result"])]


def test_identities_of_the_documented_wallets(recordings: Path) -> None:
    for row in segregated(recordings):
        assert row.futures_profit is not None
        assert row.equity == pytest.approx(row.balance + row.futures_profit + row.options_value, abs=2e-8)
        # standard margin: no options in the margin balance
        assert row.margin_balance == pytest.approx(row.equity - row.options_value, abs=2e-6)
        # the scalar is premium-adjusted and the map is not
        assert row.delta_total == pytest.approx(sum(row.delta_by_index.values()) - row.options_value, abs=2e-6)


def test_the_recorded_cross_sequence_makes_one_set_of_totals(recordings: Path) -> None:
    frames = load(recordings, "ws_user_portfolio_any_cross_pm_sequence.json")
    venue = PrivateVenue(reference=Reference())
    venue.summaries = load(recordings, "rpc_get_account_summaries_extended_cross_pm_recorded.json")["result"]["summaries"]
    events = venue.connect()
    for frame in frames:
        events += venue.receive(frame)
    assert not of(ParseError, events)
    snapshots = of(SummarySnapshot, events)
    assert [event.source for event in snapshots] == [Source.POLL, *[Source.PUSH] * 4]
    rows = {row.currency: row for row in snapshots[-1].state.summaries}
    assert {row.margin_model for row in rows.values()} == {"cross_pm", "segregated_pm"}
    totals = {(row.total_margin_balance_usd, row.total_maintenance_margin_usd) for row in rows.values() if row.is_cross}
    assert totals == {(2.528057708, 0.45614992333200005)}
    assert (rows["BNB"].total_margin_balance_usd, rows["BNB"].is_cross) == (None, False)
    assert rows["USDC"].delta_by_index == {"eth_usdc": -0.001}
    # the margins repeat the same total in each currency: prices of the day come out
    prices = {name: 0.45614992333200005 / row.maintenance_margin for name, row in rows.items() if row.is_cross}
    assert prices["USDC"] == pytest.approx(1.0, abs=1e-3)
    assert prices["BTC"] == pytest.approx(68_600.0, rel=2e-3)
