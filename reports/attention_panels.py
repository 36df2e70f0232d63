"""Attention in small multiples: one panel a layer and head, and bull beside bear, over the same customers and holdings.

A row is a customer, a cell one of his holdings, in every panel the same one: places go by the mean weight as the market is.
So a holding that one head looks at and another does not, or that counts in a bull market and not in a bear market, is seen by
looking across. An empty cell: the customer did not hold it then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl
from markupsafe import Markup

from reports.attention_shades import ink, shade
from reports.text import percent, plain

CUSTOMERS, PLACES, MOST_PANELS = 8, 6, 6
"""Rows, cells a row and panels of the static pictures."""
FULL_WIDTH = 958
PAGE_CUSTOMERS, PAGE_PLACES = 16, 10
"""Rows and cells a row of the interactive ones."""
Side = Literal["head", "regime"]


@dataclass(frozen=True)
class Panel:
    """``cells``: customer, holding, place (from 1), weight (null: not held then)."""

    title: str
    cells: pl.DataFrame


def panels(detail: pl.DataFrame, side: Side, *, customers: int, places: int) -> list[Panel]:
    """One panel a layer and head, or one each for bull and bear (mean over the last layer's heads).

    ``detail``: customer str, holding str, layer i, head str, regime str (``as it is``, ``bull``, ``bear``), weight f64.
    No panel for a regime that is not in it.
    """
    last = pl.col("layer") == detail["layer"].max()
    mean = detail.filter(last).group_by("customer", "holding", "regime", maintain_order=True).agg(pl.col("weight").mean())
    shown = detail["customer"].unique(maintain_order=True).head(customers).to_list()
    order = (
        mean.filter((pl.col("regime") == "as it is") & pl.col("customer").is_in(shown))
        .sort("weight", "holding", descending=[True, False])
        .with_columns(place=(pl.int_range(pl.len()) + 1).over("customer"))
        .filter(pl.col("place") <= places)
        .select("customer", "holding", "place")
    )

    def panel(title: str, weights: pl.DataFrame) -> Panel:
        joined = order.join(weights.select("customer", "holding", "weight"), on=["customer", "holding"], how="left")
        return Panel(title, joined.sort(pl.col("customer").replace_strict({c: i for i, c in enumerate(shown)}), "place"))

    if side == "regime":
        return [
            panel(f"{regime.capitalize()} market", mean.filter(pl.col("regime") == regime))
            for regime in ("bull", "bear")
            if regime in set(detail["regime"])
        ]
    now = detail.filter(pl.col("regime") == "as it is")
    several = now["layer"].n_unique() > 1
    found: list[Panel] = []
    for layer, head in now.select("layer", "head").unique(maintain_order=True).iter_rows():
        part = now.filter((pl.col("layer") == layer) & (pl.col("head") == head))
        found.append(panel(f"Layer {layer}, {head}" if several else head.capitalize(), part))
    return found


def panels_svg(detail: pl.DataFrame, side: Side, label: str) -> Markup:
    """The static picture, at most ``MOST_PANELS`` panels side by side; nothing where there is no panel."""
    drawn = panels(detail, side, customers=CUSTOMERS, places=PLACES)[:MOST_PANELS]
    if not drawn:
        return Markup("")
    cell, row, head, left, between = 30, 22, 40, 118, 22
    wide = PLACES * cell + between
    across = min(len(drawn), 3)
    people = drawn[0].cells["customer"].unique(maintain_order=True).to_list()
    tall = head + len(people) * row + 14
    # A page scales a picture to its width: never larger than the heatmap beside it.
    width, height = max(left + across * wide, FULL_WIDTH), -(-len(drawn) // across) * tall
    svg = [
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
            'font-family="system-ui, sans-serif" aria-labelledby="attention-{s}"><title id="attention-{s}">{t}</title>'
        ).format(w=width, h=height, s=side, t=label)
    ]
    for number, panel in enumerate(drawn):
        x, y = left + number % across * wide, number // across * tall
        svg.append(_text(x, y + 14, plain(panel.title, 28), "#1c2430", 13))
        svg += [_text(x + place * cell + 8, y + 32, f"{place + 1}.", "#4d5866", 11) for place in range(PLACES)]
        for line, customer in enumerate(people):
            top = y + head + line * row
            if number % across == 0:
                svg.append(_text(0, top + 15, plain(customer, 15), "#1c2430", 12))
            for entry in panel.cells.filter(pl.col("customer") == customer).iter_rows(named=True):
                svg.append(_cell(x + (entry["place"] - 1) * cell, top, cell - 2, row - 2, entry, panel.title))
    return Markup("").join([*svg, Markup("</svg>")])


def panels_figure(detail: pl.DataFrame, side: Side) -> Any:
    """The interactive picture (plotly), every panel; None where there is none."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    drawn = panels(detail, side, customers=PAGE_CUSTOMERS, places=PAGE_PLACES)
    if not drawn:
        return None
    people = drawn[0].cells["customer"].unique(maintain_order=True).to_list()
    across = min(len(drawn), 3)
    down = -(-len(drawn) // across)
    picture = make_subplots(
        rows=down, cols=across, shared_yaxes=True, subplot_titles=[_escaped(panel.title) for panel in drawn],
        horizontal_spacing=0.03, vertical_spacing=0.12 / down,
    )  # fmt: skip
    for number, panel in enumerate(drawn):
        weights: list[list[float | None]] = [[None] * PAGE_PLACES for _ in people]
        names = [[""] * PAGE_PLACES for _ in people]
        for entry in panel.cells.iter_rows(named=True):
            line = people.index(entry["customer"])
            weights[line][entry["place"] - 1] = entry["weight"]
            names[line][entry["place"] - 1] = _escaped(entry["holding"])
        picture.add_trace(
            go.Heatmap(
                z=weights, x=list(range(1, PAGE_PLACES + 1)), y=[_escaped(customer) for customer in people], text=names,
                coloraxis="coloraxis", xgap=1, ygap=1, hoverongaps=False,
                hovertemplate="%{y}<br>%{text}<br>%{z:.1%}<extra></extra>",
            ),
            row=number // across + 1,
            col=number % across + 1,
        )  # fmt: skip
    picture.update_yaxes(autorange="reversed", showgrid=False)
    picture.update_xaxes(showgrid=False, dtick=1)
    picture.update_layout(
        height=down * (100 + 22 * len(people)),
        margin={"l": 110, "r": 20, "t": 50, "b": 30},
        font={"family": "system-ui, sans-serif", "color": "#1c2430"},
        plot_bgcolor="#ffffff",
        coloraxis={
            "colorscale": [[0.0, "#eef3f8"], [1.0, "#12406a"]],
            "cmin": 0.0,
            "cmax": 1.0,
            "colorbar": {"tickformat": ".0%"},
        },
    )
    return picture


def _cell(x: float, y: float, width: float, height: float, entry: dict[str, Any], panel: str) -> Markup:
    weight = entry["weight"]
    told = f"{plain(entry['customer'], 60)}, {plain(entry['holding'], 120)}, {panel}: "
    if weight is None:
        return Markup(
            '<g><title>{t}</title><rect x="{x}" y="{y}" width="{w}" height="{h}" fill="#ffffff" stroke="#d9dee5"/></g>'
        ).format(t=told + "not held then", x=x, y=y, w=width, h=height)
    return Markup(
        '<g><title>{t}</title><rect x="{x}" y="{y}" width="{w}" height="{h}" rx="2" fill="{f}"/>'
        '<text x="{tx}" y="{ty}" fill="{i}" font-size="10">{v}</text></g>'
    ).format(
        t=told + percent(weight), x=x, y=y, w=width, h=height, f=shade(weight), tx=x + 5, ty=y + 14, i=ink(weight),
        v=f"{weight * 100:.0f}",
    )  # fmt: skip


def _escaped(text: str) -> str:
    """Plotly reads a little HTML in its labels."""
    return plain(text, 90).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text(x: float, y: float, content: str, ink_: str, points: float) -> Markup:
    return Markup('<text x="{}" y="{}" fill="{}" font-size="{}">{}</text>').format(x, y, ink_, points, content)
