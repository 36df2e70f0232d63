"""``nightfolio bench …``: the commands. Each imports its bench when it runs, so the command line stays quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
