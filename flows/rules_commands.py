"""``nightfolio rules`` and ``nightfolio recheck``: what may be offered to whom, and whether a published file keeps to it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flows.config import load_config, parse_setting
from flows.recheck import RULES, recheck
from flows.recorded_rules import recorded_rules
from flows.run_store import RunStore
from flows.sections.suitability import SuitabilityConfig

Home = Annotated[Path, typer.Option(envvar="NIGHTFOLIO_HOME", help="Where runs are made, published and found again.")]
DEFAULT_HOME = Path("nightfolio_home")


def rules(
    preset: Annotated[str, typer.Option(help="A preset's name, or the path of a .toml file.")] = "default",
    source: Annotated[Path | None, typer.Option(help="Landing folder, for presets that read one.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="section.field=value; repeatable.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="The rules that a run was made with, instead of a preset's.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Print the suitability rules in force: what each says, where it comes from, what it does and its limits."""
    console = Console(highlight=False)
    if run is None:
        config = load_config(preset, source=source, settings=dict(parse_setting(text) for text in settings or []))
        print_rules(console, config.suitability)
    else:
        print_rules(console, recorded_rules(RunStore(home, write=False).find(run)))


def recheck_run(
    run: Annotated[str | None, typer.Argument(help="Run id; by default the newest published one.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Ask every suitability rule again of a run's published file, by other code; exits with 1 where a row breaks one."""
    console = Console(highlight=False)
    folder = RunStore(home, write=False).find(run)
    # The day stands in the run's name: the manifest is the last file of a run, and a blocked or failed one may lack it.
    report = recheck(folder, date.fromisoformat(folder.name[:10]))
    for name, entry in report["rules"].items():
        wrong = entry["violations"]
        console.print(
            f"{entry['checked']:>10,} rows  {wrong:>7,} violations  {name} ({entry['effect']})",
            style="bold red" if wrong else None,
            soft_wrap=True,
        )
    for found in report["violations"][:20]:
        console.print(
            f"row {found['row']}: {found['rule_id']}, rank {found['rank']}, asset {escape(str(found['asset_id']))}: "
            f"{escape(str(found['what']))}",
            soft_wrap=True,
        )
    console.print(
        f"\n{report['rows_checked']:,} rows of {folder.name}/{report['file']} checked against {RULES.name}: "
        f"{report['n_violations']:,} violations"
    )
    if report["n_violations"]:
        raise typer.Exit(1)


def print_rules(console: Console, config: SuitabilityConfig) -> None:
    """Every rule with its limits, the table of risk classes last."""
    for name, rule in config.rules.items():
        state = rule.effect if rule.on else "off"
        console.print(f"[bold]{name}[/]  {state}", soft_wrap=True)
        console.print(f"    {escape(rule.words)}", soft_wrap=True)
        for limit, value in rule.limits().items():
            console.print(f"    {limit} = {escape(json.dumps(value, ensure_ascii=False))}", soft_wrap=True)
        console.print(f"    source: {escape(rule.source)}\n", style="dim", soft_wrap=True)
    risk = config.asset_risk
    console.print("[bold]asset_risk[/]", soft_wrap=True)
    console.print(f"    {escape(risk.words)}", soft_wrap=True)
    console.print(f"    high_volatility = {risk.high_volatility:g} per year", soft_wrap=True)
    for kind, number in risk.classes.items():
        console.print(f"    {number}  {escape(kind)}", soft_wrap=True)
    console.print(f"    source: {escape(risk.source)}", style="dim", soft_wrap=True)
