"""One way to spoil a delivery, and what must come of it: said beforehand, so that a trial can fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

# identical: every table is what it would have been. reported: the same, and a note says what was odd. repaired, warned,
# quarantined, blocked: a contract's rule says so. withheld: dated after as_of and not read. refused: a reader says so.
Outcome = Literal["identical", "reported", "repaired", "warned", "withheld", "quarantined", "blocked", "refused"]
OUTCOMES: tuple[Outcome, ...] = (
    "identical",
    "reported",
    "repaired",
    "warned",
    "withheld",
    "quarantined",
    "blocked",
    "refused",
)


Layout = Literal["far_trans", "nightfolio"]


@dataclass(frozen=True)
class Expected:
    """``count`` findings of ``rule`` on ``table``; of a refused delivery, what the message ``says`` and of which file.

    ``lost``: rows that are not accepted and would have been (negative: more), by table; every other table keeps all.
    ``in_bytes``: an identical outcome goes down to the bytes of the snapshot, row numbers included.
    """

    outcome: Outcome
    table: str = ""
    rule: str = ""
    count: int = 0
    says: str = ""
    file: str = ""
    lost: Mapping[str, int] = field(default_factory=dict)
    in_bytes: bool = False


@dataclass(frozen=True)
class Corruption:
    """``spoil`` changes a delivery in its folder. ``while_read``: it goes on doing so until the ingest has ended.

    ``first``: nothing was published before; else the sound delivery was. ``layout``: the format of the delivery.
    """

    name: str
    kind: str
    spoil: Callable[[Path], None]
    expected: Expected
    future_rows: Literal["withhold", "block"] = "block"
    while_read: bool = False
    first: bool = False
    layout: Layout = "far_trans"


def identical(*, in_bytes: bool = True) -> Expected:
    return Expected("identical", in_bytes=in_bytes)


def reported(table: str, says: str) -> Expected:
    return Expected("reported", table, says=says)


def repaired(table: str, rule: str, count: int, **lost: int) -> Expected:
    return Expected("repaired", table, rule, count, lost=lost)


def warned(table: str, rule: str, count: int, **lost: int) -> Expected:
    return Expected("warned", table, rule, count, lost=lost)


def withheld(table: str, count: int) -> Expected:
    return Expected("withheld", table, "", count, lost={table: count})


def quarantined(table: str, rule: str, count: int, **lost: int) -> Expected:
    """``count`` rows of ``table`` are lost unless ``lost`` says otherwise; other tables may lose what refers to them."""
    return Expected("quarantined", table, rule, count, lost={table: count, **lost})


def blocked(table: str, rule: str, count: int) -> Expected:
    return Expected("blocked", table, rule, count)


def refused(file: str, says: str) -> Expected:
    return Expected("refused", says=says, file=file)
