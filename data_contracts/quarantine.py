"""The split of a flagged table: accepted rows on one side, quarantined rows with rule and reason on the other."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import ROW, Rule
from data_contracts.flagged import FlaggedTable, TableCounts
from data_contracts.storage import write_parquet


def split_rows(table: FlaggedTable, counts: TableCounts, accepted: Path, quarantine: Path, released: pl.Series) -> None:
    """Writes accepted and quarantined rows, both in the order of the source.

    ``released``: rows (values of ROW) that are accepted whatever they broke.
    """
    contract, flagged = table.contract, table.frame
    setting_aside = [rule for rule in contract.rules if rule.severity != "warn"]
    broken = [rule for rule in setting_aside if counts.failed[rule.rule_id]]
    names = [column.name for column in contract.columns]
    bad = pl.any_horizontal(pl.lit(False), *(~pl.col(rule.ok_column) for rule in broken))
    if len(released):
        bad = bad & ~pl.col(ROW).is_in(released.implode())
    write_parquet((flagged.filter(~bad) if broken else flagged).select(*names, c.SOURCE_ROW), accepted)
    set_aside = flagged.filter(bad) if broken else flagged.head(0)

    def listed(values: list[tuple[Rule, pl.Expr]], name: str) -> pl.Expr:
        parts = [pl.when(~pl.col(rule.ok_column)).then(value) for rule, value in values]
        return pl.concat_list(parts).list.drop_nulls().alias(name)

    aside = set_aside.select(
        *names,
        listed([(rule, pl.lit(rule.rule_id)) for rule in setting_aside], c.RULE_IDS),
        listed([(rule, _reason(rule)) for rule in setting_aside], c.REASONS),
        c.SOURCE_FILE,
        c.SOURCE_ROW,
        c.RAW,
    )
    write_parquet(aside, quarantine)


def _reason(rule: Rule) -> pl.Expr:
    """Why a row broke the rule, in words."""
    if rule.rule_id == "type":
        return pl.format("not of the column's type: {}", pl.col(c.TYPE_ERRORS).list.join(", "))
    return pl.lit(f"broken: {rule.description}")
