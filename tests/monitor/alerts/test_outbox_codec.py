from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change, OpenIncident
from monitor.alerts.outbox_codec import (
    UNREADABLE,
    decode_alert,
    decode_incident,
    decode_silence,
    encode_alert,
    encode_incident,
    encode_silence,
)
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope, ScopeKind
from monitor.alerts.silences import Silence
from monitor.margin.result import Level

TEXT = st.text(st.characters(codec=None), max_size=8)
RATIO = st.none() | st.floats(allow_nan=False)
SCOPE = st.builds(AlertScope, st.sampled_from(ScopeKind), TEXT, TEXT, TEXT)
LEVEL = st.sampled_from(Level)
NUMBER = st.integers(0, 2**62)
SECONDS = st.floats(-1e9, 1e5)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ALERTS = st.builds(
    Alert,
    key=TEXT,
    number=NUMBER,
    sequence=NUMBER,
    rule=st.sampled_from(Rule),
    change=st.sampled_from(Change),
    level=LEVEL,
    previous=LEVEL,
    scope=SCOPE,
    title=TEXT,
    details=st.lists(TEXT, max_size=3).map(tuple),
    time_ms=NUMBER,
    opened_ms=NUMBER,
    subject=TEXT,
    detail=TEXT,
    tags=st.lists(TEXT, max_size=2).map(tuple),
    frozen=st.booleans(),
    ratio=RATIO,
    ratio_at_crossing=RATIO,
    figures=st.dictionaries(TEXT, JSON, max_size=3),
    link=TEXT,
    maintenance=TEXT,
)
INCIDENTS = st.builds(
    OpenIncident,
    key=TEXT,
    number=NUMBER,
    sequence=NUMBER,
    rule=st.sampled_from(Rule),
    scope=SCOPE,
    level=LEVEL,
    opened_s=SECONDS,
    notified_s=SECONDS,
    ratio_at_crossing=RATIO,
    told_ratio=RATIO,
    subject=TEXT,
    detail=TEXT,
    events=NUMBER,
    event_s=SECONDS,
    ratio=RATIO,
    frozen=st.booleans(),
)


@given(ALERTS, TEXT)
def test_an_alert_is_read_back_as_it_was(alert: Alert, escalated_from: str) -> None:
    text = encode_alert(alert)
    assert decode_alert(text) == alert
    assert decode_alert(text, escalated_from).escalated_from == escalated_from
    text.encode()  # what SQLite does with it


@given(INCIDENTS, st.floats(0, 2e12), st.floats(0, 2e12))
def test_an_incident_is_read_back_by_another_clock(incident: OpenIncident, epoch_ms: float, later_ms: float) -> None:
    found = decode_incident(encode_incident(incident, epoch_ms), later_ms, math.inf)
    for name in OpenIncident.__slots__:
        before, after = getattr(incident, name), getattr(found, name)
        if name in ("opened_s", "notified_s", "event_s"):
            assert after == pytest.approx(before + (epoch_ms - later_ms) / 1e3, abs=1e-5)
        else:
            assert after == before


def test_no_time_of_an_incident_lies_in_the_future() -> None:
    incident = OpenIncident("k", 1, 1, Rule.LEVEL, AlertScope.receiver("ops"), Level.WARNING, 10.0, 20.0, event_s=30.0)
    found = decode_incident(encode_incident(incident, 1_000_000.0), 1_000_000.0, 1_015_000.0)
    assert (found.opened_s, found.notified_s, found.event_s) == (10.0, 15.0, 15.0)


@given(st.builds(Silence, TEXT, TEXT, NUMBER, TEXT, NUMBER, LEVEL))
def test_a_silence_is_read_back_as_it_was(silence: Silence) -> None:
    assert decode_silence(encode_silence(silence)) == silence


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"key": 1}', "\x00"])
def test_another_text_is_unreadable(text: str) -> None:
    for decode in (decode_alert, decode_silence, lambda text: decode_incident(text, 0.0, 0.0)):
        with pytest.raises(UNREADABLE):
            decode(text)
