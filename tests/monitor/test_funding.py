"""Next funding: the venues' own numbers, each position and each pool for itself, and never a figure where one is unknown."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.events import AccountEvent, FailureReason, Instruments, MarkPrices
from connectors.model import Instrument, InstrumentKind, MarginTier, PositionSide, PriceBasis, Token
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.funding import HOUR_MS, PoolFunding, next_funding, next_time
from monitor.margin.pools import CollateralLeg, Leg, PoolSpec
from monitor.margin.result import Failure, PoolKind
from monitor.market import Market
from tests.monitor import aster_desk
from tests.monitor.aster_desk import AsterDesk

HYPERLIQUID, ASTER = "hyperliquid", "aster"
NOON = 1_795_262_400_000
"""2026-11-21 12:00 UTC."""
TIERS = (MarginTier(0.0, 0.0065, 0.0),)
TRUTH = (MarginTier(0.0, 0.01, 0.0), MarginTier(5_000.0, 0.025, 75.0))
"""The recorded tiers of TRUTHUSDT (Aster notes 5.3)."""


@dataclass
class Fixed:
    """An account whose pools are given."""

    specs: list[PoolSpec]
    refresh: str = ""
    failure: Failure | None = None
    followed: frozenset[str] = frozenset()

    def apply(self, event: AccountEvent, market: Market) -> None:
        raise AssertionError("nothing happens to it")

    def pools(self, market: Market) -> list[PoolSpec]:
        return self.specs

    def instruments(self) -> set[str]:
        return {leg.instrument for spec in self.specs for leg in spec.legs}


@dataclass
class Desk:
    """One account of one venue at marks, oracle prices, rates and funding times by symbol."""

    venue: str
    specs: list[PoolSpec]
    marks: dict[str, float]
    rates: dict[str, float]
    oracles: dict[str, float] = field(default_factory=dict)
    times: dict[str, int] | None = None
    interval_h: float = 1.0
    now_ms: int = NOON + 1
    settles: dict[str, str] = field(default_factory=dict)
    tokens: tuple[Token, ...] = ()

    def __post_init__(self) -> None:
        self.book = Book([AccountEntry(self.venue, "maker", Fixed(self.specs), (0.85, 0.90, 1.0), 0.02)])
        self.engine = Engine(self.book)
        listed = tuple(self.listed(symbol) for symbol in self.marks)
        self.book.apply(Instruments(self.venue, listed, {}, self.tokens, 0))
        self.tell()

    def listed(self, symbol: str) -> Instrument:
        settle = self.settles.get(symbol, "USDT")
        name, kind = f"{self.venue}:{symbol}", InstrumentKind.PERPETUAL
        return Instrument(name, self.venue, symbol, kind, symbol, settle, tiers=TIERS, funding_interval_h=self.interval_h)

    def tell(self) -> None:
        names = list(self.marks)
        self.book.apply(
            MarkPrices(
                self.venue,
                "marks",
                0,
                [f"{self.venue}:{name}" for name in names],
                [self.marks[name] for name in names],
                [self.oracles.get(name, math.nan) for name in names],
                [self.rates.get(name, math.nan) for name in names],
                funding_times=None if self.times is None else [self.times.get(name, 0) for name in names],
            )
        )

    def funding(self) -> dict[str, PoolFunding]:
        self.engine.evaluate()
        found = next_funding(self.engine, self.engine.results(0), lambda venue: self.now_ms)
        return {pool: one for (_, _, pool), one in found.items()}

    def only(self) -> PoolFunding:
        (one,) = self.funding().values()
        return one

    def ratio(self, pool: str) -> float:
        self.engine.evaluate()
        (ratio,) = [result.last_margin_ratio for result in self.engine.results(0) if result.pool == pool]
        assert ratio is not None
        return ratio


def spec(venue: str, *legs: Leg, cash: float = 1_000.0, name: str = "main", **more: object) -> PoolSpec:
    kind = PoolKind.HYPERLIQUID_CROSS if venue == HYPERLIQUID else PoolKind.ASTER_CROSS
    made = PoolSpec(name, kind, "standard", "USDC" if venue == HYPERLIQUID else "USDT", cash, legs=list(legs))
    for key, value in more.items():
        setattr(made, key, value)
    return made


def leg(venue: str, symbol: str, quantity: float, side: PositionSide = PositionSide.BOTH, tiers: tuple[MarginTier, ...] = TIERS) -> Leg:
    return Leg(f"{venue}:{symbol}", quantity, 10.0, tiers, side)


# -- when ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "interval_h", "now", "expected"),
    [
        (NOON + 5, 8.0, NOON, NOON + 5),
        (NOON, 8.0, NOON, NOON + 8 * HOUR_MS),
        (NOON, 4.0, NOON + 4 * HOUR_MS - 1, NOON + 4 * HOUR_MS),
        (NOON, 2.0, NOON + 9 * HOUR_MS, NOON + 10 * HOUR_MS),
        (NOON, 0.0, NOON + 1, None),
        (NOON + 5, 0.0, NOON, NOON + 5),
        (0, 0.0, NOON, None),
        (0, 1.0, NOON - 1, NOON),
        (0, 1.0, NOON, NOON + HOUR_MS),
        (0, 8.0, NOON, NOON + 4 * HOUR_MS),
        (0, 4.0, NOON, NOON + 4 * HOUR_MS),
    ],
)
def test_the_next_time_is_to_come(told: int, interval_h: float, now: int, expected: int | None) -> None:
    assert next_time(told, interval_h, now) == expected


@given(st.integers(0, 2 * NOON), st.sampled_from([1.0, 2.0, 4.0, 8.0]), st.integers(1, 2 * NOON))
def test_a_time_that_passed_moves_on_by_whole_intervals(told: int, interval_h: float, now: int) -> None:
    found = next_time(told, interval_h, now)
    assert found is not None
    assert found > now
    assert (found - told) % (interval_h * HOUR_MS) == 0
    assert found == told or found - now <= interval_h * HOUR_MS


# -- the venues' numbers ------------------------------------------------------------------------------------------------------------


def test_hyperliquid_pays_on_the_oracle_as_recorded() -> None:
    """The payment of the venue notes, 10.8: 0.55919 BTC at 0.0000125 and an oracle of 85,993.6 paid 0.601087 USDC."""
    held = spec(HYPERLIQUID, leg(HYPERLIQUID, "BTC", 0.55919))
    desk = Desk(HYPERLIQUID, [held], {"BTC": 87_000.0}, {"BTC": 0.0000125}, {"BTC": 85_993.6})
    found = desk.only()
    assert found.amount == pytest.approx(-0.601087, rel=1e-5)
    assert found.time_ms == NOON + HOUR_MS
    (row,) = found.rows
    assert (row.rate, row.as_last_told, row.failure) == (0.0000125, False, None)


def test_aster_pays_on_the_mark_at_the_time_it_told() -> None:
    """Example B of the venue notes (5.4), by hand: 20,000 X at 0.38 and 0.02 % pay 1.52, -1.5 ETH at 3,100 and 0.01 % receive 0.465."""
    held = spec(
        ASTER, leg(ASTER, "XUSDT", 20_000.0, tiers=TRUTH), leg(ASTER, "ETHUSDT", -1.5), cash=1_000.0 - 20_000.0 * 0.40 + 1.5 * 3_000.0
    )
    desk = Desk(
        ASTER, [held], {"XUSDT": 0.38, "ETHUSDT": 3_100.0}, {"XUSDT": 0.0002, "ETHUSDT": 0.0001}, {"XUSDT": 0.5, "ETHUSDT": 4_000.0},
        {"XUSDT": NOON + 4 * HOUR_MS, "ETHUSDT": NOON + 4 * HOUR_MS}, interval_h=4.0,
    )  # fmt: skip
    assert desk.ratio("main") == pytest.approx(145.225 / 450.0)
    found = desk.only()
    assert [row.amount for row in found.rows] == [pytest.approx(-1.52), pytest.approx(0.465)]
    assert found.amount == pytest.approx(-1.055)
    assert found.ratio_after == pytest.approx(145.225 / (450.0 - 1.055))
    assert found.time_ms == NOON + 4 * HOUR_MS


def test_only_who_pays_at_the_nearest_time_counts() -> None:
    held = spec(ASTER, leg(ASTER, "A", 10.0), leg(ASTER, "B", 30.0), leg(ASTER, "C", -10.0), cash=10_000.0)
    marks, rates = dict.fromkeys("ABC", 100.0), dict.fromkeys("ABC", 0.001)
    desk = Desk(ASTER, [held], marks, rates, times={"A": NOON + HOUR_MS, "B": NOON + 8 * HOUR_MS, "C": NOON + HOUR_MS})
    assert desk.only().amount == 0.0
    desk.times = {"A": NOON + HOUR_MS, "B": NOON + 8 * HOUR_MS, "C": NOON + 2 * HOUR_MS}
    desk.tell()
    found = desk.only()
    assert (found.time_ms, found.amount) == (NOON + HOUR_MS, -1.0)
    assert [row.time_ms for row in found.rows] == [NOON + HOUR_MS, NOON + 8 * HOUR_MS, NOON + 2 * HOUR_MS]
    assert found.ratio_after == pytest.approx(5 * 6.5 / (10_000.0 + 3_000.0 - 1.0))


def test_the_legs_of_a_hedge_pay_each_for_itself() -> None:
    held = spec(ASTER, leg(ASTER, "A", 10.0, PositionSide.LONG), leg(ASTER, "A", -4.0, PositionSide.SHORT))
    found = Desk(ASTER, [held], {"A": 100.0}, {"A": 0.001}).only()
    assert [(row.side, row.quantity) for row in found.rows] == [(PositionSide.LONG, 10.0), (PositionSide.SHORT, -4.0)]
    assert [row.amount for row in found.rows] == [pytest.approx(-1.0), pytest.approx(0.4)]
    assert found.amount == pytest.approx(-0.6)


def test_an_isolated_position_pays_from_its_own_pool() -> None:
    cross, alone = spec(ASTER, leg(ASTER, "A", 10.0)), spec(ASTER, leg(ASTER, "B", 10.0), cash=-900.0, name="iso:B")
    alone.kind = PoolKind.ASTER_ISOLATED
    found = Desk(ASTER, [cross, alone], {"A": 100.0, "B": 100.0}, {"A": 0.0, "B": 0.01}).funding()
    assert found["main"].amount == 0.0
    assert found["iso:B"].amount == pytest.approx(-10.0)
    assert math.copysign(1.0, found["main"].amount or 0.0) == 1.0
    assert found["iso:B"].ratio_after == pytest.approx(6.5 / 90.0)


def test_a_pool_in_which_the_payment_leaves_nothing_is_infinite() -> None:
    held = spec(ASTER, leg(ASTER, "A", 10.0), cash=-995.0)
    assert Desk(ASTER, [held], {"A": 100.0}, {"A": 0.01}).only().ratio_after == math.inf


# -- times that have passed ---------------------------------------------------------------------------------------------------------


def test_a_time_that_passed_is_not_next_and_its_rate_is_as_last_told() -> None:
    held = spec(ASTER, leg(ASTER, "A", 10.0))
    desk = Desk(ASTER, [held], {"A": 100.0}, {"A": 0.001}, times={"A": NOON}, interval_h=4.0, now_ms=NOON)
    found = desk.only()
    assert (found.time_ms, found.as_last_told) == (NOON + 4 * HOUR_MS, True)
    desk.times = {"A": NOON + 4 * HOUR_MS}
    desk.tell()
    assert not desk.only().as_last_told


def test_a_feed_without_the_time_leaves_the_one_that_was_told() -> None:
    held = spec(ASTER, leg(ASTER, "A", 10.0))
    desk = Desk(ASTER, [held], {"A": 100.0}, {"A": 0.001}, times={"A": NOON + 7}, interval_h=4.0)
    for times in (None, {"A": 0}):
        desk.times = times
        desk.tell()
        assert desk.only().time_ms == NOON + 7


def test_columns_of_different_length_are_a_defect() -> None:
    event = MarkPrices(ASTER, "marks", 0, ["aster:A"], [1.0], [1.0], [0.0], funding_times=[])
    with pytest.raises(ValueError, match="different length"):
        Market().apply_marks(event)


def test_the_rows_of_many_instruments_keep_their_times() -> None:
    market = Market()
    names = [f"aster:{number}" for number in range(200)]
    column = [1.0] * len(names)
    market.apply_marks(MarkPrices(ASTER, "marks", 0, names, column, column, column, funding_times=list(range(1, 201))))
    assert [int(market.funding_time[market.row(name)]) for name in names] == list(range(1, 201))


# -- what is unknown ----------------------------------------------------------------------------------------------------------------


def test_what_is_unknown_has_a_reason_and_is_never_nothing() -> None:
    cases: list[tuple[Desk, FailureReason, str]] = []
    for venue, reason, word in ((HYPERLIQUID, FailureReason.MISSING_INDEX, "oracle"), (ASTER, FailureReason.MISSING_MARK, "mark")):
        held = spec(venue, leg(venue, "A", 10.0))
        cases.append((Desk(venue, [held], {"A": 100.0}, {}, {"A": 100.0}), FailureReason.MISSING_FUNDING, "no funding rate of"))
        unpriced = Desk(venue, [held], {"A": 100.0 if venue == HYPERLIQUID else math.nan}, {"A": 0.001})
        cases.append((unpriced, reason, f"no {word}"))
        timeless = Desk(venue, [held], {"A": 100.0}, {"A": 0.001}, {"A": 100.0}, interval_h=0.0)
        cases.append((timeless, FailureReason.MISSING_FUNDING, "interval"))
    for desk, reason, word in cases:
        found = desk.only()
        assert (found.amount, found.ratio_after) == (None, None), word
        (failure,) = found.failures
        assert failure.reason is reason
        assert word in failure.detail
        assert found.rows[0].failure == failure


def test_one_unknown_payment_leaves_the_pool_without_an_amount_unless_it_is_due_later() -> None:
    held = spec(ASTER, leg(ASTER, "A", 10.0), leg(ASTER, "B", 10.0))
    desk = Desk(ASTER, [held], dict.fromkeys("AB", 100.0), {"A": 0.001}, times={"A": NOON + 2, "B": NOON + 2})
    found = desk.only()
    assert (found.time_ms, found.amount) == (NOON + 2, None)
    assert [row.amount for row in found.rows] == [pytest.approx(-1.0), None]
    desk.times = {"A": NOON + 2, "B": NOON + 3}
    desk.tell()
    assert desk.only().amount == pytest.approx(-1.0)


def test_one_that_may_pay_at_any_time_leaves_the_pool_without_an_amount() -> None:
    held = spec(ASTER, leg(ASTER, "A", 10.0), leg(ASTER, "GONE", 10.0))
    found = Desk(ASTER, [held], {"A": 100.0}, {"A": 0.001}).only()
    assert (found.time_ms, found.amount) == (NOON + HOUR_MS, None)
    assert found.failures[0].detail == "no funding rate of aster:GONE was told"


def test_a_pool_without_a_ratio_has_none_after_either() -> None:
    held = spec(ASTER, leg(ASTER, "A", 10.0), failures=(Failure(FailureReason.NOT_READY, "not yet"),))
    found = Desk(ASTER, [held], {"A": 100.0}, {"A": 0.001}).only()
    assert found.amount == pytest.approx(-1.0)
    assert found.ratio_after is None


def test_a_quantity_that_is_no_number_makes_no_amount() -> None:
    found = Desk(ASTER, [spec(ASTER, leg(ASTER, "A", math.nan))], {"A": 100.0}, {"A": 0.001}).only()
    assert (found.amount, found.ratio_after, found.failures[0].reason) == (None, None, FailureReason.NOT_READY)


def test_what_is_no_perpetual_pays_none() -> None:
    desk = Desk(ASTER, [spec(ASTER, leg(ASTER, "A", 10.0)), spec(ASTER, name="empty")], {"A": 100.0}, {"A": 0.001})
    dated = replace(desk.listed("A"), kind=InstrumentKind.FUTURE)
    desk.book.apply(Instruments(ASTER, (dated,), {}, (), 0))
    assert desk.funding() == {}


# -- multi-assets mode --------------------------------------------------------------------------------------------------------------


def multi(amount: float = 500.0, *, basis: PriceBasis = PriceBasis.PAR) -> Desk:
    held = spec(
        ASTER, leg(ASTER, "A", 10.0), leg(ASTER, "XAU", -2.0), cash=0.0, name="multi", kind=PoolKind.ASTER_MULTI_ASSETS, asset="USD"
    )
    held.collateral = [CollateralLeg("USDT", amount, 0.99), CollateralLeg("USD1", 3_000.0, 0.9)]
    tokens = (Token(ASTER, 0, "USDT", "USDT", basis=basis), Token(ASTER, 1, "USD1", "USD1", basis=PriceBasis.PAR))
    return Desk(ASTER, [held], {"A": 100.0, "XAU": 400.0}, {"A": 0.01, "XAU": 0.01}, settles={"XAU": "USD1"}, tokens=tokens)


def test_in_multi_assets_mode_each_payment_goes_into_the_wallet_it_settles_in() -> None:
    found = multi().only()
    assert [row.amount for row in found.rows] == [pytest.approx(-10.0), pytest.approx(8.0)]
    assert found.amount == pytest.approx(-2.0)
    equity = 10.0 * 100.0 - 2.0 * 400.0 + 500.0 * 0.99 + 3_000.0 * 0.9
    margin = 0.0065 * 1_800.0
    assert found.ratio_after == pytest.approx(margin / (equity - 10.0 * 0.99 + 8.0 * 0.9))
    paid = multi(490.0)
    spec_after = paid.specs[0]
    spec_after.collateral[1] = replace(spec_after.collateral[1], amount=3_008.0)
    paid.book.touch_all()
    assert found.ratio_after == pytest.approx(paid.ratio("multi"))


def test_a_settlement_asset_without_a_price_makes_no_amount() -> None:
    found = multi(basis=PriceBasis.INDEX).only()
    assert (found.amount, found.failures[0].reason) == (None, FailureReason.MISSING_PRICE)


# -- Aster's own rule ---------------------------------------------------------------------------------------------------------------


def aster_funding(desk: AsterDesk) -> dict[str, PoolFunding]:
    desk.engine.evaluate()
    found = next_funding(desk.engine, desk.engine.results(desk.now_ns), lambda venue: NOON)
    return {pool: one for (_, _, pool), one in found.items()}


def aster_rates(desk: AsterDesk, **told: tuple[float, float]) -> None:
    """(mark, rate) by symbol, all due in four hours; the oracle says something else."""
    names, marks, rates = [aster_desk.name(symbol) for symbol in told], [one for one, _ in told.values()], [one for _, one in told.values()]
    times = [NOON + 4 * HOUR_MS] * len(names)
    unknown = [math.nan] * len(names)
    desk.book.apply(MarkPrices(ASTER, "markPrice", desk.now_ns, names, marks, unknown, rates, funding_times=times))


@pytest.mark.parametrize("usdt", [500.0, -2_000.0])
def test_the_ratio_after_is_the_one_that_the_venues_push_gives_in_multi_assets_mode(usdt: float) -> None:
    desk = AsterDesk()
    held = [aster_desk.position("ETHUSDT", 2.0, 3_000.0, 3_000.0), aster_desk.position("XAUUSD1", -1.0, 4_000.0, 4_100.0)]
    balances = {"USDT": usdt, "USD1": 1_000.0, "BTC": 0.1}
    desk.take(aster_desk.read(balances, held, total=aster_desk.worth(balances, aster_desk.RATIOS) - 100.0), multi=True)
    aster_rates(desk, ETHUSDT=(3_000.0, 0.01), XAUUSD1=(4_100.0, 0.005))
    due = aster_funding(desk)["multi-assets"]
    assert [row.amount for row in due.rows] == [pytest.approx(-60.0), pytest.approx(20.5)]
    assert due.amount == pytest.approx(-39.5)
    desk.push({"USDT": usdt - 60.0, "USD1": 1_020.5})
    assert due.ratio_after == pytest.approx(desk.pool("multi-assets").margin_ratio, rel=1e-12)


def test_in_single_asset_mode_each_margin_asset_and_each_isolated_position_pays_for_itself() -> None:
    desk = AsterDesk()
    held = [
        aster_desk.position("BTCUSDT", 0.5, 60_000.0, 60_000.0, side=PositionSide.LONG),
        aster_desk.position("BTCUSDT", -0.2, 60_000.0, 60_000.0, side=PositionSide.SHORT),
        aster_desk.position("ETHUSDT", -2.0, 3_000.0, 3_000.0, isolated=900.0, side=PositionSide.SHORT),
        aster_desk.position("XAUUSD1", 1.0, 4_000.0, 4_000.0, side=PositionSide.LONG),
    ]
    desk.take(aster_desk.read({"USDT": 2_000.0, "USD1": 500.0}, held), hedge=True)
    aster_rates(desk, BTCUSDT=(60_000.0, 0.001), ETHUSDT=(3_000.0, -0.002), XAUUSD1=(4_000.0, -0.0005))
    due = aster_funding(desk)
    assert [(row.side, row.amount) for row in due["USDT"].rows] == [(PositionSide.LONG, -30.0), (PositionSide.SHORT, 12.0)]
    assert {pool: one.amount for pool, one in due.items()} == pytest.approx({"USDT": -18.0, "USD1": 2.0, "iso:ETHUSDT:SHORT": -12.0})
    assert {one.time_ms for one in due.values()} == {NOON + 4 * HOUR_MS}
    paid = [*held[:2], replace(held[2], isolated_cash=(held[2].isolated_cash or 0.0) - 12.0), held[3]]
    desk.push({"USDT": 1_982.0, "USD1": 502.0}, paid)
    assert {pool: one.ratio_after for pool, one in due.items()} == pytest.approx(
        {pool: result.margin_ratio for pool, result in desk.pools().items()}
    )


# -- properties ---------------------------------------------------------------------------------------------------------------------

SIZES = st.floats(-50.0, 50.0).filter(lambda size: abs(size) > 1e-3)
RATES = st.floats(-0.02, 0.02)


@st.composite
def pools(draw: st.DrawFn) -> tuple[PoolSpec, dict[str, float]]:
    held = draw(st.lists(st.tuples(SIZES, RATES), min_size=1, max_size=5))
    made = spec(HYPERLIQUID, *(leg(HYPERLIQUID, str(number), size) for number, (size, _) in enumerate(held)))
    made.cash = draw(st.floats(-8_000.0, 8_000.0))
    made.limit = draw(st.sampled_from([1.0, 0.95]))
    made.borrows = draw(st.booleans())
    made.borrow_offset = draw(st.sampled_from([0.0, 20.0]))
    made.adjust_equity = draw(st.sampled_from([0.0, -300.0, 300.0]))
    made.adjust_maintenance = draw(st.sampled_from([0.0, -5.0, 5.0]))
    if draw(st.booleans()):
        made.collateral = [CollateralLeg("HYPE", draw(st.floats(0.0, 100.0)), 0.5)]
    return made, {str(number): rate for number, (_, rate) in enumerate(held)}


def desk_of(made: PoolSpec, rates: dict[str, float]) -> Desk:
    marks = dict.fromkeys(rates, 100.0)
    if made.collateral:
        marks["HYPE"] = 40.0
    tokens = (Token(HYPERLIQUID, 150, "HYPE", "HYPE"),)
    return Desk(HYPERLIQUID, [made], marks, rates, dict.fromkeys(rates, 101.0), tokens=tokens)


@settings(max_examples=200, deadline=None)
@given(pools())
def test_the_amount_is_the_sum_of_its_legs_and_the_ratio_that_of_the_pool_with_it(drawn: tuple[PoolSpec, dict[str, float]]) -> None:
    made, rates = drawn
    desk = desk_of(made, rates)
    found = desk.only()
    expected = [-held.quantity * 101.0 * rate for held, rate in zip(made.legs, rates.values(), strict=True)]
    assert [row.amount for row in found.rows] == pytest.approx(expected)
    assert found.amount == pytest.approx(math.fsum(expected), abs=1e-9)
    assert found.amount is not None
    paid = desk_of(replace(made, cash=made.cash + found.amount), rates)
    assert found.ratio_after is not None
    assert inverse(found.ratio_after) == pytest.approx(inverse(paid.ratio("main")), rel=1e-9, abs=1e-9)


def inverse(ratio: float) -> float:
    # near no equity at all a ratio is the rounding of the equity
    return math.inf if ratio == 0 else 1.0 / ratio
