"""Files of one table held against each other."""

from __future__ import annotations

import polars as pl
import pytest

from data_contracts.checkpoint import CONTRACTS
from data_contracts.landing.unlike import FileColumns, unlike

PRICES = CONTRACTS["prices"]
USUAL: dict[str, pl.DataType] = {"asset_id": pl.String(), "date": pl.Date(), "close": pl.Float64()}


@pytest.mark.parametrize(
    ("third", "empty", "said"),
    [
        ({}, set(), ()),
        ({"asset_id": pl.Categorical()}, set(), ()),
        ({"close": pl.Int64()}, set(), ("close is Int64 in 1 of 3 files (first: c)",)),
        ({"close": pl.Float32()}, set(), ("close is Float32, single precision of about 7 digits, in 1 of 3 files (first: c)",)),
        ({"close": pl.Null()}, set(), ("close is empty in every row in 1 of 3 files (first: c)",)),
        ({}, {"close"}, ("close is empty in every row in 1 of 3 files (first: c)",)),
        ({"close": None}, set(), ("close is missing in 1 of 3 files (first: c)",)),
    ],
)
def test_what_one_file_has_otherwise_is_named(
    third: dict[str, pl.DataType | None], empty: set[str], said: tuple[str, ...]
) -> None:
    types = {name: dtype for name, dtype in (USUAL | third).items() if dtype is not None}
    files = [FileColumns("a", USUAL), FileColumns("b", USUAL), FileColumns("c", types, frozenset(empty))]
    assert unlike(PRICES, files) == said


def test_what_no_file_has_is_the_tables_column_and_no_files() -> None:
    without = {name: dtype for name, dtype in USUAL.items() if name != "close"}
    assert unlike(PRICES, [FileColumns("a", without), FileColumns("b", USUAL, frozenset({"close"}))]) == ()
    assert unlike(PRICES, []) == ()


def test_single_precision_is_named_in_a_single_file_and_in_all() -> None:
    single = USUAL | {"close": pl.Float32()}
    assert unlike(PRICES, [FileColumns("a", single)]) == ("close is Float32, single precision of about 7 digits, in the file",)
    assert len(unlike(PRICES, [FileColumns("a", single), FileColumns("b", single)])) == 1


def test_what_is_rarely_known_is_in_few_files() -> None:
    """A market is given by one file of three only: no news. By two of three: the third has lost it."""
    from data_contracts.checkpoint import CONTRACTS

    types = {"market_id": pl.String()}
    files = [FileColumns("1", types), FileColumns("2", types, frozenset(types)), FileColumns("3", types, frozenset(types))]
    others = [one for one in unlike(CONTRACTS["transactions"], files) if one.startswith("market_id")]
    assert others == []
    told = unlike(CONTRACTS["transactions"], [*files[:2], FileColumns("3", types)])
    assert [one for one in told if one.startswith("market_id")] == ["market_id is empty in every row in 1 of 3 files (first: 2)"]
