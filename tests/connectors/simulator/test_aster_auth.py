"""What the simulated Aster lets in: signatures, nonces and agents of v3, HMAC keys of v1."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.simulator.aster import ALIASES, AccountPlan, Agent, AsterVenue, Market, aster_demo, credentials, hmac_signature, sign
from connectors.simulator.aster_auth import recover_signer, wallet_library
from tests.connectors.simulator.aster_reader import Signer

KEYS_USER = "0x1111111111111111111111111111111111111111"


@pytest.fixture
def venue() -> AsterVenue:
    return aster_demo(60.0, scenario="calm", fillers=0)


@pytest.fixture
def signer(venue: AsterVenue) -> Signer:
    return Signer(venue, "umbra")


def code(answer: tuple[int, Any]) -> tuple[int, int]:
    return answer[0], answer[1]["code"]


def raw(venue: AsterVenue, query: str, method: str = "GET", path: str = "/fapi/v3/balance") -> tuple[int, Any]:
    status, _, body = venue.request(method, path, query, b"", {})
    return status, json.loads(body)


def test_signatures_are_the_vectors(recordings: Path) -> None:
    vectors = json.loads((recordings / "aster" / "auth_eip712_vectors.json").read_text())
    for vector in vectors["computed_with_eth_account_0_14"]:
        assert sign(vector["message"], vector["private_key"], vector["chainId"]) == vector["signature"]
        assert recover_signer(vector["message"], vector["signature"], vector["chainId"]) == vector["signer_address"].lower()
        assert recover_signer(vector["message"] + "x", vector["signature"], vector["chainId"]) != vector["signer_address"].lower()
    assert recover_signer("m", "0xnonsense", 1666) is None


def test_hmac_signatures_are_the_vectors(recordings: Path) -> None:
    vectors = json.loads((recordings / "aster" / "auth_hmac_vector.json").read_text())
    for name in ("docs_vector", "computed_get_vector"):
        assert hmac_signature(vectors[name]["payload"], vectors["secret_key"]) == vectors[name]["signature"]


def test_a_recorded_request_is_let_in(recordings: Path) -> None:
    vector = json.loads((recordings / "aster" / "auth_eip712_vectors.json").read_text())["computed_with_eth_account_0_14"][3]
    plan = AccountPlan("vector", KEYS_USER, (Agent(vector["signer_address"]),))
    venue = AsterVenue(Market(1, "calm", 60.0, 1_700_000_000_000), [plan])
    query = f"{vector['message']}&signature={vector['signature']}"
    status, rows = raw(venue, query, path="/fapi/v3/positionRisk")
    assert status == 200
    assert [row["symbol"] for row in rows] == ["币安人生USDT"]


def test_dummy_keys_have_their_addresses() -> None:
    for alias in ALIASES:
        own = credentials(alias)
        assert wallet_library()[0].from_key(own.private_key).address == own.signer
        assert own.private_key not in repr(own)
        assert len(own.api_key) == len(own.api_secret) == 64


def test_the_signed_bytes_must_be_the_sent_ones(venue: AsterVenue, signer: Signer) -> None:
    text = signer.signed(signer.message(symbol="BTCUSDT"))
    assert code(raw(venue, text.replace("BTCUSDT", "ETHUSDT"))) == (400, -1022)
    assert code(raw(venue, text[:-2] + "ff")) == (400, -1022)
    assert code(raw(venue, signer.message())) == (400, -1102)
    assert code(raw(venue, "")) == (400, -1102)
    assert raw(venue, text)[0] == 200


def test_user_may_be_left_out_and_must_fit(venue: AsterVenue, signer: Signer) -> None:
    assert raw(venue, signer.signed(f"nonce={signer.nonce()}&signer={signer.own.signer}"))[0] == 200
    other = f"nonce={signer.nonce()}&user={credentials('vela').user}&signer={signer.own.signer}"
    assert code(raw(venue, signer.signed(other))) == (401, -2015)


def test_nonces(venue: AsterVenue, signer: Signer) -> None:
    now = venue.market.now_ms * 1000
    assert signer.ask("agent", nonce=now)[0] == 200
    assert code(signer.ask("agent", nonce=now)) == (400, -4225)
    assert code(signer.ask("agent", nonce=now // 1000)) == (400, -4225)
    for off, wanted in ((9_999_000, 200), (-9_999_000, 200), (10_001_000, 400), (-10_001_000, 400)):
        assert signer.ask("agent", nonce=now + off)[0] == wanted
    venue.faults.step_clock(20_000)
    assert code(signer.ask("agent", nonce=now + 1)) == (400, -4225)
    assert signer.ask("agent", nonce=now + 20_000_000)[0] == 200


def test_only_the_newest_hundred_nonces_are_remembered(venue: AsterVenue, signer: Signer) -> None:
    now = venue.market.now_ms * 1000
    for number in range(100):
        assert signer.ask("agent", nonce=now + number)[0] == 200
    assert code(signer.ask("agent", nonce=now - 1)) == (400, -4225)
    assert signer.ask("agent", nonce=now + 100)[0] == 200
    assert code(signer.ask("agent", nonce=now)) == (400, -4225)
    assert Signer(venue, "vela").ask("agent", nonce=now)[0] == 200


@pytest.mark.parametrize("change", [{"can_read": False}, {"expired_ms": 1_000}, {"ip_whitelist": "10.0.0.1"}, {"address": "0x" + "9" * 40}])
def test_agents_without_the_right_are_refused(change: dict[str, Any]) -> None:
    own = credentials("umbra")
    plan = AccountPlan("umbra", own.user, (replace(Agent(own.signer), **change),))
    venue = AsterVenue(Market(1, "calm", 60.0, 1_790_000_000_000), [plan])
    assert code(Signer(venue, "umbra").ask("agent")) == (401, -2015)


def test_a_whitelisted_agent_tells_its_rights() -> None:
    own = credentials("umbra")
    agent = Agent(own.signer, can_perp_trade=True, ip_whitelist="10.0.0.1, 127.0.0.1")
    venue = AsterVenue(Market(1, "calm", 60.0, 1_790_000_000_000), [AccountPlan("umbra", own.user, (agent,))])
    row = Signer(venue, "umbra").get("agent")[0]
    assert (row["canRead"], row["canPerpTrade"], row["canSpotTrade"], row["canWithdraw"]) == (True, True, False, False)


def test_hmac_rules(venue: AsterVenue, signer: Signer) -> None:
    now = venue.market.now_ms
    assert signer.hmac("v4/account")[0] == 200
    assert signer.hmac("v2/balance", timestamp=now + 999)[0] == 200
    assert signer.hmac("v2/balance", timestamp=now - 5_000)[0] == 200
    assert signer.hmac("v2/positionRisk", timestamp=now - 60_000, recvWindow=60_000)[0] == 200
    for stamp, window in ((now + 1_000, 5_000), (now - 5_001, 5_000), (now, 60_001)):
        assert code(signer.hmac("v2/balance", timestamp=stamp, recvWindow=window)) == (400, -1021)
    query = f"timestamp={now}&signature={'0' * 64}"
    for key, wanted in ((signer.own.api_key, -1022), ("0" * 64, -2015), ("short", -2014), ("", -2014)):
        _, _, body = venue.request("GET", "/fapi/v2/balance", query, b"", {"X-MBX-APIKEY": key})
        assert json.loads(body)["code"] == wanted


def test_v3_paths_want_eip712_and_v1_paths_hmac(venue: AsterVenue, signer: Signer) -> None:
    assert code(signer.hmac("v3/balance")) == (400, -1022) or code(signer.hmac("v3/balance")) == (400, -1102)
    assert code(raw(venue, signer.signed(signer.message()), path="/fapi/v2/balance")) == (401, -2014)


def test_v1_listen_keys_need_only_the_header(venue: AsterVenue, signer: Signer) -> None:
    headers = {"x-mbx-apikey": signer.own.api_key}
    status, _, body = venue.request("POST", "/fapi/v1/listenKey", "", b"", headers)
    assert status == 200
    assert json.loads(body)["listenKey"] == signer.listen_key()
