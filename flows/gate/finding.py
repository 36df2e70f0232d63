"""What a check of the gate returns, and the words that several checks share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flows.sections.gate import Act
from reports.evidence import Check, Outcome

RANK: dict[Outcome, int] = {"pass": 0, "not_applicable": 0, "warn": 1, "not_measured": 1, "block": 2}
"""A check that ought to have been made and was not weighs as much as one that failed and warns."""


@dataclass(frozen=True)
class Subject:
    """What is checked: who answers for it, what to do where it fails, where the details stand."""

    id: str
    name: str
    owner: str
    remedy: str
    link: str

    def found(self, outcome: Outcome, measured: str, threshold: str, **values: Any) -> Finding:
        return Finding(self, outcome, measured, threshold, values)

    def judged(self, holds: bool, act: Act, measured: str, threshold: str, **values: Any) -> Finding:
        """``pass`` where it holds, else what the settings say that failing does."""
        return self.found("pass" if holds else act, measured, threshold, **values)

    def not_measured(self, why: str) -> Finding:
        """It ought to have been measured and was not: never a silent pass."""
        return self.found("not_measured", why, "measured in every run")

    def not_applicable(self, why: str) -> Finding:
        """There is nothing that it could be measured on."""
        return self.found("not_applicable", why, "–")


@dataclass(frozen=True)
class Finding:
    """One line of the gate's table."""

    subject: Subject
    outcome: Outcome
    measured: str
    threshold: str
    values: dict[str, Any] = field(default_factory=dict)
    """The numbers behind ``measured``."""

    def as_json(self) -> dict[str, Any]:
        about = self.subject
        return {
            "id": about.id,
            "name": about.name,
            "outcome": self.outcome,
            "measured": self.measured,
            "threshold": self.threshold,
            "remedy": about.remedy,
            "owner": about.owner,
            "link": about.link,
            "values": self.values,
        }


def as_check(line: dict[str, Any]) -> Check:
    """A line of ``gate.json`` as the pages show it."""
    return Check(*(line[name] for name in ("name", "outcome", "measured", "threshold", "remedy", "owner", "link", "id")))


def signed(value: float | None) -> str:
    """A difference with its sign; ``unknown`` where there is none (no interval from a single customer)."""
    return "unknown" if value is None else f"{value:+.4f}"


def interval(low: float | None, high: float | None) -> str:
    return f"[{signed(low)}, {signed(high)}]"
