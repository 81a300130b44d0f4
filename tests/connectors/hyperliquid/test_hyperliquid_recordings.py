"""Every recording of a request or feed we use is understood; the others are named, so that a new one cannot be overlooked."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.events import (
    AccountChanged,
    CashFlow,
    Event,
    FeedState,
    FeedStatus,
    Fill,
    Liquidation,
    MarkPrices,
    ModeReport,
    OrdersSnapshot,
    ParseError,
    SectionsSnapshot,
    SpotPrices,
    Volumes,
    WalletSnapshot,
)
from connectors.fields import WrongShape
from connectors.hyperliquid.ledger import Context, Watched, parse_fill, parse_ledger_update
from connectors.hyperliquid.market import SharedReference
from connectors.hyperliquid.memory import Memory
from connectors.hyperliquid.messages import (
    parse_contexts,
    parse_mode,
    parse_orders,
    parse_reserves,
    parse_role,
    parse_section,
    parse_sub_accounts,
    parse_vault,
    parse_wallet,
)
from connectors.hyperliquid.outcomes import OutcomeBook
from connectors.hyperliquid.protocol import HyperliquidProtocol
from connectors.hyperliquid.reference import Dex, Reference, SpotPair, build, dex_names, margin_table, parse_meta
from connectors.hyperliquid.settings import FeedLimits
from connectors.model import Instrument, InstrumentKind, MarginMode, Token
from tests.connectors.hyperliquid import hyperliquid_wire as wire

NOW = 1_000_000_000
OURS = Watched("desk", "0x" + "0" * 39 + "1")


def _rows(parse: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda payload: [parse(row) for row in payload]


def _orders(payload: Any) -> object:
    # The publisher of some recordings dropped the order numbers.
    return parse_orders([{"oid": number, **row} for number, row in enumerate(payload)])


def _context(snapshot: bool = False) -> Context:
    return Context(OURS, _reference(), NOW, snapshot)


PARSERS: dict[str, Callable[[Any], object]] = {
    "rest_clearinghouse_state_*": lambda payload: parse_section("", payload),
    "rest_spot_clearinghouse_state_*": lambda payload: parse_wallet(payload, complete=True),
    "rest_frontend_open_orders_*": _orders,
    "rest_open_orders_*": parse_orders,
    "rest_meta_first6_2026*": lambda payload: parse_meta("", payload, {}),
    "rest_meta_legacy_2023*": lambda payload: parse_meta("", payload, {}),
    "rest_meta_docs_example*": lambda payload: parse_meta("", payload, {}),
    "rest_meta_and_asset_ctxs_*": lambda payload: parse_contexts(payload, 1),
    "rest_margin_table_*": margin_table,
    "rest_outcome_meta_*": lambda payload: OutcomeBook().load(payload),
    "rest_perp_dexs_*": dex_names,
    "rest_spot_meta_docs_example*": lambda payload: build([None], [{"universe": [], "marginTables": []}], payload),
    "rest_all_borrow_lend_reserve_states_*": lambda payload: parse_reserves(payload, _reference()),
    "rest_user_abstraction_*": parse_mode,
    "rest_user_role_*": parse_role,
    "rest_sub_accounts_2024*": parse_sub_accounts,
    "rest_sub_accounts_none*": parse_sub_accounts,
    "rest_sub_accounts_scaled*": parse_sub_accounts,
    "rest_vault_details_*": parse_vault,
    "rest_user_fills_*": _rows(lambda row: parse_fill(row, _context())),
    "rest_user_non_funding_ledger_updates_*": _rows(lambda row: parse_ledger_update(row, _context())),
}
FEEDS = (
    "ws_active_spot_asset_ctx*",
    "ws_all_dexs_asset_ctxs_*",
    "ws_all_dexs_clearinghouse_state*",
    "ws_all_mids*",
    "ws_clearinghouse_state*",
    "ws_error_*",
    "ws_fast_asset_ctxs_snapshot.json",
    "ws_fast_asset_ctxs_update.json",
    "ws_open_orders_*",
    "ws_outcome_meta_updates*",
    "ws_pong*",
    "ws_spot_state*",
    "ws_subscription_response_*",
    "ws_user_events_*",
    "ws_user_fills_*",
    "ws_user_fundings_*",
    "ws_user_non_funding_ledger_updates_*",
    "ws_web_data3_*",
)
UNUSED = (
    "SOURCES.md",
    "extract_pm_negative_net_usdc.json",
    "recorded_selection_*",
    "rest_active_asset_data_*",
    "rest_all_mids_*",
    "rest_all_perp_metas_docs_example_WRONG_SHAPE.json",
    "rest_borrow_lend_*",
    "rest_delegator_summary_*",
    "rest_funding_history_*",
    "rest_historical_orders_*",
    "rest_l2_book_*",
    "rest_perp_dex_limits_*",
    "rest_perp_dex_status_*",
    "rest_perps_at_open_interest_cap_*",
    "rest_portfolio_*",
    "rest_predicted_fundings_*",
    "rest_settled_outcome_*",
    "rest_spot_meta_and_asset_ctxs_*",
    "rest_sub_accounts2_portfolio_margin_trimmed.json",
    "rest_token_details_*",
    "rest_user_fees_*",
    "rest_user_funding_*",
    "rest_user_rate_limit*",
    "rest_user_vault_equities_*",
    "ws_*.decoded.json",
)
UNKNOWN_CHANNELS = (
    "ws_active_asset_ctx.json",
    "ws_active_asset_ctx_btc_2026-09-25.json",
    "ws_active_asset_data.json",
    "ws_bbo*",
    "ws_l2_book*",
    "ws_notification*",
    "ws_order_updates*",
    "ws_post_*",
    "ws_trades*",
    "ws_twap_states*",
    "ws_user_twap_history_*",
)


def _matches(name: str, patterns: Any) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _instrument(dex: str, number: int) -> Instrument:
    symbol = {("", 0): "BTC", ("xyz", 0): "xyz:XYZ100"}.get((dex, number), f"{dex}:M{number}" if dex else f"M{number}")
    return Instrument(f"hyperliquid:{symbol}", "hyperliquid", symbol, InstrumentKind.PERPETUAL, symbol, "USDC", dex)


def _reference(lengths: dict[str, int] | None = None) -> Reference:
    listed = {dex: [_instrument(dex, number) for number in range(length)] for dex, length in (lengths or {"": 1, "xyz": 1}).items()}
    return Reference(
        dexs={dex: Dex(dex, 0, tuple(one.id for one in row)) for dex, row in listed.items()},
        instruments={one.id: one for row in listed.values() for one in row},
        tokens={index: Token("hyperliquid", index, name, name, pair) for index, name, pair in ((0, "USDC", None), (150, "HYPE", "@107"))},
        pairs={name: SpotPair(name, base, "USDC") for name, base in (("@107", "HYPE"), ("@142", "UBTC"), ("@156", "USOL"))},
    )


def _protocol(address: str, reference: Reference | None = None) -> HyperliquidProtocol:
    shared = SharedReference(("HYPE",))
    shared.replace(reference or _reference())
    shared.want(("hyperliquid:BTC", "hyperliquid:xyz:XYZ100"))
    protocol = HyperliquidProtocol(shared, Memory(), FeedLimits())
    protocol.watch(Watched("desk", address), ("xyz",), NOW)
    protocol.watch_market(NOW, fast=True)
    protocol.opened(NOW)
    return protocol


def _receive(recordings: Path, name: str, address: str, reference: Reference | None = None) -> list[Event]:
    events = _protocol(address, reference).receive((recordings / "hyperliquid" / name).read_bytes(), NOW)
    return [event for event in events if not isinstance(event, FeedState)]


def _payload(recordings: Path, name: str) -> Any:
    return orjson.loads((recordings / "hyperliquid" / name).read_bytes())


def test_every_recording_is_read_or_named_as_not_used(recordings: Path) -> None:
    patterns = (*PARSERS, *FEEDS, *UNUSED, *UNKNOWN_CHANNELS)
    names = sorted(path.name for path in (recordings / "hyperliquid").iterdir())
    assert [name for name in names if not _matches(name, patterns)] == []
    assert [pattern for pattern in patterns if not any(fnmatch(name, pattern) for name in names)] == []


def test_every_answer_is_understood(recordings: Path) -> None:
    read = 0
    for path in sorted((recordings / "hyperliquid").iterdir()):
        for pattern, parse in PARSERS.items():
            if fnmatch(path.name, pattern):
                parse(orjson.loads(path.read_bytes()))
                read += 1
    assert read > 60


def test_every_frame_is_understood(recordings: Path) -> None:
    for path in sorted((recordings / "hyperliquid").iterdir()):
        if not _matches(path.name, FEEDS):
            continue
        data = path.read_bytes()
        payload = orjson.loads(data).get("data")
        user = payload.get("user", OURS.address) if isinstance(payload, dict) else OURS.address
        lengths = {dex: len(rows) for dex, rows in payload["ctxs"]} if isinstance(payload, dict) and "ctxs" in payload else None
        events = _protocol(user, _reference(lengths)).receive(data, NOW)
        problems = [event for event in events if isinstance(event, ParseError) and event.kind not in ("missing_dex", "venue_error")]
        assert problems == [], path.name


def test_every_other_frame_is_an_unknown_channel(recordings: Path) -> None:
    for path in sorted((recordings / "hyperliquid").iterdir()):
        if _matches(path.name, UNKNOWN_CHANNELS):
            (event,) = _protocol(OURS.address).receive(path.read_bytes(), NOW)
            assert isinstance(event, ParseError), path.name
            assert event.kind == "unknown_channel"


def test_summary_that_was_trimmed_is_refused(recordings: Path) -> None:
    (row,) = _payload(recordings, "rest_sub_accounts2_portfolio_margin_trimmed.json")
    with pytest.raises(WrongShape, match=r"totalRawUsd|accountValue|position"):
        parse_section("", row["dexToClearinghouseState"][0][1])
    assert parse_wallet(row["spotState"], complete=True).portfolio_margin_ratio == 0.025841686


def test_equity_identity_of_the_recorded_ledgers(recordings: Path) -> None:
    checked = 0
    for path in sorted((recordings / "hyperliquid").glob("rest_clearinghouse_state_*.json")):
        if "docs_example" in path.name or path.name.endswith("isolated_2025.json"):
            continue
        section = parse_section("", orjson.loads(path.read_bytes()))
        cross = sum(p.quantity * p.mark for p in section.positions if p.margin_mode is MarginMode.CROSS)
        assert section.cash + cross == pytest.approx(section.reported_equity, rel=1e-6, abs=1e-5), path.name
        for one in section.positions:
            if one.isolated_cash is not None:
                assert one.isolated_cash + one.quantity * one.mark == pytest.approx(one.reported_margin_used, rel=1e-6), path.name
        checked += 1
    assert checked >= 12


def test_maintenance_of_the_recorded_default_account(recordings: Path) -> None:
    section = parse_section("", _payload(recordings, "rest_clearinghouse_state_default_mode_scaled.json"))
    _, (btc, *_) = parse_meta("", _payload(recordings, "rest_meta_first6_2026.json"), {0: "USDC"})
    (only,) = section.positions
    notional = abs(only.quantity) * only.mark
    assert notional * btc.tiers[0].maintenance_rate == pytest.approx(section.reported_maintenance_margin, rel=1e-9)
    assert (btc.settle, btc.max_leverage, btc.delisted) == ("USDC", 40.0, False)


def test_whole_market_frame_yields_the_held_marks(recordings: Path) -> None:
    payload = _payload(recordings, "ws_all_dexs_asset_ctxs_full.json")["data"]["ctxs"]
    lengths = {dex: len(rows) for dex, rows in payload}
    event, volumes = _receive(recordings, "ws_all_dexs_asset_ctxs_full.json", OURS.address, _reference(lengths))
    assert isinstance(event, MarkPrices)
    assert (event.marks[0], event.indices[0], event.funding[0]) == (77562.0, 77605.0, -0.0000015186)
    assert event.instruments == ["hyperliquid:BTC", "hyperliquid:xyz:XYZ100"]
    assert event.marks[1] == float(dict(payload)["xyz"][0]["markPx"])
    assert isinstance(volumes, Volumes)
    assert volumes.volumes == {
        name: float(dict(payload)[dex][0]["dayNtlVlm"]) for name, dex in zip(event.instruments, ("", "xyz"), strict=True)
    }
    assert min(volumes.volumes.values()) > 1e6


def test_nulls_of_an_empty_book_do_not_matter(recordings: Path) -> None:
    event, volumes, missing = _receive(recordings, "ws_all_dexs_asset_ctxs_nulls.json", OURS.address)
    assert isinstance(event, MarkPrices)
    assert event.marks == [85814.0]
    assert isinstance(volumes, Volumes)
    assert isinstance(missing, ParseError)
    assert missing.kind == "missing_dex"


def test_fast_frames_merge_into_what_the_recording_decodes_to(recordings: Path) -> None:
    protocol = _protocol(OURS.address)
    folder = recordings / "hyperliquid"
    protocol.receive((folder / "ws_all_dexs_asset_ctxs_short.json").read_bytes(), NOW)
    first = protocol.receive((folder / "ws_fast_asset_ctxs_snapshot.json").read_bytes(), NOW)
    marks = next(event for event in first if isinstance(event, MarkPrices))
    assert dict(zip(marks.instruments, marks.marks, strict=True)) == {"hyperliquid:BTC": 85814.0, "hyperliquid:xyz:XYZ100": 31167.0}
    assert marks.indices[marks.instruments.index("hyperliquid:BTC")] == 85828.0
    assert next(event for event in first if isinstance(event, SpotPrices)).prices == {"HYPE": 92.949}
    second = protocol.receive((folder / "ws_fast_asset_ctxs_update.json").read_bytes(), NOW)
    assert [event.prices for event in second if isinstance(event, SpotPrices)] == [{"HYPE": 92.95}]
    assert not any(isinstance(event, MarkPrices) for event in second)


def test_recorded_account_frames(recordings: Path) -> None:
    (sections,) = _receive(recordings, "ws_all_dexs_clearinghouse_state.json", OURS.address)
    assert isinstance(sections, SectionsSnapshot)
    assert sections.complete
    assert [section.name for section in sections.sections] == ["", "xyz"]
    assert sections.sections[0].positions[0].max_leverage == 50.0
    (wallet,) = _receive(recordings, "ws_spot_state.json", "0x" + "0" * 39 + "2")
    assert isinstance(wallet, WalletSnapshot)
    assert wallet.wallet.available_after_maintenance == {0: 100508.11272667}
    (orders,) = _receive(recordings, "ws_open_orders_dex_xyz.json", "0x" + "0" * 39 + "a")
    assert isinstance(orders, OrdersSnapshot)
    assert [(order.quantity, order.is_trigger) for order in orders.orders] == [(-0.0296, False), (0.0296, True)]


@pytest.mark.parametrize(("name", "digit", "mode"), [("unified", "3", "unifiedAccount"), ("vault", "1", "default")])
def test_recorded_modes(recordings: Path, name: str, digit: str, mode: str) -> None:
    (report,) = _receive(recordings, f"ws_web_data3_{name}.json", "0x" + "0" * 39 + digit)
    assert isinstance(report, ModeReport)
    assert report.mode == mode


@pytest.mark.parametrize(("digit", "liquidation"), [("a", False), ("b", True)])
def test_recorded_backstop_fill_is_a_liquidation_of_one_side_only(recordings: Path, digit: str, liquidation: bool) -> None:
    frame = _payload(recordings, "ws_user_fills_update.json")
    frame["data"]["user"] = "0x" + "0" * 39 + digit
    (fill,) = (e for e in _protocol(frame["data"]["user"]).receive(orjson.dumps(frame), NOW) if isinstance(e, Fill))
    assert (fill.quantity, fill.price, fill.fee, fill.liquidation) == (0.07905, 86006.0, -0.067987, liquidation)
    assert (fill.instrument, fill.start_position, fill.snapshot) == ("hyperliquid:BTC", -0.14136, False)


def test_recorded_liquidation_event_names_the_liquidated_account_only(recordings: Path) -> None:
    found = _receive(recordings, "ws_user_events_liquidation.json", "0x" + "0" * 39 + "b")
    assert [type(event) for event in found] == [Liquidation, AccountChanged]
    assert _receive(recordings, "ws_user_events_liquidation.json", "0x" + "0" * 39 + "9") == []


def test_recorded_fundings(recordings: Path) -> None:
    flows = _receive(recordings, "ws_user_fundings_snapshot.json", "0x" + "0" * 39 + "3")
    assert [(f.amount, f.section, f.instrument, f.snapshot) for f in flows if isinstance(f, CashFlow)] == [
        (-2.38878, "", "hyperliquid:ENA", True),
        (0.238633, "", "hyperliquid:BTC", True),
    ]


def test_old_liquidation_in_the_first_snapshot_does_not_page(recordings: Path) -> None:
    found = _receive(recordings, "ws_user_non_funding_ledger_updates_snapshot.json", OURS.address)
    assert [(flow.amount, flow.section) for flow in found if isinstance(flow, CashFlow)] == [(200079.847397, "")]
    assert len(found) == 1


def test_recorded_ledger_updates(recordings: Path) -> None:
    rows = _payload(recordings, "rest_user_non_funding_ledger_updates_2025.json")
    sender = Context(Watched("desk", "0x2ba553d9f990a3b66b03b2dc0d030dfc1c061036"), _reference(), NOW)
    flows = [event for row in rows for event in parse_ledger_update(row, sender).events]
    assert [(f.section, f.asset, f.amount) for f in flows if isinstance(f, CashFlow)] == [
        ("", "USDC", 2703997.4500000002),
        ("", "USDC", -12.0),
        (None, "USDC", 12.0),
        (None, "USDC", -10.5),
        (None, "USDC", -1.0),
        ("", "USDC", -2684105.0099999998),
        (None, "USDC", 2684105.0099999998),
        ("", "USDC", 1099994.98),
    ]


def test_dust_conversions_share_a_trade_number_and_are_told_apart(recordings: Path) -> None:
    rows = [row for row in _payload(recordings, "rest_user_fills_dust_conversion.json") if row["tid"] == 0]
    twin = {**rows[0], "coin": "@107"}
    assert rows
    assert len({parse_fill(row, _context()).key for row in [*rows, twin]}) == len(rows) + 1


@pytest.mark.parametrize(
    ("name", "status"),
    [("ws_error_too_many_users.json", FeedStatus.DOWN), ("ws_error_invalid_subscription.json", None), ("ws_error_parse.json", None)],
)
def test_recorded_refusals(recordings: Path, name: str, status: FeedStatus | None) -> None:
    events = _protocol(OURS.address).receive((recordings / "hyperliquid" / name).read_bytes(), NOW)
    if status is None:
        (problem,) = events
        assert isinstance(problem, ParseError)
        assert problem.kind == "venue_error"
        assert wire.MAKER not in problem.detail
        assert "0x0000" not in problem.detail
    else:
        assert {event.status for event in events if isinstance(event, FeedState) and event.account == "desk"} == {status}
