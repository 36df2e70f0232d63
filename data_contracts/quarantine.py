"""The split of a flagged table: accepted rows on one side, quarantined rows with rule and reason on the other."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from data_contracts import columns as c
from data_contracts.contract import Contract, Rule
from data_contracts.storage import write_parquet


def split_rows(contract: Contract, flagged: pl.LazyFrame, accepted: Path, quarantine: Path) -> None:
    """Writes accepted rows in the order of their key, and quarantined rows in the order of the source."""
    setting_aside = [rule for rule in contract.rules if rule.severity != "warn"]
    names = [column.name for column in contract.columns]
    bad = pl.any_horizontal(~pl.col(rule.ok_column) for rule in setting_aside)
    good = flagged.filter(~bad).select(*names, c.SOURCE_ROW).sort(*contract.key, c.SOURCE_ROW)
    write_parquet(good, accepted)

    def listed(values: list[tuple[Rule, pl.Expr]], name: str) -> pl.Expr:
        parts = [pl.when(~pl.col(rule.ok_column)).then(value) for rule, value in values]
        return pl.concat_list(parts).list.drop_nulls().alias(name)

    aside = flagged.filter(bad).select(
        *names,
        listed([(rule, pl.lit(rule.rule_id)) for rule in setting_aside], c.RULE_IDS),
        listed([(rule, _reason(rule)) for rule in setting_aside], c.REASONS),
        c.SOURCE_FILE,
        c.SOURCE_ROW,
        c.RAW,
    )
    write_parquet(aside.sort(c.SOURCE_FILE, c.SOURCE_ROW), quarantine)


def _reason(rule: Rule) -> pl.Expr:
    """Why a row broke the rule, in words."""
    if rule.rule_id == "type":
        return pl.format("not of the column's type: {}", pl.col(c.TYPE_ERRORS).list.join(", "))
    return pl.lit(f"broken: {rule.description}")
