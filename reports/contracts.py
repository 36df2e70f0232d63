"""The verdicts of the contract checks as a page a person can read.

Input: the list in ``contracts/verdicts.json``, one mapping a table with the fields of a TableVerdict. A report must
not soften what a check said, so missing fields are errors, and row counts that do not add up are shown as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.pages import write_page

_WORST_FIRST = ("block", "quarantine", "warn", "repair", "pass")


@dataclass(frozen=True)
class TableSummary:
    """One table's line in the overview."""

    table: str
    contract_version: str
    landed: int
    read: int
    withheld: int
    accepted: int
    quarantined: int
    outcome: str
    rules: tuple[Mapping[str, Any], ...]
    """Worst outcome first, then by rule id."""

    contract_sha256: str = ""
    """Hash of what the contract says, so that one version is one text."""

    notes: tuple[str, ...] = ()
    """What the check did that a reader should know, e.g. which rows it took for what."""

    @property
    def conserved(self) -> bool:
        """Whether landed = read + withheld and read = accepted + quarantined."""
        return self.landed == self.read + self.withheld and self.read == self.accepted + self.quarantined

    @property
    def caught(self) -> tuple[Mapping[str, Any], ...]:
        """The rules that found something."""
        return tuple(rule for rule in self.rules if rule["outcome"] != "pass" or rule["failed"])


def table_summaries(verdicts: Sequence[Mapping[str, Any]]) -> tuple[TableSummary, ...]:
    """The verdicts in their own order, with the worst outcome of each table's rules."""
    return tuple(_summary(verdict) for verdict in verdicts)


def write_contracts_page(verdicts: Sequence[Mapping[str, Any]], target: Path) -> Path:
    """Write the page of all tables and rules to ``target``."""
    return write_page("contracts.html", target, tables=table_summaries(verdicts))


def _summary(verdict: Mapping[str, Any]) -> TableSummary:
    def place(rule: Mapping[str, Any]) -> tuple[int, bool, str]:
        return _WORST_FIRST.index(rule["outcome"]), not rule["failed"], str(rule["rule_id"])

    rules = tuple(sorted(verdict["rules"], key=place))
    return TableSummary(
        table=verdict["table"],
        contract_version=str(verdict["contract_version"]),
        landed=verdict["landed"],
        read=verdict["read"],
        withheld=verdict["withheld"],
        accepted=verdict["accepted"],
        quarantined=verdict["quarantined"],
        outcome=rules[0]["outcome"] if rules else "pass",
        rules=rules,
        contract_sha256=str(verdict.get("contract_sha256", "")),
        notes=tuple(verdict.get("notes", ())),
    )
