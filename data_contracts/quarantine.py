"""The split of a flagged table: accepted rows on one side, quarantined rows with rule and reason on the other."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from data_contracts import columns as c
from data_contracts.contract import ROW, Rule
from data_contracts.flagged import FlaggedTable, TableCounts
from data_contracts.parts import link, part_files
from data_contracts.storage import write_parquet, write_parts


def split_rows(
    table: FlaggedTable,
    counts: TableCounts,
    landed: Path,
    accepted: Path,
    quarantine: Path,
    released: pl.Series,
    *,
    repaired: bool,
) -> pl.Series:
    """Writes accepted and quarantined rows, both in the order of the source; accepted in parts where ``landed`` has parts.

    A part of ``landed`` of which no row is set aside or ``repaired`` is linked, not written again. ``released``: rows
    (values of ROW) that are accepted whatever they broke. Returns the rows that are set aside, sorted.
    """
    contract, flagged = table.contract, table.frame
    setting_aside = [rule for rule in contract.rules if rule.severity != "warn"]
    broken = [rule for rule in setting_aside if counts.failed[rule.rule_id]]
    names = [column.name for column in contract.columns]
    aside = pl.Series(ROW, [], pl.get_index_type())
    if broken:
        bad = pl.any_horizontal(~pl.col(rule.ok_column) for rule in broken)
        aside = flagged.filter(bad).select(ROW).collect(engine="streaming")[ROW]
        aside = aside.filter(~aside.is_in(released.implode())).sort()
    _write_accepted(table.rows, aside, landed, accepted, [*names, c.SOURCE_FILE, c.SOURCE_ROW], repaired)
    set_aside = flagged.filter(pl.col(ROW).is_in(aside.implode())) if len(aside) else flagged.head(0)

    def listed(values: list[tuple[Rule, pl.Expr]], name: str) -> pl.Expr:
        parts = [pl.when(~pl.col(rule.ok_column)).then(value) for rule, value in values]
        return pl.concat_list(parts).list.drop_nulls().alias(name)

    with_reasons = set_aside.select(
        *names,
        listed([(rule, pl.lit(rule.rule_id)) for rule in setting_aside], c.RULE_IDS),
        listed([(rule, _reason(rule)) for rule in setting_aside], c.REASONS),
        c.SOURCE_FILE,
        c.SOURCE_ROW,
        c.RAW,
    )
    write_parquet(with_reasons, quarantine)
    return aside


def _write_accepted(rows: pl.LazyFrame, aside: pl.Series, landed: Path, accepted: Path, names: list[str], repaired: bool) -> None:
    """Links or writes each part of the table without the rows set ``aside`` (values of ROW, sorted)."""
    if landed.is_dir():
        accepted.mkdir(exist_ok=True)
    first, fresh = 0, {}
    for part in part_files(landed):
        to = accepted / part.name if landed.is_dir() else accepted
        footer = pq.read_metadata(part)
        last = first + int(footer.num_rows)
        here = aside.slice(*_between(aside, first, last))
        if here.is_empty() and not repaired and footer.schema.to_arrow_schema().names == names:
            link(part, to)
        else:
            kept = rows.slice(first, last - first).filter(~pl.col(ROW).is_in(here.implode()))
            fresh[to] = kept.select(names)
        first = last
    write_parts(fresh, accepted)


def _between(values: pl.Series, first: int, last: int) -> tuple[int, int]:
    """Offset and length of the sorted values in [first, last)."""
    start, end = (int(values.search_sorted(bound, side="left")) for bound in (first, last))
    return start, end - start


def _reason(rule: Rule) -> pl.Expr:
    """Why a row broke the rule, in words."""
    if rule.rule_id == "type":
        return pl.format("not of the column's type: {}", pl.col(c.TYPE_ERRORS).list.join(", "))
    return pl.lit(f"broken: {rule.description}")
