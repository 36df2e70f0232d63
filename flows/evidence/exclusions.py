"""How many candidates each rule removed."""

from __future__ import annotations

import json

import polars as pl

from flows.night import Night
from flows.suitability import RULES


def gather(night: Night) -> pl.DataFrame:
    """Every rule with the pairs and the customers that it touched, zero included."""
    run = night.folder
    customers = pl.scan_parquet(run / "histories" / "present" / "customers.parquet").select(pl.len()).collect().item()
    counts = json.loads((run / "recommendations" / "exclusion_counts.json").read_text(encoding="utf-8"))
    assets = pl.read_parquet(run / "recommendations" / "asset_exclusions.parquet").group_by("rule_id").len()
    rows = [(rule, n * customers, customers) for rule, n in assets.iter_rows()]
    rows += [(rule, count["candidates"], count["customers"]) for rule, count in counts.items()]
    found = {rule: (candidates, touched) for rule, candidates, touched in rows}
    return pl.DataFrame(
        [(rule, RULES[rule], *found.get(rule, (0, 0))) for rule in RULES],
        schema={"rule_id": pl.String, "reason": pl.String, "candidates": pl.Int64, "customers": pl.Int64},
        orient="row",
    )
