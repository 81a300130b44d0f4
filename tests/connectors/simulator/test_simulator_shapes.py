"""Every frame and answer of the simulated venue has exactly the keys and JSON types of the recorded ones."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from connectors.simulator.hyperliquid import HyperliquidVenue, demo_desk
from connectors.simulator.hyperliquid_desk import ADDRESSES

NUMBER = re.compile(r"-?\d+\.\d+")


@dataclass
class Shape:
    """What the recordings of one kind allow: JSON types; required and optional keys; element or pair shapes."""

    types: set[str] = field(default_factory=set)
    numeric: bool = True
    seen: int = 0
    present: int = 0
    keys: dict[str, Shape] = field(default_factory=dict)
    items: Shape | None = None
    pair: list[Shape] | None = None
    any_key: Shape | None = None

    def learn(self, value: Any) -> Shape:
        self.types.add("null" if value is None else type(value).__name__)
        if isinstance(value, str):
            self.numeric = self.numeric and bool(re.fullmatch(r"-?\d+(\.\d+)?", value))
        elif isinstance(value, dict):
            self.seen += 1
            for key, inner in value.items():
                self.keys.setdefault(key, Shape()).learn(inner).present += 1
        elif isinstance(value, list) and len(value) == 2 and type(value[0]) is not type(value[1]) and None not in value:
            self.pair = self.pair or [Shape(), Shape()]
            for shape, inner in zip(self.pair, value, strict=True):
                shape.learn(inner)
        elif isinstance(value, list):
            self.items = self.items or Shape()
            for inner in value:
                self.items.learn(inner)
        return self

    def faults(self, value: Any, optional: frozenset[str], where: str = "$") -> list[str]:
        kind = "null" if value is None else type(value).__name__
        if kind not in self.types:
            return [f"{where}: {kind} where {sorted(self.types)} is recorded"]
        if isinstance(value, str) and self.numeric and not NUMBER.fullmatch(value):
            return [f"{where}: {value!r} is no decimal as the venue prints it"]
        found: list[str] = []
        if isinstance(value, dict):
            if self.any_key is not None:
                return [f for k, v in value.items() for f in self.any_key.faults(v, optional, f"{where}.{k}")]
            found += [f"{where}: unknown key {key}" for key in value if key not in self.keys and key not in optional]
            missing = [k for k, s in self.keys.items() if s.present == self.seen and k not in value and k not in optional]
            found += [f"{where}: missing key {key}" for key in missing]
            for key, inner in value.items():
                if key in self.keys:
                    found += self.keys[key].faults(inner, optional, f"{where}.{key}")
        elif isinstance(value, list) and self.pair is not None and len(value) == 2:
            for number, (shape, inner) in enumerate(zip(self.pair, value, strict=True)):
                found += shape.faults(inner, optional, f"{where}[{number}]")
        elif isinstance(value, list) and value:
            if self.items is None or not self.items.types:
                return [f"{where}: elements where none are recorded"]
            for inner in value:
                found += self.items.faults(inner, optional, f"{where}[]")
        return found


def shape_of(*samples: Any) -> Shape:
    shape = Shape()
    for sample in samples:
        shape.learn(sample)
    return shape


def test_the_comparer_sees_what_it_should() -> None:
    shape = shape_of({"a": "1.0", "b": [[0, "2.5"]], "c": None}, {"a": "2.0", "b": [], "c": 1, "d": True})
    none: frozenset[str] = frozenset()
    assert shape.faults({"a": "1.5", "b": [[1, "0.0"]], "c": 3}, none) == []
    assert shape.faults({"a": 1.5, "b": [], "c": None}, none) == ["$.a: float where ['str'] is recorded"]
    assert shape.faults({"a": "1e-7", "b": [], "c": None}, none) == ["$.a: '1e-7' is no decimal as the venue prints it"]
    assert shape.faults({"b": [], "c": None, "x": 1}, none) == ["$: unknown key x", "$: missing key a"]
    assert shape.faults({"a": "1.0", "b": [["0", 2]], "c": 1}, none)[0] == "$.b[][0]: str where ['int'] is recorded"


@pytest.fixture(scope="module")
def recorded(recordings: Path) -> Any:
    folder = recordings / "hyperliquid"
    return lambda *names: [json.loads(path.read_text()) for name in names for path in sorted(folder.glob(f"{name}.json"))]


@pytest.fixture(scope="module")
def venue() -> HyperliquidVenue:
    _, venue = demo_desk(30.0, funding_interval_s=4.0)
    venue.rest._limit = 10**9
    return venue


@pytest.fixture(scope="module")
def frames(venue: HyperliquidVenue) -> dict[str, list[dict[str, Any]]]:
    """All frames of a crash, by channel ("user" events by their key)."""
    client = venue.connect()
    feeds: list[dict[str, Any]] = [{"type": "allDexsAssetCtxs"}, {"type": "fastAssetCtxs"}, {"type": "allMids"}]
    feeds += [{"type": "allMids", "dex": "xyz"}, {"type": "activeAssetCtx", "coin": "BTC"}, {"type": "activeAssetCtx", "coin": "@107"}]
    for user in ADDRESSES.values():
        for feed in ("allDexsClearinghouseState", "spotState", "webData3", "orderUpdates", "userEvents", "userFills", "userFundings",
                     "userNonFundingLedgerUpdates", "openOrders", "clearinghouseState"):  # fmt: skip
            feeds.append({"type": feed, "user": user})
    venue.trade(ADDRESSES["delphi"], "@107", 10.0)
    for subscription in feeds:
        client.receive(json.dumps({"method": "subscribe", "subscription": subscription}))
    client.receive('{"method":"ping"}')
    client.receive('{"method":"post","id":1,"request":{"type":"info","payload":{"type":"exchangeStatus"}}}')
    client.receive('{"method":"post","id":1,"request":{"type":"info","payload":{"type":"nonsense"}}}')
    for _ in range(320):
        venue.advance(0.1)
    for kind, amount in (("withdraw", 10.0), ("spotToPerp", 5.0), ("perpToSpot", 5.0)):
        venue.transfer(ADDRESSES["electra"], kind, amount)  # type: ignore[arg-type]
    venue.transfer(ADDRESSES["electra"], "send", 5.0, "xyz")
    found: dict[str, list[dict[str, Any]]] = {}
    for text in client.drain():
        message = json.loads(text)
        channel = message["channel"]
        if channel == "user":
            channel = f"user {next(iter(message['data']))}"
        found.setdefault(channel, []).append(message)
    return found


FILL_OPTIONAL = frozenset({"cloid", "builderFee", "liquidation", "twapId", "isSnapshot"})


@pytest.mark.parametrize(
    ("channel", "names", "optional"),
    [
        ("allDexsAssetCtxs", ["ws_all_dexs_asset_ctxs_*"], frozenset()),
        ("activeAssetCtx", ["ws_active_asset_ctx*"], frozenset()),
        ("activeSpotAssetCtx", ["ws_active_spot_asset_ctx"], frozenset()),
        ("fastAssetCtxs", ["ws_fast_asset_ctxs_snapshot", "ws_fast_asset_ctxs_update"], frozenset()),
        ("webData3", ["ws_web_data3_*"], frozenset()),
        ("openOrders", ["ws_open_orders_dex_xyz"], frozenset()),
        ("orderUpdates", ["ws_order_updates*"], frozenset({"reduceOnly"})),
        ("user fills", ["ws_user_events_fill*"], FILL_OPTIONAL),
        ("user funding", ["ws_user_events_funding"], frozenset()),
        ("user liquidation", ["ws_user_events_liquidation"], frozenset()),
        ("user nonUserCancel", ["ws_user_events_non_user_cancel"], frozenset()),
        ("userFills", ["ws_user_fills_*"], FILL_OPTIONAL),
        ("userFundings", ["ws_user_fundings_snapshot"], frozenset({"isSnapshot"})),
        ("pong", ["ws_pong"], frozenset()),
    ],
)
def test_frames(channel: str, names: list[str], optional: frozenset[str], frames: Any, recorded: Any) -> None:
    samples = recorded(*names)
    if channel == "userFills":  # documented as nullable; the recorded fill is one of a TWAP
        samples[0]["data"]["fills"].append(samples[0]["data"]["fills"][0] | {"twapId": None})
    shape = shape_of(*samples)
    assert frames[channel], f"no {channel} frame was sent"
    assert [fault for frame in frames[channel] for fault in shape.faults(frame, optional)] == []


def test_mids(frames: Any, recorded: Any) -> None:
    shape = shape_of(*recorded("ws_all_mids", "ws_all_mids_dex_xyz"))
    mids = shape.keys["data"].keys["mids"]
    mids.any_key = shape_of("1.5")
    assert [fault for frame in frames["allMids"] for fault in shape.faults(frame, frozenset())] == []
    assert {frame["data"].get("dex") for frame in frames["allMids"]} == {None, "xyz"}
    main = next(f for f in frames["allMids"] if "dex" not in f["data"])
    assert {"BTC", "@107", "PURR/USDC"} <= main["data"]["mids"].keys()


def test_fast_contexts_decode_and_patch(frames: Any, recorded: Any) -> None:
    shape = Shape(types={"dict"}, any_key=shape_of({"markPx": "1.5", "midPx": None}, {"markPx": "1.5"}, {"midPx": "1.0"}))
    merged: dict[str, dict[str, Any]] = {}
    for frame in frames["fastAssetCtxs"]:
        rows = json.loads(zlib.decompress(base64.b64decode(frame["data"]), wbits=-15))
        assert shape.faults(rows, frozenset()) == []
        for coin, row in rows.items():
            merged.setdefault(coin, {}).update(row)
    contexts = dict(frames["allDexsAssetCtxs"][-1]["data"]["ctxs"])
    assert merged["BTC"]["markPx"] == contexts[""][0]["markPx"]


def perp_states(recorded: Any) -> list[Any]:
    plain: list[Any] = recorded("rest_clearinghouse_state_*")
    one = [frame["data"]["clearinghouseState"] for frame in recorded("ws_clearinghouse_state*")]
    several = [state for frame in recorded("ws_all_dexs_clearinghouse_state") for _, state in frame["data"]["clearinghouseStates"]]
    return plain + one + several


def test_perpetual_states(frames: Any, venue: HyperliquidVenue, recorded: Any) -> None:
    # Old recordings lack keys that today's have: absent there is not optional here.
    today = [s for s in perp_states(recorded) if all("cumFunding" in p["position"] for p in s["assetPositions"])]
    shape = shape_of(*[s for s in today if "crossMaintenanceMarginUsed" in s])
    positions = shape.keys["assetPositions"].items
    assert positions is not None
    wrappers = {"clearinghouseState": shape_of(*recorded("ws_clearinghouse_state*")),
                "allDexsClearinghouseState": shape_of(*recorded("ws_all_dexs_clearinghouse_state"))}  # fmt: skip
    checked = 0
    for channel, wrapper in wrappers.items():
        for frame in frames[channel]:
            outer = {key: value for key, value in frame["data"].items() if not key.startswith("clearinghouseState")}
            assert outer.keys() == {k for k in wrapper.keys["data"].keys if not k.startswith("clearinghouseState")}
            states = [frame["data"]["clearinghouseState"]] if "dex" in outer else [s for _, s in frame["data"]["clearinghouseStates"]]
            for state in states:
                checked += len(state["assetPositions"])
                assert shape.faults(state, frozenset({"rawUsd"})) == []
                for row in state["assetPositions"]:
                    leverage = row["position"]["leverage"]
                    assert ("rawUsd" in leverage) == (leverage["type"] == "isolated")
    assert checked > 100


SPOT_OPTIONAL = frozenset({"ltv", "supplied", "borrowed", "spotHold", "token", "portfolioMarginRatio", "tokenToPortfolioBorrowRatio",
                           "tokenToPortfolioSupplyRatio", "portfolioMarginEnabled", "tokenToAvailableAfterMaintenance"})  # fmt: skip


def test_spot_states(frames: Any, venue: HyperliquidVenue, recorded: Any) -> None:
    shape = shape_of(*recorded("rest_spot_clearinghouse_state_[!d]*"), *(f["data"]["spotState"] for f in recorded("ws_spot_state")))
    modes = {address: name for name, address in ADDRESSES.items()}
    for frame in frames["spotState"]:
        assert frame["data"].keys() == {"user", "spotState"}
        assert shape.faults(frame["data"]["spotState"], SPOT_OPTIONAL) == []
        assert not frame["data"]["spotState"].keys() & {"portfolioMarginEnabled", "portfolioMarginRatio"}
        pooled = "tokenToAvailableAfterMaintenance" in frame["data"]["spotState"]
        assert pooled == (modes[frame["data"]["user"]] in ("cygnus", "delphi"))
    rest = json.loads(venue.info(json.dumps({"type": "spotClearinghouseState", "user": ADDRESSES["delphi"]}).encode())[2])
    assert shape.faults(rest, SPOT_OPTIONAL) == []
    assert rest.keys() == recorded("rest_spot_clearinghouse_state_pm_borrowing_scaled")[0].keys()


LEDGER_KEYS = {
    "deposit": {"usdc"},
    "withdraw": {"usdc", "nonce", "fee"},
    "accountClassTransfer": {"usdc", "toPerp"},
    "send": {"user", "destination", "sourceDex", "destinationDex", "token", "amount", "usdcValue", "fee", "nativeTokenFee", "nonce",
             "feeToken"},
    "liquidation": {"liquidatedNtlPos", "accountValue", "leverageType", "liquidatedPositions"},
    "borrowLend": {"token", "operation", "amount", "interestAmount"},
}  # fmt: skip


def test_ledger_updates(frames: Any, recorded: Any) -> None:
    seen: set[str] = set()
    for frame in frames["userNonFundingLedgerUpdates"]:
        assert frame["data"].keys() - {"isSnapshot"} == {"user", "nonFundingLedgerUpdates"}
        for row in frame["data"]["nonFundingLedgerUpdates"]:
            assert row.keys() == {"time", "hash", "delta"}
            kind = row["delta"]["type"]
            seen.add(kind)
            assert row["delta"].keys() - {"type"} == LEDGER_KEYS[kind]
    assert {"deposit", "withdraw", "accountClassTransfer", "send", "liquidation"} <= seen
    rows = recorded("ws_user_non_funding_ledger_updates_snapshot")[0]["data"]["nonFundingLedgerUpdates"]
    liquidation = shape_of(next(row["delta"] for row in rows if row["delta"]["type"] == "liquidation"))
    sent = [row["delta"] for f in frames["userNonFundingLedgerUpdates"] for row in f["data"]["nonFundingLedgerUpdates"]]
    assert [fault for delta in sent if delta["type"] == "liquidation" for fault in liquidation.faults(delta, frozenset())] == []


def test_post(frames: Any, recorded: Any) -> None:
    good, bad = frames["post"]
    assert good["data"]["response"]["payload"].keys() == {"type", "data"}
    assert good["data"]["response"]["type"] == recorded("ws_post_info_l2_book")[0]["data"]["response"]["type"]
    assert shape_of(*recorded("ws_post_error")).faults(bad, frozenset()) == []
    assert bad["data"]["response"]["payload"] == "422 Unprocessable Entity"


UNIVERSE_OPTIONAL = frozenset({"onlyIsolated", "marginMode", "isDelisted"})
DEX_OPTIONAL = frozenset({"subDeployers", "deployerFeeScale", "lastDeployerFeeScaleChangeTime", "assetToFundingInterestRate"})


@pytest.mark.parametrize(
    ("query", "names", "optional"),
    [
        ({"type": "perpDexs"}, ["rest_perp_dexs_docs_example"], DEX_OPTIONAL),
        ({"type": "meta"}, ["rest_meta_first6_2026"], UNIVERSE_OPTIONAL),
        ({"type": "marginTable", "id": 56}, ["rest_margin_table_56_mainnet"], frozenset()),
        ({"type": "allBorrowLendReserveStates"}, ["rest_all_borrow_lend_reserve_states_docs_example"], frozenset()),
        ({"type": "borrowLendUserState", "user": ADDRESSES["delphi"]}, ["rest_borrow_lend_user_state_*"], frozenset()),
        ({"type": "borrowLendUserState", "user": ADDRESSES["atlas"]}, ["rest_borrow_lend_user_state_empty"], frozenset()),
        ({"type": "userAbstraction", "user": ADDRESSES["cygnus"]}, ["rest_user_abstraction_unified"], frozenset()),
        ({"type": "userRole", "user": ADDRESSES["gemini"]}, ["rest_user_role_sub_account_docs_example"], frozenset()),
        ({"type": "userRole", "user": ADDRESSES["helios"]}, ["rest_user_role_vault"], frozenset()),
        ({"type": "subAccounts", "user": ADDRESSES["atlas"]}, ["rest_sub_accounts_scaled"], frozenset()),
        ({"type": "subAccounts", "user": ADDRESSES["boreas"]}, ["rest_sub_accounts_none"], frozenset()),
        ({"type": "frontendOpenOrders", "user": ADDRESSES["boreas"]}, ["rest_frontend_open_orders_spot_2025"], frozenset()),
        ({"type": "openOrders", "user": ADDRESSES["boreas"]}, ["rest_open_orders_unified"], frozenset({"cloid", "reduceOnly"})),
        ({"type": "userFunding", "user": ADDRESSES["atlas"], "startTime": 0}, ["rest_user_funding_2025"], frozenset()),
        ({"type": "userFills", "user": ADDRESSES["boreas"]}, ["rest_user_fills_dust_conversion"], FILL_OPTIONAL),
    ],
)
def test_rest(
    query: dict[str, Any], names: list[str], optional: frozenset[str], venue: HyperliquidVenue, frames: Any, recorded: Any
) -> None:
    samples = recorded(*names)
    if query["type"] == "subAccounts" and samples[0]:
        samples[0][0]["clearinghouseState"]["assetPositions"] = recorded("rest_clearinghouse_state_portfolio_margin")[0]["assetPositions"]
    if query["type"] == "frontendOpenOrders":
        samples.append(recorded("ws_open_orders_dex_xyz")[0]["data"]["orders"])
    status, headers, body = venue.info(json.dumps(query).encode())
    assert (status, headers["Content-Type"]) == (200, "application/json")
    shape = shape_of(*samples)
    if query["type"] == "userRole" and "data" in shape.keys:
        shape.keys["data"].any_key = shape_of("0x")
    answer = json.loads(body)
    assert shape.faults(answer, optional) == []
    assert answer or samples[0] is None


def test_metas_of_all_dexs(venue: HyperliquidVenue, recorded: Any) -> None:
    shape = shape_of(recorded("rest_meta_first6_2026")[0])
    metas = json.loads(venue.info(b'{"type":"allPerpMetas"}')[2])
    assert [meta["collateralToken"] for meta in metas] == [0, 0, 235]
    assert [fault for meta in metas for fault in shape.faults(meta, UNIVERSE_OPTIONAL)] == []
    both = json.loads(venue.info(b'{"type":"metaAndAssetCtxs","dex":"xyz"}')[2])
    assert both[0] == metas[1]
    assert len(both[1]) == len(metas[1]["universe"])


def test_spot_meta(venue: HyperliquidVenue, recorded: Any) -> None:
    selection = recorded("recorded_selection_2026-07-19_mainnet_m5")[0]["selection"]
    meta, contexts = json.loads(venue.info(b'{"type":"spotMetaAndAssetCtxs"}')[2])
    assert meta == json.loads(venue.info(b'{"type":"spotMeta"}')[2])
    assert meta.keys() == {"universe", "tokens"}
    for token in meta["tokens"]:
        assert shape_of(*selection["spotTokens"]).faults(token, frozenset()) == []
    for pair in meta["universe"]:
        assert shape_of(*selection["spotUniverse"]).faults(pair, frozenset()) == []
    rows = [{key: value for key, value in row.items() if key != "index"} for row in selection["spotAssetContexts"]]
    for context in contexts:
        assert shape_of(*rows).faults(context, frozenset()) == []
    assert [context["coin"] for context in contexts] != [pair["name"] for pair in meta["universe"]], "the real lists are not aligned"


def test_second_sub_account_form(venue: HyperliquidVenue, recorded: Any) -> None:
    rows = json.loads(venue.info(json.dumps({"type": "subAccounts2", "user": ADDRESSES["atlas"]}).encode())[2])
    trimmed = recorded("rest_sub_accounts2_portfolio_margin_trimmed")[0][0]
    assert rows[0].keys() == (trimmed.keys() | {"name", "subAccountUser", "master"}) - {"abstraction"}
    assert [dex for dex, _ in rows[0]["dexToClearinghouseState"]] == ["", "xyz", "hyna"]


def test_vault_details(venue: HyperliquidVenue, recorded: Any) -> None:
    details = json.loads(venue.info(json.dumps({"type": "vaultDetails", "vaultAddress": ADDRESSES["helios"]}).encode())[2])
    sample = recorded("rest_vault_details_docs_example")[0]
    assert details.keys() == sample.keys()
    assert {k for k, v in details.items() if isinstance(v, float)} >= {"apr", "leaderFraction", "maxDistributable", "maxWithdrawable"}
    other = venue.info(json.dumps({"type": "vaultDetails", "vaultAddress": ADDRESSES["atlas"]}).encode())
    assert (other[0], other[2]) == (200, b"null")
