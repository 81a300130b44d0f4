"""From settings to the parts of the alarm."""

from __future__ import annotations

from collections.abc import Iterable

from config.accounts import Levels
from config.receivers import ReceiverSettings
from config.secrets import Secret
from config.settings import Settings
from connectors.clock import Clock
from monitor.alerts.dispatcher import DispatcherConfig, LineSettings
from monitor.alerts.heartbeat import Heartbeat
from monitor.alerts.message import Receiver
from monitor.alerts.policy import PolicyConfig
from monitor.alerts.receivers.alertmanager import AlertmanagerReceiver
from monitor.alerts.receivers.http import Poster
from monitor.alerts.receivers.log import LogReceiver
from monitor.alerts.receivers.pagerduty import PagerDutyReceiver
from monitor.alerts.receivers.slack import SlackReceiver
from monitor.alerts.receivers.slack_bot import SlackBotReceiver
from monitor.alerts.receivers.webhook import WebhookReceiver
from monitor.alerts.routing import Route
from monitor.alerts.rules import Thresholds
from monitor.alerts.scope import ScopeKind
from monitor.margin.result import Level


def build_policy_config(settings: Settings) -> PolicyConfig:
    """The policy's configuration: `[alerts]`, and each account's own levels."""
    alerts, repeat = settings.alerts, settings.alerts.repeat_s
    return PolicyConfig(
        thresholds=_thresholds(settings.defaults.levels),
        thresholds_for={account.id: _thresholds(account.levels) for account in settings.accounts},
        portfolio_thresholds={portfolio.id: _thresholds(portfolio.levels) for portfolio in settings.portfolios},
        hysteresis=alerts.hysteresis,
        hold_s=alerts.hold_s,
        worsening_step=alerts.worsening_step,
        data_hold_s=alerts.data_hold_s,
        data_critical_s=alerts.data_critical_s,
        repeat_s={Level.WARNING: repeat.warning, Level.CRITICAL: repeat.critical, Level.LIQUIDATION: repeat.liquidation},
    )


def build_dispatcher_config(settings: Settings) -> DispatcherConfig:
    """The dispatcher's times: `[alerts]`."""
    return DispatcherConfig(deadline_s=settings.alerts.deadline_s, group_s=settings.alerts.group_s)


def build_receivers(settings: Settings, poster: Poster, names: Iterable[str] | None = None) -> list[Receiver]:
    """The receivers that `[alerts]` names, in its order, or those of `names`; those with a URL share `poster`."""
    return [_receiver(name, settings.receivers[name], poster) for name in (settings.alert_receivers if names is None else names)]


def build_lines(settings: Settings, poster: Poster) -> list[LineSettings]:
    """The same, each with what it is for."""
    return [_line(receiver, settings.receivers[receiver.name]) for receiver in build_receivers(settings, poster)]


def build_heartbeat(settings: Settings, poster: Poster, clock: Clock) -> Heartbeat | None:
    """The dead man's switch, where one is configured."""
    told = settings.heartbeat
    return None if told is None else Heartbeat(poster, told.url, told.every_s, clock=clock)


def _line(receiver: Receiver, settings: ReceiverSettings) -> LineSettings:
    scopes = frozenset(ScopeKind(scope) for scope in settings.scopes)
    route = Route(Level[settings.min_level.upper()], scopes, frozenset(settings.tags))
    return LineSettings(receiver, route, settings.escalate_to, is_log=settings.type == "log")


def _receiver(name: str, settings: ReceiverSettings, poster: Poster) -> Receiver:
    match settings.type:
        case "log":
            return LogReceiver(name)
        case "webhook":
            return WebhookReceiver(name, _given(settings.url), poster, settings.secret)
        case "alertmanager":
            return AlertmanagerReceiver(name, _given(settings.url), poster)
        case "pagerduty":
            return PagerDutyReceiver(name, _given(settings.routing_key), poster, _given(settings.url))
        case "slack" if settings.token is not None:
            return SlackBotReceiver(name, settings.token, settings.channel or "", poster)
        case "slack":
            return SlackReceiver(name, _given(settings.url), poster)


def _given(secret: Secret | None) -> Secret:
    assert secret is not None  # the settings saw to it
    return secret


def _thresholds(levels: Levels) -> Thresholds:
    return Thresholds(levels.warning, levels.critical, levels.liquidation)
