"""Holdings derived from trades and statements: exact answers on literal tables, and invariants."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.checkpoint import CONTRACTS
from data_contracts.holdings import (
    derive_holdings,
    reconcile_at,
    reconcile_holdings,
    reconciliation_counts,
)

AS_OF = date(2021, 6, 30)
TRADES = {
    "customer_id": pl.String,
    "asset_id": pl.String,
    "side": pl.String,
    "date": pl.Date,
    "units": pl.Float64,
    "date_window_days": pl.Int32,
}
STATED = {"as_of_date": pl.Date, "customer_id": pl.String, "asset_id": pl.String, "units": pl.Float64}
PRICES = {"asset_id": pl.String, "date": pl.Date, "close": pl.Float64}


def day(month: int, number: int) -> date:
    return date(2021, month, number)


def derived(folder: Path, trades: list[Any], stated: list[Any] | None = None, as_of: date = AS_OF) -> pl.DataFrame:
    closes = [("X", day(1, 4), 2.0), ("X", day(6, 29), 3.0), ("X", day(7, 5), 99.0)]
    full = [trade if len(trade) == 6 else (*trade, None) for trade in trades]
    pl.DataFrame(full, schema=TRADES, orient="row").write_parquet(folder / "transactions.parquet")
    pl.DataFrame(closes, schema=PRICES, orient="row").write_parquet(folder / "prices.parquet")
    delivered = None
    if stated is not None:
        delivered = folder / "delivered_holdings.parquet"
        pl.DataFrame(stated, schema=STATED, orient="row").write_parquet(delivered)
    return derive_holdings(folder / "transactions.parquet", folder / "prices.parquet", delivered, as_of).collect()


def only(frame: pl.DataFrame) -> tuple[Any, ...]:
    assert frame.height == 1
    return frame.select("units", "status", "source").row(0)


def test_buys_minus_sells_at_the_last_close(tmp_path: Path) -> None:
    frame = derived(tmp_path, [("ann", "X", "sell", day(2, 1), 4.0), ("ann", "X", "buy", day(1, 5), 10.0)])
    assert frame.rows() == [("ann", "X", 6.0, "held", 1, 1, day(1, 5), day(2, 1), 18.0, "derived")]
    assert dict(frame.schema) == CONTRACTS["holdings"].schema


@pytest.mark.parametrize(
    ("trades", "expected"),
    [
        # Everything sold again: closed, also where a residue of a sum is left.
        ([("buy", 10.0), ("sell", 10.0)], (0.0, "closed", "derived")),
        ([("buy", 0.1), ("buy", 0.2), ("sell", 0.3)], (0.0, "closed", "derived")),
        # A buy without units: whatever is known besides, something may be held.
        ([("buy", None)], (None, "held", "derived")),
        ([("buy", None), ("sell", 10.0)], (None, "held", "derived")),
        ([("buy", 10.0), ("sell", None)], (None, "held", "derived")),
        # More sold than was seen bought: purchases are missing, so something may be left.
        ([("buy", 1.0), ("sell", 10.0)], (-9.0, "held", "derived")),
    ],
)
def test_status_without_a_statement(trades: list[tuple[str, float | None]], expected: tuple[Any, ...], tmp_path: Path) -> None:
    rows = [("ann", "X", side, day(1, 5) + timedelta(n), units) for n, (side, units) in enumerate(trades)]
    assert only(derived(tmp_path, rows)) == expected


@pytest.mark.parametrize(
    ("trades", "stated", "expected"),
    [
        # The statement settles what the trades leave open.
        ([("buy", day(1, 5), None)], (day(3, 1), 7.0), (7.0, "held", "delivered")),
        ([("buy", day(1, 5), None)], (day(3, 1), 0.0), (0.0, "closed", "delivered")),
        ([("buy", day(1, 5), None)], (day(3, 1), -0.5), (-0.5, "closed", "delivered")),
        # On the day of the last trade it already contains it.
        ([("buy", day(1, 5), 9.0)], (day(1, 5), 9.0), (9.0, "held", "delivered")),
        # Trades after its day are added to it.
        ([("buy", day(1, 5), None), ("sell", day(4, 1), 7.0)], (day(3, 1), 7.0), (0.0, "closed", "delivered")),
        ([("buy", day(4, 1), 2.0)], (day(3, 1), 7.0), (9.0, "held", "delivered")),
        ([("buy", day(4, 1), None)], (day(3, 1), 0.0), (None, "held", "delivered")),
        # It said nothing was left, yet more was sold since: the records have a hole.
        ([("sell", day(4, 1), 2.0)], (day(3, 1), 0.0), (-2.0, "held", "delivered")),
        # A statement after as_of is not known yet.
        ([("buy", day(1, 5), None)], (day(7, 1), 0.0), (None, "held", "derived")),
        # A position that was never seen traded.
        ([], (day(3, 1), 7.0), (7.0, "held", "delivered")),
    ],
)
def test_status_with_a_statement(
    trades: list[tuple[str, date, float | None]],
    stated: tuple[date, float],
    expected: tuple[Any, ...],
    tmp_path: Path,
) -> None:
    rows = [("ann", "X", side, when, units) for side, when, units in trades]
    assert only(derived(tmp_path, rows, [(stated[0], "ann", "X", stated[1])])) == expected


def test_the_newest_statement_counts(tmp_path: Path) -> None:
    stated = [(day(5, 1), "ann", "X", 2.0), (day(3, 1), "ann", "X", 7.0)]
    assert only(derived(tmp_path, [("ann", "X", "buy", day(1, 5), None)], stated)) == (2.0, "held", "delivered")


def test_a_window_that_reaches_past_the_statement_stays_open(tmp_path: Path) -> None:
    inside = ("ann", "X", "buy", day(2, 20), None, 10)  # 15 to 25 February
    across = ("bob", "X", "buy", day(2, 26), None, 10)  # 21 February to 3 March
    stated = [(day(3, 1), "ann", "X", 0.0), (day(3, 1), "bob", "X", 0.0)]
    assert derived(tmp_path, [inside, across], stated).select("customer_id", "units", "status").rows() == [
        ("ann", 0.0, "closed"),
        ("bob", None, "held"),
    ]


def test_nothing_after_as_of_is_seen(tmp_path: Path) -> None:
    trades = [("ann", "X", "buy", day(6, 30), 1.0), ("ann", "X", "buy", day(7, 1), 5.0), ("bob", "X", "buy", day(7, 1), 1.0)]
    frame = derived(tmp_path, trades)
    assert frame.select("customer_id", "units", "last_value").rows() == [("ann", 1.0, 3.0)]


def test_an_asset_without_a_close_has_no_value(tmp_path: Path) -> None:
    assert derived(tmp_path, [("ann", "Y", "buy", day(1, 5), 1.0)])["last_value"].to_list() == [None]


def test_reconciliation_names_every_difference(tmp_path: Path) -> None:
    trades = [
        ("ann", "same", "buy", day(1, 5), 10.0),
        ("ann", "sold", "buy", day(1, 5), 1.0),
        ("ann", "sold", "sell", day(1, 6), 1.0),
        ("ann", "other", "buy", day(1, 5), 10.0),
        ("ann", "unknown", "buy", day(1, 5), None),
        ("ann", "extra", "buy", day(1, 5), 3.0),
        ("ann", "later", "buy", day(4, 1), 3.0),
    ]
    stated = [
        (day(2, 1), "ann", "other", 1.0),  # an older statement, superseded
        (day(3, 1), "ann", "same", 10.0),
        (day(3, 1), "ann", "other", 12.5),
        (day(3, 1), "ann", "unknown", 4.0),
        (day(3, 1), "ann", "missing", 6.0),
        (day(3, 1), "ann", "zero", 0.0),
        (day(7, 1), "ann", "same", 99.0),  # after as_of
    ]
    derived(tmp_path, trades, stated)
    paths = [tmp_path / f"{name}.parquet" for name in ("transactions", "prices", "delivered_holdings")]
    when, frame = reconcile_at(paths[0], paths[1], paths[2], AS_OF)
    assert when == day(3, 1)
    assert frame.select("asset_id", "difference", "kind").rows() == [
        ("extra", 3.0, "only_derived"),
        ("missing", -6.0, "opening_position"),
        ("other", -2.5, "units_differ"),
        ("same", 0.0, "agree"),
        ("sold", 0.0, "agree"),
        ("unknown", None, "units_unknown"),
        ("zero", 0.0, "agree"),
    ]
    assert reconciliation_counts(frame) == {
        "agree": 3,
        "units_unknown": 1,
        "units_differ": 1,
        "only_derived": 1,
        "only_delivered": 0,
        "opening_position": 1,
    }


quantities = st.integers(1, 1000).map(lambda thousandths: thousandths / 1000)
moves = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("XY"), st.booleans(), st.integers(0, 40), quantities),
    min_size=1,
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(moves=moves, cut=st.integers(0, 45))
def test_a_true_statement_changes_nothing(
    moves: list[tuple[str, str, bool, int, float]], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Positions stated truly on any day lead to the same units as trades alone; and both reconcile."""
    folder = tmp_path_factory.mktemp("holdings")
    trades = [(who, what, "buy" if buy else "sell", day(1, 1) + timedelta(n), q) for who, what, buy, n, q in moves]
    alone = derived(folder, trades)
    expected: dict[tuple[str, str], float] = {}
    before: dict[tuple[str, str], float] = {}
    for who, what, buy, n, quantity in moves:
        signed = quantity if buy else -quantity
        expected[who, what] = expected.get((who, what), 0.0) + signed
        if n <= cut:
            before[who, what] = before.get((who, what), 0.0) + signed
    assert {(who, what): units for who, what, units in alone.select("customer_id", "asset_id", "units").rows()} == (
        pytest.approx(expected, abs=1e-9)
    )
    stated = [(day(1, 1) + timedelta(cut), who, what, units) for (who, what), units in before.items()]
    stating = derived(folder, trades, stated)
    assert stating["units"].to_list() == pytest.approx(alone["units"].to_list(), abs=1e-9)
    at_cut = derived(folder, trades, None, day(1, 1) + timedelta(cut))
    kinds = reconcile_holdings(at_cut.lazy(), pl.LazyFrame(stated, schema=STATED, orient="row"))["kind"]
    assert set(kinds) <= {"agree"}
