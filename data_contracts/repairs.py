"""Repairs: documented changes of values that can mean only one thing, made and counted before any rule is asked.

What was there before and what became of it is kept, row by row, in ``quarantine/repairs_TABLE.parquet``; a repaired
row is an accepted or a quarantined row like any other, so rows are conserved as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from data_contracts import columns as c
from data_contracts.coded_table import CodedTable
from data_contracts.contract import Contract, Repair
from data_contracts.printable import printable
from data_contracts.storage import write_parquet
from data_contracts.verdicts import RuleVerdict, rows

RESIDUE: Final = 1e-9  # shares; sums of fractions leave residues, and fund units are booked to three or four decimals

REPAIR_ID: Final = "repair_id"
COLUMN: Final = "column"
BEFORE: Final = "before"
AFTER: Final = "after"
_EXAMPLES = 3


def blanks_stripped(column: str, example: str) -> Repair:
    """Blanks around a text: an export of fixed width, or a hand in a spreadsheet."""
    value = pl.col(column).str.strip_chars()  # a view: comparing it with the text costs less than a pattern
    return Repair(
        repair_id=f"{column}_blanks",
        description=f"blanks around {column} are taken off",
        column=column,
        when=pl.col(column) != value,
        value=value,
        remedy=f"export {column} without surrounding blanks",
        breaks=({column: f" {example} "},),
        keeps=({column: example},),
    )


def code_spelt(column: str, codes: Sequence[str]) -> Repair:
    """A code of a closed list in capitals: the contract's spelling is lower case with underscores."""
    value = pl.col(column).str.strip_chars().str.to_lowercase().str.replace_all(r"[\s\-]+", "_")
    return Repair(
        repair_id=f"{column}_spelling",
        description=f"{column} in capitals, with blanks or hyphens is spelt as the contract spells it",
        column=column,
        when=~pl.col(column).is_in(list(codes)) & value.is_in(list(codes)),
        suspect=~pl.col(column).is_in(list(codes)),
        value=value,
        remedy=f"export {column} as one of: {', '.join(codes)}",
        breaks=({column: f" {codes[0].title()} "},),
        keeps=({column: codes[0]},),
    )


def isin_capitals() -> Repair:
    """An ISIN in small letters or with blanks around it: the standard knows capitals only."""
    value = pl.col(c.ASSET_ID).str.strip_chars().str.to_uppercase()
    return Repair(
        repair_id="isin_spelling",
        description="an ISIN is spelt in capitals and without surrounding blanks",
        column=c.ASSET_ID,
        suspect=pl.col(c.ASSET_ID).str.contains(r"[a-z\s]"),
        when=pl.col(c.ASSET_ID).str.contains(r"[a-z\s]") & value.str.contains(r"^[A-Z]{2}[A-Z0-9]{9}[0-9]$"),
        value=value,
        remedy="export ISINs in capitals",
        breaks=({c.ASSET_ID: " us0378331005"},),
        keeps=({c.ASSET_ID: "US0378331005"},),
    )


def day_padded(column: str) -> Repair:
    """A day without leading zeros, read by the reader for what it can only be: the contract's spelling is YYYY-MM-DD."""
    text = pl.col(c.RESPELT).str.json_path_match(f"$.{column}")
    return Repair(
        repair_id=f"{column}_padded",
        description=f"{column} without leading zeros (2021-6-3) is the day that it can only be",
        column=column,
        suspect=pl.col(c.RESPELT).is_not_null(),
        when=text.is_not_null(),
        value=pl.col(column),
        before=text,
        remedy="export days as YYYY-MM-DD",
        breaks=({c.RESPELT: f'{{"{column}": "2021-6-3"}}'},),
        keeps=({c.RESPELT: '{"another_day": "2021-6-3"}'},),
    )


def residue_cleared(column: str) -> Repair:
    """What a sum of fractions leaves where nothing is left, and the negative zero."""
    negative_zero = (pl.col(column) == 0.0) & (1.0 / pl.col(column) < 0.0)
    return Repair(
        repair_id=f"{column}_residue",
        description=f"{column} of less than {RESIDUE:g} either way is 0: a residue of sums of fractions",
        column=column,
        when=((pl.col(column).abs() < RESIDUE) & (pl.col(column) != 0.0)) | negative_zero,
        value=pl.lit(0.0),
        remedy=f"round {column} to the decimals in which it is booked",
        breaks=({column: -1e-14},),
        keeps=({column: 0.0},),
    )


def repair_table(
    contract: Contract, table: pl.LazyFrame, said: str, checked: int, path: Path, coded: CodedTable | None = None
) -> tuple[pl.LazyFrame, tuple[RuleVerdict, ...]]:
    """The table with every repair made, and how many of each there were. Each column has one repair at most.

    ``table``: as landed, with its columns of provenance; ``said``: its name in messages; ``checked``: its
    rows. Writes [source file, source row, repair, column, before, after] of every repair to ``path``; no file where
    nothing was repaired. A table that needs no repair, which is the rule, costs one pass of counting and is handed back
    as it is. ``coded``: distinct texts of columns; one in which none needs a repair is not looked at row by row.
    """
    if not contract.repairs:
        return table, ()
    suspects = {r.repair_id: r.when if r.suspect is None else r.suspect for r in contract.repairs}
    sound = {r.repair_id for r in contract.repairs if coded and r.column in coded and not _any(coded, r)}
    counts = dict.fromkeys(sound, 0) | _count(table, {name: mark for name, mark in suspects.items() if name not in sound})
    for r in contract.repairs:
        if r.suspect is not None and counts[r.repair_id]:
            counts |= _count(table.filter(r.suspect), {r.repair_id: r.when})
    needed = [repair for repair in contract.repairs if counts[repair.repair_id]]
    path.unlink(missing_ok=True)
    if needed:
        write_parquet(pl.concat([_changes(table, repair) for repair in needed]), path)
        table = table.with_columns(
            pl.when(r.when.fill_null(False)).then(r.value).otherwise(pl.col(r.column)).alias(r.column) for r in needed
        )
    made = pl.scan_parquet(path) if needed else pl.LazyFrame()
    verdicts = (_verdict(contract.table, said, r, counts[r.repair_id], checked, made) for r in contract.repairs)
    return table, tuple(verdicts)


def _any(coded: CodedTable, repair: Repair) -> bool:
    """Whether the repair, which looks at its own column alone, changes one of the column's distinct texts."""
    texts = coded[repair.column].texts.to_frame(repair.column)
    return bool(texts.select(repair.when.fill_null(False).any()).item())


def _count(table: pl.LazyFrame, marks: Mapping[str, pl.Expr]) -> dict[str, int]:
    """In how many rows each of the expressions is true."""
    sums = (mark.fill_null(False).sum().cast(pl.Int64).alias(name) for name, mark in marks.items())
    return {name: int(count) for name, count in table.select(sums).collect(engine="streaming").row(0, named=True).items()}


def _changes(table: pl.LazyFrame, repair: Repair) -> pl.LazyFrame:
    """What one repair changes, row by row."""
    return table.filter(repair.when.fill_null(False)).select(
        c.SOURCE_FILE,
        c.SOURCE_ROW,
        pl.lit(repair.repair_id).alias(REPAIR_ID),
        pl.lit(repair.column).alias(COLUMN),
        (pl.col(repair.column).cast(pl.String) if repair.before is None else repair.before).alias(BEFORE),
        repair.value.cast(pl.String).alias(AFTER),
    )


def _verdict(table: str, said: str, repair: Repair, made: int, checked: int, changes: pl.LazyFrame) -> RuleVerdict:
    """The outcome of one repair; its examples show values only where they identify nobody."""
    shown = []
    if made:
        for row in changes.filter(pl.col(REPAIR_ID) == repair.repair_id).head(_EXAMPLES).collect().iter_rows(named=True):
            change = f", '{printable(row[BEFORE])}' became '{printable(row[AFTER])}'"
            shown.append(f"row {row[c.SOURCE_ROW]:,}" + ("" if repair.column in c.IDENTIFYING else change))
    return RuleVerdict(
        table=table,
        rule_id=repair.repair_id,
        description=repair.description,
        columns=(repair.column,),
        severity="repair",
        outcome="repair" if made else "pass",
        failed=made,
        checked=checked,
        limit=1.0,
        remedy=repair.remedy,
        examples=tuple(shown),
        message=f"{said}: {rows(made)} repaired: {repair.description} (first: {shown[0]})" if made else "",
    )
