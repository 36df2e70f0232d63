"""Contracts are complete, and refuse to be written carelessly."""

from __future__ import annotations

import polars as pl
import pytest

from data_contracts.checkpoint import CONTRACTS
from data_contracts.contract import Contract, Rule
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


def test_a_rule_is_an_expression_or_a_search() -> None:
    with pytest.raises(ValueError, match="give either bad or search"):
        rule(bad=None)
    with pytest.raises(ValueError, match="give either bad or search"):
        rule(search=lambda rows, context: None)


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
