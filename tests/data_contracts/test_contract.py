"""Contracts are complete, and refuse to be written carelessly."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from data_contracts.checkpoint import CONTRACTS
from data_contracts.contract import Contract, Rule
from data_contracts.price_searches import price_jumps
from data_contracts.rules import not_null, type_rule


def rule(**changes: object) -> Rule:
    given: dict[str, object] = {
        "rule_id": "r",
        "description": "d",
        "columns": ("x",),
        "severity": "warn",
        "complaint": "{is} odd",
        "remedy": "mend it",
        "bad": pl.col("x").is_null(),
    }
    return Rule(**(given | changes))  # type: ignore[arg-type]


# A contract that says something else than at its version would make two runs of one version incomparable: whoever
# changes a column, a repair or a rule raises the version and puts the new hash beside it here.
PINNED = {
    "assets": ("4", "27fb8bef6bba4b47"),
    "markets": ("2", "c2d7d29b766295af"),
    "customers": ("4", "26c1e50388eabfeb"),
    "prices": ("3", "f7991e4eb5a89e1c"),
    "transactions": ("6", "4f4b22a15adb54bb"),
    "delivered_holdings": ("3", "504d56cd3c2ecd77"),
    "restricted": ("5", "1f030babc8826c53"),
    "holdings": ("3", "a39737b020b0d198"),
    "recommendations": ("1", "e085e9d69e0eb482"),
}


def test_what_a_contract_says_changes_only_with_its_version() -> None:
    assert {name: (contract.version, contract.sha256[:16]) for name, contract in CONTRACTS.items()} == PINNED


def test_the_hash_sees_a_changed_bound_severity_search_and_column() -> None:
    prices = CONTRACTS["prices"]
    (outlier,) = [r for r in prices.rules if r.rule_id == "price_outlier"]
    others = tuple(r for r in prices.rules if r is not outlier)
    changed = [
        replace(prices, rules=(*others, replace(outlier, limit=0.5))),
        replace(prices, rules=(*others, replace(outlier, severity="warn"))),
        replace(prices, rules=(*others, replace(outlier, search=price_jumps("outlier", 5, 4)))),
        replace(prices, rules=(*others, replace(outlier, search=None, bad=pl.col("close") > 1.0))),
        replace(prices, rules=(*others, replace(outlier, search=None, bad=pl.col("close") > 2.0))),
        replace(prices, columns=(*prices.columns[:2], replace(prices.columns[2], nullable=True))),
        replace(prices, repairs=()),
    ]
    hashes = {contract.sha256 for contract in (replace(prices, rules=(*others, outlier)), *changed)}
    assert len(hashes) == len(changed) + 1


def test_a_rule_is_an_expression_or_a_search() -> None:
    with pytest.raises(ValueError, match="give either bad or search"):
        rule(bad=None)
    with pytest.raises(ValueError, match="give either bad or search"):
        rule(search=lambda rows, context: None)


def test_a_table_that_the_night_makes_sets_nothing_aside() -> None:
    with pytest.raises(ValueError, match="neither repaired nor quarantined"):
        Contract("t", "1", "", ("x",), (), (type_rule(),), made=True)


def test_a_limit_is_a_share() -> None:
    with pytest.raises(ValueError, match="is not a share between 0 and 1"):
        rule(limit=5.0)


def test_rule_ids_are_used_once() -> None:
    with pytest.raises(ValueError, match="a rule id is used twice"):
        Contract("t", "1", "", ("x",), (), (type_rule(), type_rule()))


def test_column_by_name() -> None:
    assert CONTRACTS["prices"].column("close").unit == "EUR per unit"
    with pytest.raises(KeyError):
        CONTRACTS["prices"].column("open")


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_every_rule_is_counted_by_the_second_engine(contract: Contract) -> None:
    assert [r.rule_id for r in contract.rules if r.expectation is None] == []


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_every_rule_says_what_to_do(contract: Contract) -> None:
    for r in contract.rules:
        assert r.remedy
        assert r.description
        assert "{is}" in r.complaint or "{has}" in r.complaint


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_key_columns_may_not_be_null_unless_said(contract: Contract) -> None:
    ids = {r.rule_id for r in contract.rules}
    for name in contract.key:
        assert contract.column(name).nullable or not_null(name).rule_id in ids


def test_read_contracts_cover_a_dated_table_with_the_look_ahead_rule() -> None:
    for contract in CONTRACTS.values():
        if contract.date_column is not None:
            assert any(r.rule_id == "date_not_after_as_of" and r.severity == "block" for r in contract.rules)
