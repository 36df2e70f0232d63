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


def of_fit(curve: pl.DataFrame, fit: str) -> pl.DataFrame:
    """The rows of one fit; a curve that does not say is all ``final``."""
    if "fit" not in curve.columns:
        return curve if fit == "final" else curve.clear()
    return curve.filter(pl.col("fit") == fit)


def validation_curve(curve: pl.DataFrame) -> pl.DataFrame:
    """``epoch`` (from 0), ``validation``: NDCG@10 on the validation slice after each epoch; no row without a slice."""
    if "validation" not in curve.columns:
        return pl.DataFrame(schema={"epoch": pl.Int64, "validation": pl.Float64})
    return of_fit(curve, "validating").drop_nulls("validation").select("epoch", "validation").sort("epoch")


def fit_facts(fit: TrainingEvidence) -> dict[str, Any]:
    """Steps, epochs, first and last epoch's mean loss, greatest learning rate of one fit; how its epochs were chosen."""
    final, validation = of_fit(fit.curve, "final"), validation_curve(fit.curve)
    epochs = final.group_by("epoch").agg(pl.col("loss").mean()).sort("epoch")
    best = validation["validation"].arg_max() if validation.height else None
    return {
        "model": fit.model,
        "steps": final.height,
        "epochs": epochs.height,
        "first_loss": epochs["loss"][0] if epochs.height else None,
        "last_loss": epochs["loss"][-1] if epochs.height else None,
        "peak_rate": final["learning_rate"].max(),
        "validated": validation.height,
        "best_validation": None if best is None else validation["validation"][best],
        "best_epoch": None if best is None else best + 1,
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

    curve, validation = thinned(of_fit(fit.curve, "final")), validation_curve(fit.curve)
    titles = ("Loss", "Learning rate") + (("Validation: NDCG@10",) if validation.height else ())
    drawing = make_subplots(rows=1, cols=len(titles), subplot_titles=titles, horizontal_spacing=0.1)
    line = {"color": "#1f5a8a", "width": 1.5}
    panels = [("step", curve["step"], curve["loss"]), ("step", curve["step"], curve["learning_rate"])]
    if validation.height:
        panels.append(("epoch", validation["epoch"] + 1, validation["validation"]))
    for column, (axis, across, up) in enumerate(panels, start=1):
        mode = "lines" if axis == "step" else "lines+markers"
        drawing.add_trace(go.Scatter(x=across.to_list(), y=up.to_list(), mode=mode, line=line, name=up.name), row=1, col=column)
        drawing.update_xaxes(title_text=axis, row=1, col=column, gridcolor="#e5e9ee")
        drawing.update_yaxes(rangemode="tozero", row=1, col=column, gridcolor="#e5e9ee", exponentformat="e")
    drawing.update_layout(
        height=320,
        showlegend=False,
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
        font={"family": "system-ui, sans-serif", "color": "#1c2430"},
        plot_bgcolor="#ffffff",
    )
    return figure(drawing, div_id)
