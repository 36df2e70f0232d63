"""Tables drawn around the edges of the contracts: a row is set aside exactly where a plain predicate says so.

The predicates are written here once more, in plain Python on one row, without Polars and without the contracts' own
expressions. Great Expectations' native expectations are asked besides: ``check_table`` raises where they count otherwise.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import CONTRACTS, check_table
from data_contracts.contract import Contract
from data_contracts.landing.landed import LandedTable, SourceFile

AS_OF = date(2021, 6, 30)
DAYS = [date.min, date(1989, 12, 31), date(1990, 1, 1), AS_OF - timedelta(1), AS_OF, AS_OF + timedelta(1), date.max]
NUMBERS = [0.0, -0.0, 5e-324, -5e-324, 1e-9, -1.0000001e-9, -1e-10, 1.0, math.nextafter(1.0, 2), 1e308, -1e308, 12.5]
WHOLE = [-(2**31), -128, -1, 0, 1, 4, 5, 127, 366, 367, 2**31 - 1]
SETS = {
    "side": ("buy", "sell"),
    "record_kind": ("full", "dated_only", "window"),
    "asset_class": ("stock", "bond", "fund"),
    "risk_level": ("conservative", "income", "balanced", "aggressive", "not_available"),
    "risk_class": (1, 2, 3, 4),
    "list_kind": ("restricted", "watch"),
}
BANDS = ("not_available", "cap_lt_30k", "cap_30k_80k", "cap_80k_300k", "cap_gt_300k")
ISINS = [
    "US0378331005",
    "GB0002634946",
    "US0378331006",
    "us0378331005",
    "ZZ0378331001",
    "XS0000000009",
    "US037833100",
    "",
    "ΑΒ0378331005",
]
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
Row = Mapping[str, Any]


def isin_checks(text: str) -> bool:
    """ISO 6166 by hand: letters are numbers of two digits, every second digit from the right counts double."""
    if len(text) != 12 or not text.isascii() or not text[:2].isalpha() or not text[2:11].isalnum() or not text[11].isdigit():
        return False
    if text != text.upper():
        return False
    digits = [int(one) for letter in text for one in str(int(letter, 36))]
    return sum(sum(divmod(2 * one, 10)) if place % 2 else one for place, one in enumerate(reversed(digits))) % 10 == 0


def repaired(name: str, value: Any) -> Any:
    """What the contract's repairs make of a value before any rule is asked."""
    if name == "asset_id" and isinstance(value, str):
        better = value.strip().upper()
        return better if len(better) == 12 and better.isascii() and better.isalnum() and better[:2].isalpha() else value
    if name == "investment_capacity" and isinstance(value, str):
        return value.strip()
    if name in SETS and isinstance(value, str):
        better = "_".join(value.strip().lower().replace("-", " ").split())
        return better if better in SETS[name] else value
    return value


def below(column: str, bound: Any, *, or_equal: bool = False) -> Callable[[Row], bool]:
    return lambda row: row[column] is not None and (row[column] < bound or (or_equal and row[column] == bound))


def predicate(contract: Contract, rule_id: str) -> Callable[[Row], bool] | None:
    """The plain predicate of an edge rule; None for a rule that needs other rows or tables."""
    day = contract.date_column or ""
    if rule_id.endswith("_not_null"):
        return lambda row: row[rule_id.removesuffix("_not_null")] is None
    if rule_id.endswith("_in_set"):
        name = rule_id.removesuffix("_in_set")
        return lambda row: row[name] is not None and row[name] not in SETS[name]
    if rule_id.endswith("_above_0"):
        return below(rule_id.removesuffix("_above_0"), 0.0, or_equal=True)
    if rule_id.endswith("_not_before_1990"):
        return below(rule_id.removesuffix("_not_before_1990"), date(1990, 1, 1))
    others: dict[str, Callable[[Row], bool]] = {
        "investment_capacity_known": lambda row: (
            row["investment_capacity"] is not None and row["investment_capacity"] not in BANDS
        ),
        "value_not_negative": below("value", 0.0),
        "holding_not_negative": below("units", -1e-9),
        "date_not_after_as_of": lambda row: row[day] is not None and row[day] > AS_OF,
        "dividend_yield_in_range": lambda row: row["dividend_yield"] is not None and not 0.0 <= row["dividend_yield"] <= 1.0,
        "date_window_days_in_range": lambda row: row["date_window_days"] is not None and not 0 <= row["date_window_days"] <= 366,
        "isin_check_digit": lambda row: row["asset_id"] is not None and not isin_checks(row["asset_id"]),
        "full_has_amount": lambda row: row["record_kind"] == "full" and (row["value"] is None or row["units"] is None),
        "amount_not_half_known": lambda row: (
            row["record_kind"] not in (None, "full") and (row["value"] is None) != (row["units"] is None)
        ),
        "questionnaire_not_after_as_of": lambda row: (
            row["last_questionnaire_date"] is not None and row["last_questionnaire_date"] > AS_OF
        ),
        "valid_to_not_before_valid_from": lambda row: (
            row["valid_to"] is not None and row["valid_from"] is not None and row["valid_to"] < row["valid_from"]
        ),
    }
    return others.get(rule_id)


def values(contract: Contract, name: str) -> st.SearchStrategy[Any]:
    """Values of a column at, just inside and just outside of what the contract allows."""
    dtype = contract.column(name).dtype
    if name == "asset_id":
        drawn: st.SearchStrategy[Any] = st.sampled_from(ISINS)
    elif name in SETS and dtype == pl.String():
        known = SETS[name]
        drawn = st.sampled_from([*known, str(known[0]).title(), f" {known[-1]} ", "other", ""])
    elif name == "investment_capacity":
        drawn = st.sampled_from([*BANDS, f" {BANDS[1]}", BANDS[1].upper(), "cap_30k", ""])
    elif dtype == pl.String():
        drawn = TEXT
    elif dtype == pl.Date():
        drawn = st.sampled_from(DAYS)
    elif dtype == pl.Boolean():
        drawn = st.booleans()
    elif dtype.is_float():
        drawn = st.sampled_from(NUMBERS)
    else:
        bounds = (-128, 127) if dtype == pl.Int8() else (-(2**31), 2**31 - 1)
        drawn = st.sampled_from([number for number in WHOLE if bounds[0] <= number <= bounds[1]])
    return st.one_of(st.none(), drawn) if name not in ("risk_predicted", "capacity_predicted") else drawn


def check(contract: Contract, rows: list[dict[str, Any]], folder: Path) -> tuple[dict[str, int], list[set[str]], int]:
    """Failing rows by rule, the rules that each row is in quarantine for, and how many rows were accepted."""
    provenance = {
        "_source_file": pl.String(),
        "_source_row": pl.Int64(),
        "_type_errors": pl.List(pl.String()),
        "_raw": pl.String(),
    }
    listed = [
        {**row, "_source_file": "t.csv", "_source_row": number, "_type_errors": [], "_raw": None}
        for number, row in enumerate(rows, start=1)
    ]
    path = folder / "landed.parquet"
    pl.DataFrame(listed, schema={**contract.schema, **provenance}).write_parquet(path)
    landed = LandedTable(contract.table, path, len(rows), len(rows), 0, (SourceFile("t.csv", "", 0, len(rows)),))
    night = CheckContext.by_default(AS_OF)
    verdict = check_table(landed, folder / "accepted.parquet", folder / "quarantine.parquet", folder / "gx.json", night)
    aside = pl.read_parquet(folder / "quarantine.parquet")
    found: list[set[str]] = [set() for _ in rows]
    for number, rule_ids in aside.select("_source_row", "rule_ids").iter_rows():
        found[number - 1] = set(rule_ids)
    accepted = pl.read_parquet(folder / "accepted.parquet")
    assert (verdict.accepted, verdict.quarantined) == (accepted.height, aside.height)
    assert sorted([*accepted["_source_row"], *aside["_source_row"]]) == list(range(1, len(rows) + 1))
    return {rule.rule_id: rule.failed for rule in verdict.rules}, found, accepted.height


@pytest.mark.parametrize("table", ["prices", "transactions", "assets", "customers", "delivered_holdings", "restricted"])
def test_a_row_is_set_aside_exactly_where_a_plain_predicate_says_so(table: str) -> None:
    contract = CONTRACTS[table]
    edges = {rule.rule_id: predicate(contract, rule.rule_id) for rule in contract.rules}
    asked = {rule_id: said for rule_id, said in edges.items() if said is not None}
    assert len(asked) >= 4
    warns = {rule.rule_id for rule in contract.rules if rule.severity == "warn"}
    drawn = st.fixed_dictionaries({column.name: values(contract, column.name) for column in contract.columns})

    @seed(20210630)
    @settings(max_examples=4, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(rows=st.lists(drawn, min_size=25, max_size=40))
    def holds(rows: list[dict[str, Any]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            failed, found, accepted = check(contract, rows, Path(folder))
        sound = [{name: repaired(name, value) for name, value in row.items()} for row in rows]
        counts = {rule_id: sum(map(said, sound)) for rule_id, said in asked.items()}
        assert {rule_id: failed[rule_id] for rule_id in asked} == counts
        for row, rule_ids in zip(sound, found, strict=True):
            assert rule_ids & set(asked) == {rule_id for rule_id, said in asked.items() if said(row)} - warns, row
        assert accepted == sum(not rule_ids for rule_ids in found)

    holds()
