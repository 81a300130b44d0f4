"""What the tests of receivers share: alerts made by hand or at random, and the other end in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from config import Secret
from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change, key_of
from monitor.alerts.message import Delivery, Message
from monitor.alerts.receivers.http import PostError, Reply
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope, ScopeKind
from monitor.alerts.text import group
from monitor.margin.result import Level

NOW_MS = 1_700_000_000_123
OPENED_MS = NOW_MS - 5_000
LINK = "https://desk.example:9876/#alert=x&y"
POOL = AlertScope.pool("hyperliquid", "hl-main", "USDC")
FIGURES = {"kind": "hyperliquid_cross", "asset": "USDC", "equity": 2e6, "reduce": {"instrument": "hyperliquid:BTC", "quantity": -2.0}}


def alert(level: Level = Level.WARNING, change: Change = Change.FIRED, **fields: Any) -> Alert:
    """An alert of a pool; when resolved, `level` is the one that ends."""
    scope = fields.pop("scope", POOL)
    rule = fields.pop("rule", Rule.LEVEL)
    over = change is Change.RESOLVED
    values: dict[str, Any] = {
        "key": key_of(scope, rule),
        "number": 7,
        "sequence": 1,
        "level": Level.OK if over else level,
        "previous": level if over else Level.OK,
        "title": f"{'RESOLVED' if over else level.name} 92% {scope.place}: 160k left of 2.00M",
        "details": (f"scope: {scope.place}", "venue: hyperliquid"),
        "time_ms": NOW_MS,
        "opened_ms": OPENED_MS,
        "ratio": 0.92,
        "ratio_at_crossing": 0.9,
        "figures": FIGURES,
        "link": LINK,
        "tags": ("desk-a", "prod"),
    }
    return Alert(rule=rule, change=change, scope=scope, **{**values, **fields})


def pool(name: str) -> AlertScope:
    """A pool of the same account."""
    return AlertScope.pool("hyperliquid", "hl-main", name)


def message(*alerts: Alert, handles: Mapping[str, str] | None = None, sent_at_ms: int = NOW_MS) -> Message:
    """A sending of these."""
    return Message(group(alerts), alerts, sent_at_ms, handles or {})


@dataclass(frozen=True, slots=True)
class Posted:
    """A request as the other end got it."""

    url: str
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def method(self) -> str:
        """Last part of the path."""
        return self.url.rpartition("/")[2]


@dataclass
class MemoryPoster:
    """The seam in memory: keeps what is posted; gives the answers in turn, the last one for ever."""

    answers: Sequence[Reply | PostError] = (Reply(200),)
    posted: list[Posted] = field(default_factory=list)

    async def post(self, url: Secret, body: bytes, headers: Mapping[str, str | Secret], timeout_s: float) -> Reply:
        shown = {name: value.reveal() if isinstance(value, Secret) else value for name, value in headers.items()}
        answer = self.answers[min(len(self.posted), len(self.answers) - 1)]
        self.posted.append(Posted(url.reveal(), body, shown))
        if isinstance(answer, PostError):
            raise answer
        return answer

    async def get(self, url: Secret, timeout_s: float) -> Reply:
        raise AssertionError("receivers only post")


def said(document: Any, status: int = 200, retry_after_s: float | None = None) -> Reply:
    """An answer with a JSON body."""
    return Reply(status, retry_after_s, json.dumps(document).encode())


def summary(delivery: Delivery) -> tuple[bool, bool]:
    """(delivered, fatal)."""
    return delivery.delivered, delivery.fatal


_ANY = st.characters(exclude_categories=())
_TEXTS = st.one_of(
    st.text(_ANY, max_size=200),
    st.text("&<>|*_`~\n\\\"'", max_size=60),
    st.builds(lambda part, times: part * times, st.text(_ANY, min_size=1, max_size=3), st.integers(1, 6000)),
)
_NAMES = st.text("abcXYZ/#&<>|-é\U0001f525", max_size=300)
_NUMBERS = st.one_of(st.none(), st.floats())
_SCOPES = st.builds(AlertScope, st.sampled_from(ScopeKind), _NAMES, _NAMES, _NAMES)


@st.composite
def any_alert(draw: st.DrawFn) -> Alert:
    """Whatever an alert may be: huge texts, half characters, control characters, no names at all."""
    scope, rule = draw(_SCOPES), draw(st.sampled_from(Rule))
    return Alert(
        key=key_of(scope, rule),
        number=draw(st.integers(1, 10**12)),
        sequence=draw(st.integers(1, 1000)),
        rule=rule,
        change=draw(st.sampled_from(Change)),
        level=draw(st.sampled_from(Level)),
        previous=draw(st.sampled_from(Level)),
        scope=scope,
        title=draw(_TEXTS),
        details=tuple(draw(st.lists(_TEXTS, max_size=6))),
        time_ms=draw(st.integers(0, 4 * 10**12)),
        opened_ms=draw(st.integers(0, 4 * 10**12)),
        subject=draw(_TEXTS),
        detail=draw(_TEXTS),
        tags=tuple(draw(st.lists(_NAMES, max_size=3))),
        ratio=draw(_NUMBERS),
        ratio_at_crossing=draw(_NUMBERS),
        figures=draw(st.dictionaries(_NAMES, st.one_of(_TEXTS, _NUMBERS), max_size=4)),
        link=draw(st.one_of(st.just(""), st.just(LINK), st.builds("https://h/{}".format, _TEXTS), _TEXTS)),
        escalated_from=draw(st.one_of(st.just(""), _NAMES)),
    )


def any_message(most: int = 5) -> st.SearchStrategy[Message]:
    """A burst of them, also a big one of copies."""
    few = st.lists(any_alert(), min_size=1, max_size=most)
    many = st.builds(lambda one, times: [one] * times, any_alert(), st.integers(40, 400))
    return st.one_of(few, many).map(lambda alerts: message(*alerts))
