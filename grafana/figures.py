"""How the figures that several dashboards show are written, and the expressions they share."""

from __future__ import annotations

from grafana.panels import LIMIT, Figure, Query
from grafana.selectors import least, level, of_accounts, of_monitor, of_pools, of_portfolios
from grafana.style import LEVELS, NONE_IS_GOOD, UTILISATION, yes_or_no

RATIO = Figure("percentunit", 1, UTILISATION)
SHARE = Figure("percentunit", 1)
USD = Figure("currencyUSD", 2)
COUNT = Figure("none", 0)
FAULTS = Figure("none", 0, NONE_IS_GOOD)
SECONDS = Figure("s", 1)
LEVEL = Figure("none", 0, states=LEVELS)
FRESH = Figure("none", 0, states=yes_or_no("fresh", "NOT FRESH"))
VALID = Figure("none", 0, states=yes_or_no("known", "NO FIGURE"))
RECONCILED = Figure("none", 0, states=yes_or_no("yes", "UNRECONCILED"), no_value="nothing to compare")

POOL = ("venue", "account", "pool")
POOL_NAME = "{{venue}} {{account}}/{{pool}}"
OF_VENUE = 'venue=~"$venue"'

LEVEL_OF_ACCOUNTS = level(POOL, of_accounts("account_level"), of_accounts("account_valid"))
LEVEL_OF_POOLS = level(POOL, of_pools("account_level"), of_pools("account_valid"))
LEVEL_OF_PORTFOLIOS = level(("portfolio",), of_portfolios("portfolio_level"), of_portfolios("portfolio_valid"))
ACCOUNT_LIMITS = Query(
    least(("level",), of_monitor("level_threshold_ratio", 'account=~"$account"', 'portfolio=""')), LIMIT + "{{level}}", dashed=True
)
PORTFOLIO_LIMITS = Query(
    least(("level",), of_monitor("level_threshold_ratio", 'portfolio=~"$portfolio"', 'account=""')), LIMIT + "{{level}}", dashed=True
)
