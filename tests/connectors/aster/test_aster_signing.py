"""Signatures bit for bit, the venue's clock, nonces, and that nothing tells a secret."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
from aiohttp import web
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from connectors.aster.errors import CredentialError
from connectors.aster.settings import AgentKey, AsterAccountRef, HmacKey
from connectors.aster.signing import NONCE_WINDOW_US, AgentSigner, HmacSigner, Nonces, VenueClock, signer_of, typed_message
from connectors.clock import ManualClock
from connectors.transport import AiohttpTransport
from tests.connectors.aster import aster_wire as wire

MS = 1_000_000
DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


def agent(key: str = wire.PRIVATE_KEY, user: str = wire.USER, chain_id: int = 1666) -> AgentSigner:
    return AgentSigner(AgentKey(key), user, Nonces(VenueClock(ManualClock())), chain_id)


def vectors(recordings: Path, name: str) -> Any:
    return orjson.loads((recordings / "aster" / name).read_bytes())


def test_eip712_vectors_bit_for_bit(recordings: Path) -> None:
    found = vectors(recordings, "auth_eip712_vectors.json")
    cases = found["computed_with_eth_account_0_14"] + found["independent_go_client"]
    assert len(cases) == 10
    for case in cases:
        signer = agent(case["private_key"], chain_id=case["chainId"])
        assert signer.signer == case["signer_address"], case["name"]
        assert signer.signature(case["message"]) == case["signature"], case["name"]


def test_eip712_intermediates(recordings: Path) -> None:
    for case in vectors(recordings, "auth_eip712_vectors.json")["computed_with_eth_account_0_14"]:
        typed = typed_message(case["message"], case["chainId"])
        message = keccak(bytes.fromhex(case["message_type_hash"][2:]) + keccak(case["message"].encode()))
        assert "0x" + keccak(DOMAIN_TYPE).hex() == case["domain_type_hash"]
        assert "0x" + keccak(b"Message(string msg)").hex() == case["message_type_hash"]
        assert "0x" + typed.header.hex() == case["domain_separator"]
        assert "0x" + typed.body.hex() == case["message_hash"] == "0x" + message.hex()
        assert "0x" + keccak(b"\x19\x01" + typed.header + typed.body).hex() == case["digest"]
        signature = bytes.fromhex(agent(case["private_key"], chain_id=case["chainId"]).signature(case["message"])[2:])
        # The vectors print r and s without leading zeros.
        assert int.from_bytes(signature[:32]) == int(case["r"], 16)
        assert int.from_bytes(signature[32:64]) == int(case["s"], 16)
        assert (len(signature), signature[64]) == (65, case["v"])


def test_the_messages_of_the_vectors_are_what_we_send(recordings: Path) -> None:
    """The string itself, and not only its signature: order, encoding, and the signature at its end."""
    symbols = {"get_positionRisk_symbol": "BTCUSDT", "get_positionRisk_cjk_symbol": wire.CJK}
    for case in vectors(recordings, "auth_eip712_vectors.json")["computed_with_eth_account_0_14"]:
        fields = dict(parse_qsl(case["message"]))
        nonces = Nonces(VenueClock(ManualClock(time_ms=int(fields["nonce"]) // 1000)))
        nonces._last = int(fields["nonce"]) - 1
        signer = AgentSigner(AgentKey(case["private_key"]), fields["user"], nonces, case["chainId"])
        pairs = [("symbol", symbols[case["name"]])] if case["name"] in symbols else []
        assert signer.sign(pairs) == f"{case['message']}&signature={case['signature']}", case["name"]


def test_hmac_vectors(recordings: Path) -> None:
    found = vectors(recordings, "auth_hmac_vector.json")
    clock = ManualClock(time_ms=1591702613943)
    signer = HmacSigner(HmacKey(found["api_key"], found["secret_key"]), VenueClock(clock))
    for case in (found["docs_vector"], found["computed_get_vector"]):
        assert signer.signature(case["payload"]) == case["signature"]
    get = found["computed_get_vector"]
    assert signer.sign([]) == f"{get['payload']}&signature={get['signature']}"
    assert signer.headers == {"X-MBX-APIKEY": found["api_key"]}


@asynccontextmanager
async def echo_server() -> AsyncIterator[tuple[str, list[tuple[str, str, bytes, str]]]]:
    seen: list[tuple[str, str, bytes, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, await request.read(), request.headers.get("Content-Type", "")))
        if request.path.endswith("/time"):
            return web.json_response({"serverTime": wire.NOW_MS})
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


class Keeping:
    """A signer that keeps what it signed."""

    def __init__(self, inner: AgentSigner | HmacSigner) -> None:
        self._inner = inner
        self.hmac = inner.hmac
        self.needs_signature_for_listen_key = inner.needs_signature_for_listen_key
        self.headers = inner.headers
        self.signed: list[str] = []

    def sign(self, pairs: list[tuple[str, str]]) -> str:
        self.signed.append(self._inner.sign(pairs))
        return self.signed[-1]


AWKWARD = [("symbol", wire.CJK), ("note", "a b+c/d?e%20f&g=h~*'(){}|")]


@pytest.mark.parametrize("ref", [wire.DESK, wire.OLD], ids=["v3", "hmac"])
async def test_signed_bytes_are_sent_bytes(ref: AsterAccountRef) -> None:
    async with echo_server() as (url, seen):
        http = AiohttpTransport()
        base = wire.Desk(ref)
        signer = Keeping(signer_of(ref, base.config, base.nonces, base.venue_clock))
        desk = wire.Desk(ref, signer=signer, http=http, rest_url=url)
        path, listen = (
            ("/fapi/v2/positionRisk", "/fapi/v1/listenKey") if ref is wire.OLD else ("/fapi/v3/positionRisk", "/fapi/v3/listenKey")
        )
        await desk.account.request("GET", path, AWKWARD)
        await desk.account.keep_listen_key(wire.LISTEN_KEY)
        await http.close()
    (get, put) = seen
    assert get == ("GET", f"{path}?{signer.signed[0]}", b"", "")
    assert "symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&note=a+b%2Bc%2Fd%3Fe%2520f%26g%3Dh~%2A%27%28%29%7B%7D%7C&" in get[1]
    if ref is wire.DESK:
        assert put == ("PUT", listen, signer.signed[1].encode(), "application/x-www-form-urlencoded")
        assert signer.signed[1].startswith(f"listenKey={wire.LISTEN_KEY}&nonce=")
    else:
        assert put[:3] == ("PUT", listen, b""), "the header alone says who asks"
        assert len(signer.signed) == 1


class Interrupted(VenueClock):
    """A clock during whose first reading another thread draws a nonce, if it can."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.other: Thread | None = None
        self.interrupt: Callable[[], object] = lambda: None

    def now_us(self) -> int:
        if self.other is None:
            self.other = Thread(target=self.interrupt)
            self.other.start()
            self.other.join(0.05)
        return super().now_us()


def test_nonces_differ_though_another_thread_comes_in_between() -> None:
    clock = Interrupted()
    nonces = Nonces(clock)
    drawn: list[int] = []
    clock.interrupt = lambda: drawn.append(nonces.next())
    drawn.append(nonces.next())
    assert clock.other is not None
    clock.other.join()
    assert len(set(drawn)) == 2


async def test_nonces_rise_under_tasks() -> None:
    nonces = Nonces(VenueClock(ManualClock()))
    drawn: list[int] = []

    async def draw() -> None:
        for _ in range(20):
            drawn.append(nonces.next())
            await asyncio.sleep(0)

    await asyncio.gather(*(draw() for _ in range(10)))
    assert drawn == sorted(set(drawn))


class SteppedClock(ManualClock):
    """A machine whose wall clock is set now and then."""

    def __init__(self) -> None:
        super().__init__(time_ms=wire.NOW_MS)
        self.step_ms = 0

    def time_ms(self) -> int:
        return super().time_ms() + self.step_ms


@given(st.lists(st.tuples(st.sampled_from(["step", "measure", "wait"]), st.integers(-100_000, 100_000)), max_size=30))
def test_nonces_rise_under_steps_of_either_clock_unless_they_would_be_refused_for_long(moves: list[tuple[str, int]]) -> None:
    clock = SteppedClock()
    venue_clock = VenueClock(clock)
    nonces = Nonces(venue_clock)
    last = nonces.next()
    for move, amount in moves:
        if move == "step":
            clock.step_ms += amount
        elif move == "measure":
            now_ns = clock.monotonic_ns()
            venue_clock.measured(now_ns, venue_clock.now_ms() + amount, now_ns)
        else:
            clock.shift(abs(amount) / 1e6)
        for _ in range(2):
            now_us, before = venue_clock.now_us(), last
            last = nonces.next()
            assert last > before if before < now_us + NONCE_WINDOW_US else last == now_us
            assert now_us <= last <= now_us + NONCE_WINDOW_US


def test_nonces_made_while_the_venues_clock_was_an_hour_ahead_hold_nothing_back() -> None:
    clock = ManualClock(time_ms=wire.NOW_MS)
    venue_clock = VenueClock(clock)
    nonces = Nonces(venue_clock)
    now_ns = clock.monotonic_ns()
    venue_clock.measured(now_ns, wire.NOW_MS + 3_600_000, now_ns)
    assert nonces.next() == (wire.NOW_MS + 3_600_000) * 1000
    venue_clock.measured(now_ns, wire.NOW_MS, now_ns)
    assert [nonces.next(), nonces.next()] == [wire.NOW_MS * 1000, wire.NOW_MS * 1000 + 1]


def test_the_accounts_own_key_is_refused_by_name() -> None:
    own = AsterAccountRef("desk", wire.SIGNER.lower(), AgentKey(wire.PRIVATE_KEY), allow_unsafe_key=True)
    with pytest.raises(CredentialError, match=r"^account desk: the private key is that of the account's own wallet.*: approve") as caught:
        signer_of(own, wire.config(), Nonces(VenueClock(ManualClock())), VenueClock(ManualClock()))
    assert wire.PRIVATE_KEY[2:12] not in str(caught.value)


def test_nonce_is_the_venues_microsecond_whatever_the_machine_says() -> None:
    clock = SteppedClock()
    venue_clock = VenueClock(clock)
    now_ns = clock.monotonic_ns()
    venue_clock.measured(now_ns - 50 * MS, wire.NOW_MS + 30_000, now_ns + 50 * MS)
    clock.shift(1.5)
    assert Nonces(venue_clock).next() == (wire.NOW_MS + 31_500) * 1000
    clock.step_ms = -3_600_000
    assert Nonces(venue_clock).next() == (wire.NOW_MS + 31_500) * 1000
    assert venue_clock.offset_ms == 30_000 + 3_600_000


def test_venue_clock_takes_the_middle_of_the_round_trip() -> None:
    clock = ManualClock(time_ms=wire.NOW_MS)
    venue_clock = VenueClock(clock)
    assert (venue_clock.now_ms(), venue_clock.offset_ms, venue_clock.age_s()) == (wire.NOW_MS, 0, inf)
    before_ns = clock.monotonic_ns()
    clock.shift(0.4)
    assert venue_clock.measured(before_ns, wire.NOW_MS + 5_200, clock.monotonic_ns())
    assert venue_clock.now_ms() == wire.NOW_MS + 5_400
    assert (venue_clock.offset_ms, venue_clock.age_s(), venue_clock.round_trip_ms) == (5_000, 0.2, 400.0)


def measure(venue_clock: VenueClock, clock: ManualClock, server_ms: int, round_trip_s: float) -> bool:
    now_ns = clock.monotonic_ns()
    half_ns = round(round_trip_s * 5e8)
    return venue_clock.measured(now_ns - half_ns, server_ms, now_ns + half_ns)


def test_long_round_trip_is_ignored_unless_nothing_better_is_known() -> None:
    clock = ManualClock(time_ms=wire.NOW_MS)
    venue_clock = VenueClock(clock)
    assert measure(venue_clock, clock, wire.NOW_MS + 1_000, 9.0), "the first"
    assert measure(venue_clock, clock, wire.NOW_MS, 0.1)
    assert not measure(venue_clock, clock, wire.NOW_MS + 1_000, 3.0), "what we believe is within it"
    assert venue_clock.offset_ms == 0
    assert measure(venue_clock, clock, wire.NOW_MS + 60_000, 3.0), "we cannot be right: the machine slept"
    assert venue_clock.offset_ms == 60_000


BROKEN_KEYS = [
    "",
    "0x",
    wire.PRIVATE_KEY[:-1],
    wire.PRIVATE_KEY + "0",
    wire.PRIVATE_KEY[:-1] + "g",
    "0x" + "0" * 64,
    "f" * 64,
    " " + wire.PRIVATE_KEY,
]


@pytest.mark.parametrize("key", BROKEN_KEYS)
def test_broken_private_key_is_named_and_not_shown(key: str) -> None:
    with pytest.raises(CredentialError, match=r"^account desk: the agent's private key is .*: ") as caught:
        signer_of(
            AsterAccountRef("desk", wire.USER, AgentKey(key)), wire.config(), Nonces(VenueClock(ManualClock())), VenueClock(ManualClock())
        )
    shown = "".join(traceback.format_exception(caught.value))
    assert len(key) < 10 or key.strip()[2:-1] not in shown


@pytest.mark.parametrize("user", [None, "", "0x12", "desk", wire.USER[2:], wire.USER + "0"])
def test_broken_address_is_named_and_not_shown(user: str | None) -> None:
    with pytest.raises(CredentialError, match=r"^account desk: .*address") as caught:
        signer_of(
            AsterAccountRef("desk", user, AgentKey(wire.PRIVATE_KEY)),
            wire.config(),
            Nonces(VenueClock(ManualClock())),
            VenueClock(ManualClock()),
        )
    assert wire.USER[2:] not in str(caught.value)


@pytest.mark.parametrize(("key", "secret"), [("", "s"), ("k", ""), ("k\n", "s"), ("kä", "s"), ("k", "s s")])
def test_broken_hmac_key_is_named_and_not_shown(key: str, secret: str) -> None:
    account = AsterAccountRef("old", None, HmacKey(key, secret))
    with pytest.raises(CredentialError, match=r"^account old: the HMAC key or secret is empty or holds"):
        signer_of(account, wire.config(), Nonces(VenueClock(ManualClock())), VenueClock(ManualClock()))


def test_key_may_lack_its_prefix() -> None:
    assert agent(wire.PRIVATE_KEY[2:]).signer == agent().signer == wire.SIGNER


def test_nothing_about_a_signer_shows_a_secret() -> None:
    venue_clock = VenueClock(ManualClock())
    for ref in (wire.DESK, wire.OLD):
        signer = signer_of(ref, wire.config(), Nonces(venue_clock), venue_clock)
        shown = f"{ref!r} {ref} {signer!r} {signer} {ref.credential!r}".lower()
        assert not [secret for secret in wire.SECRETS if secret.lower().removeprefix("0x") in shown]


def test_the_recursion_limit_stays_where_it_was() -> None:
    # with the limit that eth-account's dependency sets, deeply nested JSON kills the process
    program = (
        "import sys; from connectors.aster.signing import typed_message; from connectors.simulator.aster import sign\n"
        "before = sys.getrecursionlimit(); typed_message('a=b', 1666); sign('a=b', '0x' + '01' * 32)\n"
        "assert sys.getrecursionlimit() == before, sys.getrecursionlimit()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
