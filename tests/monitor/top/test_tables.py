"""The panels in words and figures: what is unknown says so, what is of the past stands in brackets, nothing breaks in 80 columns."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console, Group, RenderableType

from monitor.top import analysis, desk, tables
from monitor.top.app import PANELS
from monitor.top.model import Model
from monitor.top.parts import View, age
from tests.monitor.top import frames
from tests.monitor.top.frames import AS_OF_MS, Clock, Rows, changes, firing, pool, portfolio, snapshot, told

Panel = Callable[[Model, View], Iterator[RenderableType]]


def model_of(rows: Rows | None = None, clock: Clock | None = None, **changed: Any) -> Model:
    model = Model(clock or Clock())
    model.apply(snapshot((rows or frames.desk()) | changed))
    return model


def text_of(renderable: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def shown(panel: Panel, model: Model, view: View | None = None) -> str:
    view = view or View()
    return text_of(Group(*panel(model, view)), view.width)


def line_of(name: str, text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name))


def head_of(model: Model, view: View | None = None) -> str:
    return text_of(tables.head(model, "Summary", view or View()))


# -- the head --------------------------------------------------------------------------------------------------------------------------


def test_the_head_says_when_and_who_is_worst() -> None:
    said = head_of(model_of())
    assert said.splitlines()[0].rstrip() == "live  15:01:06 UTC  0 alerts  worst: ok atlas/main 50.9%"
    assert said.splitlines()[1].rstrip() == "Summary: all accounts"


def test_a_level_is_worse_than_a_ratio_below_it() -> None:
    # a threshold of its own: 60 % is this account's warning, and 70 % is none of the other's
    rows = {"a": pool("iris", 0.60, level="warning"), "b": pool("umbra", 0.70)}
    assert "worst: warning iris/main 60.0%" in head_of(model_of(pools=rows))


def test_what_has_no_figure_is_counted_before_the_worst() -> None:
    rows = {"a": pool("iris", None), "b": pool("umbra", 0.91)}
    assert "worst: 1 no figure, critical umbra/main 91.0%" in head_of(model_of(pools=rows))
    assert head_of(model_of(pools={"a": pool("iris", None)}, portfolios={})).splitlines()[0].rstrip().endswith("worst: 1 no figure")


def test_a_lost_line_is_called_stale_and_says_why() -> None:
    clock = Clock()
    model = model_of(clock=clock)
    clock.now_s += 12.0
    model.lost("nothing heard for 2.5 s")
    said = head_of(model)
    assert said.startswith(" STALE for 12s   15:01:06 UTC")
    assert "nothing heard for 2.5 s (connecting again; every figure is of the time above)" in said
    assert "live" not in said


def test_late_frames_are_called_delayed() -> None:
    clock = Clock()
    model = model_of(clock=clock)
    clock.now_s += 5.0
    model.apply(changes({}, after_s=1.0))
    assert head_of(model).startswith(" DELAYED by 4.0s ")


def test_a_monitor_that_is_not_ready_says_why() -> None:
    monitor = {"ready": False, "unready": ["kernels are compiling", "iris: waiting", "umbra: waiting"], "portfolios": []}
    assert "monitor not ready: kernels are compiling; iris: waiting; and 1 more" in head_of(model_of(monitor={"monitor": monitor}))


def test_before_the_first_frame_the_head_shows_no_figure() -> None:
    assert head_of(Model(Clock())).splitlines()[0].rstrip() == "connecting"


def test_the_head_says_what_is_shown() -> None:
    assert "Summary: portfolio pair (2 of 2), accounts with “ir”" in head_of(model_of(), View("pair", "ir"))


# -- the summary -----------------------------------------------------------------------------------------------------------------------


def test_pools_stand_without_a_figure_first_and_then_worst_first() -> None:
    rows = {name: pool(name, ratio) for name, ratio in (("a", 0.1), ("b", None), ("c", 1.2), ("d", 0.9))}
    said = shown(tables.summary, model_of(pools=rows | {"e": pool("e", 0.5, margin_ratio="Infinity", level="liquidation")}))
    assert [line[0] for line in said.splitlines() if line[1:7] == " main "] == ["b", "e", "c", "d", "a"]


def test_a_pool_says_what_is_known() -> None:
    said = shown(tables.summary, model_of(pools={"a": pool("iris", 0.899999)}))
    assert line_of("iris", said).split() == ["iris", "main", "warning", "████████|||·", "89.9%", "7.36k", "-12.5%", "0.2s"]
    assert "iris main: what happens next: market orders" in said


def test_a_pool_that_is_ok_says_nothing_of_what_comes_next() -> None:
    assert "what happens next" not in shown(tables.summary, model_of())


def test_what_was_known_last_stands_in_brackets_with_the_reason_beneath() -> None:
    said = shown(tables.summary, model_of(pools={"a": pool("iris", None)}))
    assert line_of("iris", said).split() == ["iris", "main", "no", "figure", "████████|||·", "(87.5%)", "(7.36k)", "(-12.5%)", "0.2s"]
    assert "iris main: no value: STALE_MARK: allMids is stale" in said


def test_a_pool_of_which_nothing_is_known_shows_no_number() -> None:
    nothing = pool("iris", None, last_margin_ratio=None, cash_to_safety=None, distance=None, data_at_s=None)
    assert line_of("iris", shown(tables.summary, model_of(pools={"a": nothing}))).split()[4:] == ["········|||·", "-", "-", "-", "-"]


def test_a_difference_from_the_venue_is_shown() -> None:
    assert "unreconciled" in shown(tables.summary, model_of(pools={"a": pool("iris", 0.5, reconciled=False)}), View(width=120))


def test_a_wide_terminal_has_more_columns() -> None:
    said = shown(tables.summary, model_of(), View(width=120))
    assert line_of("iris", said).split()[5:] == ["1.23M", "1.00k", "7.36k", "BTC", "-12.5%", "0.2s"]


def test_a_portfolio_has_its_line_and_its_pools_alone() -> None:
    said = shown(tables.summary, model_of(), View("pair"))
    assert " ".join(said.split()).startswith(
        "portfolio pair: ok 1.8% ········|||· equity 2.07M, stress maintenance 37.44k USD; leg by leg 77.01k (offsets save 51%)"
    )
    assert "portfolio desk" not in said
    assert "iris main" in said
    assert "umbra" not in said


def test_a_portfolio_without_a_value_says_why_and_one_of_doubtful_figures_says_so() -> None:
    rows = {"desk": portfolio("desk", None), "pair": portfolio("pair", 0.5, provenance="PROXY", doubts=["volatility of X by proxy"])}
    said = shown(tables.summary, model_of(portfolios=rows))
    assert "portfolio desk: no value: MISSING_IV: no volatility of X" in said
    assert "[PROXY]" in said
    assert "volatility of X by proxy" in said
    assert "LIVE" not in said


def test_accounts_are_filtered_by_a_part_of_their_id() -> None:
    said = shown(tables.summary, model_of(), View(account="MBR"))
    assert "umbra main" in said
    assert "atlas" not in said
    assert "no pool of an account with “x”" in shown(tables.summary, model_of(), View(account="x"))


# -- contribution, scenarios, modes ----------------------------------------------------------------------------------------------------


def test_contributions_stand_largest_first_with_their_signs() -> None:
    lines = shown(analysis.contribution, model_of(), View("desk")).splitlines()
    assert lines[0].rstrip() == "portfolio desk, as of 15:01:05 UTC, 1.0s ago"
    assert lines[1].rstrip() == "maintenance margin 37,435.19 USD; hedge benefit 524,157.87 USD"
    assert lines[4].split() == ["umbra", "BTCUSDT", "████████│", "-123,991", "+123,991", "+123,991", "1.72M"]
    assert lines[5].split() == ["iris", "BTC", "│", "+50.00", "+50.00", "-50.00", "1.72M"]


def test_contributions_are_filtered_by_account() -> None:
    said = shown(analysis.contribution, model_of(), View("desk", "iris"))
    assert "iris BTC" in said
    assert "umbra" not in said
    assert "no position of an account with “x”" in shown(analysis.contribution, model_of(), View("desk", "x"))


def test_scenarios_show_families_the_worst_by_coin_and_distances() -> None:
    said = shown(analysis.scenarios, model_of(), View("desk"))
    assert line_of("directional", said).split() == ["directional", "████████", "7,677"]
    assert line_of("correlation", said).split() == ["correlation", "0.00"]
    assert line_of("BTC", said).split() == ["BTC", "-6.00%", "+20.00%", "2,053", "21,625", "buy", "orders"]
    assert line_of(" all coins", said).split() == ["all", "coins", "-31.00%", "none", "-31.00%", "none", "-31.00%", "none"]


def test_modes_compare_cross_and_portfolio_and_say_who_dies_first_and_what_to_send() -> None:
    said = shown(analysis.modes, model_of(), View("desk"))
    assert line_of("cross", said).split() == ["cross", "77,011.95", "174,533.34"]
    assert line_of("portfolio (stands)", said).split() == ["portfolio", "(stands)", "37,435.19", "44,922.20"]
    assert "saving against cross: 51.3%" in said
    assert "first to be liquidated up: umbra on aster (USDT) at +43.00%" in said
    assert "to bring every pool to 4.6%: 1,000.00 USDC to iris on hyperliquid" in said
    assert line_of("iris", said).split() == ["iris", "portfolio", "margin", "portfolio", "-5.00", "10.00", "infinite", "liquidation"]
    assert "iris under unified: no value: UNSUPPORTED_MODE: no borrow table" in said
    assert "atlas" not in said, "it is no account of this portfolio"


@pytest.mark.parametrize("panel", [analysis.contribution, analysis.scenarios, analysis.modes])
def test_a_report_that_lacks_says_so(panel: Panel) -> None:
    failed = {"id": "desk", "as_of": frames.AS_OF, "failures": [{"reason": "NOT_READY", "detail": "waiting"}]}
    said = shown(panel, model_of(reports={"desk": failed}))
    assert "no value: NOT_READY: waiting" in said
    assert "portfolio pair: no report yet" in said
    assert "no portfolio is configured" in shown(panel, model_of(monitor={"monitor": {"ready": True, "unready": [], "portfolios": []}}))


# -- alerts, feeds ---------------------------------------------------------------------------------------------------------------------


def test_what_fires_stands_worst_first_with_what_was_told_of_it() -> None:
    rows = {"1": firing("umbra", "warning"), "2": firing("iris"), "3": firing("atlas", "liquidation")}
    lately = {"1": told("iris", "fired", "CRITICAL 91% iris/main", 90), "2": told("iris", "repeated", "CRITICAL 92% iris/main", 30)}
    said = shown(desk.alerts, model_of(alerts=rows, recent=lately))
    firing_lines = said.splitlines()[3:6]
    assert [line.split()[0] for line in firing_lines] == ["liquidation", "critical", "warning"]
    assert firing_lines[1].split() == ["critical", "14:59:36", "90s", "91.9%", "CRITICAL", "92%", "iris/main"]
    assert firing_lines[2].endswith("main over 90%".ljust(len("CRITICAL 92% iris/main")))
    newest, older = said.splitlines()[-2:]
    assert newest.startswith("15:00:36  CRITICAL 92% iris/main")
    assert older.startswith("14:59:36  CRITICAL 91% iris/main")


def test_alerts_of_other_accounts_are_counted() -> None:
    model = model_of(alerts={"1": firing("atlas")})
    assert "nothing firing here, 1 elsewhere" in shown(desk.alerts, model, View("desk"))
    assert "1 firing" in shown(desk.alerts, model)


def test_silences_say_until_when_and_why() -> None:
    silence = {"id": "s1", "key": "aster/*", "until_ms": AS_OF_MS, "reason": "moving \x1b[31mfunds", "up_to": "critical"}
    said = shown(desk.alerts, model_of(silences={"s1": silence}))
    assert "silence s1: aster/* until 15:01:06 UTC, up to critical: moving [31mfunds" in said


def test_feeds_stand_bad_ones_first() -> None:
    said = shown(desk.feeds, model_of())
    assert "2 feeds: 1 stale, 1 fresh" in said
    assert said.index("stale 4m") < said.index("fresh 4m")
    assert "no frame for 12 s" in said
    assert line_of("hyperliquid market", said).split()[2:] == ["connected", "0.5s", "7,024", "3", "1"]
    assert "hyperliquid: clock -0.7s; maintenance at 16:00; waiting: atlas" in said


def test_feeds_of_a_portfolio_are_its_accounts_and_the_venues() -> None:
    model = model_of(
        feeds={"1": frames.feed("x", "fresh"), "2": frames.feed("y", "fresh", "atlas"), "3": frames.feed("z", "fresh", "iris")}
    )
    assert "2 feeds: 2 fresh" in shown(desk.feeds, model, View("pair"))
    assert "1 feeds: 1 fresh" in shown(desk.feeds, model, View("pair", "iris"))


# -- the width -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("panel", PANELS.values(), ids=list(PANELS))
def test_figures_never_break_in_80_columns(panel: Panel) -> None:
    rows = frames.desk()
    for name, ratio in (("a-long-account-name", None), ("another-long-account", 9.999)):
        rows["pools"][name] = pool(name, ratio, pool="iso:HYPEUSDT:LONG", cash_to_safety=-123_456_789.0, distance=-0.9999)
    # a terminal of 80 columns keeps one for the scroll bar
    narrow = shown(panel, model_of(rows), View(width=79))
    assert max(map(len, narrow.splitlines())) <= 79
    assert "…" not in narrow
    figures = [word for word in shown(panel, model_of(rows), View(width=111)).split() if word[-1] in "%)M" and word[-2:-1].isdigit()]
    assert [word for word in figures if word not in narrow.split()] == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0.0, "0.0s"), (9.94, "9.9s"), (119.0, "119s"), (120.0, "2m"), (7200.0, "2h"), (172_800.0, "2d")],
)
def test_ages_are_short(seconds: float | None, said: str) -> None:
    assert age(seconds) == said
