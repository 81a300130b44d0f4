from __future__ import annotations

import orjson
import pytest

from monitor.alerts.incident import OpenIncident
from monitor.alerts.outbox_records import Recovered
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level
from monitor.recording.recovered import recovered_document, recovered_of


def test_alerts_that_fire_already_are_kept() -> None:
    scope = AlertScope.pool("hyperliquid", "atlas", "main")
    incident = OpenIncident("k", 7, 2, Rule.LEVEL, scope, Level.CRITICAL, 1.25, 2.5, told_ratio=0.91)
    document = recovered_document(Recovered(open=(incident,), last_number=7))
    again = recovered_of(orjson.loads(orjson.dumps(document)))
    assert again.open == (incident,)
    assert again.last_number == 7


@pytest.mark.parametrize("rule", [Rule.RECEIVER, Rule.OUTBOX])
def test_alerts_about_sending_do_not_fire_in_a_replay(rule: Rule) -> None:
    incident = OpenIncident("k", 7, 2, rule, AlertScope.receiver("pager"), Level.CRITICAL, 1.25, 2.5)
    document = recovered_document(Recovered(open=(incident,), last_number=7))
    again = recovered_of(orjson.loads(orjson.dumps(document)))
    assert again.open == ()
    assert again.last_number == 7


def test_other_work_has_no_document() -> None:
    assert recovered_document({"a": 1}) is None
