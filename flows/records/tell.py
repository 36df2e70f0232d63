"""What the command line prints about records, decisions and verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from flows.records.chain import Chain, head_of
from flows.records.standing import Standing, State, standings
from flows.records.verify import Verification
from flows.run_store import RunStore

if TYPE_CHECKING:  # its steps import the orchestrator, which takes seconds
    from flows.replay import Replay

_SHOWN = 200


def standings_of(store: RunStore) -> dict[str, Standing]:
    """What the chain says about each run."""
    return standings(Chain(store.home).links())[0]


def note(run: Standing) -> str:
    """What a list of runs says beside one; empty for a publication that nobody decided on and nothing replaced."""
    last = run.last
    parts = []
    if last.kind in ("approved", "rejected"):
        parts.append(f"{last.kind} by {last.by}: {last.reason}")
    elif run.state == "held":
        parts.append(f"waits for a decision: nightfolio approve {run.run_id} --by NAME --reason TEXT, or reject")
    elif run.state == "blocked":
        parts.append(f"BLOCKED, not published: {'; '.join(last.detail['checks']) or 'see its gate.json'}")
    if run.supersedes:
        parts.append(f"corrects {run.supersedes}" + (f": {last.reason}" if last.kind == "published" and last.reason else ""))
    if run.superseded_by:
        parts.append(f"superseded by {run.superseded_by}")
    if run.retired:
        parts.append(f"{len(run.retired)} files retired")
    return ", ".join(parts)


def print_standing(console: Console, run: Path) -> State | None:
    """The run's place in the chain and, loudly, that a blocked or held run is not in force. Returns its state."""
    store = RunStore(run.parent.parent, write=False)
    standing = standings_of(store).get(run.name)
    if standing is None:
        if run.parent.name == "published":
            console.print(f"[bold red]no record speaks of run {run.name}[/]: `nightfolio verify` says more")
        return None
    colour = {"published": "", "held": "bold yellow", "blocked": "bold red", "rejected": "bold yellow"}[standing.state]
    said = ", ".join(part for part in (f"{standing.state} (record {standing.last.number})", note(standing)) if part)
    console.print(f"{'record':<16}{escape(said)}", style=colour or None, soft_wrap=True)
    current = store.current()
    if standing.state == "published" and current is not None and current.name != run.name:
        console.print(f"{'':<16}in force is {current.name}")
    elif standing.state != "published":
        console.print(f"{'':<16}in force stays {current.name}" if current else f"{'':<16}nothing is in force", style=colour)
    head = head_of(Chain(store.home).links())
    console.print(
        f"{'head':<16}{head.sha256}  (record {head.number}; file it elsewhere: nightfolio verify --head)", soft_wrap=True
    )
    return standing.state


def print_verification(console: Console, found: Verification) -> None:
    """Every fault, then the figures."""
    for fault in found.faults[:_SHOWN]:
        console.print(f"[red]{escape(fault.where)}[/]: {escape(fault.what)}", soft_wrap=True)
    if len(found.faults) > _SHOWN:
        console.print(f"... and {len(found.faults) - _SHOWN:,} more")
    for note in found.notes:
        console.print(f"note: {escape(note)}", style="yellow", soft_wrap=True)
    verdict = f"[bold red]{len(found.faults):,} altered[/]"
    if not found.faults:
        verdict = "[yellow]everything that could be checked is as it was recorded; mind the notes above[/]"
        verdict = verdict if found.notes else "[green]everything is as it was recorded[/]"
    rate = found.bytes / 2**20 / max(found.seconds, 1e-9)
    console.print(
        f"{verdict}: {found.records:,} records, {found.runs:,} runs, {found.files:,} files, {found.bytes:,} bytes "
        f"in {found.seconds:.2f} s ({rate:,.0f} MiB/s)\nhead {found.head.sha256} (record {found.head.number})",
        soft_wrap=True,
    )


def print_replay(console: Console, found: Replay) -> None:
    """What differs file by file, and the verdict."""
    for warning in found.warnings:
        console.print(f"note: {escape(warning)}", style="yellow", soft_wrap=True)
    for file in found.files:
        if file.verdict != "equal" or "/" not in file.path:
            console.print(
                f"{file.verdict:<14}{escape(file.path)}", style=None if file.verdict == "equal" else "red", soft_wrap=True
            )
    equal = sum(file.verdict == "equal" for file in found.files)
    verdict = "[green]equal, byte by byte[/]" if found.equal else "[bold red]NOT equal[/]"
    console.print(
        f"run {found.run_id} replayed from {found.started_from}: {verdict} "
        f"({equal:,} of {len(found.files):,} files equal, {found.seconds:.1f} s)",
        soft_wrap=True,
    )


def as_json(found: Verification) -> str:
    """The same for machines."""
    content = {
        "altered": [{"where": fault.where, "what": fault.what} for fault in found.faults],
        "notes": list(found.notes),
        "head": found.head.sha256,
        **{name: getattr(found, name) for name in ("records", "runs", "files", "bytes", "seconds")},
    }
    return json.dumps(content, indent=1, ensure_ascii=False)
