"""A page that shows how an epoch's time grows: one line an axis, both scales logarithmic, nothing loaded from a network."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go
import polars as pl


def write_growth_page(frame: pl.DataFrame, target: Path) -> Path:
    """Columns axis, size, seconds, exponent -> one HTML file."""
    figure = go.Figure()
    for (axis,), part in frame.group_by("axis", maintain_order=True):
        label = f"{axis} (exponent {part['exponent'][0]:.2f})"
        figure.add_scatter(x=part["size"].to_list(), y=part["seconds"].to_list(), mode="lines+markers", name=label)
    figure.update_layout(
        title="Seconds of a training epoch",
        xaxis={"type": "log", "title": "size of the axis"},
        yaxis={"type": "log", "title": "seconds"},
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(figure.to_html(include_plotlyjs=True, full_html=True), encoding="utf-8")
    return target
