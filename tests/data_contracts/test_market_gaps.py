"""Weekdays on which a whole market has no close, on literal calendars."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import CONTRACTS
from data_contracts.contract import ROW
from data_contracts.market_gaps import holes
from data_contracts.samples import example_table

FIRST = date(2021, 1, 4)  # a Monday
DAYS = [FIRST + timedelta(days=n) for n in range(140)]
WEEKDAYS = [day for day in DAYS if day.weekday() < 5]  # 100
ASSETS = {"US0378331005": "XNGS", "GB0002634946": "XLON", "DE000BAY0017": None}
APPLE, BAE, BAYER = ASSETS


@pytest.fixture
def known(tmp_path: Path, context: CheckContext) -> CheckContext:
    """Apple in New York, BAE in London, Bayer on no known market; New York says its weekdays, London does not."""
    listed = tuple({"asset_id": asset, "market_id": market} for asset, market in ASSETS.items())
    said = ({"market_id": "XNGS"}, {"market_id": "XLON", "trading_days": None})
    references = {}
    for table, example in (("assets", listed), ("markets", said)):
        references[table] = tmp_path / f"{table}.parquet"
        example_table(CONTRACTS[table], example).write_parquet(references[table])
    return replace(context, references=references)


def found(context: CheckContext, **closes: Iterable[date]) -> list[tuple[str, date, str, str]]:
    """The holes of the markets, given the days on which each asset has a close."""
    assets = {"apple": APPLE, "bae": BAE, "bayer": BAYER}
    rows = tuple({"asset_id": assets[name], "date": day} for name, days in closes.items() for day in days)
    told = holes(example_table(CONTRACTS["prices"], rows).lazy().with_row_index(ROW), context, 3)
    assert told is not None
    return told.rows()


def but(gone: Iterable[int], days: list[date] = WEEKDAYS) -> list[date]:
    absent = set(gone)
    return [day for place, day in enumerate(days) if place not in absent]


def test_a_run_of_four_weekdays_is_a_hole_and_three_are_a_holiday(known: CheckContext) -> None:
    assert found(known, apple=but(range(20, 23))) == []
    assert found(known, apple=but(range(20, 24))) == [("XNGS", WEEKDAYS[24], "gap", "XNGS: 4 weekdays before it without a close")]


def test_assets_of_no_market_are_a_market_of_their_own(known: CheckContext) -> None:
    assert [hole[0] for hole in found(known, apple=WEEKDAYS, bayer=but(range(20, 24)))] == ["(no market)"]


def test_a_hole_larger_than_what_is_left_is_one(known: CheckContext) -> None:
    assert [hole[2:] for hole in found(known, apple=but(range(15, 85)))] == [
        ("gap", "XNGS: 70 weekdays before it without a close")
    ]


def test_closes_now_and_then_have_no_holes(known: CheckContext) -> None:
    assert found(known, apple=WEEKDAYS[::7], bae=[*WEEKDAYS[:12], *WEEKDAYS[40:45], *WEEKDAYS[95:]]) == []


def test_a_close_on_a_closed_day_ends_no_run_but_begins_none(known: CheckContext) -> None:
    """A close of the Saturday in the middle of four missing weekdays: two and two."""
    friday = WEEKDAYS.index(date(2021, 2, 5))
    gone = range(friday - 1, friday + 3)
    assert found(known, apple=[*but(gone), date(2021, 2, 6)]) == []
    assert len(found(known, apple=but(gone))) == 1


def test_a_market_that_ended_while_another_went_on(known: CheckContext) -> None:
    assert found(known, apple=WEEKDAYS, bae=WEEKDAYS[:-3]) == []
    assert found(known, apple=WEEKDAYS, bae=WEEKDAYS[:-4]) == [
        ("XLON", WEEKDAYS[-5], "stale", "XLON: 4 weekdays after it without a close")
    ]
    assert found(known, apple=WEEKDAYS[:-4], bae=WEEKDAYS[:-4]) == [], "a late delivery is the business of freshness"


def test_a_weekday_that_is_always_missing_counts_where_the_market_says_that_it_is_open(known: CheckContext) -> None:
    mondays = [day for day in WEEKDAYS if day.weekday()]
    assert found(known, apple=mondays, bae=mondays) == [
        ("XNGS", WEEKDAYS[-1], "sparse", "XNGS: 19 of 99 weekdays without a close")
    ]
    assert found(known, apple=but(range(0, 100, 7))) == [], "14 of 99"
    assert found(known, apple=but(range(0, 55, 5), WEEKDAYS[:55])) == [], "too short a stretch to tell"


def test_a_day_on_which_few_assets_have_a_close_is_none(known: CheckContext, tmp_path: Path) -> None:
    """Five assets of one market, one of which alone goes on in a week that the others lack."""
    five = [f"XS{number:010d}" for number in range(5)]
    path = tmp_path / "five.parquet"
    example_table(CONTRACTS["assets"], tuple({"asset_id": one} for one in five)).write_parquet(path)
    context = replace(known, references={**known.references, "assets": path})
    lost = set(WEEKDAYS[20:25])
    rows = [(one, day) for one in five for day in WEEKDAYS if one == five[0] or day not in lost]
    frame = pl.DataFrame(rows, schema=["asset_id", "date"], orient="row").with_columns(close=1.0).lazy().with_row_index(ROW)
    told = holes(frame, context, 3)
    assert told is not None
    assert told.rows() == [("XNGS", WEEKDAYS[25], "gap", "XNGS: 5 weekdays before it without a close")]
