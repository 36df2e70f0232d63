"""The template engine of the evidence pages: autoescape always on, no page may load anything from a
network."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports import text
from reports.evidence import Absent

PLOTLY_FILE = "plotly.min.js"
"""The one copy of plotly's library that all pages of a pack share."""


@functools.cache
def environment() -> Environment:
    """The engine, one for all pages, so that each template is compiled once. Unknown names in a template are errors, and
    every string is made plain before it is escaped."""
    engine = Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    engine.filters.update(
        name=text.name,
        count=text.count,
        decimal=text.decimal,
        signed=text.signed,
        percent=text.percent,
        lower_first=text.lower_first,
        prose=text.prose,
        size=text.size,
        duration=text.duration,
    )
    engine.tests["absent"] = lambda value: isinstance(value, Absent)
    return engine


def write_page(template: str, target: Path, **values: Any) -> Path:
    """Render ``template`` with ``values`` into ``target`` (UTF-8, LF)."""
    page = environment().get_template(template).render(**values)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8", newline="\n")
    return target


def script_data(value: Any) -> Markup:
    """``value`` as JSON that may stand inside a script element, whatever its strings hold."""
    return script_json(json.dumps(value, ensure_ascii=True, allow_nan=False))


def script_json(document: str) -> Markup:
    """JSON text made safe to stand inside a script element: outside of strings JSON has none of these
    characters."""
    safe = document.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(safe.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))  # escaped above, or by plotly


def write_plotly(directory: Path) -> Path:
    """Put plotly's library beside the pages, once."""
    from plotly.offline import get_plotlyjs

    target = directory / PLOTLY_FILE
    if not target.exists():
        target.write_text(get_plotlyjs(), encoding="utf-8", newline="\n")
    return target


def figure(figure_: Any, div_id: str) -> Markup:
    """A plotly figure as a div and its script; the library comes from :data:`PLOTLY_FILE`."""
    settings = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["sendDataToCloud"]}
    html = figure_.to_html(include_plotlyjs=False, full_html=False, div_id=div_id, config=settings)
    return Markup(html)  # escaped above, or by plotly


def _finalize(value: Any) -> Any:
    return text.plain(value) if type(value) is str else value
