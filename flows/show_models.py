"""``nightfolio models``: the register of all models on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.run_store import RunStore

HEADINGS = {
    "model_id": "model",
    "kind": "kind",
    "run": "run",
    "status": "status",
    "trained_to": "trained to",
    "trained_on": "trained on",
    "parent": "parent",
    "ndcg": "NDCG",
    "approval": "approval",
}


def models(
    home: Annotated[Path, typer.Option(envvar="NIGHTFOLIO_HOME", help="Where runs are found.")] = Path("nightfolio_home"),
) -> None:
    """List every model of the home with its lineage, newest run first: what it learned from, what became of it, who approved."""
    from flows.register import register

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    rows = register(RunStore(home, write=False))
    if rows.is_empty():
        console.print("no model yet; `nightfolio nightly` makes one")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, heading in HEADINGS.items():
        table.add_column(heading, justify="right" if name == "ndcg" else "left", no_wrap=True)
    for row in rows.iter_rows(named=True):
        values = (
            ("" if row["ndcg"] is None else f"{row['ndcg']:.4f}") if name == "ndcg" else str(row[name]) for name in HEADINGS
        )
        table.add_row(*(escape(value) for value in values))
    console.print(table)
