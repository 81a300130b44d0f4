from __future__ import annotations

import logging

import pytest

from monitor.alerts.incident import Change
from monitor.alerts.message import Delivery, Receiver
from monitor.alerts.receivers.log import LogReceiver
from monitor.margin.result import Level
from tests.monitor.alerts.receiver_alerts import alert, message


async def test_levels(caplog: pytest.LogCaptureFixture) -> None:
    receiver: Receiver = LogReceiver("log")
    told = [alert(Level.WARNING), alert(Level.CRITICAL), alert(Level.BREACH), alert(Level.CRITICAL, Change.RESOLVED)]
    with caplog.at_level(logging.INFO, "marginwatch.alerts"):
        for one in told:
            assert await receiver.send(message(one)) == Delivery(True)
        await receiver.send(message(told[0], told[3]))
    assert [record.levelname for record in caplog.records] == ["WARNING", "CRITICAL", "CRITICAL", "INFO", "CRITICAL"]
    assert caplog.records[1].message == "CRITICAL 92% hl-main/USDC: 160k left of 2.00M\nscope: hl-main/USDC\nvenue: hyperliquid"
