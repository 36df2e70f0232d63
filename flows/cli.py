"""The command line: ``nightfolio --help`` explains itself."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from data_contracts.errors import ConfigError, NightfolioError
from flows import rules_commands, show_explanation, show_runs
from flows.bench.commands import bench
from flows.config import RunConfig, load_config, parse_setting, preset_names
from flows.contract_commands import contracts
from flows.quarantine_commands import quarantine
from flows.records.commands import COMMANDS as RECORDS
from flows.records.tell import print_standing
from flows.resume import remembered
from flows.run_store import RunStore
from flows.show_models import models

app = typer.Typer(
    name="nightfolio",
    help="Every night: holdings, trades and market data in; portfolio recommendations that a compliance officer can sign out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(bench)
app.command()(models)
for _command in RECORDS:
    app.command()(_command)
app.add_typer(contracts)
app.add_typer(quarantine)
app.command()(rules_commands.rules)
app.command("recheck")(rules_commands.recheck_run)
# Into a file or a pipe nothing has to fit a screen.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)

Home = Annotated[Path, typer.Option(envvar="NIGHTFOLIO_HOME", help="Where runs are made, published and found again.")]
Preset = Annotated[str, typer.Option(help=f"One of {', '.join(preset_names())}, or the path of a .toml file.")]
Source = Annotated[Path | None, typer.Option(help="Landing folder, for presets that read one.")]
AsOf = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day as of which everything is known.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="section.field=value; repeatable. `nightfolio settings` lists them."),
]
Run = Annotated[str | None, typer.Option("--run", help="Run id; by default the newest published one.")]
Resume = Annotated[
    str | None,
    typer.Option(help="Go on with a run that was killed or stopped: its own settings, from the last whole epoch."),
]
DEFAULT_HOME = Path("nightfolio_home")
BLOCKED = 3  # exit status of a night that ended whole and that the gate did not let through


def _overrides(settings: list[str] | None) -> dict[str, Any]:
    return dict(parse_setting(text) for text in settings or [])


def _day(as_of: datetime | None) -> date | None:
    return as_of.date() if as_of else None


def _refuse_early(
    preset: str, source: Path | None, as_of: datetime | None, settings: list[str] | None, home: Path, resume: str | None
) -> dict[str, Any]:
    """The overrides, after a bad setting, or a run that cannot be gone on with, was refused before anything starts."""
    overrides = _overrides(settings)
    if resume is None:
        load_config(preset, source=source, as_of=_day(as_of), settings=overrides)
    elif preset != "default" or source or as_of or settings:
        raise ConfigError(
            "--resume goes on with the settings of the run it names; no other may be given with it",
            remedy="leave out --preset, --source, --as-of and --set, or start a new run with them",
        )
    else:
        remembered(home, resume)
    return overrides


def _prepare(home: Path) -> Path:
    """Checks the home, points the orchestrator at it and makes progress visible. Runs before Prefect is imported."""
    store = RunStore(home)
    os.environ.setdefault("PREFECT_HOME", str(store.home / "prefect"))
    # What stops a run is printed once, by us; under `serve` the orchestrator keeps its own log.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "ERROR")
    # A busy machine at night may need longer than the default 20 s to bring the engine up.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    log = logging.getLogger("nightfolio")
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)
    return store.home


@app.command()
def nightly(
    preset: Preset = "default",
    source: Source = None,
    as_of: AsOf = None,
    home: Home = DEFAULT_HOME,
    settings: Settings = None,
    resume: Resume = None,
    corrects: Annotated[str | None, typer.Option(help="Published run of the same day that this one supersedes.")] = None,
    reason: Annotated[str, typer.Option(help="Why it is corrected: becomes part of the record.")] = "",
) -> None:
    """Run one night: ingest, check, train, evaluate, recommend, report, publish. Exit status 3: the gate blocked it."""
    overrides = _refuse_early(preset, source, as_of, settings, home, resume)
    place = _prepare(home)
    from flows.nightly import nightly as night

    run = night(preset, source, _day(as_of), overrides, place, resume, corrects, reason)
    show_runs.print_night(console, run)
    if print_standing(console, run) == "blocked":
        raise typer.Exit(BLOCKED)


@app.command()
def train(
    preset: Preset = "default",
    source: Source = None,
    as_of: AsOf = None,
    home: Home = DEFAULT_HOME,
    settings: Settings = None,
    resume: Resume = None,
) -> None:
    """Train and evaluate without publishing anything."""
    overrides = _refuse_early(preset, source, as_of, settings, home, resume)
    place = _prepare(home)
    from flows.train import train as training

    run = training(preset, source, _day(as_of), overrides, place, resume)
    show_runs.print_metrics(console, run)
    console.print(f"\nrun {run.name}  models and metrics under {run}")


@app.command()
def ablate(
    preset: Preset = "default",
    source: Source = None,
    as_of: AsOf = None,
    home: Home = DEFAULT_HOME,
    settings: Settings = None,
    variant: Annotated[list[str] | None, typer.Option(help="A part to take away; repeatable. By default every one.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Model; repeatable. By default the recommended one.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Fits of each variant. By default 1.")] = None,
    sample: Annotated[int | None, typer.Option(help="Customers to learn from. By default all.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each fit. By default train.epochs.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Fits at a time. By default one a thread.")] = None,
) -> None:
    """Fit the model without each of its parts: what each is worth, and whether similar customers have similar attention."""
    from flows import ablate_command

    overrides = ablate_command.budget(_overrides(settings), variant, model, seeds, sample, epochs)
    load_config(preset, source=source, as_of=_day(as_of), settings=overrides)
    ablate_command.ablate(console, preset, source, _day(as_of), overrides, _prepare(home), workers)


@app.command()
def evaluate(
    run: Annotated[str | None, typer.Argument(help="Run id; by default the newest published one.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Load a run's models, score them again and print every metric by segment."""
    folder = RunStore(home, write=False).find(run)
    from flows.evaluate_again import evaluate_again

    same = evaluate_again(folder)
    show_runs.print_metrics(console, folder, segments=True)
    show_runs.print_sufficiency(console, folder)
    console.print(
        "scored again from the stored weights: "
        + ("equal to the recorded metrics" if same else "[bold red]DIFFERS from the recorded metrics")
    )
    if not same:
        raise typer.Exit(1)


@app.command()
def explain(
    customer: Annotated[str, typer.Argument(help="Customer id as in the source, or the pseudonym of the evidence.")],
    run: Run = None,
    home: Home = DEFAULT_HOME,
    picture: Annotated[Path | None, typer.Option(help="Also write it as a picture that stands alone: FILE.svg or .html.")] = None,
) -> None:
    """Say what a customer was recommended, why, and what was held back by which rule."""
    store = RunStore(home, write=False)
    show_explanation.print_explanation(console, store.find(run), customer, home=store.home, picture=picture)


@app.command()
def runs(home: Home = DEFAULT_HOME) -> None:
    """List every run of the home: published, trained, failed and in the making."""
    show_runs.print_runs(console, RunStore(home, write=False))


@app.command()
def show(
    run: Annotated[str | None, typer.Argument(help="Run id; by default the newest published one.")] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show one run: counts, metrics, steps, files; for a failed one, why it stopped."""
    show_runs.print_run(console, RunStore(home, write=False).find(run))


@app.command()
def settings() -> None:
    """List every setting with its type, bounds, default and meaning."""
    show_runs.print_settings(console, RunConfig)


@app.command()
def simulate(preset: Preset = "default", home: Home = DEFAULT_HOME, settings: Settings = None) -> None:
    """Generate the simulated market's landing folder, with its known truth beside it, and say where it is."""
    config = load_config(preset, settings=_overrides(settings))
    from flows.ingest import simulated_folder

    console.print(str(simulated_folder(config.simulation, RunStore(home).home)), soft_wrap=True)


@app.command()
def serve(preset: Preset = "default", source: Source = None, home: Home = DEFAULT_HOME, settings: Settings = None) -> None:
    """Register the nightly and the training deployment on a Prefect server and run what it triggers.

    The server is the one that PREFECT_API_URL names; `prefect server start` starts one.
    """
    overrides = _overrides(settings)
    load_config(preset, source=source, settings=overrides)
    place = _prepare(home)
    from flows.schedule import serve_deployments

    serve_deployments(preset, source, overrides, place)


def main(run: Callable[[], object] = app) -> None:
    """Entry point: an error made for people is printed for people, and exits with status 2."""
    try:
        run()
    except NightfolioError as error:
        Console(stderr=True, highlight=False).print(f"[bold red]stopped:[/] {_plain(str(error))}", soft_wrap=True)
        raise SystemExit(2) from None


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


if __name__ == "__main__":
    main()
