"""What a reader hands on: the landed table on disk, where it came from, and how many rows were left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SourceFile:
    """One file of the source as it lay there: ``sha256`` and ``bytes`` are of the file itself, still compressed."""

    name: str
    sha256: str
    bytes: int
    rows: int


@dataclass(frozen=True)
class LandedTable:
    """A canonical table in Parquet, types converted, nothing judged yet.

    ``landed`` rows lay in the source, ``read`` of them are in ``path``, ``withheld`` are dated after as_of and were
    not read. ``notes`` say what else the reader did, with counts. ``columns``: kind of every column of the source by its
    name, ", not read" behind it where the reader has no use for it. ``left_out``: columns of the contract that the source
    does not deliver, with the kind they ask for. ``without_amount``: trades that are read as dated_only because the
    source gives no value or no units; None where the source says itself what is known of a trade. ``unlike``: in what its
    files differ from one another, in words.
    """

    table: str
    path: Path
    landed: int
    read: int
    withheld: int
    files: tuple[SourceFile, ...]
    notes: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    without_amount: int | None = None
    unlike: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.landed != self.read + self.withheld:
            raise ValueError(f"{self.table}: {self.landed} rows landed, but {self.read} were read and {self.withheld} withheld")

    @property
    def said(self) -> str:
        """The table with its files, as messages name it: ``prices (close_prices.csv.gz)``."""
        names = [file.name for file in self.files]
        shown = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
        if names:
            return f"{self.table} ({shown})"
        return self.table if self.read else f"{self.table} (no file)"
