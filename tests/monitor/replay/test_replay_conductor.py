from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from connectors.errors import ConnectionLost
from monitor.margin.result import Level
from monitor.recording import ops
from monitor.recording.keys import RELOAD_KEY, request_key, sleep_key
from monitor.recording.ops import Op, error_document
from monitor.replay.compare import FirstTold, compare, compared_lines
from monitor.replay.conductor import OVERDUE_NS, Conductor, ReplaySelector
from monitor.replay.seams import ReplayClock, ReplayHttp, ReplayWebSockets

S = 1_000_000_000


def op(kind: str, key: str = "", ns: int = 0, turn: int = 1, extra: object = None, payload: bytes = b"", *, is_sync: bool = False) -> Op:
    # the program's first steps take some turns
    return Op(kind, key, is_sync, turn + 10, ns, ns // 1_000_000, extra, payload)


def played(script: list[Op], program: Callable[[Conductor], Awaitable[None]]) -> Conductor:
    """Play ops to a program on the replay's own loop."""
    selector = ReplaySelector()

    def source() -> Iterator[Op]:
        yield Op(ops.BEGIN, "", True, 1, 0, 0)
        yield from script

    conductor = Conductor(source())

    async def run() -> None:
        selector.conductor = conductor
        task = asyncio.ensure_future(program(conductor))
        await conductor.play()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(run())
    return conductor


def test_frames_come_at_their_readings_and_failures_as_they_were() -> None:
    seen: list[tuple[bytes, int]] = []

    async def program(conductor: Conductor) -> None:
        connection = await ReplayWebSockets(conductor).connect("ws://host/x")
        try:
            while True:
                seen.append((await connection.recv(), conductor.now_ns))
        except ConnectionLost as end:
            seen.append((str(end.code).encode(), conductor.now_ns))

    lost = error_document(ConnectionLost("host", 1006))
    script = [
        op(ops.CONNECTED, "connect ws://host/x", 1, 1, 0),
        op(ops.FRAME, "recv 0", 2, 2, None, b"one"),
        op(ops.FRAME, "recv 0", 3, 2, None, b"two", is_sync=True),
        op(ops.FAILED, "recv 0", 4, 3, lost),
    ]
    assert played(script, program).divergences.total == 0
    assert seen == [(b"one", 2), (b"two", 3), (b"1006", 4)]


def test_of_sleepers_until_one_time_the_recorded_one_wakes_first() -> None:
    woken: list[str] = []

    async def program(conductor: Conductor) -> None:
        clock = ReplayClock(conductor)

        async def sleeper(name: str) -> None:
            await clock.sleep(5.0)
            woken.append(name)

        await asyncio.gather(*(sleeper(name) for name in "abc"))

    key = sleep_key(5 * S)
    script = [op(ops.WOKEN, key, 5 * S + number, 10 + number, which) for number, which in enumerate((2, 0, 1))]
    assert played(script, program).divergences.total == 0
    assert woken == ["c", "a", "b"]


def test_a_sleep_whose_time_no_recording_holds_is_known_by_its_number() -> None:
    async def program(conductor: Conductor) -> None:
        await ReplayClock(conductor).sleep(0.987)

    assert played([op(ops.WOKEN, sleep_key(S), S, 2, 0)], program).divergences.total == 0


def test_a_sleeper_that_no_op_wakes_wakes_late_and_is_counted() -> None:
    woken: list[int] = []

    async def program(conductor: Conductor) -> None:
        await ReplayClock(conductor).sleep(1.0)
        woken.append(conductor.now_ns)

    other = op(ops.WOKEN, "sleep 9", 2 * S + OVERDUE_NS, 9, 77)
    found = played([other, op(ops.WOKEN, "sleep 10", 3 * S + OVERDUE_NS, 12, 78)], program).divergences
    assert woken
    assert (found.overdue, found.unclaimed) == (1, 2)


def test_an_evaluation_waits_for_its_marker() -> None:
    readings: list[int] = []

    async def program(conductor: Conductor) -> None:
        await conductor.call("recv 0")
        conductor.later(lambda: readings.append(conductor.now_ns))
        await conductor.call("recv 1")

    script = [
        op(ops.FRAME, "recv 0", 1, 1),
        op(ops.EVALUATION, "", 2, 2, is_sync=True),
        op(ops.FRAME, "recv 1", 3, 3),
    ]
    assert played(script, program).divergences.total == 0
    assert readings == [2]


def test_an_evaluation_ahead_of_its_marker_is_held_and_counted() -> None:
    readings: list[int] = []

    async def program(conductor: Conductor) -> None:
        await conductor.call("recv 0")
        conductor.later(lambda: readings.append(conductor.now_ns))
        await conductor.call("recv 1")
        await conductor.call("recv 2")

    script = [
        op(ops.FRAME, "recv 0", 1, 1),
        op(ops.FRAME, "recv 1", 2, 20),
        op(ops.EVALUATION, "", 3, 21, is_sync=True),
        op(ops.FRAME, "recv 2", 4, 40),
    ]
    found = played(script, program).divergences
    assert readings == [3]
    assert found.out_of_order == 1


def test_a_deed_that_was_not_recorded_and_one_that_was_not_done_are_told() -> None:
    async def program(conductor: Conductor) -> None:
        await conductor.call("recv 0")
        conductor.did(ops.SINK, [2, "Fill"])
        await conductor.call("recv 1")

    script = [
        op(ops.FRAME, "recv 0", 1, 1),
        op(ops.SINK, "", 1, 1, [1, "Fill"], is_sync=True),
        op(ops.FRAME, "recv 1", 2, 9),
    ]
    found = played(script, program).divergences
    assert (found.unexpected, found.missed) == (1, 1)
    assert found.first_ns == 1


def test_a_send_that_was_not_recorded_does_not_hang() -> None:
    async def program(conductor: Conductor) -> None:
        connection = await ReplayWebSockets(conductor).connect("ws://host")
        await connection.send(b"more")
        await connection.recv()

    script = [op(ops.CONNECTED, "connect ws://host", 1, 1, 4), op(ops.FRAME, "recv 4", 2, 5)]
    found = played(script, program).divergences
    assert (found.unexpected, found.unclaimed) == (1, 0)


def test_answers_go_to_the_request_they_were_given_to() -> None:
    bodies: list[bytes] = []

    async def program(conductor: Conductor) -> None:
        http = ReplayHttp(conductor)
        got = await asyncio.gather(*(http.get(f"http://h/p?user={user}&nonce={user}9&signature=0x1") for user in "ab"))
        bodies.extend(response.body for response in got)

    script = [op(ops.RESPONSE, f"GET http://h/p user={user} ", 1, 3, [200, {}], user.encode()) for user in "ba"]
    assert played(script, program).divergences.total == 0
    assert bodies == [b"a", b"b"]


def test_who_waits_for_another_configuration_gets_it_at_its_reading_and_disturbs_nobody() -> None:
    seen: list[tuple[object, int]] = []

    async def program(conductor: Conductor) -> None:
        async def follow() -> None:
            while True:
                seen.append(((await conductor.call(RELOAD_KEY)).extra, conductor.now_ns))

        following = asyncio.create_task(follow())
        try:
            await ReplayClock(conductor).sleep(5.0)
            seen.append(("awake", conductor.now_ns))
            await asyncio.Event().wait()
        finally:
            following.cancel()

    script = [op(ops.RELOADED, RELOAD_KEY, 2 * S, 3, {"a": 1}), op(ops.WOKEN, sleep_key(5 * S), 5 * S, 9, 0)]
    assert played(script, program).divergences.total == 0
    assert seen == [({"a": 1}, 2 * S), ("awake", 5 * S)]


def test_the_key_of_a_request_says_whose_it_is_and_nothing_of_the_moment() -> None:
    first = request_key("GET", "http://h/p?symbol=X&timestamp=1&signature=ab", b"", {"X-MBX-APIKEY": "me"})
    assert first == request_key("GET", "http://h/p?symbol=X&timestamp=2&signature=cd", b"", {"X-MBX-APIKEY": "me"})
    assert first != request_key("GET", "http://h/p?symbol=X&timestamp=1&signature=ab", b"", {"X-MBX-APIKEY": "you"})
    assert request_key("PUT", "http://h/k", b"listenKey=s3cret&nonce=1", None) == "PUT http://h/k  "
    assert "0xabc" in request_key("POST", "http://h/info", b'{"type":"x","user":"0xabc"}', None)


def told(seconds: float, level: Level, key: str = "hyperliquid/a/main/margin_level") -> tuple[int, int, list[object]]:
    return round(seconds * S), 0, ["margin_level", "fired", int(level), key, "title"]


def test_what_another_level_would_have_gained() -> None:
    before = [told(60.0, Level.WARNING), told(100.0, Level.LIQUIDATION)]
    changed = [told(30.0, Level.WARNING), told(100.0, Level.LIQUIDATION), told(40.0, Level.WARNING, "b")]
    rows = compare(before, changed, 0)
    assert rows[0] == FirstTold("b", Level.WARNING, None, 40.0)
    assert [row.gained_s for row in rows[1:]] == [30.0, 0.0, 0.0]
    text = "\n".join(compared_lines(rows, [Level.WARNING], "warning at 80%"))
    assert "told at 30.0 s instead of 60.0 s: 30.0 s gained, 70.0 s before it reached 100 %" in text
    assert "b warning: told at 40.0 s, as recorded not at all" in text
    assert "critical" not in text
