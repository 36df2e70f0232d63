"""Every suitability rule once more, as a filter on published rows with the accepted tables joined to them.

Second implementation on purpose: it shares nothing with the first but the rules' text (see :mod:`flows.recheck`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

SLACK = 1e-9
"""Relative: two ways of adding up the same values differ in their last digits, and a limit may lie between."""


def facts_beside(rows: pl.DataFrame, run: Path, as_of: date, asset_risk: Mapping[str, Any]) -> pl.DataFrame:
    """``rows`` with what the accepted tables of ``run`` say of their customer, asset and pair at as_of (``now_`` in front)."""
    snapshot = run / "snapshot"
    positions = _positions(snapshot)
    worth = positions.filter("valued").group_by("customer_id").agg(now_worth=pl.col("last_value").sum(), now_valued=pl.len())
    return (
        rows.join(_customers(snapshot, as_of), on="customer_id", how="left", maintain_order="left")
        .join(_assets(snapshot, as_of, asset_risk), on="asset_id", how="left", maintain_order="left")
        .join(
            positions.select("customer_id", "asset_id", now_status="status"),
            on=["customer_id", "asset_id"],
            how="left",
            maintain_order="left",
        )
        .join(worth, on="customer_id", how="left", maintain_order="left")
    )


def breaks(rule: Mapping[str, Any], facts: pl.DataFrame, run: Path, as_of: date, slack: float) -> pl.Series:
    """The row numbers that break ``rule``; a limit is missed by more than ``slack`` (negative: or is nearly reached)."""
    match rule["kind"]:
        case "concentration":
            hit = _concentrated(rule, facts, run, as_of, slack)
        case "list_limit":
            group = _group(rule)
            hit = group.is_not_null() & (pl.col("rank").rank("ordinal").over("customer_id", group) > rule["most"])
        case "possibly_held":
            facts = facts.join(
                _set_aside(run, rule["same_asset"]), on=["customer_id", "asset_id"], how="left", maintain_order="left"
            )
            hit = pl.col("set_aside").is_not_null()
        case "on_list":
            facts = facts.join(_listed(run, rule["list"], as_of), on="asset_id", how="left", maintain_order="left")
            hit = pl.col("listed").is_not_null()
        case _:
            hit = _simple(rule, as_of, slack)
    return facts.filter(hit.fill_null(False))["row"]


def _simple(rule: Mapping[str, Any], as_of: date, slack: float) -> pl.Expr:
    """The rules that need nothing but what stands beside the row."""
    risk = pl.col("now_asset_risk")
    match rule["kind"]:
        case "no_profile":
            return pl.col("now_risk_predicted").is_null()
        case "profile_not_available":
            return (pl.col("now_risk_level").fill_null("not_available") == "not_available") & (
                risk > float(rule["highest_class"])
            )
        case "above_risk_profile":
            limit = _case(pl.col("now_risk_level"), rule["highest_class"])
            steps = pl.when(pl.col("now_risk_predicted")).then(float(rule["predicted_steps_down"])).otherwise(0.0)
            return risk > limit - steps
        case "predicted_profile":
            return pl.col("now_risk_predicted")
        case "predicted_capacity":
            return pl.col("now_capacity_predicted")
        case "above_capacity":
            end = _case(pl.col("now_investment_capacity"), rule["bands"]).fill_null(float(rule["unknown"]))
            dearest = end * (float(rule["share"]) * (1 + slack))
            return (end > 0) & (pl.col("now_close") > dearest)
        case "capacity_reached":
            # An unknown band counts as the lowest, an unknown capacity as none.
            band, ends = pl.col("now_investment_capacity"), [float(end) for end in rule["bands"].values() if end > 0]
            asked = pl.when(band != "not_available").then(pl.lit(min(ends, default=0.0)))
            end = pl.coalesce(_case(band, rule["bands"]), asked)
            return (end > 0) & (pl.col("now_worth") > end * (1 + slack))
        case "held":
            return pl.col("now_status") == "held"
        case "previously_held":
            return pl.col("now_status") == "closed"
        case "not_described":
            return pl.col("now_asset_class").is_null()
        case "not_tradable":
            return pl.col("now_close_date").is_null() | (
                pl.col("now_close_date") < as_of - timedelta(days=rule["price_age_days"])
            )
    raise ValueError(f"the second implementation knows no rule of kind {rule['kind']!r}")


def _case(value: pl.Expr, table: Mapping[str, float]) -> pl.Expr:
    """The number that ``table`` gives for a word; null for a word that it does not know."""
    cases: list[pl.Expr] = [pl.when(value == word).then(pl.lit(float(number))) for word, number in table.items()]
    return pl.coalesce([*cases, pl.lit(None, dtype=pl.Float64)])


def _group(rule: Mapping[str, Any]) -> pl.Expr:
    name = pl.col({"asset": "asset_id", "sector": "now_sector", "issuer": "now_issuer"}[rule["by"]])
    return pl.when(~name.is_in(rule["no_group"])).then(name) if rule["no_group"] else name


def _concentrated(rule: Mapping[str, Any], facts: pl.DataFrame, run: Path, as_of: date, slack: float) -> pl.Expr:
    """Rows whose group is above its share in the customer's valued holdings, as a membership in row numbers."""
    wanted = facts.select("row", "customer_id", "now_worth", "now_valued", group=_group(rule)).drop_nulls()
    positions = _positions(run / "snapshot").filter("valued")
    if rule["by"] == "asset":
        grouped = positions.with_columns(group="asset_id")
    else:
        described = _described(run / "snapshot", as_of).select("asset_id", group=rule["by"]).drop_nulls()
        grouped = positions.join(described, on="asset_id")
    held = (
        grouped.join(wanted.select("customer_id", "group").unique(), on=["customer_id", "group"], how="semi")
        .group_by("customer_id", "group")
        .agg(part=pl.col("last_value").sum())
    )
    above = wanted.join(held, on=["customer_id", "group"]).filter(
        (pl.col("now_valued") >= rule["valued_holdings"]) & (pl.col("part") > rule["share"] * pl.col("now_worth") * (1 + slack))
    )
    return pl.col("row").is_in(above["row"].implode())


def _newest(path: Path, key: str, as_of: date) -> pl.DataFrame:
    """The row of each ``key`` that is valid at as_of: the latest valid_from, of several the last in the source."""
    rows = pl.read_parquet(path).filter(pl.col("valid_from") <= as_of)
    latest = rows.group_by(key).agg(pl.col("valid_from").max())
    rows = rows.join(latest, on=[key, "valid_from"], how="semi")
    if "_source_row" in rows.columns:
        rows = rows.filter(pl.col("_source_row") == pl.col("_source_row").max().over(key))
    return rows.unique(key, keep="last", maintain_order=True)


def _customers(snapshot: Path, as_of: date) -> pl.DataFrame:
    words = ("risk_level", "risk_predicted", "investment_capacity", "capacity_predicted")
    newest = _newest(snapshot / "customers.parquet", "customer_id", as_of)
    return newest.select("customer_id", *(pl.col(name).alias(f"now_{name}") for name in words)).with_columns(
        pl.col("now_risk_predicted", "now_capacity_predicted").fill_null(False)
    )


def _described(snapshot: Path, as_of: date) -> pl.DataFrame:
    """The assets valid at as_of with their ``issuer``: declared, else of stocks and bonds by CUSIP and by name."""
    assets = _newest(snapshot / "assets.parquet", "asset_id", as_of)
    declared = assets["issuer"].to_list() if "issuer" in assets.columns else [None] * assets.height
    names = [
        None if kind == "fund" else _issuer_name(name) for kind, name in assets.select("asset_class", "asset_name").iter_rows()
    ]
    cusips = [isin[:8] if isin[:2] in {"US", "CA"} else None for isin in assets["asset_id"].to_list()]
    shared: dict[str, str] = {}
    for cusip, name in zip(cusips, names, strict=True):
        if cusip is not None and name is not None:
            shared[cusip] = min(name, shared.get(cusip, name))
    issuer = [
        own or (None if name is None else shared.get(cusip or "", name))
        for own, name, cusip in zip(declared, names, cusips, strict=True)
    ]
    return assets.with_columns(issuer=pl.Series(issuer, dtype=pl.String))


def _issuer_name(name: str) -> str:
    """``Coca-Cola (The) 1.875% 2027`` -> ``COCA COLA``: without brackets, up to the first later word with a digit."""
    bare = re.sub(r"\([^)]*\)", " ", name.upper())
    words = "".join(sign if sign.isalnum() else " " for sign in bare).split()
    end = next((place for place, word in enumerate(words) if place and any(sign.isnumeric() for sign in word)), len(words))
    return " ".join(words[:end])


def _assets(snapshot: Path, as_of: date, policy: Mapping[str, Any]) -> pl.DataFrame:
    """What is known of each asset at as_of, its last close and its risk class among it."""
    closes = pl.scan_parquet(snapshot / "prices.parquet").filter(pl.col("date") <= as_of).sort("asset_id", "date").collect()
    last = closes.group_by("asset_id").agg(now_close=pl.col("close").last(), now_close_date=pl.col("date").max())
    assets = _described(snapshot, as_of).join(_volatility(closes, as_of), on="asset_id", how="left")
    table = policy["classes"]
    by_kind = pl.coalesce(
        _case(pl.col("asset_class") + "/" + pl.col("asset_subclass").str.to_lowercase(), table),
        _case(pl.col("asset_class"), table),
        pl.lit(4.0),
    )
    wild = (pl.col("asset_class") == "stock") & (pl.col("volatility") >= policy["high_volatility"]).fill_null(False)
    risk = pl.coalesce(pl.col("risk_class").cast(pl.Float64), pl.when(wild).then(pl.lit(4.0)).otherwise(by_kind))
    return assets.select(
        "asset_id",
        now_asset_class="asset_class",
        now_sector="sector",
        now_issuer="issuer",
        now_asset_risk=risk.cast(pl.Int64),
    ).join(last, on="asset_id", how="full", coalesce=True)


def _volatility(closes: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Yearly standard deviation of log returns over the last year; at least five, a return over g days counting as g days."""
    year = closes.filter(pl.col("date") > as_of - timedelta(days=365))
    before = year.select("asset_id", "close", "date").shift(1)
    moves = pl.concat(
        [year.select("asset_id", "close", "date"), before.rename(lambda name: f"{name}_before")], how="horizontal"
    ).filter((pl.col("asset_id") == pl.col("asset_id_before")) & (pl.col("date") > pl.col("date_before")))
    squares = ((pl.col("close") / pl.col("close_before")).log() ** 2).sum()
    days = (pl.col("date") - pl.col("date_before")).dt.total_days().sum()
    return moves.group_by("asset_id").agg(n=pl.len(), volatility=(365 * squares / days).sqrt()).filter(pl.col("n") >= 5)


def _positions(snapshot: Path) -> pl.DataFrame:
    columns = ["customer_id", "asset_id", "status", "last_value"]
    return pl.read_parquet(snapshot / "holdings.parquet", columns=columns).with_columns(
        valued=((pl.col("status") == "held") & (pl.col("last_value") > 0)).fill_null(False)
    )


def _set_aside(run: Path, same_asset: Mapping[str, str]) -> pl.DataFrame:
    """``customer_id, asset_id, set_aside``: pairs of which a quarantined trade or position speaks."""
    pairs: set[tuple[str, str]] = set()
    for table in ("transactions", "delivered_holdings"):
        path = run / "quarantine" / f"{table}.parquet"
        if path.exists():
            spoken = pl.read_parquet(path, columns=["customer_id", "asset_id"]).drop_nulls().unique()
            pairs |= {(customer, same_asset.get(asset, asset)) for customer, asset in spoken.iter_rows()}
    schema = {"customer_id": pl.String, "asset_id": pl.String}
    return pl.DataFrame(sorted(pairs), schema=schema, orient="row").with_columns(set_aside=pl.lit(True))


def _listed(run: Path, kind: str, as_of: date) -> pl.DataFrame:
    """``asset_id, listed``: on the list of that kind on the day."""
    path = run / "snapshot" / "restricted.parquet"
    if not path.exists():
        return pl.DataFrame(schema={"asset_id": pl.String, "listed": pl.Boolean})
    entries = pl.read_parquet(path, columns=["asset_id", "list_kind", "valid_from", "valid_to"])
    on = {
        asset
        for asset, named, first, last in entries.iter_rows()
        if named == kind and first <= as_of and (last is None or as_of <= last)
    }
    return pl.DataFrame({"asset_id": sorted(on)}, schema={"asset_id": pl.String}).with_columns(listed=pl.lit(True))
