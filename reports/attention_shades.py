"""The colours of attention: white-blue for none to deep blue for all, with text that can be read on each."""

from __future__ import annotations


def rgb(weight: float) -> tuple[int, ...]:
    """White-blue for 0 to deep blue for 1, darker fast at first: most weights are small."""
    low, high = (238, 243, 248), (18, 64, 106)
    depth = min(max(weight, 0.0), 1.0) ** 0.7
    return tuple(round(a + (b - a) * depth) for a, b in zip(low, high, strict=True))


def shade(weight: float) -> str:
    """The same as ``#rrggbb``."""
    return "#" + "".join(f"{channel:02x}" for channel in rgb(weight))


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2, "relative luminance")."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ink(weight: float) -> str:
    """Black or white, whichever contrasts more: at least 4.5 to 1 on every ground."""
    ground = luminance(rgb(weight)) + 0.05
    return "#ffffff" if 1.05 / ground > ground / 0.05 else "#000000"
