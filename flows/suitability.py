"""Which candidates may be offered to whom: the rules, their order and their words.

A candidate that breaks a rule is kept, with the rule's id, in the exclusions files. Rules about the asset hold for
every customer; rules about the pair need the customer's holdings or declared profile.
Source of the idea: MiFID II suitability, Delegated Regulation (EU) 2017/565, Art. 54. The classes of assets whose source
declares none are the firm's policy (``recommend.asset_risk``), not a claim about the assets.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl

from flows.sections.recommend import RecommendConfig

RISK_LEVELS = {"conservative": 1, "income": 2, "balanced": 3, "aggressive": 4}
NO_LIMIT = 9
"""Risk level of a customer whose source declares no profile: nothing is above it, and the row says so."""

ASSET_RULES = {
    "not_described": "the asset has no description valid at as_of",
    "restricted": "the asset is on the restricted list at as_of",
    "not_tradable": "the asset has no recent close, so it is not tradable at as_of",
}
PAIR_RULES = {
    "held": "the customer holds the asset",
    "previously_held": "the customer held the asset before and sold it",
    "possibly_held": "a trade or position set aside in quarantine says that the customer may hold the asset",
    "above_risk_profile": "the asset's risk class is above the customer's risk profile",
}
CUSTOMER_RULES = {
    "no_profile": "no accepted row of the customers table is valid at as_of, so nobody knows what suits the customer",
}
RULES = {**CUSTOMER_RULES, **ASSET_RULES, **PAIR_RULES}


def asset_risk_class(items: pl.DataFrame, settings: RecommendConfig) -> pl.DataFrame:
    """``asset_id, asset_risk`` (1..4) and ``risk_source`` (declared, policy, volatility).

    Declared class first; else the policy of ``class/subclass``, then of ``class``, then 4; a stock whose yearly
    volatility is at or above ``high_volatility`` is class 4.
    """
    pair = pl.concat_str("asset_class", pl.lit("/"), pl.col("asset_subclass").str.to_lowercase())
    policy = pl.coalesce(
        pair.replace_strict(settings.asset_risk, default=None, return_dtype=pl.Int64),
        pl.col("asset_class").replace_strict(settings.asset_risk, default=None, return_dtype=pl.Int64),
        pl.lit(4, dtype=pl.Int64),
    )
    volatile = (pl.col("asset_class") == "stock") & (pl.col("volatility") >= settings.high_volatility)
    declared = pl.col("risk_class").is_not_null()
    return items.select(
        "asset_id",
        asset_risk=pl.when(declared)
        .then(pl.col("risk_class").cast(pl.Int64))
        .when(volatile.fill_null(False))
        .then(pl.lit(4, dtype=pl.Int64))
        .otherwise(policy)
        .cast(pl.Int8),
        risk_source=pl.when(declared)
        .then(pl.lit("declared"))
        .when(volatile.fill_null(False))
        .then(pl.lit("volatility"))
        .otherwise(pl.lit("policy")),
    )


def asset_exclusions(items: pl.DataFrame, restricted: Path, as_of: date, settings: RecommendConfig) -> pl.DataFrame:
    """``asset_id, rule_id, detail``: one row an asset and rule it breaks, for every customer alike.

    A watch-list entry excludes nobody; a restricted one counts from valid_from to valid_to, both included.
    """
    oldest = as_of - timedelta(days=settings.tradable_price_age_days)
    age = pl.lit(as_of) - pl.duration(days=pl.col("price_age"))
    described = items.filter(pl.col("asset_class").is_null()).select(
        "asset_id", rule_id=pl.lit("not_described"), detail=pl.lit("no row of the assets table is valid yet")
    )
    untraded = items.filter(pl.col("price_age").is_null() | (age < oldest)).select(
        "asset_id",
        rule_id=pl.lit("not_tradable"),
        detail=pl.when(pl.col("price_age").is_null())
        .then(pl.lit("never priced"))
        .otherwise(pl.lit("last close ") + age.cast(pl.Date).cast(pl.String)),
    )
    on_list = pl.DataFrame(schema={"asset_id": pl.String, "rule_id": pl.String, "detail": pl.String})
    if restricted.exists():
        on_list = (
            pl.read_parquet(restricted)
            .filter(
                (pl.col("list_kind") == "restricted")
                & (pl.col("valid_from") <= as_of)
                & (pl.col("valid_to").is_null() | (pl.col("valid_to") >= as_of))
            )
            .sort("asset_id", "valid_from")
            .unique("asset_id", keep="first", maintain_order=True)
            .join(items.select("asset_id"), on="asset_id", how="semi")
            .select("asset_id", rule_id=pl.lit("restricted"), detail=pl.col("reason"))
        )
    return pl.concat([described, on_list, untraded]).sort("asset_id", "rule_id")
