"""Days without leading zeros are read for what they can only be, and every one is a counted repair."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import check_landing
from data_contracts.landing import read_landing
from data_contracts.verdicts import TableVerdict


def prices(source: Path, run: Path, context: CheckContext, *days: str) -> TableVerdict:
    text = "".join(f"{line}\n" for line in ["asset_id,date,close", *(f"US0378331005,{day},10{n}" for n, day in enumerate(days))])
    (source / "prices.csv").write_text(text, encoding="utf-8")
    landed = read_landing("nightfolio", source, run / "landed", context.as_of, "block", "Europe/Athens")
    (found,) = [
        verdict for verdict in check_landing(landed, run, replace(context, ask_library=False)) if verdict.table == "prices"
    ]
    return found


def repaired(verdict: TableVerdict) -> int:
    (rule,) = [rule for rule in verdict.rules if rule.rule_id == "date_padded"]
    assert rule.outcome == ("repair" if rule.failed else "pass")
    return rule.failed


@pytest.mark.parametrize(
    ("days", "count", "read"),
    [
        (["2021-06-28", " 2021-06-29"], 0, ["2021-06-28", "2021-06-29"]),
        (["2021-6-8", "2021-06-9", "2021-6-29"], 3, ["2021-06-08", "2021-06-09", "2021-06-29"]),
        # Timestamps in one of the fields: all of them are read as such.
        (["2021-6-8 22:30", "2021-06-29 22:30:00", "2021-6-9"], 2, ["2021-06-08", "2021-06-29", "2021-06-09"]),
    ],
)
def test_they_are_counted(
    days: list[str], count: int, read: list[str], source: Path, tmp_path: Path, context: CheckContext
) -> None:
    verdict = prices(source, tmp_path, context, *days)
    assert repaired(verdict) == count
    accepted = pl.read_parquet(tmp_path / "snapshot" / "prices.parquet")
    assert accepted["date"].cast(pl.String).to_list() == read
    assert "_respelt" not in accepted.columns


def test_what_was_there_before_is_kept(source: Path, tmp_path: Path, context: CheckContext) -> None:
    verdict = prices(source, tmp_path, context, "2021-06-28", "2021-6-29")
    assert [rule.message for rule in verdict.rules if rule.outcome == "repair"] == [
        "prices (prices.csv): 1 row repaired: date without leading zeros (2021-6-3) is the day that it can only be"
        " (first: row 2, '2021-6-29' became '2021-06-29')"
    ]
    kept = pl.read_parquet(tmp_path / "quarantine" / "repairs_prices.parquet")
    assert kept.select("_source_row", "repair_id", "column", "before", "after").rows() == [
        (2, "date_padded", "date", "2021-6-29", "2021-06-29")
    ]


def test_two_days_of_one_row_are_two_repairs(source: Path, tmp_path: Path, context: CheckContext) -> None:
    (source / "customers.csv").write_text(
        "customer_id,customer_type,risk_level,last_questionnaire_date,valid_from\n"
        "ann,mass,income,2018-1-2,2018-1-2\nbob,mass,income,2018-01-02,2018-1-2\n",
        encoding="utf-8",
    )
    landed = read_landing("nightfolio", source, tmp_path / "landed", context.as_of, "block")
    (verdict,) = [one for one in check_landing(landed, tmp_path, replace(context, ask_library=False)) if one.table == "customers"]
    made = {rule.rule_id: rule.failed for rule in verdict.rules if rule.outcome == "repair"}
    assert made == {"last_questionnaire_date_padded": 1, "valid_from_padded": 2}
    texts = [json.loads(text) for text in pl.read_parquet(landed["customers"].path)["_respelt"]]
    assert [{name for name, text in one.items() if text is not None} for one in texts] == [
        {"last_questionnaire_date", "valid_from"},
        {"valid_from"},
    ]
