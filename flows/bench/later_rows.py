"""A source's later rows, altered, deleted or added to: what a night as of an earlier day must not notice.

Every dated table of the two layouts is known here with the column that dates its rows. Nothing dated up to as_of is
touched, and added rows come last, so that the numbers of the rows before stay what they were.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Literal

import polars as pl

Mutation = Literal["as it was", "altered", "deleted", "added"]
MUTATIONS: Final[tuple[Mutation, ...]] = ("altered", "deleted", "added")
ADDED_ROWS: Final = 300  # at most, to each table
_ROW, _DAY = "_row", "_day"


@dataclass(frozen=True)
class DatedFile:
    """A file of a layout: ``day`` dates its rows, ``window`` is the width of the window around it, ``fixed`` stays.

    ``answered``: a date within an older row that may lie after as_of, and the columns that are its answers.
    """

    table: str
    stem: str
    day: str
    window: str | None = None
    fixed: tuple[str, ...] = ()
    answered: tuple[str, tuple[str, ...]] | None = None
    newcomer: str | None = None  # the column of which some added rows get values that were never seen


_NIGHTFOLIO: Final = (
    DatedFile("transactions", "transactions", "date", "date_window_days", ("record_kind",), newcomer="customer_id"),
    DatedFile("prices", "prices", "date"),
    DatedFile(
        "customers",
        "customers",
        "valid_from",
        answered=("last_questionnaire_date", ("risk_level", "investment_capacity")),
        newcomer="customer_id",
    ),
    DatedFile("assets", "assets", "valid_from"),
    DatedFile("delivered_holdings", "holdings", "as_of_date"),
    DatedFile("restricted", "restricted", "valid_from", fixed=("valid_to",)),
)
_FAR_TRANS: Final = (
    DatedFile("transactions", "transactions", "timestamp", "dateWindowDays", ("source",), newcomer="customerID"),
    DatedFile("prices", "close_prices", "timestamp"),
    DatedFile(
        "customers",
        "customer_information",
        "timestamp",
        answered=("lastQuestionnaireDate", ("riskLevel", "investmentCapacity")),
        newcomer="customerID",
    ),
    DatedFile("assets", "asset_information", "timestamp"),
    DatedFile("delivered_holdings", "holdings_snapshots", "asOf"),
    DatedFile("restricted", "restricted_list", "valid_from", fixed=("valid_to",)),
)
LAYOUTS: Final[Mapping[str, tuple[DatedFile, ...]]] = {"nightfolio": _NIGHTFOLIO, "far_trans": _FAR_TRANS}
_PROVENANCE = "transactions_provenance"


def mutate(source: Path, layout: str, as_of: date, mutation: Mutation, into: Path) -> dict[str, int]:
    """Writes ``source`` to ``into`` with its rows after ``as_of`` mutated; how many rows of each table were touched.

    FAR-Trans has no restricted list: one with two rows of the past is put in, so that it can be mutated too.
    """
    into.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file():
            shutil.copy(path, into / path.name)
    if layout == "far_trans" and not list(into.glob("restricted_list*")):
        _restrict(into, as_of)
    touched = {}
    for file in LAYOUTS[layout]:
        found = sorted(into.glob(f"{file.stem}.*"))
        if found:
            touched[file.table] = _mutate_file(into, found[0], file, as_of, mutation)
    return touched


def _restrict(folder: Path, as_of: date) -> None:
    first = _read(next(folder.glob("asset_information*")))["ISIN"].head(2).to_list()
    lines = [f"{isin},restricted,{as_of.replace(day=1)},,of this bench" for isin in first]
    (folder / "restricted_list.csv").write_text("\n".join(["asset_id,list_kind,valid_from,valid_to,reason", *lines]) + "\n")


def _read(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)


def _write(frame: pl.DataFrame, path: Path) -> None:
    """In the place of ``path``; what was compressed is written plain."""
    if path.suffix == ".parquet":
        frame.write_parquet(path)
        return
    path.unlink()
    frame.write_csv(path.with_name(path.name.removesuffix(".gz")))


def _mutate_file(folder: Path, path: Path, file: DatedFile, as_of: date, mutation: Mutation) -> int:
    frame = _read(path)
    beside = sorted(folder.glob(f"{_PROVENANCE}.*")) if file.stem == "transactions" else []
    provenance = _read(beside[0]) if beside else None
    if provenance is not None:
        frame = frame.hstack(provenance.select("source", "dateFrom", "dateTo", "dateWindowDays"))
    frame = frame.with_row_index(_ROW).with_columns(_last_day(frame, file).alias(_DAY))
    later = (pl.col(_DAY) > as_of).fill_null(False)
    changed, touched = _CHANGES[mutation](frame, file, later, as_of)
    changed = changed.drop(_ROW, _DAY)
    if provenance is not None:
        aside = changed.select("source", "dateFrom", "dateTo", "dateWindowDays").with_row_index("row")
        _write(aside.with_columns(pl.col("row").cast(pl.String)), beside[0])
        changed = changed.drop("source", "dateFrom", "dateTo", "dateWindowDays")
    _write(changed, path)
    return touched


def _last_day(frame: pl.DataFrame, file: DatedFile) -> pl.Expr:
    """The last day on which what the row says can have happened."""
    day = pl.col(file.day).str.to_date(strict=False) if frame.schema[file.day] == pl.String() else pl.col(file.day)
    if file.window is None or file.window not in frame.columns:
        return day
    return day + pl.duration(days=(pl.col(file.window).cast(pl.Int32).fill_null(0) + 1) // 2)


def _redated(frame: pl.DataFrame, column: str, day: pl.Expr) -> pl.Expr:
    """``day`` in the column's own type."""
    return (day.dt.to_string("%Y-%m-%d") if frame.schema[column] == pl.String() else day.cast(frame.schema[column])).alias(column)


def _as_it_was(frame: pl.DataFrame, file: DatedFile, later: pl.Expr, as_of: date) -> tuple[pl.DataFrame, int]:
    return frame, 0


def _deleted(frame: pl.DataFrame, file: DatedFile, later: pl.Expr, as_of: date) -> tuple[pl.DataFrame, int]:
    return frame.filter(~later), int(frame.select(later.sum()).item())


def _altered(frame: pl.DataFrame, file: DatedFile, later: pl.Expr, as_of: date) -> tuple[pl.DataFrame, int]:
    """Every column of the later rows turned by a number of places of its own, and their days moved on."""
    rows = frame.filter(later)
    free = [name for name in rows.columns if name not in (_ROW, _DAY, file.day, file.window, *file.fixed)]
    turned = rows.with_columns(
        *(pl.col(name).gather((pl.int_range(pl.len()) + 3 + 2 * place) % pl.len()) for place, name in enumerate(free)),
        _redated(rows, file.day, pl.col(_DAY) + pl.duration(days=1 + pl.col(_ROW) % 9)),
    )
    changed = frame.update(turned.select(_ROW, file.day, *free), on=_ROW, include_nulls=True)
    touched = rows.height
    if file.answered is not None and file.answered[0] in frame.columns:
        asked, answers = file.answered[0], [name for name in file.answered[1] if name in frame.columns]
        day = pl.col(asked).str.to_date(strict=False) if frame.schema[asked] == pl.String() else pl.col(asked)
        ahead = frame.filter((day > as_of) & ~later).with_columns(
            _redated(frame, asked, day + pl.duration(days=3)),
            *(pl.col(name).gather((pl.int_range(pl.len()) + 5) % pl.len()) for name in answers),
        )
        changed = changed.update(ahead.select(_ROW, asked, *answers), on=_ROW, include_nulls=True)
        touched += ahead.height
    return changed, touched


def _added(frame: pl.DataFrame, file: DatedFile, later: pl.Expr, as_of: date) -> tuple[pl.DataFrame, int]:
    """Copies of rows, dated after as_of, with each other's values; every second of them of somebody new."""
    known = frame.filter(~later)
    known = known if known.height else frame
    taken = known.gather_every(max(1, known.height // ADDED_ROWS)).head(ADDED_ROWS)
    free = [name for name in taken.columns if name not in (_ROW, _DAY, file.day, file.window, *file.fixed)]
    copies = taken.with_columns(
        *(pl.col(name).gather((pl.int_range(pl.len()) + 1 + place) % pl.len()) for place, name in enumerate(free)),
        _redated(taken, file.day, pl.lit(as_of) + pl.duration(days=10 + pl.int_range(pl.len()) % 60)),
    )
    if file.newcomer is not None:
        every_second = pl.int_range(pl.len()) % 2 == 0
        name = pl.col(file.newcomer)
        copies = copies.with_columns(pl.when(every_second).then(name + "NEW").otherwise(name).alias(file.newcomer))
    return pl.concat([frame, copies.select(frame.columns)]), copies.height


_CHANGES: Final[dict[Mutation, Callable[[pl.DataFrame, DatedFile, pl.Expr, date], tuple[pl.DataFrame, int]]]] = {
    "as it was": _as_it_was,
    "altered": _altered,
    "deleted": _deleted,
    "added": _added,
}
