"""`nightfolio approve`, `reject`, `verify`, `replay`, `trace`, `pseudonym` and `retire`."""

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


def replay(
    run: Annotated[str | None, typer.Argument(help="Run id; by default the one in force.")] = None,
    source: Annotated[Path | None, typer.Option(help="Landing folder to start from too; a simulated one is made again.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Rebuild a run's recommendations from its recorded inputs and compare byte by byte (exit status 1: not equal)."""
    from flows.replay import replay as again

    result = again(RunStore(home, write=False), run, source)
    tell.print_replay(console, result)
    if not result.equal:
        raise typer.Exit(1)


def trace(
    customer: Annotated[str, typer.Argument(help="Customer id as in the source, or a pseudonym from a page.")],
    asset: Annotated[str, typer.Argument(help="Asset id (ISIN) as in the source.")],
    run: Annotated[str | None, typer.Option("--run", help="Run id; by default the one in force.")] = None,
    json: Annotated[bool, typer.Option(help="Print JSON.")] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Tell the whole story of one line: source rows, contracts, history, score, attention, rules, gate, decision, records."""
    import json as writing

    from flows.show_trace import print_story
    from flows.trace import trace as story_of

    story = story_of(RunStore(home, write=False), run, customer, asset)
    if json:
        typer.echo(writing.dumps(story, indent=1, default=str, ensure_ascii=False))
    else:
        print_story(console, story)


def pseudonym(
    customer: Annotated[str, typer.Argument(help="Customer id, or a pseudonym from a page.")],
    run: Annotated[str | None, typer.Option("--run", help="Run whose customers are looked through; by default CURRENT.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Map a customer id to the pseudonym on the pages, or back; for those who may read the pseudonym key."""
    from flows.pseudonyms import known_key, pseudonym, resolved

    store = RunStore(home, write=False)
    found = resolved(store.home, store.find(run), customer)
    typer.echo(f"{found}\t{pseudonym(known_key(store.home), found)}")


def retire(
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this nothing is removed.")] = False,
    preset: Annotated[str, typer.Option(help="Preset whose records.* settings apply.")] = "default",
    settings: Annotated[list[str] | None, typer.Option("--set", help="records.keep_days=3650, for example.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Remove inputs and models of old runs that nothing still needs, and old failed runs; each removal is a record."""
    from flows.config import load_config, parse_setting
    from flows.records import retention

    told = dict(parse_setting(text) for text in settings or [])
    store = RunStore(home, write=yes)
    source = {"source.path": "."} if preset in ("firm", "far_trans") else {}
    limits = load_config(preset, settings={**source, **told}).records
    runs = retention.retire(store, limits) if yes else retention.retirable(store, limits)
    for run in runs:
        typer.echo(f"{run.folder}/{run.run_id}  {len(run.removed):,} files, {run.bytes / 2**20:,.1f} MiB  {run.why}")
    size = sum(run.bytes for run in runs) / 2**20
    typer.echo(f"{'removed' if yes else 'would be removed (--yes removes it)'}: {len(runs):,} runs, {size:,.1f} MiB")


COMMANDS = (approve, reject, verify, replay, trace, pseudonym, retire)
