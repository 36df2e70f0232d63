"""Trades of assets that have no close, or that were not listed yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from data_contracts.asset_searches import before_listing, listing_detail, without_close
from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import CONTRACTS
from data_contracts.coded_table import code_columns
from data_contracts.contract import ROW
from data_contracts.samples import example_table

APPLE, BAE, BAYER = "US0378331005", "GB0002634946", "DE000BAY0017"
Row = Mapping[str, object]


def knowing(context: CheckContext, folder: Path, **tables: tuple[Row, ...]) -> CheckContext:
    references = {}
    for table, rows in tables.items():
        references[table] = folder / f"{table}.parquet"
        example_table(CONTRACTS[table], rows).write_parquet(references[table])
    return replace(context, references=references)


@pytest.mark.parametrize("coded", [True, False])
def test_assets_that_are_described_and_never_priced(coded: bool, tmp_path: Path, context: CheckContext) -> None:
    listed = tuple({"asset_id": asset} for asset in (APPLE, BAE))
    known = knowing(context, tmp_path, assets=listed, prices=({},))
    # Bayer is not described: that is another rule's finding.
    trades = example_table(
        CONTRACTS["transactions"], tuple({"asset_id": asset} for asset in (BAE, APPLE, BAYER, None, BAE))
    ).lazy()
    asked = replace(known, coded=code_columns(trades, ("asset_id",))) if coded else known
    found = without_close()(trades.with_row_index(ROW), asked)
    assert found is not None
    assert found.to_list() == [0, 4]
    assert without_close()(trades.with_row_index(ROW), knowing(context, tmp_path, prices=({},))) is None
    priced = knowing(context, tmp_path, assets=listed, prices=({}, {"asset_id": BAE}))
    none = without_close()(trades.with_row_index(ROW), priced)
    assert none is not None
    assert none.is_empty()


def test_trades_long_before_the_asset(tmp_path: Path, context: CheckContext) -> None:
    """Closes begin on 1 January: of BAE on 1 June; the catalogue on 1 February, with Bayer on 1 May. 30 days are allowed."""
    known = knowing(
        context,
        tmp_path,
        prices=(
            {"date": date(2021, 1, 1)},
            {"asset_id": BAE, "date": date(2021, 6, 1)},
            {"asset_id": BAYER, "date": date(2021, 1, 4)},
        ),
        assets=(
            {"valid_from": date(2021, 2, 1)},
            {"asset_id": BAE, "valid_from": date(2021, 2, 1)},
            {"asset_id": BAYER, "valid_from": date(2021, 6, 20)},
            {"asset_id": BAYER, "valid_from": date(2021, 5, 1)},
        ),
    )
    days = [
        (APPLE, date(2020, 1, 1)),  # before the tables begin nothing can be told
        (BAE, date(2020, 12, 31)),
        (BAE, date(2021, 1, 1)),  # bad
        (BAE, date(2021, 5, 1)),  # bad, 31 days
        (BAE, date(2021, 5, 2)),  # 30 days
        (BAYER, date(2021, 1, 31)),
        (BAYER, date(2021, 2, 1)),  # bad, by valid_from
        (BAYER, date(2021, 4, 1)),
    ]
    trades = example_table(CONTRACTS["transactions"], tuple({"asset_id": asset, "date": day} for asset, day in days)).lazy()
    rows = trades.with_row_index(ROW)
    found = before_listing(30)(rows, known)
    assert found is not None
    assert found.to_list() == [2, 3, 6]
    assert listing_detail(30)(rows, found, known) == {
        2: "first close 2021-06-01",
        3: "first close 2021-06-01",
        6: "valid_from 2021-05-01",
    }
    window = example_table(CONTRACTS["transactions"], ({"asset_id": BAE, "date": date(2021, 1, 9), "date_window_days": 6},))
    unsure = before_listing(30)(window.lazy().with_row_index(ROW), known)
    assert unsure is not None
    assert unsure.is_empty(), "a window row has no day of its own"
