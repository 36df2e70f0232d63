"""The bench's delivery keeps the contracts, grows by a day, and the table says what was measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import check_landing
from data_contracts.landing import read_landing
from flows.bench.ingest import table
from flows.bench.ingest_data import add_a_day, make_delivery

CONTEXT = CheckContext.by_default(date(2024, 6, 28))


def test_a_delivery_and_the_day_after_keep_the_contracts(tmp_path: Path) -> None:
    delivery = make_delivery(tmp_path / "delivery", 3_000, seed=1)
    assert make_delivery(tmp_path / "delivery", 3_000, seed=1) == delivery
    trades = pl.read_parquet(tmp_path / "delivery" / "transactions")
    assert (trades.height, trades["date"].max()) == (3_000, date(2024, 6, 28))
    assert len(list((tmp_path / "delivery" / "transactions").iterdir())) == len(trades["date"].dt.month_start().unique())
    day = add_a_day(tmp_path / "delivery", tmp_path / "later")
    assert day == date(2024, 7, 1)  # a Monday
    landed = read_landing("nightfolio", tmp_path / "later", tmp_path / "landed", day, "block")
    verdicts = {verdict.table: verdict for verdict in check_landing(landed, tmp_path / "run", replace(CONTEXT, as_of=day))}
    assert {name: verdict.quarantined for name, verdict in verdicts.items() if verdict.quarantined} == {}
    assert verdicts["transactions"].accepted == 3_010
    assert verdicts["prices"].accepted == verdicts["prices"].landed


def stage(seconds: float, gib: float) -> dict[str, float]:
    return {"seconds": seconds, "cpu_seconds": 1.5 * seconds, "peak_bytes": gib * 2**30}


def test_the_table_says_ratios_exponent_and_share() -> None:
    def night(scale: float) -> dict[str, object]:
        stages = {"start": stage(2.0, 0.5), "ingest": stage(1.0 * scale, 1.0), "contracts": stage(2.0 * scale, 1.5)}
        return {"stages": stages}

    day = {"stages": {"ingest": stage(0.5, 1.0)}, "full": {"start": stage(3.0, 1.0), "ingest": stage(2.0, 1.0)}}
    measured = {
        1_000: {"night": night(1.0), "polars": {"stages": {"sort": stage(1.5, 0.25)}}},
        10_000: {"night": night(10.0), "one day more": day},
    }
    assert table(measured) == [
        "      trades  who           seconds    CPU s  peak GiB  x Polars    CPU  x DuckDB    CPU",
        "       1,000  nightfolio        3.0      4.5      1.50      2.00   2.00                 ",
        "       1,000  bare Polars       1.5      2.2      0.25      1.00   1.00                 ",
        "      10,000  nightfolio       30.0     45.0      1.50                                  ",
        "nightfolio: seconds grow with trades to the power 1.00 (CPU 1.00) from 1,000 to 10,000",
        "10,000 trades and one day more: 0.5 s of the full night's 2.0 s (25%; CPU 25%), the same snapshot and histories to the "
        "byte",
    ]
