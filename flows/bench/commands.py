"""``nightfolio bench …``: the commands. Each imports its bench when it runs, so the command line stays quick."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

bench = typer.Typer(name="bench", help="Measure ranking quality and speed on a stated protocol.", no_args_is_help=True)


@bench.callback()
def _bench() -> None:
    """Measure ranking quality and speed on a stated protocol."""


@bench.command()
def speed(
    data: Annotated[Path, typer.Option(help="Folder of NAME.parquet (user, item, position).")],
    name: Annotated[str, typer.Option(help="Data set.")] = "ml_1m",
    length: Annotated[list[int] | None, typer.Option(help="Maximum length; repeat for several. Unset: 50 and 200.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved runs of each contestant.")] = 3,
    epochs: Annotated[int, typer.Option(min=2, help="Epochs of a timed run; the first does not count.")] = 3,
    quality_epochs: Annotated[int, typer.Option(min=0, help="Epochs before NDCG@10 is taken; 0: not taken.")] = 0,
    contestant: Annotated[list[str] | None, typer.Option(help="Only these; repeat. Unset: all that are installed.")] = None,
    allocator: Annotated[str, typer.Option(help="huge-pages or default: the C library's, for all alike.")] = "huge-pages",
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Training speed and memory against RecTools' and RePlay's SASRec (`make bench-peers` installs them)."""
    from flows.bench.speed import bench_speed

    bench_speed(
        data,
        name,
        lengths=tuple(length or (50, 200)),
        rounds=rounds,
        epochs=epochs,
        quality_epochs=quality_epochs,
        contestants=tuple(contestant or ()),
        allocator=allocator,
        threads=threads,
        say=typer.echo,
    )


@bench.command()
def scoring(
    customers: Annotated[int, typer.Option(min=1)] = 1_000_000,
    items: Annotated[int, typer.Option(min=11)] = 10_000,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Top 10 of a catalogue for many customers, as a multiple of a bare product and top-k."""
    from flows.bench.scoring import bench_scoring

    bench_scoring(customers, items, threads=threads, say=typer.echo)


@bench.command("far-trans")
def far_trans(
    data: Annotated[Path, typer.Option(help="The benchmark's folder, or one that holds it as far_trans_benchmark.")],
    source: Annotated[
        Path | None, typer.Option(help="FAR-Trans itself (days, profiles, closes); by default far_trans beside the benchmark.")
    ] = None,
    models: Annotated[str, typer.Option(help="Comma-separated kinds; the default is every baseline and the best model.")] = "",
    validation: Annotated[bool, typer.Option(help="The three validation splits, on which settings are chosen.")] = False,
    oracle: Annotated[
        bool, typer.Option(help="Also what knowing the test window would be worth: references, no contestants.")
    ] = False,
    told_others: Annotated[
        bool, typer.Option(help="Also the best model told what all others buy in the window: five more fits a split.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where results and the front's picture go.")] = Path(
        "nightfolio_home/bench/far_trans"
    ),
    threads: int = 2,
    seed: int = 0,
) -> None:
    """Walk the FAR-Trans temporal benchmark forward: nDCG@10, ROI@10 and the front between them."""
    from flows.bench import far_trans as walking
    from flows.bench.far_trans_data import FarTransBenchmark
    from flows.bench.far_trans_report import print_walk, write_front_page

    kinds = walking.kinds_of(models)
    which = "validation" if validation else "evaluation"
    benchmark = FarTransBenchmark(data, source)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    walk = walking.walk_forward(
        benchmark, which, kinds, threads=threads, seed=seed, told=console.print, oracle=oracle, told_others=told_others
    )
    folder = walking.write_results(walk, out / which, {"models": list(kinds), "set": which, "threads": threads, "seed": seed})
    console.print()
    print_walk(console, benchmark, walk, which, seed)
    if walking.BEST in kinds:
        console.print(f"\nfront           {write_front_page(benchmark, walk, folder / 'front.html')}", soft_wrap=True)
    console.print(f"every list      {folder / 'lists.parquet'}", soft_wrap=True)


@bench.command()
def sequences(
    data: Annotated[Path, typer.Option(help="Folder with SET.parquet files: columns user, item, position.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Data set; repeatable. Default: all with settings.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Model of the preset; repeatable. Default: all of them.")] = None,
    preset: Annotated[Path | None, typer.Option(help="Settings of the (one) data set, instead of the shipped ones.")] = None,
    stage: Annotated[list[str] | None, typer.Option(help="validation or test; repeatable. Default: both.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Fits per model.")] = 3,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="CPU threads.")] = 2,
    out: Annotated[Path, typer.Option(help="Where models, results.parquet and results.html are left.")] = Path("bench/sequences"),
) -> None:
    """Next item on public sequences: leave-one-out, full catalogue, transformer against GRU4Rec and simpler models."""
    from flows.bench.sequences import run_sequences

    run_sequences(
        data,
        out,
        sets=tuple(set_ or ()),
        models=tuple(model or ()),
        preset=preset,
        stages=tuple(stage or ()),
        seeds=seeds,
        threads=threads,
    )


@bench.command()
def growth(
    plot: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("growth.html"),
    epochs: Annotated[int, typer.Option(min=2, help="Epochs of a fit; the first does not count.")] = 4,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """How an epoch's time grows with customers, history length (dense, sparse, linear attention) and catalogue."""
    from flows.bench.growth import bench_growth

    bench_growth(plot, epochs=epochs, threads=threads, say=typer.echo)


@bench.command()
def page(
    run: Annotated[str | None, typer.Argument(help="Run id; by default the newest published one.")] = None,
    home: Annotated[Path, typer.Option(envvar="NIGHTFOLIO_HOME", help="Where runs are found.")] = Path("nightfolio_home"),
    axe: Annotated[Path | None, typer.Option(help="axe.min.js of axe-core (`npm pack axe-core`); unset: not checked.")] = None,
    chromium: Annotated[str | None, typer.Option(help="The browser; unset: the one that is installed.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Times the index is opened; the median is printed.")] = 5,
) -> None:
    """Size and opening time of a run's evidence pages in headless Chromium, and what an accessibility check finds."""
    from flows.bench.page import bench_page
    from flows.run_store import RunStore

    folder = RunStore(home, write=False).find(run) / "evidence"
    if not bench_page(folder, browser=chromium, axe=axe, rounds=rounds, say=typer.echo):
        raise typer.Exit(1)


@bench.command()
def tamper(
    home: Annotated[Path | None, typer.Option(help="Home whose copies are attacked. Default: a small one made for it.")] = None,
) -> None:
    """Alter a home's files and records in every way that we know, and say which of them `nightfolio verify` names."""
    from flows.bench.tamper import attack
    from flows.bench.tamper_attempts import ATTEMPTS

    results = attack(home)
    for result in results:
        typer.echo(f"{'caught' if result.caught else 'MISSED':<8}{result.name:<62}{result.found}")
    caught = sum(result.caught for result in results)
    left_out = len(ATTEMPTS) - len(results)
    note = f"; {left_out} not made: the home has no run or record for them" if left_out else ""
    typer.echo(f"{caught} of {len(results)} attempts caught and named{note}")
    if caught < len(results):
        raise typer.Exit(1)


@bench.command()
def ingest(
    sizes: Annotated[str, typer.Option(help="Numbers of trades, comma-separated.")] = "1000000,10000000,100000000",
    out: Annotated[Path, typer.Option(help="Where deliveries (16 bytes a trade), runs and ingest.json go.")] = Path(
        "nightfolio_home/bench/ingest"
    ),
    contestant: Annotated[list[str] | None, typer.Option(help="night, polars, duckdb; repeat. Unset: all.")] = None,
    incremental: Annotated[bool, typer.Option(help="Also a night with one day more, re-using the night before.")] = True,
    seed: int = 0,
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Seconds and peak memory of ingest, contracts and histories against bare Polars and DuckDB, and of one day more."""
    from flows.bench.ingest import WHO, bench_ingest

    bench_ingest(
        [int(size) for size in sizes.split(",")],
        out,
        contestants=tuple(contestant or WHO),
        incremental=incremental,
        seed=seed,
        threads=threads,
        say=typer.echo,
    )


@bench.command()
def contracts(
    sizes: Annotated[str, typer.Option(help="Numbers of trades, comma-separated.")] = "1000000,5000000",
    out: Annotated[Path, typer.Option(help="Where deliveries and engines.json go.")] = Path("nightfolio_home/bench/ingest"),
    seed: int = 0,
) -> None:
    """Great Expectations on trades: its pandas engine, whole and in chunks, against expectations with a Polars body."""
    from flows.bench.ingest_engines import bench_engines

    bench_engines([int(size) for size in sizes.split(",")], out, seed=seed, say=typer.echo)


@bench.command()
def corruptions(
    kind: Annotated[str | None, typer.Option("--class", help="Only this class. Unset: all.")] = None,
    every: Annotated[bool, typer.Option("--every", help="Also print what each corruption was answered with.")] = False,
) -> None:
    """Spoil a small sound delivery in every known way and see that the night repairs, quarantines, warns or stops."""
    from flows.bench.corruptions import bench_corruptions

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    if not bench_corruptions(console, kind=kind, every=every):
        raise typer.Exit(1)


@bench.command("point-in-time")
def point_in_time(
    preset: Annotated[str, typer.Option(help="Whose source and settings; the model is EASE.")] = "smoke",
    source: Annotated[Path | None, typer.Option(help="Landing folder, for presets of a real source.")] = None,
    as_of: Annotated[str | None, typer.Option(help="YYYY-MM-DD, with data after it. Unset: the preset's day.")] = None,
) -> None:
    """Alter, delete and add rows dated after as_of in every table; no byte of snapshot, histories, recommendations moves."""
    from flows.bench.point_in_time import bench_point_in_time

    day = None if as_of is None else date.fromisoformat(as_of)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    if not bench_point_in_time(console, preset, source, day):
        raise typer.Exit(1)
