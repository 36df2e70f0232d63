"""One customer's recommendations as a picture: a bar for every holding and feature that is named, under its sentence.

The picture stands alone: an SVG file, or the same one in a page. It loads nothing and holds no script.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from reports.pages import write_page
from reports.text import percent, plain

LABEL, BAR, WIDTH = 260, 380, 760
"""Width of the names, of a bar of 100 %, and of the whole, in pixels."""
LINE, WRAP = 20, 105
SUFFIXES = (".svg", ".html")


@dataclass(frozen=True)
class Line:
    """One recommendation. ``holdings`` and ``features`` are pairs of a name and its weight in [0, 1], heaviest first."""

    rank: int
    asset: str
    sentence: str
    holdings: Sequence[tuple[str, float]] = ()
    features: Sequence[tuple[str, float]] = ()


def explanation_svg(customer: str, lines: Sequence[Line], explanation: str) -> Markup:
    """The picture; ``explanation`` says by which method the weights were found."""
    parts: list[Markup] = []
    y = 26
    parts.append(_text(0, y, f"Recommendations for {plain(customer, 40)}", "#1c2430", 19, bold=True))
    y += 24
    parts.append(_text(0, y, plain(f"Explanation: {explanation}", 110), "#4d5866", 13))
    for line in lines:
        y += 34
        parts.append(_text(0, y, plain(f"{line.rank}. {line.asset}", 90), "#1c2430", 15, bold=True))
        for row in textwrap.wrap(plain(line.sentence), WRAP):
            y += 18
            parts.append(_text(0, y, row, "#4d5866", 13))
        for pairs, colour in ((line.holdings, "#12406a"), (line.features, "#7a4b00")):
            for name, weight in pairs:
                y += LINE
                parts.append(_text(0, y, plain(name, 36), "#1c2430", 13))
                parts.append(
                    Markup('<rect x="{}" y="{}" width="{:.1f}" height="13" rx="2" fill="{}"/>').format(
                        LABEL, y - 11, max(weight, 0.003) * BAR, colour
                    )
                )
                parts.append(_text(LABEL + max(weight, 0.003) * BAR + 8, y, percent(weight), "#1c2430", 13))
    height = y + 24
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'font-family="system-ui, sans-serif" aria-labelledby="explanation"><title id="explanation">{t}</title>'
        '<rect width="{w}" height="{h}" fill="#ffffff"/>'
    ).format(w=WIDTH, h=height, t=f"Recommendations for {plain(customer, 40)} and what speaks for each")
    return Markup("").join([head, *parts, Markup("</svg>")])


def write_explanation(target: Path, customer: str, lines: Sequence[Line], explanation: str) -> Path:
    """Writes the picture to ``target``, as its suffix says (one of ``SUFFIXES``)."""
    picture = explanation_svg(customer, lines, explanation)
    if target.suffix.lower() == ".html":
        return write_page("explanation.html", target, picture=picture, customer=customer)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(str(picture), encoding="utf-8", newline="\n")
    return target


def _text(x: float, y: float, content: str, ink: str, points: float, *, bold: bool = False) -> Markup:
    return Markup('<text x="{:.1f}" y="{}" fill="{}" font-size="{}"{}>{}</text>').format(
        x, y, ink, points, Markup(' font-weight="700"') if bold else "", content
    )
