"""The delivered holdings against the sum of trades: a verdict with counts, and the list by customer and asset."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from data_contracts import columns as c
from data_contracts.holdings import reconcile_at, reconciliation_counts
from data_contracts.verdicts import RuleVerdict, TableVerdict

# What the two sides say that the other does not; a position brought forward and unknown units are no contradiction.
DIFFERENT: Final = ("units_differ", "only_derived", "only_delivered")
# Of the positions that both sides speak of, a share that may contradict: where most do, the two files are not of the same
# books (another day, another unit), and what is derived from both is wrong. A position that only the trades know is not
# among them: a source may state holdings of some customers only.
LIMIT: Final = 0.5
_CONTRARY: Final = ("units_differ", "only_delivered")
_EXAMPLES = 3


def with_reconciliation(verdicts: list[TableVerdict], snapshot: Path, as_of: date, said_of: str) -> list[TableVerdict]:
    """The verdicts, that of the delivered holdings with its reconciliation; writes ``snapshot``/reconciliation.parquet.

    ``said_of``: the delivered holdings with their files, as messages name them.
    Nothing changes where the source states no holdings, or trades or closes are not among the accepted tables.
    """
    trades, closes, delivered = (snapshot / f"{name}.parquet" for name in ("transactions", "prices", "delivered_holdings"))
    stated = next((verdict for verdict in verdicts if verdict.table == "delivered_holdings"), None)
    if stated is None or not stated.accepted or not all(path.exists() for path in (trades, closes, delivered)):
        return verdicts
    day, pairs = reconcile_at(trades, closes, delivered, as_of)
    if day is None:
        return verdicts
    pairs.write_parquet(snapshot / "reconciliation.parquet")
    counts = reconciliation_counts(pairs)
    said = ", ".join(f"{kind.replace('_', ' ')} {number:,}" for kind, number in counts.items() if number)
    told = replace(
        stated,
        rules=(*stated.rules, _verdict(day, pairs, said_of)),
        notes=(*stated.notes, f"reconciled with the trades up to {day}, pairs of customer and asset: {said}"),
    )
    return [told if verdict is stated else verdict for verdict in verdicts]


def differences(pairs: pl.DataFrame) -> pl.DataFrame:
    """The pairs on which the two sides contradict each other, the largest difference first."""
    found = pairs.filter(pl.col("kind").is_in(DIFFERENT))
    return found.sort(pl.col("difference").abs(), c.CUSTOMER_ID, c.ASSET_ID, descending=[True, False, False])


def _verdict(day: date, pairs: pl.DataFrame, said: str) -> RuleVerdict:
    found = differences(pairs)
    compared = pairs.filter(pl.col("kind").is_in(("agree", *DIFFERENT))).height
    contrary = found.filter(pl.col("kind").is_in(_CONTRARY)).height
    stated = pairs.filter(pl.col("kind").is_in(("agree", *_CONTRARY))).height
    over = contrary > LIMIT * stated
    shown = tuple(
        f"{row[c.ASSET_ID]}, {row['difference']:+g} shares, {row['kind'].replace('_', ' ')}"
        for row in found.head(_EXAMPLES).iter_rows(named=True)
    )
    noun = "pair" if found.height == 1 else "pairs"
    beyond = f"; of {stated:,} that both sides state {contrary / stated:.1%}, the limit is {LIMIT:.1%}" if over else ""
    return RuleVerdict(
        table="delivered_holdings",
        rule_id="reconciled_with_trades",
        description=f"the positions of {day} are the sums of the trades up to that day, where the trades tell",
        columns=(c.CUSTOMER_ID, c.ASSET_ID, c.UNITS),
        severity="warn",
        outcome="block" if over else "warn" if found.height else "pass",
        failed=found.height,
        checked=compared,
        limit=LIMIT,
        remedy="see snapshot/reconciliation.parquet, or `nightfolio contracts reconcile`, for the list by customer and asset",
        examples=shown,
        message=f"{said}: {found.height:,} {noun} of customer and asset differ from the trades{beyond} (largest: {shown[0]})"
        if shown
        else "",
    )
