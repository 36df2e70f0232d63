"""Which nights continue each other: same preset and source. Comparing the volumes of different markets says nothing."""

from __future__ import annotations

from typing import Any


def lineage(config: dict[str, Any]) -> tuple[object, ...]:
    """What two runs' recorded settings have in common when one continues the other."""
    market = tuple(sorted((name, value) for name, value in config["simulation"].items() if name != "as_of"))
    is_simulated = config["source"]["format"] == "simulated"
    return config["preset"], config["source"]["format"], market if is_simulated else None
