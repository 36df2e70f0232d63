"""``nightfolio contracts …``: what the data must be, and whether a landing folder is, without running a night."""

from __future__ import annotations

import sys
import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape

from data_contracts.errors import ConfigError, ContractBlocked, RunNotFound
from data_contracts.verdicts import TableVerdict
from flows.show_table import new_table

contracts = typer.Typer(name="contracts", help="What the data must be: read it, ask it of a folder.", no_args_is_help=True)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)

# The preset whose limits a format is asked with.
_PRESETS = {"far_trans": "far_trans", "nightfolio": "firm"}


@contracts.callback()
def _contracts() -> None:
    """What the data must be: read it, ask it of a folder."""


@contracts.command()
def show(table: Annotated[str | None, typer.Argument(help="One table; by default an overview of all.")] = None) -> None:
    """List the contracts with their versions, or one with its columns, repairs and rules."""
    from data_contracts.checkpoint import CONTRACTS
    from data_contracts.contract_docs import contract_page

    if table is None:
        overview = new_table("<table", "version", "<sha256", "columns", "repairs", "rules", "<what it is")
        for one in CONTRACTS.values():
            counts = (str(len(one.columns)), str(len(one.repairs)), str(len(one.rules)))
            overview.add_row(one.table, one.version, one.sha256[:16], *counts, one.description)
        console.print(overview)
        return
    if table not in CONTRACTS:
        raise RunNotFound(f"no contract is called {table!r}", remedy=f"name one of {', '.join(CONTRACTS)}")
    console.print(escape(contract_page(CONTRACTS[table])), soft_wrap=True)


@contracts.command()
def docs(out: Annotated[Path, typer.Option(help="Folder for index.md and one page a table.")]) -> None:
    """Write the contracts as Markdown pages, made from the rules that the night asks."""
    from data_contracts.checkpoint import CONTRACTS
    from data_contracts.contract_docs import write_docs

    for page in write_docs(CONTRACTS, out):
        console.print(str(page), soft_wrap=True)


@contracts.command()
def check(
    source: Annotated[Path, typer.Option(help="Landing folder.")],
    source_format: Annotated[Literal["nightfolio", "far_trans"], typer.Option("--format", help="How to read it.")] = "nightfolio",
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Unset: the preset's, else yesterday.")] = None,
    out: Annotated[Path | None, typer.Option(help="Keep accepted rows, quarantine and verdicts there.")] = None,
    home: Annotated[Path, typer.Option(envvar="NIGHTFOLIO_HOME", help="Whose releases and last publication count.")] = Path(
        "nightfolio_home"
    ),
    against: Annotated[
        str | None, typer.Option(help="Run to compare with, or none; unset: the home's newest publication of this format.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="contracts.field=value; repeatable.")] = None,
) -> None:
    """Read a landing folder and ask every rule; print what was found. Exit status 1 where a rule would stop the night."""
    from data_contracts.checkpoint import check_landing
    from data_contracts.landing import read_landing
    from flows.config import load_config, parse_setting
    from flows.ingest import context_of
    from flows.records.releases import releases_in_force

    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(
            f"--out {out} is {'not empty' if out.is_dir() else 'no folder'}",
            remedy="name a new or empty folder: what an earlier check kept is not written over",
        )
    overrides = dict(parse_setting(text) for text in settings or [])
    day = as_of.date() if as_of else None
    config = load_config(_PRESETS[source_format], source=source, as_of=day, settings=overrides)
    night = config.resolved_as_of()
    previous = compared_with(home, source_format, night, against)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) if out is None else out
        landed = read_landing(
            source_format, source, Path(scratch) / "landed", night, config.source.future_rows, config.source.time_zone
        )
        blocked: ContractBlocked | None = None
        found: list[TableVerdict] = []
        try:
            check_landing(landed, folder, context_of(config, night, releases_in_force(home), previous), told=found.extend)
        except ContractBlocked as error:
            blocked = error
    console.print(f"{source_format} {source} as of {night}", soft_wrap=True)
    console.print(
        f"compared with the publication {previous.name}"
        if previous is not None
        else f"compared with no earlier delivery: {'as told' if against else f'{home} has no publication of this format'}",
        soft_wrap=True,
    )
    print_verdicts(found)
    if out is not None:
        console.print(f"\nkept in {out}: snapshot/, quarantine/, contracts/", soft_wrap=True)
    if blocked is not None:
        console.print(f"\n[bold red]would stop the night:[/] {escape(str(blocked))}", soft_wrap=True)
        raise typer.Exit(1)


def compared_with(home: Path, source_format: str, as_of: date, against: str | None) -> Path | None:
    """The run that the delivery is compared with: columns, volumes, contents.

    By default the newest publication not later than ``as_of`` whose source is read in the same way; the simulated market
    has Nightfolio's layout. Raises RunNotFound where ``against`` names no run.
    """
    from flows.run_store import RunStore

    if against == "none":
        return None
    store = RunStore(home, write=False)
    if against is not None:
        run = store.find(against)
        if not (run / "contracts" / "verdicts.json").exists():
            raise RunNotFound(f"run {run.name} has no verdicts to compare with", remedy="name a run that checked its contracts")
        return run
    far_trans = source_format == "far_trans"
    return store.newest_published(as_of, lambda config: (config["source"]["format"] == "far_trans") == far_trans)


@contracts.command()
def reconcile(
    run: Annotated[str | None, typer.Option("--run", help="Run id; by default the newest published one.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Pairs printed, the largest differences first.")] = 40,
    home: Annotated[Path, typer.Option(envvar="NIGHTFOLIO_HOME", help="Where runs are found.")] = Path("nightfolio_home"),
) -> None:
    """List by customer and asset where a run's delivered holdings differ from the sum of trades."""
    import polars as pl

    from data_contracts.holdings import reconciliation_counts
    from data_contracts.reconcile import differences
    from flows.run_store import RunStore

    folder = RunStore(home, write=False).find(run)
    path = folder / "snapshot" / "reconciliation.parquet"
    if not path.exists():
        raise RunNotFound(f"run {folder.name} has no reconciliation", remedy="its source delivers no holdings to compare with")
    pairs = pl.read_parquet(path)
    counted = ", ".join(f"{kind.replace('_', ' ')} {number:,}" for kind, number in reconciliation_counts(pairs).items())
    console.print(f"run {folder.name}, pairs of customer and asset: {counted}", soft_wrap=True)
    listed = new_table("<customer", "<asset", "from trades", "delivered", "difference", "<finding")
    found = differences(pairs)
    for row in found.head(limit).iter_rows(named=True):
        numbers = (
            "" if row[name] is None else f"{row[name]:,.6g}" for name in ("derived_units", "delivered_units", "difference")
        )
        listed.add_row(escape(row["customer_id"]), escape(row["asset_id"]), *numbers, row["kind"].replace("_", " "))
    console.print(listed if found.height else "the two sides contradict each other nowhere")
    if found.height > limit:
        console.print(f"and {found.height - limit:,} more in {path}", soft_wrap=True)


def print_verdicts(verdicts: list[TableVerdict]) -> None:
    """Rows of every table, then every rule that found something, with examples and notes."""
    tables = new_table("<table", "version", "landed", "withheld", "read", "accepted", "quarantined", "<outcome")
    for v in verdicts:
        counts = (f"{number:,}" for number in (v.landed, v.withheld, v.read, v.accepted, v.quarantined))
        tables.add_row(v.table, v.contract_version, *counts, v.outcome)
    console.print(tables)
    console.print()
    rules = new_table("<table", "<rule", "<outcome", "rows", "of", "<for example", wrap="for example")
    for v in verdicts:
        for rule in v.rules:
            if rule.failed:
                examples = escape("; ".join(rule.examples))
                rules.add_row(v.table, rule.rule_id, rule.outcome, f"{rule.failed:,}", f"{rule.checked:,}", examples)
    console.print(rules if rules.row_count else "every rule passes")
    notes = [f"{v.table}: {note}" for v in verdicts for note in v.notes]
    for note in notes:
        console.print(escape(note), soft_wrap=True)
