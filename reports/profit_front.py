"""The front between preference and profit: what each setting of the dial lists, beside the published models."""

from __future__ import annotations

from pathlib import Path

import polars as pl


def write_profit_front(points: pl.DataFrame, published: pl.DataFrame, target: Path) -> Path:
    """One self-contained page (no network).

    Args:
        points: dial, ndcg, roi, known (share of listed assets with a known return), chosen (is it the one that was settled on
            beforehand?), one row a setting.
        published: model, ndcg, roi.
    """
    import plotly.graph_objects as go

    drawing = go.Figure()
    hover = (
        "dial %{customdata[0]}<br>nDCG@10 %{x:.4f}<br>ROI@10 %{y:.4f} a month<br>"
        "returns known %{customdata[1]:.0%}<extra></extra>"
    )
    drawing.add_trace(
        go.Scatter(
            x=points["ndcg"].to_list(),
            y=points["roi"].to_list(),
            customdata=points.select("dial", "known").rows(),
            text=_labels(points),
            textposition="middle right",
            mode="lines+markers+text",
            name="signal attention, by dial",
            hovertemplate=hover,
            line={"color": "#1f5a8a"},
        )
    )
    chosen = points.filter("chosen")
    drawing.add_trace(
        go.Scatter(
            x=chosen["ndcg"].to_list(),
            y=chosen["roi"].to_list(),
            customdata=chosen.select("dial", "known").rows(),
            mode="markers",
            name="chosen on the validation splits",
            hovertemplate=hover,
            marker={"symbol": "star", "size": 14, "color": "#c77700"},
        )
    )
    drawing.add_trace(
        go.Scatter(
            x=published["ndcg"].to_list(),
            y=published["roi"].to_list(),
            text=published["model"].to_list(),
            textposition="bottom center",
            mode="markers+text",
            name="published",
            marker={"symbol": "x", "size": 10, "color": "#a33"},
        )
    )
    for row in published.iter_rows(named=True):
        drawing.add_vline(x=row["ndcg"], line={"color": "#ccc", "dash": "dot"})
        drawing.add_hline(y=row["roi"], line={"color": "#ccc", "dash": "dot"})
    drawing.update_layout(
        title="Preference against profit: mean over the splits of each list of ten",
        xaxis_title="nDCG@10",
        yaxis_title="ROI@10, monthly, over listed assets with a known return",
        template="simple_white",
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(drawing.to_html(include_plotlyjs=True, full_html=True), encoding="utf-8", newline="\n")
    return target


def _labels(points: pl.DataFrame) -> list[str]:
    """The dial beside each point, but for points too near the last named one: labels must not lie over each other."""
    points = points.with_columns(pl.col("ndcg", "roi").fill_null(0.0))  # no return is known anywhere: a flat line
    span = [float(points[name].max() - points[name].min()) or 1.0 for name in ("ndcg", "roi")]  # type: ignore[operator, arg-type]
    labels: list[str] = []
    named: tuple[float, float] | None = None
    for row in points.iter_rows(named=True):
        place = (row["ndcg"] / span[0], row["roi"] / span[1])
        far = named is None or max(abs(place[0] - named[0]), abs(place[1] - named[1])) > 0.08
        labels.append(f"{row['dial']:g}" if far else "")
        named = place if far else named
    return labels
