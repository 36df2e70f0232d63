"""What a check of the gate returns, and the words that several checks share."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from flows.sections.gate import Act, GateConfig
from reports.evidence import Check, Outcome

RANK: dict[Outcome, int] = {"pass": 0, "not_applicable": 0, "warn": 1, "not_measured": 1, "block": 2}
"""A check that ought to have been made and was not weighs as much as one that fails: see :meth:`Finding.enforced`."""

MAKE_IT = "Find out why it was not made; a check that is missing counts as a warning, or blocks where failing it does."


@dataclass(frozen=True)
class Subject:
    """What is checked: what it means where it does not hold, who answers for it, what to do, where the details stand."""

    id: str
    name: str
    area: str
    """One of :data:`reports.evidence.AREAS`."""
    fails: str
    """What it means where it does not hold, in words for somebody who knows no statistics."""
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
    missing: bool = False
    """It blocks because it was not made (:meth:`enforced`), not because it failed."""

    def enforced(self, settings: GateConfig) -> Finding:
        """Where failing the check blocks, so does not having made it: nobody knows that it would have held."""
        if self.outcome != "not_measured" or getattr(settings, self.subject.id) != "block":
            return self
        return replace(self, outcome="block", measured=f"not measured: {self.measured}", missing=True)

    def as_json(self) -> dict[str, Any]:
        about = self.subject
        missing = self.missing or self.outcome == "not_measured"
        return {
            "id": about.id,
            "name": about.name,
            "area": about.area,
            "outcome": self.outcome,
            "means": f"Not checked tonight: {about.name[:1].lower()}{about.name[1:]}." if missing else about.fails,
            "measured": self.measured,
            "threshold": self.threshold,
            "remedy": MAKE_IT if missing else about.remedy,
            "owner": about.owner,
            "link": about.link,
            "values": self.values,
        }


def as_check(line: dict[str, Any]) -> Check:
    """A line of ``gate.json`` as the pages show it."""
    return Check(**{name: line[name] for name in (field.name for field in fields(Check))})


def signed(value: float | None) -> str:
    """A difference with its sign; ``unknown`` where there is none (no interval from a single customer)."""
    return "unknown" if value is None else f"{value:+.4f}"


def interval(low: float | None, high: float | None) -> str:
    return f"[{signed(low)}, {signed(high)}]"
