"""Whether similar customers have similar attention, in words: what was measured against which null, and what that says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

LEVEL: Final = 0.05
"""False discovery rate at which a likeness counts as shown."""
FEWEST_CUSTOMERS: Final = 20
BEYOND: Final = "alike, beyond what holdings alone give"
NAMES: Final = {"asset": "Asset", "sector": "Sector", "asset_class": "Asset class"}


def reading(row: Mapping[str, Any], level: float = LEVEL) -> str:
    """What one row of ``consistency.parquet`` allows to be said at a false discovery rate of ``level``."""
    if row["n"] < FEWEST_CUSTOMERS:
        return "too few customers to say"
    if not row["q"] <= level:
        return "not shown to be alike"
    if not (row["holdings_q"] <= level and row["holdings_effect"] > 0):
        return "alike only as far as holdings are"
    return BEYOND


def rows(table: pl.DataFrame) -> list[dict[str, Any]]:
    """The table's rows with ``reading`` and the support's ``name``, everybody first."""
    return [row | {"reading": reading(row), "name": NAMES.get(row["support"], row["support"])} for row in table.to_dicts()]


def sentence(table: pl.DataFrame) -> str:
    """What the rows of all customers come down to."""
    everybody = [row for row in rows(table) if row["segment_kind"] == "all"]
    said = {
        BEYOND: "also when holdings are taken into account",
        "alike only as far as holdings are": "but no more than their like holdings alone would bring about",
        "not shown to be alike": "not",
        "too few customers to say": "unknown: too few customers",
    }
    parts = []
    for words, meaning in said.items():
        supports = [row["name"].lower() for row in everybody if row["reading"] == words]
        if supports:
            parts.append(f"by {' and '.join(supports)}: {'yes, ' if words.startswith('alike') else ''}{meaning}")
    return "Do similar customers have similar attention? " + "; ".join(parts) + "."
