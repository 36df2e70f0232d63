"""What the chain says about each run: where it must lie, what was decided, what replaced it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from flows.records.record import Link, Record

State = Literal["published", "held", "blocked", "rejected"]


@dataclass
class Standing:
    """One run. ``records`` are those that speak of it, oldest first; ``retired`` the paths that were removed since."""

    run_id: str
    state: State
    manifest_sha256: str
    records: list[Link] = field(default_factory=list)
    supersedes: str | None = None
    superseded_by: str | None = None
    retired: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The folder of the home that the run lies in."""
        return "published" if self.state == "published" else "held"

    @property
    def last(self) -> Record:
        """The record that made the state what it is."""
        return next(link.record for link in reversed(self.records) if link.record.kind != "retired")


_FIRST: dict[str, State] = {"published": "published", "held": "held", "blocked": "blocked"}
_DECIDED: dict[str, State] = {"approved": "published", "rejected": "rejected"}


def standings(links: Iterable[Link]) -> tuple[dict[str, Standing], list[tuple[Record, str]]]:
    """Every run of the chain by id, in the order of its first record; and records that cannot follow those before them."""
    runs: dict[str, Standing] = {}
    odd: list[tuple[Record, str]] = []
    for link in links:
        record = link.record
        if record.kind in ("released", "withdrawn"):
            continue  # of rows of the run's quarantine, not of the run: see flows.records.releases
        run = runs.get(record.run_id)
        if record.kind in _FIRST:
            if run is not None or record.manifest_sha256 is None:
                odd.append((record, f"run {record.run_id} is recorded a second time"))
                continue
            run = runs[record.run_id] = Standing(record.run_id, _FIRST[record.kind], record.manifest_sha256)
        elif record.kind in _DECIDED:
            if run is None or run.state != "held" or record.manifest_sha256 != run.manifest_sha256:
                odd.append((record, f"run {record.run_id} was {record.kind} without being held as it is"))
                continue
            run.state = _DECIDED[record.kind]
        elif run is None:
            continue  # a failed run was removed: it was never part of the chain
        run.records.append(link)
        if record.kind == "retired":
            run.retired |= {one["path"]: one["sha256"] for one in record.detail["removed"]}
        if record.kind in ("published", "approved") and record.detail.get("supersedes"):
            run.supersedes = record.detail["supersedes"]
            if run.supersedes in runs:
                runs[run.supersedes].superseded_by = record.run_id
    return runs, odd


def in_force(links: Iterable[Link]) -> str | None:
    """The run that CURRENT must point at; None before the first publication."""
    current = None
    for link in links:
        if link.record.kind in ("published", "approved") and link.record.detail.get("current"):
            current = link.record.run_id
    return current


def last_publication(links: list[Link]) -> Record | None:
    """The newest record by which a run was published."""
    return next((link.record for link in reversed(links) if link.record.kind in ("published", "approved")), None)
