"""Three simulated venues in a process of their own that replay recorded frames at any rate. Started by `venues_live`.

Prints its endpoints as a line of JSON and lives in real time until stdin says `record`: then it plays half a minute of all venues at
once, keeps the frames of the market, and says how many and how large they are. From then on prices stand still but for those frames,
which go round at the rates of `RATES` times what `rate <number>` last said; accounts are told at their own rates. Ends with stdin.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from connectors.simulator import aster_accounts, deribit_accounts, hyperliquid_accounts
from connectors.simulator.aster import AsterServer, AsterVenue
from connectors.simulator.aster_auth import wallet_library
from connectors.simulator.deribit import DeribitServer, DeribitVenue
from connectors.simulator.deribit_listing import calendar
from connectors.simulator.hyperliquid import HyperliquidServer, HyperliquidVenue, Market

HYPERLIQUID, ASTER, DERIBIT = (tuple(f"{venue}_{n}" for n in range(count)) for venue, count in (("hyper", 4), ("aster", 4), ("deribit", 2)))
POSITIONS, OPTIONS, CHAIN_ROWS = 20, 400, 1000
"""Positions of an account, options held by the Deribit accounts together, and rows of the venue's whole chain of BTC."""

RATES = {"allDexsAssetCtxs": 1.0, "fastAssetCtxs": 2.0, "markprice": 1.0, "ticker": 10.0}
"""Frames a second of each feed at 1x (of a ticker: of each expiry); others come once a second."""

CHAIN = "btc_usd"
CHAIN_CHANNEL = f"markprice.options.{CHAIN}"
MARKS = "!markPrice@arr@1s"
STEPS = 30
ACCOUNT_FRAMES_S = 5.0
DURATION_S = 3600.0
_BEHIND_S = 0.5


def secret(alias: str, kind: str) -> str:
    """A dummy credential of an account, the same in both processes."""
    return hashlib.sha256(f"dummy {kind} of {alias}".encode()).hexdigest()


def address(alias: str) -> str:
    """A dummy address of an account."""
    return f"0x{secret(alias, 'address')[:40]}"


class _Hyperliquid(HyperliquidServer):
    async def flush(self) -> None:
        for connection in list(self._connections):
            await connection.flush(self._elapsed)


class _Aster(AsterServer):
    async def flush(self) -> None:
        for connection in list(self._connections):
            await connection.flush()


class _Deribit(DeribitServer):
    async def flush(self) -> None:
        for connection in list(self._connections):
            await connection.flush()


@dataclass(order=True, slots=True)
class _Stream:
    """What is sent every `period_s`, or so many times as often as the venues' rates are raised. `frames` go there and back again."""

    due: float
    number: int
    period_s: float = field(compare=False)
    send: Callable[[str], None] = field(compare=False)
    frames: list[tuple[str, str]] = field(compare=False)
    is_market: bool = field(compare=False, default=True)
    turn: int = field(compare=False, default=0)

    def text(self, now_ms: int) -> str:
        text, stamp = self.frames[self.turn % len(self.frames)]
        self.turn += 1
        return text.replace(stamp, str(now_ms)) if stamp else text


class Replay:
    """The venues and what they sent while they were recorded, by feed."""

    def __init__(self) -> None:
        self.market = Market(7, "calm", DURATION_S, time.time_ns() // 1_000_000, fillers=389)
        self.multiple = 1.0
        self.hyperliquid = _Hyperliquid(HyperliquidVenue(self.market, _hyperliquid_plans(self.market)), autorun=False)
        listing = AsterVenue(self.market, (), fillers=566)
        self.aster = _Aster(AsterVenue(self.market, _aster_plans(listing), fillers=566))
        strikes = round(CHAIN_ROWS / 2 / len(calendar(self.market.start_ms)))
        empty = DeribitVenue(self.market, (), expiries_s=(), strikes=strikes)
        plans = _deribit_plans(list(empty.listing.chains[CHAIN]))
        self.deribit = _Deribit(DeribitVenue(self.market, plans, expiries_s=(), strikes=strikes))
        self._taps: list[Callable[[], list[str]]] = []
        self._recorded: dict[str, tuple[Callable[[str], None], list[tuple[str, str]]]] = {}
        self._streams: list[_Stream] = []
        self._whole = ""

    @property
    def servers(self) -> tuple[_Hyperliquid, _Aster, _Deribit]:
        """All three."""
        return self.hyperliquid, self.aster, self.deribit

    async def live(self, recording: asyncio.Event) -> None:
        """Move the market in real time until the recording is to begin."""
        before = time.monotonic()
        while not recording.is_set():
            now = time.monotonic()
            self._advance(max(now - before, 1e-3))
            before = now
            await self._flush()
            await asyncio.sleep(0.25)

    async def record(self) -> dict[str, list[float]]:
        """Play `STEPS` seconds; (frames, mean bytes) by kind of feed."""
        self._tap()
        for _ in range(STEPS):
            # slow markets move every eighth step: all have moved in the end
            for _ in range(8):
                self._advance(0.125)
            self._keep()
            await self._flush()
            # time for the answers to heartbeats, which come often now
            await asyncio.sleep(0.05)
        kinds: dict[str, list[int]] = {}
        for feed, (_, frames) in self._recorded.items():
            kinds.setdefault(feed.split(".")[0].split(" ")[0], []).extend(len(text) for text, _ in frames)
        now = time.monotonic()
        self._streams = list(self._planned())
        for stream in self._streams:
            stream.due = now + stream.period_s * (0.618 * stream.number % 1.0)
        heapq.heapify(self._streams)
        return {kind: [len(sizes), sum(sizes) / len(sizes)] for kind, sizes in kinds.items() if sizes}

    async def play(self) -> None:
        """Send what was recorded, round and round, until cancelled."""
        streams, market, begin = self._streams, self.market, time.monotonic() - self.market.time
        while True:
            now = time.monotonic()
            market.time = now - begin
            while streams[0].due <= now:
                stream = streams[0]
                stream.send(stream.text(market.now_ms))
                stream.due += stream.period_s / (self.multiple if stream.is_market else 1.0)
                if stream.due < now - _BEHIND_S:
                    stream.due = now
                heapq.heapreplace(streams, stream)
            await self._flush()
            await asyncio.sleep(max(0.0, streams[0].due - time.monotonic()))

    def _advance(self, seconds: float) -> None:
        self.hyperliquid.venue.advance(seconds)
        self.aster.venue.follow()
        self.deribit.venue.follow()

    async def _flush(self) -> None:
        for server in self.servers:
            await server.flush()

    def _tap(self) -> None:
        # listen to whatever the monitor listens to
        venue = self.hyperliquid.venue
        hyperliquid = venue.connect()
        topics = [topic for feed in ("allDexsAssetCtxs", "fastAssetCtxs", "activeAssetCtx") for topic in venue.hub.topics(feed)]
        for feed, coin, _ in topics:
            subscription = {"type": feed} | ({"coin": coin} if coin else {})
            hyperliquid.receive(json.dumps({"method": "subscribe", "subscription": subscription}))
        aster = self.aster.venue.connect_market([MARKS])
        deribit = self.deribit.venue.connect()
        channels = [channel for channel in sorted(self.deribit.venue.hub.topics()) if not channel.startswith("user.")]
        deribit.receive(json.dumps({"id": 1, "method": "public/subscribe", "params": {"channels": channels}}))
        self._taps = [hyperliquid.drain, aster.drain, deribit.drain]
        for drain in self._taps:
            drain()

    def _keep(self) -> None:
        stamp = str(self.market.now_ms)
        hyperliquid, aster, deribit = (drain() for drain in self._taps)
        for text in hyperliquid:
            frame = json.loads(text)
            is_spot = frame["channel"] == "activeSpotAssetCtx"
            topic = ("activeAssetCtx", frame["data"]["coin"], "") if is_spot else (frame["channel"], "", "")
            self._add(" ".join(topic).strip(), text, "", partial(self.hyperliquid.venue.hub.publish, topic))
        for text in aster:
            told = str(json.loads(text)[0]["E"])
            self._add(MARKS, text, told, partial(self.aster.venue.hub.publish, MARKS, "markPriceUpdate"))
        for text in deribit:
            self._keep_channel(text, stamp)
        self._keep_accounts(stamp)

    def _keep_channel(self, text: str, stamp: str) -> None:
        channel = json.loads(text).get("params", {}).get("channel")
        if channel == CHAIN_CHANNEL and not self._whole:
            self._whole = text
        elif channel == CHAIN_CHANNEL:
            self._add(channel, text, stamp, self._send_chain)
        elif channel is not None:
            self._add(channel, text, stamp, partial(self.deribit.venue.hub.publish, channel))

    def _keep_accounts(self, stamp: str) -> None:
        venue = self.deribit.venue
        for client in list(venue.hub.clients):
            if client.login is None:
                continue
            alias = client.login.alias
            for text in client.drain():
                channel = json.loads(text).get("params", {}).get("channel", "")
                client.deliver(channel or "reply", text)
                if channel.startswith("user.portfolio"):
                    send = partial(venue.hub.publish_private, alias, channel, alive=venue.authority.alive)
                    self._add(f"{channel} {alias}", text, stamp, send)

    def _send_chain(self, text: str) -> None:
        # who has just subscribed is told the whole chain
        for client in list(self.deribit.venue.hub.clients):
            if CHAIN_CHANNEL in client.channels:
                client.deliver(CHAIN_CHANNEL, text if CHAIN_CHANNEL in client.seeded else self._whole)
                client.seeded.add(CHAIN_CHANNEL)

    def _add(self, feed: str, text: str, stamp: str, send: Callable[[str], None]) -> None:
        self._recorded.setdefault(feed, (send, []))[1].append((text, stamp))

    def _planned(self) -> Iterator[_Stream]:
        number = itertools.count()
        for feed, (send, frames) in self._recorded.items():
            is_market = not feed.startswith("user.")
            period_s = 1.0 / RATES.get(feed.split(".")[0], 1.0)
            yield _Stream(0.0, next(number), period_s, send, frames + frames[::-1], is_market)
        for account in self.hyperliquid.venue.exchange.accounts.values():
            yield _Stream(0.0, next(number), ACCOUNT_FRAMES_S, partial(self._tell, account), [("", "")], False)
        yield _Stream(0.0, next(number), 1.0, self._beat, [("", "")], False)

    def _tell(self, account: hyperliquid_accounts.Account, _: str) -> None:
        self.hyperliquid.venue.on_state_changed(account)

    def _beat(self, _: str) -> None:
        self.deribit.venue.hub.beat()


def _hyperliquid_plans(market: Market) -> list[hyperliquid_accounts.AccountPlan]:
    found, rng = [], random.Random(1)
    coins = [asset.coin for asset in market.listing.dexs[""].assets if asset.coin.startswith("SIM") and not asset.delisted][:140]
    for alias in HYPERLIQUID:
        sizes = {coin: rng.uniform(2e4, 4e5) * rng.choice((-1, 1)) for coin in ("BTC", *rng.sample(coins, POSITIONS - 1))}
        positions = [hyperliquid_accounts.PositionPlan(coin, round(usd / market.mark(coin), 2), 3) for coin, usd in sizes.items()]
        found.append(hyperliquid_accounts.AccountPlan(address(alias), alias, cash={"": 3e6}, positions=positions))
    return found


def _aster_plans(venue: AsterVenue) -> list[aster_accounts.AccountPlan]:
    found, rng = [], random.Random(2)
    listed, prices, wallets = venue.listing.symbols, venue.prices, wallet_library()[0]
    fillers = [f"SIM{number}USDT" for number in range(150, 560)]
    for number, alias in enumerate(ASTER):
        sizes = {symbol: rng.uniform(1e4, 4.5e4) * rng.choice((-1, 1)) for symbol in ("BTCUSDT", *rng.sample(fillers, POSITIONS - 1))}
        positions = [
            aster_accounts.PositionPlan(symbol, round(usd / prices.mark(symbol), listed[symbol].quantity_precision))
            for symbol, usd in sizes.items()
        ]
        agents = (aster_accounts.Agent(wallets.from_key(secret(alias, "key")).address),)
        is_multi = number % 2 == 1
        wallet = {"USDT": 3e5, **({"BTC": 2.0, "BNB": 50.0} if is_multi else {})}
        plan = aster_accounts.AccountPlan(alias, address(alias), agents, wallet=wallet, multi_assets=is_multi, positions=positions)
        found.append(plan)
    return found


def _deribit_plans(names: list[str]) -> list[deribit_accounts.AccountPlan]:
    rng = random.Random(3)
    held = rng.sample(names, OPTIONS)
    share = OPTIONS // len(DERIBIT)
    return [
        deribit_accounts.AccountPlan(
            alias,
            secret(alias, "id")[:8],
            secret(alias, "secret")[:43],
            wallet={"BTC": 200.0, "USDC": 100_000.0},
            positions=[
                deribit_accounts.PositionPlan(round(rng.uniform(0.1, 2.0), 1) * rng.choice((-1, 1)), name=name)
                for name in held[number * share : (number + 1) * share]
            ]
            + [deribit_accounts.PositionPlan(50_000.0, name="BTC-PERPETUAL")],
        )
        for number, alias in enumerate(DERIBIT)
    ]


async def _serve() -> None:
    replay = Replay()
    for server in replay.servers:
        await server.start()
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    endpoints = {
        "hyperliquid": {"rest_url": replay.hyperliquid.rest_url, "ws_url": replay.hyperliquid.ws_url},
        "aster": {"rest_url": replay.aster.rest_url, "ws_url": replay.aster.ws_url},
        "deribit": {"ws_url": replay.deribit.ws_url},
    }
    print(json.dumps(endpoints), flush=True)
    recording = asyncio.Event()
    task = asyncio.create_task(replay.live(recording))
    while line := (await stdin.readline()).decode().split():
        if line[0] == "record":
            recording.set()
            await task
            print(json.dumps(await replay.record()), flush=True)
            task = asyncio.create_task(replay.play())
        else:
            replay.multiple = float(line[1])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for server in replay.servers:
        await server.stop()


if __name__ == "__main__":
    asyncio.run(_serve())
