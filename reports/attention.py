"""Attention of sample customers over their holdings: one static picture and one interactive page.

Customers hold different assets, so a plain customers x assets matrix would be mostly empty. The static
picture orders each customer's holdings by weight (place 1 is the most attended) and writes the holding's
name into its cell; the interactive page shows the full matrix beside it. Both are drawn from the same
table.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
from markupsafe import Markup

from reports.attention_panels import Side, panels_figure
from reports.attention_shades import ink, shade
from reports.evidence import AttentionEvidence
from reports.pages import figure, write_page, write_plotly
from reports.text import percent, plain

PLACES = 5
"""Holdings a customer in the static picture; the rest are summed in a last cell."""

CUSTOMERS = 12
"""Customers in the static picture."""

PAGE_CUSTOMERS = 40
"""Customers on the interactive page."""


def mean_weights(table: pl.DataFrame) -> pl.DataFrame:
    """One row a customer and holding: ``customer, holding, weight, place`` (1 = most attended),
    ``n_holdings``.

    Where the table has candidates, a holding's weight is its mean over the customer's candidates, counting
    a candidate in which it does not appear as 0, so that the weights of a customer still sum to 1.
    Customers keep the order of their first row. Raises ValueError for weights that are null, not finite or
    below 0.
    """
    bad = table.filter(~pl.col("weight").is_finite().fill_null(False) | (pl.col("weight") < 0)).height
    if bad:
        raise ValueError(f"{bad} attention weights are null, not finite or negative")
    runs = pl.col("candidate").n_unique().over("customer") if "candidate" in table.columns else pl.lit(1)
    return (
        table.with_row_index("_row")
        .with_columns(pl.col("holding").cast(pl.String).fill_null("(no name)"))
        .with_columns(pl.col("_row").min().over("customer").alias("_order"), runs.alias("_candidates"))
        .group_by("customer", "holding")
        .agg((pl.col("weight").sum() / pl.col("_candidates").first()).alias("weight"), pl.col("_order").first())
        .sort("_order", "weight", "holding", descending=[False, True, False])
        .with_columns(
            (pl.int_range(pl.len()) + 1).over("customer").alias("place"),
            pl.len().over("customer").alias("n_holdings"),
        )
        .drop("_order")
    )


def heatmap_svg(table: pl.DataFrame, *, customers: int = CUSTOMERS, places: int = PLACES) -> Markup:
    """The static picture: a row a customer, a cell a holding, darker = more attention."""
    weights = mean_weights(table)
    shown = weights["customer"].unique(maintain_order=True).to_list()[:customers]
    label, cell, row, head, gap = 118, 140, 40, 24, 2
    width, height = label + (places + 1) * cell, head + len(shown) * row
    svg = [
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
            'aria-labelledby="attention-title"><title id="attention-title">{t}</title>'
        ).format(w=width, h=height, t=f"Attention of {len(shown)} customers over their holdings, most attended first")
    ]
    headings = [f"{place}." for place in range(1, places + 1)] + ["all others"]
    for column, heading in enumerate(headings):
        svg.append(_text(label + column * cell + 6, 15, heading, "#4d5866", 12))
    for line, customer in enumerate(shown):
        top = head + line * row
        mine = weights.filter(pl.col("customer") == customer)
        svg.append(_text(0, top + 24, _short(customer, 15), "#1c2430", 13))
        entries = [(entry["holding"], entry["weight"]) for entry in mine.head(places).iter_rows(named=True)]
        if mine.height > places:
            rest = mine.slice(places)
            entries += [("", 0.0)] * (places - len(entries))
            entries.append((f"{rest.height} more", float(rest["weight"].sum())))
        for column, (holding, weight) in enumerate(entries):
            left = label + column * cell
            over = ink(weight)
            svg.append(
                Markup('<g><title>{t}</title><rect x="{x}" y="{y}" width="{w}" height="{h}" rx="2" fill="{f}"/>').format(
                    t=f"{plain(customer, 60)}, {plain(holding, 120)}: {percent(weight)}",
                    x=left, y=top, w=cell - gap, h=row - gap, f=shade(weight),
                )
            )  # fmt: skip
            svg += [
                _text(left + 6, top + 16, _short(holding, 19), over, 11),
                _text(left + 6, top + 31, percent(weight), over, 11),
            ]
            svg.append(Markup("</g>"))
    return Markup("").join([*svg, Markup("</svg>")])


def write_attention_page(evidence: AttentionEvidence, target: Path) -> Path:
    """The interactive page: full matrix (plotly) and the same weights as a table."""
    import plotly.graph_objects as go

    write_plotly(target.parent)
    weights = mean_weights(evidence.table)
    everybody = weights["customer"].unique(maintain_order=True).to_list()
    listed = weights.filter(pl.col("customer").is_in(everybody[:PAGE_CUSTOMERS]))
    # Most attended overall first, so that the eye starts in the corner where the weight is.
    order = listed.group_by("holding").agg(pl.col("weight").sum()).sort("weight", "holding", descending=[True, False])
    holdings = order["holding"].to_list()
    column = {holding: place for place, holding in enumerate(holdings)}
    matrix: list[list[float | None]] = [[None] * len(holdings) for _ in everybody[:PAGE_CUSTOMERS]]
    line = {customer: place for place, customer in enumerate(everybody[:PAGE_CUSTOMERS])}
    for entry in listed.iter_rows(named=True):
        matrix[line[entry["customer"]]][column[entry["holding"]]] = entry["weight"]
    drawing = go.Figure(
        go.Heatmap(
            z=matrix,
            x=list(range(len(holdings))),
            y=list(range(len(line))),
            colorscale=[[0.0, "#eef3f8"], [1.0, "#12406a"]],
            zmin=0.0,
            xgap=1,
            ygap=1,
            hoverongaps=False,
            text=[[_plotly(holding) for holding in holdings]] * len(line),
            customdata=[[_plotly(customer)] * len(holdings) for customer in line],
            hovertemplate="%{customdata}<br>%{text}<br>%{z:.1%}<extra></extra>",
            colorbar={"title": "weight", "tickformat": ".0%"},
        )
    )
    drawing.update_layout(
        height=180 + 30 * len(line),
        margin={"l": 130, "r": 20, "t": 20, "b": 150},
        font={"family": "system-ui, sans-serif", "color": "#1c2430"},
        plot_bgcolor="#ffffff",
        xaxis={
            "tickvals": list(column.values()),
            "ticktext": [_plotly(_short(holding, 22)) for holding in holdings],
            "tickangle": -45,
            "showgrid": False,
        },
        yaxis={
            "tickvals": list(line.values()),
            "ticktext": [_plotly(_short(customer, 16)) for customer in line],
            "autorange": "reversed",
            "showgrid": False,
        },
    )
    return write_page(
        "attention.html",
        target,
        attention=evidence,
        chart=figure(drawing, "attention-heatmap"),
        heads=_panels(evidence, "head"),
        regimes=_panels(evidence, "regime"),
        weights=listed.to_dicts(),
        n_customers=len(everybody),
        shown=len(line),
    )


def _panels(evidence: AttentionEvidence, side: Side) -> Markup | None:
    if evidence.detail is None:
        return None
    picture = panels_figure(evidence.detail, side)
    return None if picture is None else figure(picture, f"attention-{side}s")


def _short(text: str, limit: int) -> str:
    return plain(text, limit)


def _plotly(text: str) -> str:
    """Plotly reads a little HTML in its labels: take the tags' brackets away."""
    return plain(text, 120).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text(x: float, y: float, content: str, ink: str, points: float) -> Markup:
    return Markup('<text x="{}" y="{}" fill="{}" font-size="{}">{}</text>').format(x, y, ink, points, content)
