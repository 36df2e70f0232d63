"""Tables that break many rules at once, with the exact number of rows for each: rules do not hide one another.

That every single rule can fail is shown on its own example in test_rules_of_the_field.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import CONTRACTS, check_table
from data_contracts.landing.landed import LandedTable, SourceFile

D = date
OLD, DAY, LATE = D(1889, 1, 1), D(2021, 6, 28), D(2021, 7, 3)
APPLE, BAE, BAYER, VANGUARD = "US0378331005", "GB0002634946", "DE000BAY0017", "IE00B66F4759"


def customer(**changes: Any) -> dict[str, Any]:
    return {"customer_id": "ann", "customer_type": "mass", "risk_level": "income", "valid_from": DAY} | changes


def asset(**changes: Any) -> dict[str, Any]:
    sound = {"asset_id": APPLE, "asset_name": "Apple", "asset_class": "stock", "market_id": "XNGS", "valid_from": DAY}
    return sound | changes


def trade(**changes: Any) -> dict[str, Any]:
    sound = {"transaction_id": "1", "customer_id": "ann", "asset_id": APPLE, "side": "buy", "date": DAY}
    return sound | {"value": 100.0, "units": 1.0, "market_id": "XNGS", "record_kind": "full"} | changes


def bare(**changes: Any) -> dict[str, Any]:
    """A row that knows customer, asset, side and day only."""
    return trade(transaction_id=None, value=None, units=None, record_kind="dated_only") | changes


def position(**changes: Any) -> dict[str, Any]:
    return {"as_of_date": DAY, "customer_id": "ann", "asset_id": APPLE, "units": 5.0} | changes


def ban(**changes: Any) -> dict[str, Any]:
    return {"asset_id": APPLE, "list_kind": "restricted", "valid_from": DAY, "valid_to": None} | changes


def holding(**changes: Any) -> dict[str, Any]:
    sound = {"customer_id": "ann", "asset_id": APPLE, "units": 5.0, "status": "held", "source": "derived"}
    return sound | {"first_date": DAY, "last_date": DAY} | changes


def line(**changes: Any) -> dict[str, Any]:
    sound = {name: value for name, value in CONTRACTS["recommendations"].sound_row.items() if name != "as_of"}
    return sound | {"as_of": D(2021, 6, 30)} | changes


def close(asset_id: str | None, day: date | None, euros: float | None) -> dict[str, Any]:
    return {"asset_id": asset_id, "date": day, "close": euros}


UNREADABLE = {"_type_errors": ["close"], "_raw": '{"close": "abc"}'}

# Table -> (dirty rows, {rule: failing rows}). The first row of each table is sound.
DIRTY: dict[str, tuple[list[dict[str, Any]], dict[str, int]]] = {
    "markets": (
        [
            {"market_id": "XNGS", "name": "Nasdaq"},
            {"market_id": "XNGS", "name": "Nasdaq"},
            {"market_id": None, "name": "nameless"},
            {"market_id": "XPAR", "name": None},
            {"market_id": "XLON", "name": "London"},
            {"market_id": "XLON", "name": "London Stock Exchange"},
            {"market_id": "XETR", "name": "Xetra", "_type_errors": ["name"]},
        ],
        {"type": 1, "market_id_not_null": 1, "name_not_null": 1, "exact_repeat": 1, "key_conflict": 1},
    ),
    "customers": (
        [
            customer(),
            customer(),
            customer(risk_level="balanced", customer_type="premium", customer_id="bob"),
            customer(risk_level="income", customer_type="premium", customer_id="bob"),
            customer(customer_id=None),
            customer(customer_id="dan", customer_type=None),
            customer(customer_id="eve", valid_from=None),
            customer(customer_id="fay", risk_level="reckless"),
            customer(customer_id="gus", valid_from=LATE),
            customer(customer_id="hal", valid_from=OLD),
            customer(customer_id="ida", last_questionnaire_date=LATE),
            customer(customer_id="jim", last_questionnaire_date=D(2021, 6, 29)),
            customer(customer_id="kay", _type_errors=["valid_from"], _raw='{"valid_from": "28.6.2021"}'),
        ],
        {
            "type": 1,
            "customer_id_not_null": 1,
            "customer_type_not_null": 1,
            "valid_from_not_null": 1,
            "risk_level_in_set": 1,
            "date_not_after_as_of": 1,
            "valid_from_not_before_1990": 1,
            "questionnaire_not_after_as_of": 1,
            "questionnaire_not_after_row": 2,
            "exact_repeat": 1,
            "key_conflict": 1,
        },
    ),
    "assets": (
        [
            asset(),
            asset(),
            asset(asset_id=BAE, asset_class="stock"),
            asset(asset_id=BAE, asset_class="fund"),
            asset(asset_id=None),
            asset(asset_id="US0378331006"),
            asset(asset_id=BAYER, asset_name=None),
            asset(asset_id=BAYER, valid_from=D(2020, 1, 1), asset_class=None),
            asset(asset_id=BAYER, valid_from=None),
            asset(asset_id=BAYER, valid_from=D(2020, 1, 2), asset_class="coin"),
            asset(asset_id=BAYER, valid_from=D(2020, 1, 3), risk_class=5),
            asset(asset_id=BAYER, valid_from=D(2020, 1, 4), dividend_yield=3.1),
            asset(asset_id=BAYER, valid_from=D(2020, 1, 5), market_id="NOWHERE"),
            asset(asset_id=BAYER, valid_from=LATE),
            asset(asset_id=BAYER, valid_from=OLD),
            asset(asset_id=BAYER, valid_from=D(2020, 1, 6), _type_errors=["risk_class"]),
        ],
        {
            "type": 1,
            "asset_id_not_null": 1,
            "asset_name_not_null": 1,
            "asset_class_not_null": 1,
            "valid_from_not_null": 1,
            "isin_check_digit": 1,
            "asset_class_in_set": 1,
            "risk_class_in_set": 1,
            "dividend_yield_in_range": 1,
            "date_not_after_as_of": 1,
            "valid_from_not_before_1990": 1,
            "market_known": 1,
            "exact_repeat": 1,
            "key_conflict": 1,
        },
    ),
    "prices": (
        [
            close(APPLE, D(2021, 6, 24), 100.0),
            close(APPLE, D(2021, 6, 24), 100.0),
            close(APPLE, D(2021, 6, 25), 151.0),  # up by more than a half in a day
            close(APPLE, D(2021, 6, 28), 152.0),
            close(BAE, D(2021, 6, 28), 5.0),
            close(BAE, D(2021, 6, 28), 5.5),
            close(None, DAY, 1.0),
            close(BAE, None, 1.0),
            close(BAE, D(2021, 6, 1), None),
            close(BAE, D(2021, 6, 2), -5.0),
            close(BAE, LATE, 5.0),
            close(BAE, OLD, 5.0),
            close("FR0000000000", DAY, 1.0),
            close(BAYER, D(2021, 6, 3), None) | UNREADABLE,
        ],
        {
            "type": 1,
            "asset_id_not_null": 1,
            "date_not_null": 1,
            "close_not_null": 2,
            "close_above_0": 1,
            "date_not_after_as_of": 1,
            "date_not_before_1990": 1,
            "asset_known": 1,
            "exact_repeat": 1,
            "key_conflict": 2,
            "price_jump": 1,
        },
    ),
    "transactions": (
        [
            trade(),
            trade(),
            trade(transaction_id="2", date=D(2021, 6, 1)),
            trade(transaction_id="2", date=D(2021, 6, 1), value=110.0),
            trade(transaction_id="3", date=D(2021, 6, 2)),
            trade(transaction_id="4", date=D(2021, 6, 2)),  # the same in all but the number
            bare(date=D(2021, 6, 3)),
            bare(date=D(2021, 6, 3)),
            bare(date=D(2021, 6, 4), customer_id=None),
            bare(date=D(2021, 6, 5), asset_id=None),
            bare(date=D(2021, 6, 6), side=None),
            bare(date=None),
            bare(date=D(2021, 6, 7), record_kind=None),
            bare(date=D(2021, 6, 8), side="gift"),
            bare(date=D(2021, 6, 9), record_kind="rumour"),
            trade(transaction_id="5", date=D(2021, 6, 10), units=0.0),
            trade(transaction_id="6", date=D(2021, 6, 11), value=-1.0),
            trade(transaction_id="7", date=D(2021, 6, 12), value=None),
            bare(date=LATE),
            bare(date=D(2021, 6, 29), record_kind="window", date_window_days=5),  # 27 June to 2 July
            bare(date=OLD),
            bare(date=D(2021, 6, 13), asset_id="FR0000000000"),
            bare(date=D(2021, 6, 14), customer_id="nobody"),
            bare(date=D(2021, 6, 15), market_id="NOWHERE"),
            bare(date=D(2021, 6, 16), _type_errors=["units"], _raw='{"units": "ten"}'),
            trade(transaction_id="-9", date=D(2021, 6, 17)),  # a corporate action: sound
        ],
        {
            "type": 1,
            "customer_id_not_null": 1,
            "asset_id_not_null": 1,
            "side_not_null": 1,
            "date_not_null": 1,
            "record_kind_not_null": 1,
            "side_in_set": 1,
            "record_kind_in_set": 1,
            "units_above_0": 1,
            "value_not_negative": 1,
            "full_has_amount": 1,
            "date_not_after_as_of": 1,
            "window_not_after_as_of": 1,
            "date_not_before_1990": 1,
            "asset_known": 1,
            "customer_known": 1,
            "market_known": 1,
            "exact_repeat": 1,
            "unnumbered_repeat": 1,
            "key_conflict": 1,
            "same_trade_two_numbers": 2,
        },
    ),
    "delivered_holdings": (
        [
            position(),
            position(),
            position(asset_id=BAE, units=1.0),
            position(asset_id=BAE, units=2.0),
            position(as_of_date=None),
            position(customer_id=None),
            position(asset_id=None),
            position(asset_id=BAYER, units=None),
            position(asset_id=BAYER, as_of_date=LATE),
            position(asset_id=BAYER, as_of_date=OLD),
            position(asset_id=BAYER, as_of_date=D(2020, 1, 1), units=-3.0),
            position(asset_id="FR0000000000"),
            position(customer_id="nobody"),
            position(as_of_date=D(2020, 1, 2), _type_errors=["units"]),
            position(as_of_date=D(2020, 1, 3), units=-1e-15),  # a residue of a sum: sound
        ],
        {
            "type": 1,
            "as_of_date_not_null": 1,
            "customer_id_not_null": 1,
            "asset_id_not_null": 1,
            "units_not_null": 1,
            "date_not_after_as_of": 1,
            "as_of_date_not_before_1990": 1,
            "holding_not_negative": 1,
            "asset_known": 1,
            "customer_known": 1,
            "exact_repeat": 1,
            "key_conflict": 2,
        },
    ),
    "restricted": (
        [
            ban(),
            ban(asset_id=None),
            ban(list_kind=None, asset_id=BAE),
            ban(valid_from=None, asset_id=BAE),
            ban(asset_id="US0378331006"),
            ban(asset_id=BAE, list_kind="grey"),
            ban(asset_id=BAE, valid_from=LATE),
            ban(asset_id=BAE, valid_to=D(2021, 1, 1)),
            ban(asset_id=VANGUARD),
            ban(asset_id=BAYER, _type_errors=["valid_to"]),
            ban(),
            ban(valid_to=LATE),
        ],
        {
            "type": 1,
            "asset_id_not_null": 1,
            "list_kind_not_null": 1,
            "valid_from_not_null": 1,
            "isin_check_digit": 1,
            "list_kind_in_set": 1,
            "date_not_after_as_of": 1,
            "valid_to_not_before_valid_from": 1,
            "exact_repeat": 1,
            "key_conflict": 2,
            "asset_known": 2,
        },
    ),
    "holdings": (
        [
            holding(),
            holding(),
            holding(customer_id=None),
            holding(asset_id=None),
            holding(asset_id=BAE, status=None),
            holding(asset_id=BAYER, status="lent"),
            holding(customer_id="bob", source="guess"),
            holding(customer_id="cid", last_date=LATE),
            holding(customer_id="dan", units=-2.0),
            holding(customer_id="eve", asset_id="FR0000000000"),
        ],
        {
            "customer_id_not_null": 1,
            "asset_id_not_null": 1,
            "status_not_null": 1,
            "status_in_set": 1,
            "source_in_set": 1,
            "date_not_after_as_of": 1,
            "holding_not_negative": 1,
            "asset_known": 1,
            "key_ascends": 2,
        },
    ),
    "recommendations": (
        [
            line(),
            line(rank=2),
            line(rank=4, asset_id=BAE, score=0.5),
            line(customer_id="bob", score=1.0),
            line(customer_id="bob", rank=2, asset_id=BAE, score=1.5),
            line(customer_id="bob", rank=3, asset_id=BAYER, score=float("nan")),
            line(customer_id="bob", rank=4, asset_id="FR0000000000", score=None),
            line(customer_id="nobody", reason=" ", eligibility="Fine.", explanation="attention"),
            line(customer_id=None, run_id=None, as_of=D(2021, 6, 29), model_id="", risk_level="bold", asset_risk=0),
            line(customer_id="bob", rank=5, asset_id=VANGUARD, score=0.1, reason_weights=[0.5, 0.5], reason_features=["sector"]),
            line(customer_id="bob", rank=None, asset_id=None, score=0.1, as_of=None, flags=None, profit_view=float("inf")),
        ],
        {
            "run_id_not_null": 1,
            "as_of_not_null": 1,
            "customer_id_not_null": 1,
            "rank_not_null": 1,
            "asset_id_not_null": 1,
            "score_not_null": 1,
            "flags_not_null": 1,
            "model_id_said": 1,
            "reason_said": 1,
            "risk_level_in_set": 1,
            "asset_risk_in_set": 1,
            "as_of_of_the_night": 1,
            "ranks_without_gap": 2,
            "score_finite": 1,
            "score_follows_rank": 2,
            "profit_view_finite": 1,
            "asset_once": 1,
            "asset_known": 2,
            "customer_known": 1,
            "reason_assets_weighed": 1,
            "reason_features_weighed": 1,
            "explanation_known": 1,
            "eligibility_of_the_profile": 2,
        },
    ),
}


@pytest.fixture
def known(tmp_path: Path, context: CheckContext) -> CheckContext:
    """A context in which Apple, BAE, Bayer, the markets XNGS and the customers ann and bob are accepted."""
    tables = {
        "assets": pl.DataFrame({"asset_id": [APPLE, BAE, BAYER]}),
        "markets": pl.DataFrame({"market_id": ["XNGS"]}),
        "customers": pl.DataFrame({"customer_id": ["ann", "bob"]}),
    }
    references = {}
    for name, frame in tables.items():
        references[name] = tmp_path / f"accepted_{name}.parquet"
        frame.write_parquet(references[name])
    return replace(context, references=references)


def landed_table(table: str, rows: list[dict[str, Any]], folder: Path) -> LandedTable:
    schema = {
        **CONTRACTS[table].schema,
        "_source_file": pl.String(),
        "_source_row": pl.Int64(),
        "_type_errors": pl.List(pl.String),
        "_raw": pl.String(),
    }
    full = [
        {name: row.get(name) for name in schema}
        | {"_source_file": f"{table}.csv", "_source_row": number, "_type_errors": row.get("_type_errors", [])}
        for number, row in enumerate(rows, start=1)
    ]
    path = folder / f"{table}.parquet"
    pl.DataFrame(full, schema=schema).write_parquet(path)
    files = (SourceFile(f"{table}.csv", "", 0, len(rows)),)
    return LandedTable(table, path, len(rows), len(rows), 0, files)


def test_every_contract_has_its_dirty_table() -> None:
    assert set(DIRTY) == set(CONTRACTS)


@pytest.mark.parametrize("table", sorted(DIRTY))
def test_every_bad_row_is_found_by_its_rules(table: str, tmp_path: Path, known: CheckContext) -> None:
    rows, expected = DIRTY[table]
    rules = {rule.rule_id: rule for rule in CONTRACTS[table].rules}
    landed = landed_table(table, rows, tmp_path)
    verdict = check_table(landed, tmp_path / "a.parquet", tmp_path / "q.parquet", tmp_path / "gx.json", known)
    failed = {rule.rule_id: rule.failed for rule in verdict.rules if rule.rule_id in rules and rule.failed}
    assert failed == expected
    for rule in verdict.rules:
        if rule.failed and rule.rule_id in rules:
            assert rule.outcome != "pass"
            assert rule.message.startswith(f"{table} ({table}.csv): ")
    quarantined = pl.read_parquet(tmp_path / "q.parquet")
    caught = {rule_id for ids in quarantined["rule_ids"].to_list() for rule_id in ids}
    assert caught == {rule_id for rule_id in expected if rules[rule_id].severity != "warn"}
    accepted = pl.read_parquet(tmp_path / "a.parquet")
    assert 1 in accepted["_source_row"].to_list() or CONTRACTS[table].made
    assert sorted([*accepted["_source_row"], *quarantined["_source_row"]]) == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("table", sorted(DIRTY))
def test_a_sound_row_breaks_no_rule(table: str, tmp_path: Path, known: CheckContext) -> None:
    landed = landed_table(table, DIRTY[table][0][:1], tmp_path)
    verdict = check_table(landed, tmp_path / "a.parquet", tmp_path / "q.parquet", tmp_path / "gx.json", known)
    assert [rule.rule_id for rule in verdict.rules if rule.outcome != "pass"] == []
    assert (verdict.accepted, verdict.quarantined, verdict.outcome) == (1, 0, "pass")
