"""How the command line lays out its tables."""

from __future__ import annotations

from rich.table import Table


def new_table(*columns: str) -> Table:
    """Columns by their headings; one that starts with "<" stands left."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.removeprefix("<"), justify="left" if name.startswith("<") else "right", no_wrap=True)
    return table
