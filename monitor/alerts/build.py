"""From settings to the parts of the alarm."""

from __future__ import annotations

from config.accounts import Levels
from config.settings import LevelName, ReceiverSettings, Settings
from monitor.alerts.http import Poster
from monitor.alerts.log import LogReceiver
from monitor.alerts.message import Receiver
from monitor.alerts.policy import PolicyConfig
from monitor.alerts.rules import Thresholds
from monitor.alerts.slack import SlackReceiver
from monitor.alerts.webhook import WebhookReceiver
from monitor.margin.result import Level


def build_policy_config(settings: Settings) -> PolicyConfig:
    """The policy's configuration: `[alerts]`, and each account's own levels."""
    alerts, repeat = settings.alerts, settings.alerts.repeat_s
    return PolicyConfig(
        thresholds=_thresholds(settings.defaults.levels),
        thresholds_for={account.id: _thresholds(account.levels) for account in settings.accounts},
        hysteresis=alerts.hysteresis,
        hold_s=alerts.hold_s,
        worsening_step=alerts.worsening_step,
        data_hold_s=alerts.data_hold_s,
        data_critical_s=alerts.data_critical_s,
        unreconciled_hold_s=alerts.unreconciled_hold_s,
        repeat_s={Level.WARNING: repeat.warning, Level.CRITICAL: repeat.critical, Level.LIQUIDATION: repeat.liquidation},
    )


def build_receivers(settings: Settings, poster: Poster) -> list[Receiver]:
    """The receivers that `[alerts]` names, in its order; those with a URL share `poster`."""
    return [_receiver(name, settings.receivers[name], poster) for name in settings.alert_receivers]


def _receiver(name: str, settings: ReceiverSettings, poster: Poster) -> Receiver:
    level = _level(settings.min_level)
    if settings.url is None:
        return LogReceiver(name, level)
    kind = SlackReceiver if settings.type == "slack" else WebhookReceiver
    return kind(name, settings.url, poster, level)


def _level(name: LevelName) -> Level:
    return Level[name.upper()]


def _thresholds(levels: Levels) -> Thresholds:
    return Thresholds(levels.warning, levels.critical, levels.liquidation)
