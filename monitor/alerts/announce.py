"""From what the policy says to what leaves the program: a notification becomes an alert, complete and plain."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from config.settings import Settings
from monitor.alerts.alert import Alert
from monitor.alerts.figures import figures_of
from monitor.alerts.incident import Change, Notification
from monitor.alerts.scope import AlertScope, ScopeKind
from monitor.alerts.text import TITLE_LIMIT, clean, render

_log = logging.getLogger("marginwatch.alarm")


class Desk:
    """What alerts tell beside the notification: tags of accounts and portfolios, and where the page is."""

    def __init__(self, settings: Settings, link: str | None = None) -> None:
        """`link` is the base of the page, empty for none; None takes that of the settings."""
        self.link = settings.link if link is None else link
        self.account_tags: Mapping[str, tuple[str, ...]] = {account.id: tuple(account.tags) for account in settings.accounts}
        self.portfolio_tags: Mapping[str, tuple[str, ...]] = {
            portfolio.id: tuple(dict.fromkeys(tag for account in portfolio.accounts for tag in self.account_tags[account]))
            for portfolio in settings.portfolios
        }

    def tags(self, scope: AlertScope) -> tuple[str, ...]:
        """Tags of the scope's account, or of all accounts of its portfolio; none for what belongs to no account."""
        if scope.kind is ScopeKind.PORTFOLIO:
            return self.portfolio_tags.get(scope.name, ())
        return self.account_tags.get(scope.account, ())

    def link_to(self, key: str) -> str:
        """Where the page shows an alert: `<base>/#alert=<key>`; empty without a page."""
        return f"{self.link.rstrip('/')}/#alert={quote(key, safe='', errors='replace')}" if self.link else ""


def make_alert(notification: Notification, desk: Desk, epoch_ms: float) -> Alert:
    """The alert; `epoch_ms` is the wall clock (Unix ms) at the monotonic zero that the notification's times count from."""
    link = desk.link_to(notification.key)
    text = render(notification, link)
    return replace(
        _bare(notification, epoch_ms, text.title),
        details=text.details,
        subject=clean(notification.subject),
        detail=clean(notification.detail),
        tags=desk.tags(notification.scope),
        frozen=notification.frozen,
        ratio=notification.ratio,
        ratio_at_crossing=notification.ratio_at_crossing,
        figures=figures_of(notification.result),
        link=link,
        maintenance=clean(notification.maintenance),
    )


def make_alert_somehow(notification: Notification, desk: Desk, epoch_ms: float) -> Alert:
    """The alert, with the barest text where rendering it fails: a page must leave, whatever is wrong with its words."""
    try:
        return make_alert(notification, desk, epoch_ms)
    except Exception as defect:
        _log.error("the text of an alert cannot be made: %s", type(defect).__name__)
        word = "RESOLVED" if notification.change is Change.RESOLVED else notification.level.name
        title = clean(f"{word} {notification.rule.value} {notification.scope.place}: its text cannot be made, see the log")
        return _bare(notification, epoch_ms, title[:TITLE_LIMIT])


def _bare(notification: Notification, epoch_ms: float, title: str) -> Alert:
    return Alert(
        key=notification.key,
        number=notification.number,
        sequence=notification.sequence,
        rule=notification.rule,
        change=notification.change,
        level=notification.level,
        previous=notification.previous,
        scope=notification.scope,
        title=title,
        details=(),
        time_ms=_wall_ms(notification.now_s, epoch_ms),
        opened_ms=_wall_ms(notification.opened_s, epoch_ms),
    )


def _wall_ms(monotonic_s: float, epoch_ms: float) -> int:
    return round(epoch_ms + monotonic_s * 1000.0)
