"""How the command line lays out its tables."""

from __future__ import annotations

from rich.table import Table


def new_table(*columns: str, wrap: str = "") -> Table:
    """Columns by their headings; one that starts with "<" stands left. Only the column ``wrap`` may break its lines."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        bare = name.removeprefix("<")
        table.add_column(bare, justify="left" if name.startswith("<") else "right", no_wrap=bare != wrap)
    return table
