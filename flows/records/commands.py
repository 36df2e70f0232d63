"""`nightfolio approve`, `reject` and `verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.records import publication, tell
from flows.records import verify as verifying
from flows.run_store import RunStore

Home = Annotated[Path, typer.Option(envvar="NIGHTFOLIO_HOME", help="Where runs are made, published and found again.")]
HeldRun = Annotated[str, typer.Argument(help="Run id of a held run; `nightfolio runs` lists them.")]
By = Annotated[str, typer.Option(help="Who decides: becomes part of the record.")]
Why = Annotated[str, typer.Option(help="Why: becomes part of the record.")]
DEFAULT_HOME = Path("nightfolio_home")
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def approve(run: HeldRun, by: By, reason: Why, home: Home = DEFAULT_HOME) -> None:
    """Publish a held run: a person's decision, recorded with name and reason. A blocked run cannot be approved."""
    RunStore(home, write=False).find(run)
    tell.print_standing(console, publication.approve(RunStore(home), run, by, reason))


def reject(run: HeldRun, by: By, reason: Why, home: Home = DEFAULT_HOME) -> None:
    """Record that a held run is not to be published; it is kept, and what was in force stays in force."""
    RunStore(home, write=False).find(run)
    tell.print_standing(console, publication.reject(RunStore(home), run, by, reason))


def verify(
    run: Annotated[str | None, typer.Argument(help="Read the files of this run only; by default of every one.")] = None,
    head: Annotated[list[str] | None, typer.Option(help="SHA-256 of a head that was filed elsewhere; repeatable.")] = None,
    without_key: Annotated[bool, typer.Option(help="Do not check signatures: for who holds no record key.")] = False,
    json: Annotated[bool, typer.Option(help="Print JSON.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Walk the chain of records and every file of every published and held run; name what was altered (exit status 1)."""
    store = RunStore(home, write=False)
    if run is not None:
        store.find(run)
    said = Console(stderr=True, highlight=False)
    found = verifying.verify(
        store,
        heads=head or (),
        run_id=run,
        without_key=without_key,
        told=(lambda line: said.print(f"  {line}", style="dim")) if not json else (lambda _: None),
    )
    if json:
        typer.echo(tell.as_json(found))
    else:
        tell.print_verification(console, found)
    if found.faults:
        raise typer.Exit(1)


COMMANDS = (approve, reject, verify)
