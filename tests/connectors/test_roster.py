"""Who is watched: who stays, comes and goes, what is still told of them, and what is dropped."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from connectors.clock import cancel_all, settle
from connectors.events import Event, FeedDropped, FeedState, FeedStatus
from connectors.roster import Roster, Tell
from connectors.tasks import Tasks

VENUE = "a venue"


@dataclass(frozen=True)
class Ref:
    alias: str
    key: str = "a key"


class Member:
    def __init__(self, ref: Ref, tell: Tell) -> None:
        if ref.key == "malformed":
            raise ValueError(f"the key of {ref.alias} is malformed")
        self.ref, self.tell = ref, tell
        self.state = "idle"

    async def run(self) -> None:
        self.state = "runs"
        try:
            await asyncio.Event().wait()
        finally:
            self.state = "ended"


class Desk:
    def __init__(self, *refs: Ref) -> None:
        self.told: list[Event] = []
        self.left: list[Ref] = []
        self.tasks = Tasks(VENUE)
        self.roster: Roster[Ref, Member] = Roster(
            VENUE, self.tasks, self.told.extend, join=Member, leave=lambda member: self.left.append(member.ref)
        )
        self.roster.set(refs)

    async def __aenter__(self) -> Desk:
        self.roster.begin()
        self._running = asyncio.create_task(self.tasks.run())
        await settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_all(self._running)


def state(feed: str, account: str | None) -> FeedState:
    return FeedState(VENUE, feed, account, FeedStatus.FRESH, 1)


A, B, C = Ref("a"), Ref("b"), Ref("c")


async def test_who_stays_is_untouched_who_goes_is_ended_and_who_comes_is_begun() -> None:
    async with Desk(A, B) as desk:
        stays, goes = desk.roster.members.values()
        assert desk.roster.set([C, Ref("a")]) == []
        await settle()
        assert list(desk.roster.members) == ["c", "a"]
        assert desk.roster.members["a"] is stays
        assert (stays.state, goes.state, desk.roster.members["c"].state) == ("runs", "ended", "runs")
        assert desk.left == [B]


async def test_other_content_is_gone_and_new() -> None:
    async with Desk(A) as desk:
        (before,) = desk.roster.members.values()
        desk.roster.note([state("account", "a")])
        assert desk.roster.set([Ref("a", "another key")]) == [FeedDropped(VENUE, "account", "a")]
        await settle()
        (after,) = desk.roster.members.values()
        assert (before.state, after.state, after.ref.key) == ("ended", "runs", "another key")
        before.tell([state("account", "a")])
        assert desk.told == []
        after.tell([state("account", "a")])
        assert desk.told == [state("account", "a")]
        assert desk.roster.set([]) == [], "nothing was told of it since it came anew"


def test_what_was_told_is_dropped_in_order_and_once() -> None:
    desk = Desk(A, B, C)
    desk.roster.note([state("second", "b"), state("first", "b"), state("second", "b"), state("marks", None), state("only", "a")])
    desk.roster.note([state("of nobody", "z")])
    assert desk.roster.set([C]) == [FeedDropped(VENUE, "only", "a"), FeedDropped(VENUE, "second", "b"), FeedDropped(VENUE, "first", "b")]
    assert desk.roster.set([C]) == []


async def test_what_cannot_come_leaves_all_as_it_was() -> None:
    async with Desk(A) as desk:
        (before,) = desk.roster.members.values()
        with pytest.raises(ValueError, match="key of c is malformed"):
            desk.roster.set([B, Ref("c", "malformed")])
        assert list(desk.roster.members.values()) == [before]
        assert desk.left == []
        await settle()
        assert before.state == "runs"


async def test_before_it_begins_nobody_is_tended() -> None:
    desk = Desk(A)
    (first,) = desk.roster.members.values()
    desk.roster.set([B])
    (second,) = desk.roster.members.values()
    async with desk:
        assert (first.state, second.state) == ("idle", "runs")
