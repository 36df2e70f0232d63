"""Sums of pairs that are gone on with are those of beginning anew, to the last digit."""

from __future__ import annotations

import os
import time
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts import coded, pair_sums
from data_contracts.holdings import derive_holdings
from data_contracts.pairs import Pairs, Trades, of_one_size
from data_contracts.pairs import summed as by_all
from data_contracts.parts import part_files

ONE = st.tuples(
    st.integers(0, 4),
    st.integers(0, 3),
    st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6, allow_nan=False)),
    st.booleans(),
    st.integers(-9, 90),
)
NAMES = ("customer", "asset", "net", "unknown", "buys", "sells", "first", "last")


def trades(rows: list[tuple[int, int, float, bool, int]]) -> Trades:
    kinds = (np.uint32, np.uint32, np.float64, np.bool_, np.int32)
    return Trades(*(np.array([row[place] for row in rows], kind) for place, kind in enumerate(kinds)))


def summed(of: Trades) -> Pairs:
    """By a thread for each half of the customers, which must come to what one thread comes to."""
    with patch.object(coded, "WORTH_TWO", 2):
        both = by_all(of)
    equal(both, by_all(of))
    return both


def equal(one: Pairs, other: Pairs) -> None:
    for name in NAMES:
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.tolist() == theirs.tolist(), name


@given(before=st.lists(ONE, max_size=12), after=st.lists(ONE, min_size=1, max_size=6), at_once=st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_going_on_is_beginning_anew(
    before: list[tuple[int, int, float, bool, int]], after: list[tuple[int, int, float, bool, int]], at_once: int
) -> None:
    parts = list(summed(trades(before)).with_more(trades(after), at_once))
    assert len(parts) == max(-(-len(summed(trades(before))) // at_once), 1)
    equal(Pairs.joined(parts), summed(trades(before + after)))
    even = list(of_one_size(parts, 2))
    assert [len(part) for part in even[:-1]] == [2] * (len(even) - 1)
    assert 1 <= len(even[-1]) <= 2
    equal(Pairs.joined(even), Pairs.joined(parts))


def test_a_sum_is_gone_on_with_one_trade_after_the_other() -> None:
    """0.1 + 0.2 + 0.3 is not 0.1 + (0.2 + 0.3)."""
    before = summed(trades([(0, 0, 0.1, True, 1)]))
    (pairs,) = before.with_more(trades([(0, 0, 0.2, True, 2), (0, 0, 0.3, True, 3)]), 9)
    assert pairs.net.tolist() == [0.6000000000000001]
    assert (pairs.buys.tolist(), pairs.first.tolist(), pairs.last.tolist()) == ([3], [1], [3])


def test_what_is_written_is_read_as_places_among_other_texts(tmp_path: Path) -> None:
    pairs = summed(trades([(0, 1, 1.5, True, -400), (1, 0, float("nan"), False, 7), (1, 0, -2.0, False, 9)]))
    pairs.write(tmp_path, pl.Series(["bob", "eve"]), pl.Series(["X", "Z"]))
    equal(Pairs.read(tmp_path, pl.Series(["bob", "eve"]), pl.Series(["X", "Z"])), pairs)
    moved = Pairs.read(tmp_path, pl.Series(["ann", "bob", "eve"]), pl.Series(["X", "Y", "Z"]))
    assert (moved.customer.tolist(), moved.asset.tolist()) == ([1, 2], [2, 0])
    assert (moved.net.tolist(), moved.unknown.tolist(), moved.first.tolist()) == ([1.5, -2.0], [False, True], [-400, 7])
    with pytest.raises(ValueError, match="a customer of the kept pairs is not in the table any more"):
        Pairs.read(tmp_path, pl.Series(["bob"]), pl.Series(["X", "Z"]))


@pytest.mark.parametrize("known", [256, 65_536])
def test_a_customer_beyond_those_who_traded_is_no_other_one(known: int, tmp_path: Path) -> None:
    """Places are kept in as few bytes as they need: 255 fits into one, 256 does not and must not come round to 0."""
    before = summed(trades([(number, 0, 1.0, True, 1) for number in range(known)]))
    customers = pl.Series([f"c{number:05}" for number in range(known + 1)])  # the last one's row was set aside
    before.write(tmp_path, customers, pl.Series(["X"]))
    after = [(known, 0, 5.0, True, 2)]
    (grown,) = Pairs.read(tmp_path, customers, pl.Series(["X"])).with_more(trades(after), known)
    equal(grown, summed(trades([*((number, 0, 1.0, True, 1) for number in range(known)), *after])))


def test_what_a_killed_night_left_is_removed(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    left = tmp_path / "kept" / "carried" / ".pairs-0.abc"
    left.mkdir(parents=True)
    fresh = left.with_name(".pairs-1.abc")
    fresh.mkdir()
    os.utime(left, (time.time() - 90_000,) * 2)
    nights.add(DAY, "bcd", "BC")
    nights.holdings(DAY)
    assert (left.exists(), fresh.exists()) == (False, True)


DAY = date(2021, 6, 28)


class Nights:
    """A table of trades that grows by a file a day, and its holdings as a night with and one without kept sums derive them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.draw = folder, np.random.default_rng(3)
        self.trades = folder / "snapshot" / "transactions.parquet"
        self.trades.mkdir(parents=True)
        self.closes = folder / "snapshot" / "prices.parquet"
        pl.DataFrame({"asset_id": ["B"], "date": [date(2021, 1, 4)], "close": [3.0]}).write_parquet(self.closes)

    def add(self, day: date, customers: str, assets: str, n: int = 30) -> None:
        picked = {name: self.draw.choice(list(texts), n) for name, texts in (("customer_id", customers), ("asset_id", assets))}
        units = self.draw.normal(0, 10, n).round(3)
        frame = pl.DataFrame(
            {
                **picked,
                "side": np.where(units > 0, "buy", "sell"),
                "date": [day] * n,
                "units": [None if number == 5 else float(abs(value)) for number, value in enumerate(units)],
                "date_window_days": pl.Series([None] * n, dtype=pl.Int32),
            }
        )
        frame.write_parquet(self.trades / f"{day}.parquet")

    def parts(self, as_of: date, kept: bool) -> list[int]:
        closes = pl.LazyFrame({"asset_id": ["B"], "_last_close": [3.0]})
        found = pair_sums._parts(self.trades, closes, as_of, None, self.folder / "kept" if kept else None)
        return [part.height for part in found]

    def holdings(self, as_of: date, kept: bool = True) -> pl.DataFrame:
        return derive_holdings(self.trades, self.closes, None, as_of, self.folder / "kept" if kept else None).collect()


def test_a_table_that_grows_comes_to_the_holdings_of_a_night_that_knows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = pair_sums._trades

    def spy(files: list[Path], *rest: object, **more: object) -> Trades:
        asked.append(len(files))
        return real(files, *rest, **more)  # type: ignore[arg-type]

    nights = Nights(tmp_path)
    nights.add(DAY, "bcd", "BC")
    # Customers and assets that sort before, between and behind the known ones; a day without trades of old ones; all known.
    for number, (customers, assets) in enumerate([("bcd", "BC"), ("abe", "ABD"), ("a", "Z"), ("abcde", "ABCD")]):
        as_of = DAY + timedelta(days=number)
        if number:
            nights.add(as_of, customers, assets)
        with monkeypatch.context() as patched:
            patched.setattr(pair_sums, "_trades", spy)
            found = nights.holdings(as_of)
        assert found.equals(nights.holdings(as_of, kept=False), null_equal=True)
    assert asked == [1, 1, 1, 1], "each night read its own file only"
    assert len(list((tmp_path / "kept" / "carried").iterdir())) == 1, "the sums of the last night"
    # The same night again reads nothing; one of an earlier day, an altered file and a lost one begin anew.
    earlier = DAY + timedelta(days=1)
    assert nights.holdings(earlier).equals(nights.holdings(earlier, kept=False), null_equal=True)
    nights.add(DAY, "abcde", "ABCD")
    last = DAY + timedelta(days=3)
    assert nights.holdings(last).equals(nights.holdings(last, kept=False), null_equal=True)
    part_files(nights.trades)[1].unlink()
    assert nights.holdings(last).equals(nights.holdings(last, kept=False), null_equal=True)


def test_sums_are_kept_anew_where_much_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 41 trades one is little enough to be added each night; of 71 the 31 of two days are not.

    The parts, which become row groups of a file, are those of a night that knows nothing.
    """
    monkeypatch.setattr(pair_sums, "PAIRS_AT_ONCE", 2)
    nights = Nights(tmp_path)
    nights.add(DAY, "bcd", "BC", n=40)
    nights.holdings(DAY)
    (first,) = (tmp_path / "kept" / "carried").iterdir()
    for number, (trades_, again) in enumerate([(1, False), (30, True)], start=1):
        as_of = DAY + timedelta(days=number)
        nights.add(as_of, "a", "ABD", n=trades_)  # pairs that are new, and stand before all others
        assert nights.holdings(as_of).equals(nights.holdings(as_of, kept=False), null_equal=True)
        (folder,) = (tmp_path / "kept" / "carried").iterdir()
        assert (folder != first) == again
        assert nights.parts(as_of, kept=True) == nights.parts(as_of, kept=False)


def test_sums_that_leave_a_trade_out_are_not_kept(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.add(DAY, "bcd", "BC")
    nights.add(DAY + timedelta(days=1), "bcd", "BC")
    nights.holdings(DAY)
    assert not (tmp_path / "kept" / "carried").exists()


def test_damaged_sums_are_not_used(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.add(DAY, "bcd", "BC")
    nights.holdings(DAY)
    (folder,) = (tmp_path / "kept" / "carried").iterdir()
    file = folder / "pairs.arrow"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    nights.add(DAY + timedelta(days=1), "bcd", "BC", n=1)
    found = nights.holdings(DAY + timedelta(days=1))
    assert found.equals(nights.holdings(DAY + timedelta(days=1), kept=False), null_equal=True)
    assert not folder.exists()
