"""Which columns of an item's features belong together: what feature attention weighs and an explanation names."""

from __future__ import annotations

from collections.abc import Sequence

#: The group of what is not a trait of an item but learned from who buys it.
BUYERS = "buyers"
#: Counts of buyers are no trait either: an asset that nobody has bought yet would be judged by that.
_NO_TRAIT = "buyers_"
_GROUP = {
    "asset_class": "class",
    "asset_subclass": "class",
    "market_id": "market",
    "dividend_yield": "yield",
    "risk_class": "risk",
    "volatility": "risk",
}


def feature_groups(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Group -> columns, in order of first appearance.

    ``sector=Energy`` and ``sector=Utilities`` are one group, ``momentum_30`` and ``momentum_90?`` another.
    """
    groups: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        if name.startswith(_NO_TRAIT):
            continue
        stem = name.split("=")[0].rstrip("?")
        stem = "momentum" if stem.startswith("momentum_") else _GROUP.get(stem, stem)
        groups.setdefault(stem, []).append(column)
    return {group: tuple(columns) for group, columns in groups.items()}
