"""Loss and learning rate of every fit, as an interactive page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from reports.evidence import TrainingEvidence
from reports.pages import figure, write_page, write_plotly

MOST_POINTS = 2000
"""Points a curve: more cannot be told apart on a screen."""


def thinned(curve: pl.DataFrame, points: int = MOST_POINTS) -> pl.DataFrame:
    """Every n-th step, the first and the last always, so that at most ``points`` + 1 rows remain."""
    if curve.height <= points:
        return curve
    stride = -(-curve.height // points)
    row = pl.int_range(pl.len())
    return curve.filter((row % stride == 0) | (row == pl.len() - 1))


def fit_facts(fit: TrainingEvidence) -> dict[str, Any]:
    """Steps, epochs, first and last epoch's mean loss, greatest learning rate of one fit."""
    epochs = fit.curve.group_by("epoch").agg(pl.col("loss").mean()).sort("epoch")
    return {
        "model": fit.model,
        "steps": fit.curve.height,
        "epochs": epochs.height,
        "first_loss": epochs["loss"][0] if epochs.height else None,
        "last_loss": epochs["loss"][-1] if epochs.height else None,
        "peak_rate": fit.curve["learning_rate"].max(),
        "settings": fit.settings,
    }


def write_training_page(fits: Sequence[TrainingEvidence], target: Path) -> Path:
    """Write the page of all fits to ``target``."""
    write_plotly(target.parent)
    charts = [_chart(fit, f"fit-{number}") for number, fit in enumerate(fits)]
    shown = [fit_facts(fit) | {"chart": chart} for fit, chart in zip(fits, charts, strict=True)]
    return write_page("training.html", target, fits=shown)


def _chart(fit: TrainingEvidence, div_id: str) -> Any:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    curve = thinned(fit.curve)
    steps = curve["step"].to_list()
    drawing = make_subplots(rows=1, cols=2, subplot_titles=("Loss", "Learning rate"), horizontal_spacing=0.1)
    line = {"color": "#1f5a8a", "width": 1.5}
    for column, name in ((1, "loss"), (2, "learning_rate")):
        trace = go.Scatter(x=steps, y=curve[name].to_list(), mode="lines", line=line, name=name)
        drawing.add_trace(trace, row=1, col=column)
        drawing.update_xaxes(title_text="step", row=1, col=column, gridcolor="#e5e9ee")
        drawing.update_yaxes(rangemode="tozero", row=1, col=column, gridcolor="#e5e9ee", exponentformat="e")
    drawing.update_layout(
        height=320,
        showlegend=False,
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
        font={"family": "system-ui, sans-serif", "color": "#1c2430"},
        plot_bgcolor="#ffffff",
    )
    return figure(drawing, div_id)
