"""What was offered: does it break a rule, whom does it reach, how much did the rules remove, how much did it change."""

from __future__ import annotations

from typing import Any

import polars as pl

from flows.gate.finding import Finding, Subject
from flows.sections.gate import GateConfig

RECHECK = Subject(
    "suitability",
    "Every row suits its customer",
    "suitability",
    "A published recommendation breaks a suitability rule.",
    "compliance officer",
    "Do not use this run's file: a published row breaks a suitability rule. Report it as a fault of the software.",
    "#exclusions",
)
REACH = Subject(
    "served",
    "Customers served",
    "suitability",
    "Many customers were given nothing.",
    "compliance officer",
    "See under Suitability rules which rule leaves customers with nothing.",
    "#exclusions",
)
REMOVED = Subject(
    "exclusions",
    "Share of candidates removed",
    "suitability",
    "The suitability rules remove nearly every asset.",
    "compliance officer",
    "See which rule removes most, and whether its limits or the closes it reads are right.",
    "#exclusions",
)
TURNOVER = Subject(
    "turnover",
    "Change of the lists since last night",
    "stability",
    "Many customers would see another list than last night.",
    "data scientist",
    "Find what moved them (data, settings or the model) under What changed before customers see another list.",
    "#changes",
)


def recheck(again: dict[str, Any] | None, published: int, settings: GateConfig) -> Finding:
    """The rules, applied again by other code to the file itself: every row looked at, none breaks one."""
    threshold = "every published row checked again, no violation"
    if again is None:
        return RECHECK.not_measured("the rules were not applied again to the published file (recommendations/recheck.json)")
    checked = int(again["rows_checked"])
    count = int(again["n_violations"])
    said = f"{checked:,} of {published:,} rows checked again, {count:,} violations"
    return RECHECK.judged(
        count == 0 and checked == published, settings.suitability, said, threshold, checked=checked, violations=count
    )


def served(customers: pl.DataFrame, lists: pl.DataFrame, settings: GateConfig) -> Finding:
    """Share of customers with an accepted profile who were given at least one recommendation; nobody given any always blocks."""
    if lists.is_empty():
        return REACH.found("block", "nobody was given anything: no row would be published", "at least one row")
    known = customers.filter("has_profile")
    if known.is_empty():
        return REACH.not_measured("no customer has an accepted profile")
    reached = known.join(lists, on="customer_id", how="semi").height
    share = reached / known.height
    return REACH.judged(
        share >= settings.served_least,
        settings.served,
        f"{reached:,} of {known.height:,} customers with a profile ({share:.1%})",
        f"at least {settings.served_least:.0%}",
        share=share,
    )


def removed_share(removed: int, customers: int, items: int, settings: GateConfig) -> Finding:
    """Share of pairs of a customer with a profile and an asset that some rule removed."""
    pairs = customers * items
    if not pairs:
        return REMOVED.not_measured("there was no candidate")
    share = removed / pairs
    return REMOVED.judged(
        share <= settings.exclusions_most,
        settings.exclusions,
        f"{removed:,} of {pairs:,} pairs of customer and asset ({share:.1%})",
        f"at most {settings.exclusions_most:.0%}",
        share=share,
    )


def list_changes(now: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """``customer_id, distance`` of every customer with a list in both: Jaccard distance of the two sets of assets.

    Both tables have customer_id and asset_id. 0: the same assets; 1: none in common. Source: Jaccard (1912).
    """
    both = now.select("customer_id").unique().join(before.select("customer_id").unique(), on="customer_id")
    kept = (
        (now.select("customer_id", "asset_id").join(before.select("customer_id", "asset_id"), on=["customer_id", "asset_id"]))
        .group_by("customer_id")
        .agg(kept=pl.len())
    )
    sizes = [
        frame.group_by("customer_id").agg(pl.col("asset_id").n_unique().alias(name))
        for name, frame in (("now", now), ("before", before))
    ]
    union = pl.col("now") + pl.col("before") - pl.col("kept")
    return (
        both.join(sizes[0], on="customer_id")
        .join(sizes[1], on="customer_id")
        .join(kept, on="customer_id", how="left")
        .with_columns(pl.col("kept").fill_null(0).cast(pl.Int64))
        .select("customer_id", distance=1 - pl.col("kept") / union)
        .sort("customer_id")
    )


def turnover(changes: pl.DataFrame | None, settings: GateConfig, why: str = "") -> Finding:
    """Mean Jaccard distance, and the share of customers with nothing left of their list."""
    if changes is None:
        return TURNOVER.not_applicable(why)
    if changes.is_empty():
        return TURNOVER.not_applicable("no customer was given recommendations both then and now")
    mean = float(changes["distance"].mean() or 0.0)  # type: ignore[arg-type]
    whole = float((changes["distance"] == 1).mean() or 0.0)  # type: ignore[arg-type]
    return TURNOVER.judged(
        mean <= settings.turnover_most and whole <= settings.turnover_whole_most,
        settings.turnover,
        f"mean Jaccard distance {mean:.2f}, whole list changed for {whole:.1%} of {changes.height:,} customers",
        f"mean at most {settings.turnover_most:g}, whole list at most {settings.turnover_whole_most:.0%}",
        mean=mean,
        whole=whole,
        n=changes.height,
    )
