"""Days as numbers."""

from __future__ import annotations

from datetime import date

EPOCH = date(1970, 1, 1)


def days_since_epoch(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days
