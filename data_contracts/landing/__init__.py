"""Readers: a named source format becomes the contract's tables, in Parquet, streaming, and as of a date."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Literal

from data_contracts.errors import LandingError
from data_contracts.landing import far_trans, nightfolio
from data_contracts.landing.landed import LandedTable, SourceFile
from data_contracts.landing.partitions import Partitions
from data_contracts.landing.unchanged import changed, changed_while_read, fault_while_changing, listing
from data_contracts.landing.unreadable import readable

__all__ = ["LandedTable", "SourceFile", "read_landing"]


def read_landing(
    source_format: Literal["far_trans", "nightfolio"],
    source: Path,
    into: Path,
    as_of: date,
    future_rows: Literal["withhold", "block"],
    time_zone: str = "UTC",
    partitions: Path | None = None,
) -> dict[str, LandedTable]:
    """Reads the files of ``source`` into canonical tables ``into``/TABLE.parquet.

    ``future_rows``: ``withhold`` replays a source that goes on after as_of (later rows are counted, not read);
    ``block`` reads them, so that the contract's rule ``date_not_after_as_of`` stops the night.
    ``time_zone``: the firm's; the day of a timestamp is the day there.
    ``delivered_holdings`` and ``markets`` are absent from the answer where the source has none; ``restricted`` is
    always there, without files where the source has no list. ``partitions``: folder in which what the files of
    prices and transactions became is kept from night to night (None: everything is read afresh).

    Raises LandingError, also where a file was written, replaced or removed while the source was read.
    """
    if not source.is_dir():
        raise LandingError(
            f"the source folder {source} does not exist" if not source.exists() else f"{source} is not a folder",
            remedy="give the folder that holds the landing files with --source",
        )
    kept = None if partitions is None else Partitions(partitions, time_zone)
    readers: dict[str, Callable[[], dict[str, LandedTable]]] = {
        "far_trans": lambda: far_trans.read_far_trans(source, into, as_of, future_rows, time_zone),
        "nightfolio": lambda: nightfolio.read_nightfolio(source, into, as_of, future_rows, time_zone, kept),
    }
    looks_for = {"far_trans": far_trans.looks_for, "nightfolio": nightfolio.looks_for}
    if source_format not in readers:
        raise LandingError(f"source format {source_format!r} is not known", remedy=f"choose one of {', '.join(readers)}")
    into.mkdir(parents=True, exist_ok=True)
    before = listing(source)
    try:
        with readable(f"{source_format} source {source.name}"):  # what no reader foresaw; they name their files
            tables = readers[source_format]()
    except (LandingError, OSError) as error:
        # A file caught half-written looks damaged, one caught between two others absent; what goes on is the better thing to say.
        after = listing(source)
        if others := changed(before, after, looks_for[source_format]):
            raise changed_while_read(others) from error
        if before != after:
            raise fault_while_changing(error) from error
        raise
    finally:
        shutil.rmtree(into / "plain", ignore_errors=True)
    read = [file.name for table in tables.values() for file in table.files]
    if others := changed(before, listing(source), looks_for[source_format], read):
        raise changed_while_read(others)
    if kept is not None:
        kept.sweep()
    return tables
