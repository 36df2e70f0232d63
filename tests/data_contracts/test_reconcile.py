"""Delivered holdings against the sum of trades: told in the verdict, listed by customer and asset."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import check_landing
from data_contracts.errors import ContractBlocked
from data_contracts.landing import read_landing
from data_contracts.reconcile import differences
from data_contracts.verdicts import TableVerdict

# Of the trades of conftest's source: ann holds 6 Apple and 10 BAE, bob 5 Apple.
STATED = """as_of_date,customer_id,asset_id,units
2021-06-30,ann,US0378331005,6
2021-06-30,ann,GB0002634946,12
2021-06-30,bob,GB0002634946,7
"""


def stated(source: Path, run: Path, context: CheckContext) -> TableVerdict:
    landed = read_landing("nightfolio", source, run / "landed", context.as_of, "block")
    (found,) = [verdict for verdict in check_landing(landed, run, context) if verdict.table == "delivered_holdings"]
    return found


def test_differences_are_counted_named_and_listed(source: Path, tmp_path: Path, context: CheckContext) -> None:
    (source / "holdings.csv").write_text(STATED, encoding="utf-8")
    verdict = stated(source, tmp_path, context)
    (rule,) = [rule for rule in verdict.rules if rule.rule_id == "reconciled_with_trades"]
    assert (rule.outcome, rule.failed, rule.checked) == ("warn", 2, 3)
    assert rule.message == (
        "delivered_holdings (holdings.csv): 2 pairs of customer and asset differ from the trades"
        " (largest: US0378331005, +5 shares, only derived)"
    )
    assert not any("ann" in text or "bob" in text for text in (rule.message, *rule.examples, *verdict.notes))
    assert verdict.notes == (
        "reconciled with the trades up to 2021-06-30, pairs of customer and asset:"
        " agree 1, units differ 1, only derived 1, opening position 1",
    )
    listed = differences(pl.read_parquet(tmp_path / "snapshot" / "reconciliation.parquet"))
    assert listed.select("customer_id", "asset_id", "difference", "kind").rows() == [
        ("bob", "US0378331005", 5.0, "only_derived"),
        ("ann", "GB0002634946", -2.0, "units_differ"),
    ]


def test_holdings_of_other_books_stop_the_night(source: Path, tmp_path: Path, context: CheckContext) -> None:
    """Two of three positions that both sides state contradict: more than half."""
    (source / "holdings.csv").write_text(STATED.replace("ann,US0378331005,6", "ann,US0378331005,600"), encoding="utf-8")
    with pytest.raises(ContractBlocked, match=r"\[reconciled_with_trades\]") as stop:
        stated(source, tmp_path, context)
    assert "3 pairs of customer and asset differ from the trades; of 2 that both sides state 100.0%, the limit is 50.0%" in str(
        stop.value
    )


def test_holdings_that_are_the_sums_pass(source: Path, tmp_path: Path, context: CheckContext) -> None:
    text = STATED.replace("GB0002634946,12", "GB0002634946,10").replace("bob,GB0002634946,7", "bob,US0378331005,5")
    (source / "holdings.csv").write_text(text, encoding="utf-8")
    verdict = stated(source, tmp_path, context)
    assert verdict.outcome == "pass"
    assert [(rule.failed, rule.checked) for rule in verdict.rules if rule.rule_id == "reconciled_with_trades"] == [(0, 3)]
