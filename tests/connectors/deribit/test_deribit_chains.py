"""A chain of implied volatilities: what is believed, what waits, what is dropped, and when it is whole."""

from __future__ import annotations

from math import isnan
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.deribit.chains import Chain, ChainReading
from connectors.deribit.reference import parse_listing
from connectors.model import Instrument
from tests.connectors.deribit import deribit_wire as wire

NS = 1_000_000_000
START = 1_000 * NS
NAMES = [name for name, _, _ in wire.chain_names("BTC", "25DEC26", range(70_000, 90_000, 2_000))]
ONE, TWO = NAMES[:2]


def listed(*rows: Any) -> list[Instrument]:
    return [*parse_listing([*rows]).instruments.values()]


def btc(**kwargs: Any) -> list[Instrument]:
    return listed(*(wire.option(name, 70_000.0, **kwargs) for name in NAMES))


class Feed:
    def __init__(self) -> None:
        self.chain = Chain("btc_usd")
        self.chain.hold(btc(), wire.NOW_MS)
        self.now_ns = START

    def frame(self, rows: list[Any] | None = None, now_ms: int = wire.NOW_MS, /, **volatilities: Any) -> ChainReading:
        self.now_ns += NS
        told = [{"instrument_name": name, "iv": iv} for name, iv in volatilities.items()]
        return self.chain.frame(rows if rows is not None else told, self.now_ns, now_ms)

    def one(self, iv: Any) -> ChainReading:
        return self.frame([{"instrument_name": ONE, "iv": iv}])

    def whole(self, iv: float = 0.4) -> ChainReading:
        return self.frame([{"instrument_name": name, "iv": iv} for name in NAMES])

    @property
    def value(self) -> float:
        return self.chain.volatility(ONE)


def seeded() -> Feed:
    feed = Feed()
    feed.whole()
    return feed


def told(reading: ChainReading) -> dict[str, float]:
    assert reading.event is not None
    return dict(zip(reading.event.instruments, reading.event.volatilities, strict=True))


def test_the_first_whole_frame_seeds_the_chain_and_later_ones_tell_changes() -> None:
    feed = Feed()
    reading = feed.whole(0.37)
    assert feed.chain.seeded
    assert reading.event is not None
    assert reading.event.full
    assert set(reading.event.volatilities) == {0.37}
    assert reading.event.instruments == [f"deribit:{name}" for name in NAMES]
    reading = feed.one(0.38)
    assert reading.event is not None
    assert not reading.event.full
    assert told(reading) == {f"deribit:{ONE}": 0.38}


def test_a_frame_of_fewer_than_four_fifths_does_not_make_the_chain_whole() -> None:
    feed = Feed()
    rows = [{"instrument_name": name, "iv": 0.4} for name in NAMES[:15]]
    assert told(feed.frame(rows))
    assert not feed.chain.seeded
    feed.frame([{"instrument_name": name, "iv": 0.4} for name in NAMES[:16]])
    assert feed.chain.seeded


def test_one_option_told_often_does_not_make_the_chain_whole() -> None:
    feed = Feed()
    feed.frame([{"instrument_name": ONE, "iv": 0.4}] * (2 * len(NAMES)))
    assert not feed.chain.seeded
    assert feed.value == 0.4


def test_a_chain_told_in_pieces_is_whole_with_the_last_and_starts_over_with_the_channel() -> None:
    feed = Feed()
    half = len(NAMES) // 2
    pieces = [[{"instrument_name": name, "iv": 0.4} for name in part] for part in (NAMES[:half], NAMES[half:-1])]
    feed.frame(pieces[0])
    feed.chain.restart()
    feed.frame(pieces[1])
    assert not feed.chain.seeded
    reading = feed.frame(pieces[0])
    assert feed.chain.seeded
    assert reading.event is not None
    assert reading.event.full
    assert isnan(feed.chain.volatility(NAMES[-1]))


def test_what_a_whole_frame_lacks_has_none_any_more() -> None:
    feed = seeded()
    feed.chain.restart()
    assert feed.value == 0.4
    reading = feed.frame([{"instrument_name": name, "iv": 0.4} for name in NAMES[1:]])
    assert isnan(told(reading)[f"deribit:{ONE}"])
    assert isnan(feed.value)


def test_a_large_frame_of_changes_takes_nothing_away() -> None:
    feed = seeded()
    feed.frame([{"instrument_name": name, "iv": 0.41} for name in NAMES[1:]])
    assert feed.value == 0.4


def test_an_empty_frame_is_a_sign_of_life() -> None:
    reading = seeded().frame([])
    assert reading.sound
    assert told(reading) == {}


@pytest.mark.parametrize("iv", [None, "0.4", True, float("nan"), 0.009, 5.01, -0.4, 0, "expired", [0.4]])
def test_what_cannot_be_a_volatility_leaves_the_last_one(iv: Any) -> None:
    feed = seeded()
    reading = feed.one(iv)
    assert told(reading) == {}
    assert feed.value == 0.4
    assert not reading.sound
    assert list(reading.problems) in (["iv_missing"], ["iv_out_of_range"])
    assert sum(feed.chain.refused.values()) == 1


@pytest.mark.parametrize("iv", [0.01, 5.0, 1])
def test_the_ends_of_the_range_and_whole_numbers_are_believed(iv: Any) -> None:
    feed = Feed()
    assert told(feed.one(iv)) == {f"deribit:{ONE}": float(iv)}


def test_a_refused_one_is_given_up_after_a_minute_unless_a_good_one_comes() -> None:
    feed = seeded()
    feed.one(None)
    since_ns = feed.now_ns
    assert feed.chain.tick(since_ns + 60 * NS, wire.NOW_MS) == []
    (event,) = feed.chain.tick(since_ns + 61 * NS, wire.NOW_MS)
    assert event.instruments == [f"deribit:{ONE}"]
    assert isnan(event.volatilities[0])
    assert isnan(feed.value)
    feed.one(0.45)
    assert feed.value == 0.45
    feed.one(None)
    feed.one(0.44)
    assert feed.chain.tick(feed.now_ns + 100 * NS, wire.NOW_MS) == []
    assert feed.value == 0.44


def test_a_jump_waits_for_a_second_frame_that_says_the_same() -> None:
    feed = seeded()
    reading = feed.one(0.61)
    assert told(reading) == {}
    assert reading.sound
    assert feed.value == 0.4
    assert feed.chain.jumps == 1
    assert told(feed.one(0.62)) == {f"deribit:{ONE}": 0.62}


def test_a_jump_that_the_next_frame_leaves_standing_is_confirmed() -> None:
    # Rows are sent again only when they change: silence about a row says that it is as it was.
    feed = seeded()
    feed.one(0.85)
    assert told(feed.frame([])) == {f"deribit:{ONE}": 0.85}


def test_a_jump_that_the_next_frame_takes_back_was_none() -> None:
    feed = seeded()
    feed.one(2.5)
    assert told(feed.one(0.41)) == {f"deribit:{ONE}": 0.41}
    assert told(feed.frame([])) == {}


def test_a_jump_of_just_a_half_needs_no_second_frame() -> None:
    feed = seeded()
    assert told(feed.one(0.6)) == {f"deribit:{ONE}": 0.6}
    assert told(feed.one(0.3)) == {f"deribit:{ONE}": 0.3}


def test_options_vanish_when_they_expire_and_their_frames_are_ignored() -> None:
    feed = Feed()
    feed.chain.hold([*btc(), *listed(wire.option("BTC-SOON-76000-C", 76_000.0, expiry_ms=wire.SOON))], wire.NOW_MS)
    feed.frame([{"instrument_name": name, "iv": 0.4} for name in [*NAMES, "BTC-SOON-76000-C"]])
    assert feed.chain.volatility("BTC-SOON-76000-C") == 0.4
    reading = feed.frame([{"instrument_name": "BTC-SOON-76000-C", "iv": 2.5}, {"instrument_name": ONE, "iv": 0.42}], wire.SOON)
    assert told(reading) == {f"deribit:{ONE}": 0.42}
    assert reading.strangers == []
    assert feed.chain.expired == 1
    assert isnan(feed.chain.volatility("BTC-SOON-76000-C"))
    assert len(feed.chain) == len(NAMES)


def test_unknown_options_are_named_and_the_others_stand() -> None:
    reading = seeded().frame([{"instrument_name": "BTC-1JAN27-1-C", "iv": 0.4}, {"instrument_name": ONE, "iv": 0.41}])
    assert reading.strangers == ["BTC-1JAN27-1-C"]
    assert told(reading) == {f"deribit:{ONE}": 0.41}


@pytest.mark.parametrize(
    "row", [5, None, {}, {"instrument_name": ONE}, {"instrument_name": [], "iv": 0.4}, {"instrument_name": 7, "iv": 0.4}]
)
def test_rows_that_make_no_sense_are_told_and_the_others_stand(row: Any) -> None:
    reading = seeded().frame([row, {"instrument_name": TWO, "iv": 0.41}])
    assert list(reading.problems) == ["wrong_shape"]
    assert told(reading) == {f"deribit:{TWO}": 0.41}
    assert reading.sound


def test_a_new_listing_keeps_what_is_known_and_waiting() -> None:
    feed = seeded()
    feed.one(0.9)
    feed.chain.hold([*listed(wire.option("BTC-NEW-1-C", 1.0)), *btc()], wire.NOW_MS)
    assert feed.chain.seeded
    assert feed.value == 0.4
    assert isnan(feed.chain.volatility("BTC-NEW-1-C"))
    assert told(feed.frame([])) == {f"deribit:{ONE}": 0.9}


def test_summaries_fill_gaps_and_one_disagreement_only_asks_again() -> None:
    feed = Feed()
    event, disagrees = feed.chain.reconcile({ONE: 0.4}, START)
    assert event is not None
    assert event.instruments == [f"deribit:{ONE}"]
    assert not disagrees
    assert feed.value == 0.4
    feed.whole()
    same = dict.fromkeys(NAMES, 0.4)
    assert feed.chain.reconcile(same, START) == (None, False)
    assert feed.chain.reconcile({**same, ONE: 0.404}, START) == (None, False)
    assert feed.chain.reconcile({**same, ONE: 0.406}, START) == (None, True)
    assert feed.chain.seeded
    assert feed.value == 0.4
    assert feed.chain.reconcile({}, START) == (None, False)  # of another currency
    assert feed.chain.reconcile({**same, ONE: 0.406}, START) == (None, True)
    assert not feed.chain.seeded


def test_agreement_ends_the_doubt() -> None:
    feed = seeded()
    same = dict.fromkeys(NAMES, 0.4)
    for summary in ({**same, ONE: 0.5}, same, {**same, ONE: 0.5}):
        feed.chain.reconcile(summary, START)
    assert feed.chain.seeded


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.one_of(st.none(), st.floats(), st.floats(0.005, 6.0), st.text(max_size=3))), max_size=60)
)
def test_whatever_is_sent_only_volatilities_in_range_are_told(rows: list[tuple[str, Any]]) -> None:
    feed = Feed()
    for name, iv in rows:
        reading = feed.frame([{"instrument_name": name, "iv": iv}])
        # with the whole chain it is also told of which options nothing is known
        assert all(isnan(value) or 0.01 <= value <= 5.0 for value in told(reading).values())
    assert all(isnan(feed.chain.volatility(name)) or 0.01 <= feed.chain.volatility(name) <= 5.0 for name in NAMES)


def test_a_chain_of_a_thousand_rows_is_cheap() -> None:
    names = [f"BTC-X-{number}-C" for number in range(1_000)]
    chain = Chain("btc_usd")
    chain.hold(listed(*(wire.option(name, 70_000.0) for name in names)), wire.NOW_MS)
    rows = [{"instrument_name": name, "iv": 0.4, "mark_price": 0.1, "timestamp": wire.NOW_MS} for name in names]
    chain.frame(rows, START, wire.NOW_MS)
    spent = []
    for _ in range(20):
        began = perf_counter()
        chain.frame(rows, START, wire.NOW_MS)
        spent.append(perf_counter() - began)
    assert min(spent) < 0.005  # measured: well below a millisecond
    print(f"best of 20: {min(spent) * 1e3:.2f} ms")


def test_a_jump_that_the_old_value_takes_back_is_none() -> None:
    feed = seeded()
    feed.one(2.0)
    feed.one(0.4)
    feed.frame([])
    assert feed.value == 0.4


def test_what_is_no_number_is_refused_even_where_it_equals_the_value() -> None:
    feed = seeded()
    feed.whole(1.0)
    feed.whole(1.0)
    assert feed.value == 1.0
    assert "iv_missing" in feed.one(True).problems
