"""Text of a source, fit for a message: no control characters that a terminal would obey, and not too long."""

from __future__ import annotations

MOST = 60  # characters


def printable(value: object, most: int = MOST) -> str:
    """The value as text, unprintable characters written as escapes, cut to ``most`` characters."""
    text = str(value)[: most + 1]
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)
    return shown if len(shown) <= most else shown[:most] + "..."
