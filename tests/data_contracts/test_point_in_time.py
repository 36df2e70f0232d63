"""Reading as of a date: dated rows, and the law that nothing later is in a file."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from data_contracts.errors import LookAheadError
from data_contracts.point_in_time import assert_point_in_time
from data_contracts.valid_at import same_day_conflicts, valid_at

ROWS = [
    ("bob", "income", date(2020, 1, 1), 1),
    ("ann", "balanced", date(2021, 3, 1), 2),
    ("ann", "income", date(2020, 1, 1), 3),
    ("ann", "aggressive", date(2021, 9, 1), 4),
    ("cid", "income", date(2021, 9, 1), 5),
    ("bob", "balanced", date(2020, 1, 1), 6),
]


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    path = tmp_path / "customers.parquet"
    schema = ["customer_id", "risk_level", "valid_from", "_source_row"]
    pl.DataFrame(ROWS, schema=schema, orient="row").write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        (date(2019, 12, 31), []),
        (date(2020, 1, 1), [("ann", "income"), ("bob", "balanced")]),
        (date(2021, 2, 28), [("ann", "income"), ("bob", "balanced")]),
        (date(2021, 3, 1), [("ann", "balanced"), ("bob", "balanced")]),
        (date(2021, 9, 1), [("ann", "aggressive"), ("bob", "balanced"), ("cid", "income")]),
    ],
)
def test_the_newest_row_per_key_counts(as_of: date, expected: list[tuple[str, str]], customers: Path) -> None:
    rows = valid_at(customers, "customer_id", as_of).collect()
    assert rows.select("customer_id", "risk_level").rows() == expected


def test_same_day_conflicts_are_counted(customers: Path) -> None:
    assert same_day_conflicts(customers, "customer_id", date(2021, 9, 1)) == 1
    assert same_day_conflicts(customers, "customer_id", date(2019, 1, 1)) == 0


def test_a_file_up_to_as_of_passes(customers: Path) -> None:
    assert_point_in_time(customers, "valid_from", date(2021, 9, 1))


def test_a_planted_future_row_raises(customers: Path) -> None:
    with pytest.raises(LookAheadError) as caught:
        assert_point_in_time(customers, "valid_from", date(2021, 8, 31))
    assert str(caught.value).startswith(
        "customers.parquet: 2 rows are dated after as_of 2021-08-31 in valid_from (first date: 2021-09-01)\n  remedy: "
    )
    with pytest.raises(LookAheadError, match=r"customers\.parquet: 3 rows are dated"):
        assert_point_in_time(customers, "valid_from", date(2020, 6, 1))
