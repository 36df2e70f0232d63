"""How numbers and names are written on the pages.

Names come from other people's files: they may hold control characters, marks that turn the reading
direction of the whole line, or ten thousand characters. What reaches a page is plain, bounded text;
escaping for HTML is the template engine's work and comes after this.
"""

from __future__ import annotations

import math
import re

from markupsafe import Markup, escape

NAME_LIMIT = 90
"""Characters of a name that a table shows; a sentence may be longer."""

TEXT_LIMIT = 2000
"""Characters of any one value on a page."""

# Controls, line and paragraph separators, marks that change the reading direction, zero-width and private characters.
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def plain(text: str, limit: int = TEXT_LIMIT) -> str:
    """``text`` with hidden characters made visible (as a middle dot in brackets) and cut to ``limit``
    characters."""
    shown = _HIDDEN.sub("[·]", text[: limit + 1])
    return shown if len(shown) <= limit else shown[: max(limit - 1, 0)].rstrip() + "…"


def name(text: object) -> str:
    """A name of a customer, asset or file, short enough for a table cell."""
    return "–" if text is None else plain(str(text), NAME_LIMIT)


_TICKS = re.compile(r"`([^`\n]{1,200})`")


def prose(sentence: str) -> Markup:
    """A sentence in which what stands between backticks (a command, a setting) is set as code; all of it escaped."""
    pieces = _TICKS.split(plain(sentence))  # text, code, text, code, ...
    code = Markup('<span class="code">{}</span>')
    return Markup("").join(code.format(piece) if place % 2 else escape(piece) for place, piece in enumerate(pieces))


def lower_first(sentence: str) -> str:
    """A sentence as it goes on after a colon."""
    return sentence[:1].lower() + sentence[1:]


def count(value: float | None) -> str:
    """``12345`` as ``12,345``; an unknown count as an en dash."""
    return "–" if value is None else f"{value:,.0f}"


def decimal(value: float | None, places: int = 4) -> str:
    """A metric: fixed decimals (a true minus), an en dash where it is not defined."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{places}f}".replace("-", "−")


def signed(value: float | None, places: int = 4) -> str:
    """A difference, with its sign (a true minus)."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:+.{places}f}".replace("-", "−")


def percent(share: float | None, places: int = 1) -> str:
    """A share in [0, 1]; a share that is not zero never reads as 0.0 %."""
    if share is None or not math.isfinite(share):
        return "–"
    least = 10.0 ** -(places + 2)
    if 0.0 < share < least:
        return f"< {least * 100:.{places}f} %"
    return f"{share * 100:.{places}f} %"


def size(bytes_: int | None) -> str:
    """Bytes in binary units."""
    if bytes_ is None:
        return "–"
    if bytes_ < 1024:
        return f"{bytes_} B"
    value = float(bytes_)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024.0
        if value < 1024.0 or unit == "GiB":
            return f"{value:.1f} {unit}"
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """Wall time, in minutes where it is long."""
    if seconds < 0.095:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
