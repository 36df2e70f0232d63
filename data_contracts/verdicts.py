"""What a check found: a verdict per rule and per table, and the sentences in which it is told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from data_contracts.errors import ContractBlocked

Outcome = Literal["pass", "repair", "warn", "quarantine", "block"]
_WORSE: dict[Outcome, int] = {"pass": 0, "repair": 1, "warn": 2, "quarantine": 3, "block": 4}


@dataclass(frozen=True)
class RuleVerdict:
    """One rule on one table. ``failed`` of ``checked`` rows broke it; ``limit`` is the share above which it blocks.

    ``examples``: row numbers of the source file with values of columns that identify nobody. ``message`` is the
    finding in one sentence, empty where nothing failed. ``released``: so many of the failed rows a steward let pass.
    """

    table: str
    rule_id: str
    description: str
    columns: tuple[str, ...]
    severity: str
    outcome: Outcome
    failed: int
    checked: int
    limit: float
    remedy: str
    examples: tuple[str, ...]
    message: str = ""
    released: int = 0


@dataclass(frozen=True)
class TableVerdict:
    """One table: read = accepted + quarantined, landed = read + withheld.

    ``contract_sha256``: hash of what the contract says. ``releases``: numbers of the records by which a steward let a row of
    it pass. ``source_columns``: name and kind of every column of the source,
    to be compared with the next delivery.
    """

    table: str
    contract_version: str
    landed: int
    read: int
    withheld: int
    accepted: int
    quarantined: int
    rules: tuple[RuleVerdict, ...]
    notes: tuple[str, ...] = ()
    contract_sha256: str = ""
    source_columns: Mapping[str, str] = field(default_factory=dict)
    releases: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.read != self.accepted + self.quarantined:
            raise RuntimeError(
                f"{self.table}: {self.read} rows read, but {self.accepted} accepted and {self.quarantined} quarantined"
            )
        if self.landed != self.read + self.withheld:
            raise RuntimeError(f"{self.table}: {self.landed} rows landed, {self.read} read, {self.withheld} withheld")

    @property
    def outcome(self) -> Outcome:
        """The worst outcome among the rules."""
        return max((rule.outcome for rule in self.rules), key=_WORSE.__getitem__, default="pass")

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the tables of a verdict page are made from it."""
        return {**asdict(self), "outcome": self.outcome}


def write_verdicts(path: Path, verdicts: Sequence[TableVerdict]) -> None:
    """All verdicts of a night as one JSON list."""
    text = json.dumps([verdict.as_dict() for verdict in verdicts], indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_verdicts(path: Path) -> list[TableVerdict]:
    """What :func:`write_verdicts` wrote."""

    def rule(entry: dict[str, Any]) -> RuleVerdict:
        return RuleVerdict(**{**entry, "columns": tuple(entry["columns"]), "examples": tuple(entry["examples"])})

    return [
        TableVerdict(
            **{name: value for name, value in entry.items() if name not in ("outcome", "rules", "notes", "releases")},
            rules=tuple(rule(one) for one in entry["rules"]),
            releases=tuple(entry.get("releases", ())),
            notes=tuple(entry["notes"]),
        )
        for entry in json.loads(path.read_text(encoding="utf-8"))
    ]


def raise_if_blocked(verdicts: Sequence[TableVerdict], where: Path) -> None:
    """Raises ContractBlocked listing every blocking rule with its counts and remedy."""
    blocking = [rule for verdict in verdicts for rule in verdict.rules if rule.outcome == "block"]
    if not blocking:
        return
    noun = "rule stops" if len(blocking) == 1 else "rules stop"
    lines = [f"{len(blocking)} contract {noun} the night"]
    for rule in blocking:
        lines += [f"  {rule.message} [{rule.rule_id}]", f"    remedy: {rule.remedy}"]
    raise ContractBlocked(
        "\n".join(lines),
        remedy=f"correct the source and run again; every row set aside lies with its reason in {where / 'quarantine'}",
    )


def rows(count: int) -> str:
    """1 row, 2 rows, 12,345 rows."""
    return "1 row" if count == 1 else f"{count:,} rows"
