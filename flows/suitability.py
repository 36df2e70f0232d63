"""What the suitability rules say of an asset, whoever the customer is: its risk class, its issuer, and whether it may be offered.

The rules stand in a file (``flows/suitability_rules``) and are part of a run's settings (:mod:`flows.sections.suitability`).
Those that need the customer are in :mod:`flows.pair_rules`, those that need the list in :mod:`flows.list_rules`.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl

from data_contracts.valid_at import valid_at
from flows.sections.suitability import AssetRisk, AssetRule, NotDescribed, OnList, SuitabilityConfig

CUSIP_COUNTRIES = ("US", "CA")
"""Their ISINs hold a CUSIP, whose first six characters name the issuer (CUSIP Global Services)."""


def asset_risk_class(items: pl.DataFrame, policy: AssetRisk) -> pl.DataFrame:
    """``asset_id, asset_risk`` (1..4) and ``risk_source`` (declared, policy, volatility).

    Declared class first; else the policy of ``class/subclass``, then of ``class``, then 4; a stock whose yearly
    volatility is at or above ``high_volatility`` is class 4.
    """
    pair = pl.concat_str("asset_class", pl.lit("/"), pl.col("asset_subclass").str.to_lowercase())
    by_policy = pl.coalesce(
        pair.replace_strict(policy.classes, default=None, return_dtype=pl.Int64),
        pl.col("asset_class").replace_strict(policy.classes, default=None, return_dtype=pl.Int64),
        pl.lit(4, dtype=pl.Int64),
    )
    volatile = (pl.col("asset_class") == "stock") & (pl.col("volatility") >= policy.high_volatility)
    declared = pl.col("risk_class").is_not_null()
    return items.select(
        "asset_id",
        asset_risk=pl.when(declared)
        .then(pl.col("risk_class").cast(pl.Int64))
        .when(volatile.fill_null(False))
        .then(pl.lit(4, dtype=pl.Int64))
        .otherwise(by_policy)
        .cast(pl.Int8),
        risk_source=pl.when(declared)
        .then(pl.lit("declared"))
        .when(volatile.fill_null(False))
        .then(pl.lit("volatility"))
        .otherwise(pl.lit("policy")),
    )


def issuers(snapshot: Path, as_of: date) -> pl.DataFrame:
    """``asset_id, issuer`` of every asset valid at as_of; null where nobody can say.

    The source's own ``issuer`` first. A fund has none: it is a pool of others' papers. Of a stock or bond the name says it, up
    to the first word with a digit and without brackets (``Coca-Cola 1.875% 2027``); papers that share the issuer's part of a
    CUSIP (in US and Canadian ISINs) share the first of their names. Two spellings in one source stay two issuers.
    """
    assets = valid_at(snapshot / "assets.parquet", "asset_id", as_of)
    declared = pl.col("issuer") if "issuer" in assets.collect_schema().names() else pl.lit(None, dtype=pl.String)
    bare = pl.col("asset_name").str.to_uppercase().str.replace_all(r"\([^)]*\)", " ").str.replace_all(r"[^\p{L}\p{N}]+", " ")
    words = pl.concat_str(bare.str.strip_chars(), pl.lit(" "))
    of_paper = pl.when(pl.col("asset_class") != "fund")
    number = pl.when(pl.col("asset_id").str.slice(0, 2).is_in(CUSIP_COUNTRIES)).then(pl.col("asset_id").str.slice(0, 8))
    return (
        assets.select(
            "asset_id", declared=declared, name=of_paper.then(words.str.extract(r"^(\S+ (?:[^\p{N}\s]+ )*)")), number=number
        )
        .with_columns(shared=pl.when(pl.col("number").is_not_null()).then(pl.col("name").min().over("number")))
        .select(
            "asset_id", issuer=pl.coalesce("declared", pl.when(pl.col("name").is_not_null()).then(pl.coalesce("shared", "name")))
        )
        .with_columns(pl.col("issuer").str.strip_chars())
        .sort("asset_id")
        .collect()
    )


def asset_breaches(items: pl.DataFrame, restricted: Path, as_of: date, rules: SuitabilityConfig) -> pl.DataFrame:
    """``asset_id, rule_id, effect, detail``: one row an asset and rule in force that it breaks, for every customer alike."""
    found = [
        _breaches(rule, items, restricted, as_of).select(
            "asset_id", pl.lit(name).alias("rule_id"), pl.lit(rule.effect).alias("effect"), "detail"
        )
        for name, rule in rules.in_force().items()
        if isinstance(rule, AssetRule)
    ]
    nothing = pl.DataFrame(schema=dict.fromkeys(("asset_id", "rule_id", "effect", "detail"), pl.String))
    return pl.concat([nothing, *found]).sort("asset_id", "rule_id")


def _breaches(rule: AssetRule, items: pl.DataFrame, restricted: Path, as_of: date) -> pl.DataFrame:
    """``asset_id, detail`` of the assets that break one rule."""
    if isinstance(rule, NotDescribed):
        return items.filter(pl.col("asset_class").is_null()).select(
            "asset_id", detail=pl.lit("no row of the assets table is valid yet")
        )
    if isinstance(rule, OnList):
        return _listed(rule.list, items, restricted, as_of)
    oldest = as_of - timedelta(days=rule.price_age_days)
    last = (pl.lit(as_of) - pl.duration(days=pl.col("price_age"))).cast(pl.Date)
    return items.filter(pl.col("price_age").is_null() | (last < oldest)).select(
        "asset_id",
        detail=pl.when(pl.col("price_age").is_null())
        .then(pl.lit("never priced"))
        .otherwise(pl.lit("last close ") + last.cast(pl.String)),
    )


def _listed(kind: str, items: pl.DataFrame, restricted: Path, as_of: date) -> pl.DataFrame:
    """An entry counts from valid_from to valid_to, both included; of several the first gives its reason."""
    if not restricted.exists():
        return pl.DataFrame(schema={"asset_id": pl.String, "detail": pl.String})
    ended = pl.col("valid_to") < as_of
    return (
        pl.read_parquet(restricted)
        .filter((pl.col("list_kind") == kind) & (pl.col("valid_from") <= as_of) & ~ended.fill_null(False))
        .sort("asset_id", "valid_from")
        .unique("asset_id", keep="first", maintain_order=True)
        .join(items.select("asset_id"), on="asset_id", how="semi", maintain_order="left")
        .select("asset_id", detail=pl.col("reason"))
    )
