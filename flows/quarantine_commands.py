"""``nightfolio quarantine …``: read what was set aside or repaired, release rows with a name and a reason, and take it back."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.console import Console
from rich.markup import escape

from data_contracts import columns as c
from data_contracts.errors import ConfigError, RunNotFound
from data_contracts.releases import Release, content_hash
from data_contracts.verdicts import read_verdicts
from flows.records import releases as recording
from flows.records.chain import Chain
from flows.run_store import RunStore

quarantine = typer.Typer(name="quarantine", help="Rows that were set aside: read, release, withdraw.", no_args_is_help=True)
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)

Home = Annotated[Path, typer.Option(envvar="NIGHTFOLIO_HOME", help="Where runs are found and releases are recorded.")]
Run = Annotated[str | None, typer.Option("--run", help="Run id, a failed one too; by default the newest published one.")]
_RUNS_SHOWN = 5
_PROVENANCE = (c.RULE_IDS, c.REASONS, c.SOURCE_FILE, c.SOURCE_ROW, c.RAW)


@quarantine.callback()
def _quarantine() -> None:
    """Rows that were set aside: read, release, withdraw."""


@quarantine.command()
def show(
    run: Run = None,
    table: Annotated[str | None, typer.Option(help="Only this table.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only rows that broke this rule.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows printed of each table.")] = 20,
    repairs: Annotated[bool, typer.Option("--repairs", help="What was repaired, before and after, instead.")] = False,
    home: Home = Path("nightfolio_home"),
) -> None:
    """Print quarantined rows with rule, reason, file and row number. For the terminal of whoever may see customer ids."""
    folder = RunStore(home, write=False).find(run)
    _require_known(folder, table, rule, repairs)
    console.print(f"run {folder.name}")
    shown = False
    for name, rows in _tables(folder, table, "repairs_" if repairs else ""):
        chosen = rows
        if rule is not None:
            chosen = rows.filter(pl.col("repair_id") == rule if repairs else pl.col(c.RULE_IDS).list.contains(rule))
        if chosen.is_empty():
            continue
        shown = True
        console.print(f"\n[bold]{name}[/]: {chosen.height:,} rows" + (f", the first {limit}" if chosen.height > limit else ""))
        for row in chosen.head(limit).iter_rows(named=True):
            console.print(escape(_repair_line(row) if repairs else _row_line(row)), soft_wrap=True)
    if not shown:
        console.print(f"no row was {'repaired' if repairs else 'set aside'}" + (f" by {rule}" if rule is not None else ""))


@quarantine.command()
def release(
    table: Annotated[str, typer.Option(help="The rows' table.")],
    rows: Annotated[str, typer.Option(help="FILE:ROW,FILE:ROW,... as `quarantine show` prints them.")],
    by: Annotated[str, typer.Option(help="Who answers for it.")],
    reason: Annotated[str, typer.Option(help="Why these rows are sound; it stands in the evidence of every later run.")],
    run: Run = None,
    home: Home = Path("nightfolio_home"),
) -> None:
    """Let rows pass the rules they broke, from the next run on, as long as neither the row nor its rules change."""
    folder = RunStore(home, write=False).find(run)
    for one in recording.release(RunStore(home), released_rows(folder, table, rows, reason), by, reason):
        said = f"released {one.file}:{one.row} of {table} from {', '.join(one.rule_ids)} by {one.by}: {one.reason}"
        console.print(escape(f"{said} (release {one.record})"), soft_wrap=True)
    console.print("recorded; the next run accepts what is released, until `nightfolio quarantine withdraw`", soft_wrap=True)


@quarantine.command()
def releases(
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="Those that were withdrawn, too.")] = False,
    home: Home = Path("nightfolio_home"),
) -> None:
    """List the releases in force: row, rules, by whom, when and why, and which runs used each."""
    store = RunStore(home, write=False)
    known = recording.standings(Chain(store.home).links())
    chosen = [one for one in known.values() if withdrawn or one.withdrawn is None]
    used = recording.runs_by_release(store)
    for one in chosen:
        release, gone = one.release, one.withdrawn
        row = f"{release.table} {release.file}:{release.row} of run {release.run}"
        console.print(escape(f"release {release.record}  {row}  [{', '.join(release.rule_ids)}]"), soft_wrap=True)
        console.print(escape(f"    by {release.by}, {release.released_at}: {release.reason}"), soft_wrap=True)
        runs = used.get(release.record, [])
        earlier = f" and {len(runs) - _RUNS_SHOWN} before them" if len(runs) > _RUNS_SHOWN else ""
        console.print(
            f"    used by {', '.join(runs[-_RUNS_SHOWN:])}{earlier}" if runs else "    used by no run yet", soft_wrap=True
        )
        if gone is not None:
            console.print(escape(f"    withdrawn by {gone.by}, {gone.at}: {gone.reason}"), soft_wrap=True)
    if not chosen:
        console.print("no release is in force")


@quarantine.command()
def withdraw(
    release: Annotated[list[int], typer.Argument(help="Numbers of releases; `nightfolio quarantine releases` lists them.")],
    by: Annotated[str, typer.Option(help="Who decides.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    home: Home = Path("nightfolio_home"),
) -> None:
    """Take releases back: from the next run on their rows are set aside again. What was published stays as it is."""
    if not recording.standings(Chain(RunStore(home, write=False).home).links()):
        raise RunNotFound(f"no row was ever released in {home}", remedy="name the home with --home")  # and make none there
    for one in recording.withdraw(RunStore(home), release, by, reason):
        console.print(escape(f"withdrew release {one.record}: {one.file}:{one.row} of {one.table}"), soft_wrap=True)


def released_rows(folder: Path, table: str, rows: str, reason: str) -> list[Release]:
    """The named rows of a run, to be released.

    Raises ConfigError where a row is not there, its rules do not allow it, or the reason, which pages show, names whose it is.
    """
    from data_contracts.checkpoint import CONTRACTS

    ((_, quarantined),) = _tables(folder, table, "")
    contract = CONTRACTS[table]
    rules = {rule.rule_id: rule for rule in contract.rules}
    found = []
    for place in rows.split(","):
        file, _, number = place.strip().rpartition(":")
        at = quarantined.filter(
            pl.col(c.SOURCE_ROW).cast(pl.String) == number, pl.lit(not file) | (pl.col(c.SOURCE_FILE) == file)
        )
        if at.height != 1:
            raise ConfigError(
                f"{at.height or 'no'} quarantined rows of {table} are at {place.strip()!r}",
                remedy="name rows as FILE:ROW, as `nightfolio quarantine show` prints them",
            )
        row = at.row(0, named=True)
        firm = [rule_id for rule_id in row[c.RULE_IDS] if not rules[rule_id].releasable]
        if firm:
            raise ConfigError(
                f"{place.strip()} of {table} broke {', '.join(firm)}, which nobody may release: later steps rely on it",
                remedy=f"correct it at the source: {rules[firm[0]].remedy}",
            )
        if any(_names(reason, row[name]) for name in c.IDENTIFYING if row.get(name)):
            raise ConfigError(
                f"the reason names the customer or the transaction of {place.strip()}",
                remedy="leave identifiers out of it: it stands on the pages of every run that uses the release",
            )
        found.append(
            Release(
                table=table,
                content_sha256=content_hash(row, contract.schema),
                rule_ids=tuple(sorted(row[c.RULE_IDS])),
                by="",
                reason="",
                run=folder.name,
                file=row[c.SOURCE_FILE],
                row=row[c.SOURCE_ROW],
                released_at="",
            )
        )
    return found


def _require_known(folder: Path, table: str | None, rule: str | None, repairs: bool) -> None:
    """Raises ConfigError where the run checked no such table, or asked it no such rule (or repair) that sets rows aside."""
    path = folder / "contracts" / "verdicts.json"
    if not path.exists():
        raise RunNotFound(f"run {folder.name} set nothing aside: it stopped before its contracts", remedy="choose another run")
    verdicts = read_verdicts(path)
    # Rules on the whole table have no columns, and those that warn set no row aside.
    severities = ("repair",) if repairs else ("quarantine", "block")
    known = {v.table: [one.rule_id for one in v.rules if one.columns and one.severity in severities] for v in verdicts}
    if table is not None and table not in known:
        raise ConfigError(f"run {folder.name} checked no table called {table!r}", remedy=f"name one of {', '.join(known)}")
    asked = {one for name, rules in known.items() if table in (None, name) for one in rules}
    if rule is not None and rule not in asked:
        where = f" of {table}" if table is not None else ""
        raise ConfigError(
            f"no {'repair' if repairs else 'rule'}{where} that {'changes values' if repairs else 'sets rows aside'} is {rule!r}",
            remedy=f"name one of {', '.join(sorted(asked)) or 'another table: it has none'}",
        )


def _names(text: str, value: object) -> bool:
    """Whether the value stands in the text as a word of its own."""
    return re.search(rf"(?<!\w){re.escape(str(value))}(?!\w)", text) is not None


def _tables(folder: Path, table: str | None, prefix: str) -> list[tuple[str, pl.DataFrame]]:
    """The run's quarantined (or repaired) rows by table. Raises RunNotFound where it has none of that table."""
    files = {path.stem.removeprefix(prefix): path for path in sorted((folder / "quarantine").glob(f"{prefix}*.parquet"))}
    if not prefix:
        files = {name: path for name, path in files.items() if not name.startswith("repairs_")}
    if table is not None and table not in files:
        raise RunNotFound(
            f"run {folder.name} has no {'repairs' if prefix else 'quarantine'} of {table!r}",
            remedy=f"it has {', '.join(files) or 'none at all'}",
        )
    return [(name, pl.read_parquet(path)) for name, path in files.items() if table in (None, name)]


def _row_line(row: dict[str, object]) -> str:
    values = ", ".join(f"{name}={value}" for name, value in row.items() if name not in _PROVENANCE and value is not None)
    reasons = "; ".join(str(reason) for reason in row[c.REASONS])  # type: ignore[attr-defined]
    raw = f"  raw {row[c.RAW]}" if row[c.RAW] else ""
    rules = ", ".join(row[c.RULE_IDS])  # type: ignore[arg-type]
    return f"{row[c.SOURCE_FILE]}:{row[c.SOURCE_ROW]}  [{rules}] {reasons}\n    {values}{raw}"


def _repair_line(row: dict[str, object]) -> str:
    change = f"{row['column']}: {row['before']!r} became {row['after']!r}"
    return f"{row[c.SOURCE_FILE]}:{row[c.SOURCE_ROW]}  [{row['repair_id']}] {change}"
