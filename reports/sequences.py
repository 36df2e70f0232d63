"""The picture of ``nightfolio bench sequences``: a table of results in, one page out that needs no other file."""

from __future__ import annotations

from pathlib import Path

import polars as pl


def write_sequences_page(results: pl.DataFrame, target: Path, *, protocol: str) -> Path:
    """NDCG@10 and HR@10 of every model with their intervals, one panel a data set and metric; the last stage measured.

    ``results`` has ``set, stage, model, seeds, fit_seconds`` and ``ndcg_at_10, hr_at_10``, each with ``_low`` and ``_high``.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    stage = "test" if "test" in results["stage"].to_list() else "validation"
    shown = results.filter(pl.col("stage") == stage)
    sets = shown["set"].unique(maintain_order=True).to_list()
    metrics = {"ndcg_at_10": "NDCG@10", "hr_at_10": "HR@10"}
    titles = [f"{name}: {label} ({stage})" for name in sets for label in metrics.values()]
    figure = make_subplots(rows=len(sets), cols=len(metrics), subplot_titles=titles, horizontal_spacing=0.14)
    for row, name in enumerate(sets, start=1):
        of_set = shown.filter(pl.col("set") == name).reverse()
        for column, metric in enumerate(metrics, start=1):
            value, low, high = (of_set[f"{metric}{end}"] for end in ("", "_low", "_high"))
            figure.add_trace(
                go.Bar(
                    x=value.to_list(),
                    y=of_set["model"].to_list(),
                    orientation="h",
                    marker_color="#4269d0",
                    error_x={
                        "type": "data",
                        "symmetric": False,
                        "array": (high - value).to_list(),
                        "arrayminus": (value - low).to_list(),
                    },
                    customdata=of_set.select("seeds", "fit_seconds").rows(),
                    hovertemplate="%{y}: %{x:.4f}<br>%{customdata[0]} seed(s), %{customdata[1]:.0f} s to fit<extra></extra>",
                ),
                row=row,
                col=column,
            )
    figure.update_layout(
        title={"text": "Next item on public sequences"},
        height=120 + 260 * len(sets),
        margin={"b": 140},
        showlegend=False,
        template="plotly_white",
    )
    figure.add_annotation(
        text="<br>".join(_wrapped(protocol)), xref="paper", yref="paper", x=0, y=0, yshift=-50, showarrow=False,
        xanchor="left", yanchor="top", align="left", font={"size": 11},
    )  # fmt: skip
    target.parent.mkdir(parents=True, exist_ok=True)
    html = figure.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False})
    target.write_text(html, encoding="utf-8", newline="\n")
    return target


def _wrapped(text: str, width: int = 150) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)
