"""Typed requests: weights, bodies, errors; and the discovery of a master's accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import pytest

from connectors.clock import ManualClock, settle
from connectors.errors import BudgetError, ConnectorError, HttpError, ProtocolError, RateLimited, Timeout
from connectors.fields import WrongShape
from connectors.hyperliquid.discovery import DiscoveredAccount, discover
from connectors.hyperliquid.messages import SubAccount, Vault
from connectors.hyperliquid.rest import HyperliquidRest
from connectors.memory import MemoryHttpTransport
from connectors.ratelimit import Budget, BudgetLimits
from connectors.transport import HttpResponse, HttpTransport
from tests.connectors.hyperliquid import hyperliquid_wire as wire

DAY_MS = 86_400_000
URL = "https://venue.example/info"
VAULT = "0x" + "d4" * 20


class Bench:
    def __init__(self, *answers: Any, limit: int = 1200, http: HttpTransport | None = None) -> None:
        self.clock = ManualClock()
        self.http = MemoryHttpTransport()
        self.http.answer(*[a if isinstance(a, (HttpResponse, Exception)) else orjson.dumps(a) for a in answers])
        self.budget = Budget("hyperliquid", BudgetLimits(weight_per_minute=limit), 1.0, self.clock)
        self.rest = HyperliquidRest(http or self.http, URL, self.budget, self.clock, timeout_s=5.0)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [orjson.loads(request.body) for request in self.http.requests]


Call = Callable[[HyperliquidRest], Awaitable[Any]]

CALLS: list[tuple[Call, Any, int, dict[str, Any]]] = [
    (lambda rest: rest.perp_dexs(), [None], 20, {"type": "perpDexs"}),
    (lambda rest: rest.all_perp_metas(), [], 20, {"type": "allPerpMetas"}),
    (lambda rest: rest.spot_meta(), {}, 20, {"type": "spotMeta"}),
    (lambda rest: rest.margin_table(56, "xyz"), wire.table(40), 20, {"type": "marginTable", "id": 56, "dex": "xyz"}),
    (
        lambda rest: rest.clearinghouse_state(wire.HEDGER, "xyz"),
        wire.state(),
        2,
        {"type": "clearinghouseState", "user": wire.HEDGER.lower(), "dex": "xyz"},
    ),
    (
        lambda rest: rest.spot_clearinghouse_state(wire.MAKER),
        wire.spot_state(),
        2,
        {"type": "spotClearinghouseState", "user": wire.MAKER},
    ),
    (lambda rest: rest.user_abstraction(wire.MAKER), None, 20, {"type": "userAbstraction", "user": wire.MAKER}),
    (lambda rest: rest.user_role(wire.MAKER), {"role": "user"}, 60, {"type": "userRole", "user": wire.MAKER}),
    (lambda rest: rest.sub_accounts2(wire.MAKER), None, 20, {"type": "subAccounts2", "user": wire.MAKER}),
    (lambda rest: rest.vault_details(VAULT), None, 20, {"type": "vaultDetails", "vaultAddress": VAULT}),
    (lambda rest: rest.user_vault_equities(wire.MAKER), [], 20, {"type": "userVaultEquities", "user": wire.MAKER}),
    (lambda rest: rest.all_borrow_lend_reserve_states(wire.reference()), [], 20, {"type": "allBorrowLendReserveStates"}),
    (lambda rest: rest.outcome_meta(), {"outcomes": [], "questions": []}, 20, {"type": "outcomeMeta"}),
    (
        lambda rest: rest.daily_closes("BTC", 30, 40 * DAY_MS),
        [],
        21,
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1d", "startTime": 9 * DAY_MS, "endTime": 40 * DAY_MS}},
    ),
    (lambda rest: rest.exchange_status(), {"time": 1, "specialStatuses": None}, 2, {"type": "exchangeStatus"}),
    (lambda rest: rest.asset_contexts("xyz"), [{"universe": []}, []], 20, {"type": "metaAndAssetCtxs", "dex": "xyz"}),
    (lambda rest: rest.frontend_open_orders(wire.MAKER), [], 20, {"type": "frontendOpenOrders", "user": wire.MAKER, "dex": ""}),
]


@pytest.mark.parametrize(("call", "answer", "weight", "body"), CALLS, ids=[body["type"] for _, _, _, body in CALLS])
async def test_request_spends_its_weight_and_says_what_it_wants(call: Call, answer: Any, weight: int, body: dict[str, Any]) -> None:
    bench = Bench(answer)
    await call(bench.rest)
    assert bench.budget.statistics().weight_used == weight
    assert bench.bodies == [body]
    (request,) = bench.http.requests
    assert (request.method, request.url, request.headers["Content-Type"]) == ("POST", URL, "application/json")


FAILURES: list[tuple[HttpResponse, type[ConnectorError], str]] = [
    (HttpResponse(422, body=b"Failed to deserialize the JSON body into the target type"), HttpError, "http_422"),
    (HttpResponse(500, body=wire.MAKER.encode()), HttpError, "http_500"),
    (HttpResponse(504, body=b"<html>"), HttpError, "http_504"),
    (HttpResponse(200, body=b"<html>maintenance</html>"), ProtocolError, "not_json"),
    (HttpResponse(200, body=b""), ProtocolError, "not_json"),
    (HttpResponse(200, body=b"null"), ProtocolError, "null_answer"),
    (HttpResponse(200, body=b"[]"), WrongShape, "wrong_shape"),
]


@pytest.mark.parametrize(("response", "error", "kind"), FAILURES)
async def test_bad_answer_is_a_typed_error_without_the_address(response: HttpResponse, error: type[ConnectorError], kind: str) -> None:
    with pytest.raises(error) as caught:
        await Bench(response).rest.clearinghouse_state(wire.MAKER)
    assert caught.value.kind == kind
    assert wire.MAKER[2:] not in str(caught.value)


async def test_refusal_penalises_the_budget_by_the_time_it_names() -> None:
    bench = Bench(HttpResponse(429, {"retry-after": "7"}, b"null"), [None])
    with pytest.raises(RateLimited) as caught:
        await bench.rest.perp_dexs()
    assert caught.value.retry_after_s == 7.0
    again = asyncio.create_task(bench.rest.perp_dexs())
    await bench.clock.advance(6.5)
    assert len(bench.http.requests) == 1
    await bench.clock.advance(1.0)
    assert await again == [None]


async def test_request_without_an_answer_times_out() -> None:
    class Silent(HttpTransport):
        async def request(self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> HttpResponse:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        async def close(self) -> None:
            return None

    bench = Bench(http=Silent())
    asking = asyncio.create_task(bench.rest.user_role(wire.MAKER))
    await bench.clock.advance(4.9)
    assert not asking.done()
    await bench.clock.advance(0.2)
    with pytest.raises(Timeout, match="userRole took longer than 5 s"):
        await asking


async def test_request_waits_for_budget_before_it_is_sent() -> None:
    bench = Bench([None], [None], limit=30)
    await bench.rest.perp_dexs()
    second = asyncio.create_task(bench.rest.perp_dexs())
    await bench.clock.advance(59.0)
    assert len(bench.http.requests) == 1
    await bench.clock.advance(1.5)
    await second
    with pytest.raises(BudgetError):
        await bench.rest.user_role(wire.MAKER)


async def test_reference_is_loaded_again_once_after_a_listing_in_between() -> None:
    metas = [wire.MAIN_META, wire.XYZ_META, wire.FLX_META]
    bench = Bench(wire.SPOT_META, wire.PERP_DEXS[:2], metas, wire.PERP_DEXS, metas, NO_TABLE)
    assert (await bench.rest.load_reference()) == wire.reference()
    with pytest.raises(WrongShape):
        await Bench(wire.SPOT_META, [None], metas, [None], metas).rest.load_reference()


def _vault(leader: str, *, closed: bool = False, children: list[str] | None = None) -> dict[str, Any]:
    relation = {"type": "normal"} if children is None else {"type": "parent", "data": {"childAddresses": children}}
    return {"name": "Vault", "vaultAddress": VAULT, "leader": leader, "isClosed": closed, "relationship": relation}


async def test_vault_details() -> None:
    answer = await Bench(_vault(wire.MAKER, children=[wire.STRANGER])).rest.vault_details(VAULT)
    assert answer == Vault("Vault", VAULT, wire.MAKER, (wire.STRANGER,))


async def test_sub_accounts_name_their_mode() -> None:
    row = {"name": "sub", "subAccountUser": wire.HEDGER, "master": wire.MAKER, "abstraction": "portfolioMargin"}
    assert await Bench([row]).rest.sub_accounts2(wire.MAKER) == (SubAccount("sub", wire.HEDGER, "portfolioMargin"),)


async def test_discovery_finds_sub_accounts_and_led_vaults() -> None:
    subs = [
        {"name": "one", "subAccountUser": wire.HEDGER, "master": wire.MAKER, "abstraction": "unifiedAccount"},
        {"name": "two", "subAccountUser": wire.STRANGER, "master": wire.MAKER},
    ]
    child = "0x" + "e5" * 20
    bench = Bench(
        {"role": "user"},
        "default",
        subs,
        "disabled",
        [{"vaultAddress": VAULT, "equity": "1.0"}],
        _vault(wire.MAKER.upper().replace("0X", "0x"), children=[child]),
        "default",
        None,
    )
    found = await discover(bench.rest, wire.MAKER)
    assert found.role == "user"
    assert found.accounts == (
        DiscoveredAccount("master", "master", wire.MAKER, "default"),
        DiscoveredAccount("sub_account", "one", wire.HEDGER, "unifiedAccount"),
        DiscoveredAccount("sub_account", "two", wire.STRANGER, "disabled"),
        DiscoveredAccount("vault", "Vault", VAULT, "default"),
        DiscoveredAccount("vault_child", "Vault 1", child, None),
    )
    assert any("by hand" in note for note in found.notes)
    assert wire.MAKER not in repr(found.accounts)


@pytest.mark.parametrize("details", [None, _vault(wire.STRANGER), _vault(wire.MAKER, closed=True)])
async def test_vault_of_somebody_else_or_closed_is_no_account(details: Any) -> None:
    bench = Bench({"role": "user"}, "default", None, [{"vaultAddress": VAULT, "equity": "1.0"}], details)
    assert len((await discover(bench.rest, wire.MAKER)).accounts) == 1


@pytest.mark.parametrize(("role", "words"), [("agent", "API wallet"), ("missing", "does not know")])
async def test_discovery_of_no_account_says_what_to_do(role: str, words: str) -> None:
    found = await discover(Bench({"role": role}).rest, wire.MAKER)
    assert found.accounts == ()
    assert words in found.notes[0]
    await settle()


METAS = [wire.MAIN_META, wire.XYZ_META, wire.FLX_META]
NO_TABLE = {"wrong": 1}


async def test_a_margin_table_that_no_meta_carries_is_asked_for() -> None:
    assert wire.reference().unlisted_tables == (("", 77),)
    table = {"description": "tiered", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": 3}, {"lowerBound": "1000.0", "maxLeverage": 2}]}
    found = await Bench(wire.SPOT_META, wire.PERP_DEXS, METAS, table).rest.load_reference()
    assert [tier.lower_bound for tier in found.instruments["hyperliquid:NEWT"].tiers] == [0.0, 1000.0]
    assert found.unlisted_tables == ()


async def test_a_margin_table_nobody_gives_leaves_its_instrument_without_one() -> None:
    found = await Bench(wire.SPOT_META, wire.PERP_DEXS, METAS, NO_TABLE).rest.load_reference()
    assert found.instruments["hyperliquid:NEWT"].tiers == ()
    assert found.unlisted_tables == (("", 77),)
