"""``nightfolio bench …``: the commands. Each imports its bench when it runs, so the command line stays quick."""

from __future__ import annotations

import typer

bench = typer.Typer(name="bench", help="Measure ranking quality and speed on a stated protocol.", no_args_is_help=True)


@bench.callback()
def _bench() -> None:
    """Measure ranking quality and speed on a stated protocol."""
