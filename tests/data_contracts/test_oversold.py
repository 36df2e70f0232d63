"""Sales beyond holdings against a plain walk over each pair's trades, and sums of runs against plain loops."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts import oversold
from data_contracts.check_context import CheckContext
from data_contracts.contract import ROW

AS_OF = date(2024, 6, 28)
CONTEXT = CheckContext.by_default(AS_OF)
SCHEMA = {
    "customer_id": pl.String,
    "asset_id": pl.String,
    "side": pl.String,
    "date": pl.Date,
    "units": pl.Float64,
    "date_window_days": pl.Int32,
}
STATED = {"customer_id": pl.String, "asset_id": pl.String, "as_of_date": pl.Date, "units": pl.Float64}

Trade = tuple[str | None, str | None, str | None, int | None, float | None, int | None]
Statement = tuple[str, str, int, float | None]
customers, assets, days = st.sampled_from(["ann", "bob", None]), st.sampled_from(["A", "B", None]), st.integers(-1, 4)
SIDES = ("buy", "sell")
units = st.sampled_from([None, 1.0, 2.0, 3.0, 0.5])
trades = st.tuples(
    customers, assets, st.sampled_from(["buy", "sell", "gift", None]), st.none() | days, units, st.sampled_from([None, 0, 2])
)
statements = st.tuples(
    st.sampled_from(["ann", "cid"]), st.sampled_from(["A", "B"]), days, st.sampled_from([None, -1.0, 0.0, 1.0, 4.0])
)


def plain(rows: list[Trade], stated: list[Statement]) -> dict[tuple[str, str], tuple[int, float]]:
    """Day back and units of the first sale of each pair that exceeds what it holds, by walking over its trades."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for pair in {(row[0], row[1]) for row in rows}:
        mine = [
            r for r in rows if r[:2] == pair and None not in pair and r[2] in ("buy", "sell") and r[3] is not None and r[3] >= 0
        ]
        moves = []
        for _, _, side, back, n, window in mine:
            assert back is not None
            moved = None if n is None or window else n if side == "buy" else -n
            moves.append((-back, float("-inf") if moved is None else -moved, moved))
        moves.sort(key=lambda move: move[:2])
        marks = sorted((-day, n) for day, n in ((s[2], s[3]) for s in stated if (s[0], s[1]) == pair))
        early = [moved for day, _, moved in moves if not marks or day <= marks[0][0]]
        if not marks or marks[0][1] is None:
            opening: float | None = 0.0
        else:
            opening = None if None in early else max(marks[0][1] - sum(m for m in early if m is not None), 0.0)
        held, last = opening, None
        for day, _, moved in moves:
            before = [mark for mark in marks if mark[0] < day]
            if before and before[-1][0] != last:
                last, held = before[-1][0], max(before[-1][1] or 0.0, 0.0)
            if moved is None or held is None:
                held = None
                continue
            held += moved
            if moved < 0 and held < -1e-6 and pair not in found:
                found[pair] = (-day, -moved)
    return found  # type: ignore[return-value]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(trades, max_size=12),
    stated=st.lists(statements, max_size=4, unique_by=lambda s: s[:3]),
    at_once=st.integers(1, 5),
)
def test_as_a_plain_walk_over_each_pair(rows: list[Trade], stated: list[Statement], at_once: int, tmp_path: Path) -> None:
    dated = [(*row[:3], None if row[3] is None else AS_OF - timedelta(days=row[3]), *row[4:]) for row in rows]
    frame = pl.DataFrame(dated, schema=SCHEMA, orient="row")
    context = CONTEXT
    if stated:
        path = tmp_path / "delivered.parquet"
        positions = [(customer, asset, AS_OF - timedelta(days=day), units) for customer, asset, day, units in stated]
        pl.DataFrame(positions, schema=STATED, orient="row").write_parquet(path)
        context = replace(CONTEXT, references={"delivered_holdings": path})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oversold, "ROWS_AT_ONCE", at_once)
        hits = oversold.sold_beyond_holdings(1e-9)(frame.lazy().with_row_index(ROW), context).to_list()
    assert hits == sorted(hits)
    assert {(rows[hit][0], rows[hit][1]): (rows[hit][3], rows[hit][4]) for hit in hits} == plain(rows, stated)
    assert len({rows[hit][:2] for hit in hits}) == len(hits), "one sale a pair"


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=150), max_size=8))
def test_running_sums_add_one_after_the_other(runs: list[list[float]]) -> None:
    values = np.array([value for run in runs for value in run])
    starts = np.cumsum([0, *(len(run) for run in runs)])[:-1].astype(np.int64)
    expected = []
    for run in runs:
        total = 0.0
        for place, value in enumerate(run):
            total = value if place == 0 else total + value
            expected.append(total)
    assert oversold.running_sums(values, starts).tolist() == expected
