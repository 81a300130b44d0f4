"""From where on the alarm speaks, apart from the margin levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from config.alerts import MaintenanceWindow
from config.settings import Settings


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """What the rules compare with; see `[alerts]` of the configuration for each. `distance`, `rise_per_minute` and `adl_quantile` 0: never.

    `network_hold_s`: how long all marks must be silent to call it the network. `modes`: by (venue, account), what the configuration
    expects. `net_delta_limits_usd`: by portfolio and coin.
    """

    distance: float = 0.02
    rise_per_minute: float = 0.10
    rise_from: float = 0.50
    adl_quantile: int = 3
    transfer_share: float = 0.01
    feed_hold_s: float = 30.0
    network_hold_s: float = 5.0
    clock_offset_s: float = 1.0
    depeg_warning: float = 0.01
    depeg_critical: float = 0.03
    key_warning_days: float = 14.0
    key_critical_days: float = 3.0
    unreconciled_hold_s: float = 15.0
    modes: Mapping[tuple[str, str], str] = field(default_factory=dict)
    net_delta_limits_usd: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    windows: tuple[MaintenanceWindow, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> WatchLimits:
        """The limits of a configuration."""
        alerts = settings.alerts
        return cls(
            distance=alerts.distance,
            rise_per_minute=alerts.rise_per_minute,
            rise_from=alerts.rise_from,
            adl_quantile=alerts.adl_quantile,
            transfer_share=alerts.transfer_share,
            feed_hold_s=alerts.feed_hold_s,
            network_hold_s=alerts.data_hold_s / 2,
            clock_offset_s=alerts.clock_offset_s,
            depeg_warning=alerts.depeg.warning,
            depeg_critical=alerts.depeg.critical,
            key_warning_days=alerts.key_expires_days.warning,
            key_critical_days=alerts.key_expires_days.critical,
            unreconciled_hold_s=alerts.unreconciled_hold_s,
            modes={(account.venue, account.id): account.mode for account in settings.accounts if account.mode is not None},
            net_delta_limits_usd={one.id: dict(one.net_delta_limit_usd) for one in settings.portfolios if one.net_delta_limit_usd},
            windows=tuple(settings.maintenance),
        )
