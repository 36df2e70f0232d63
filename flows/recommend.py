"""Step: recommend. The best eligible candidates per customer, each with its reason; every removed one with its rule."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from flows.config import RunConfig
from flows.learn import model_spec
from flows.profit_view import chosen_by_dial, profit_view, top_lists
from flows.suitability import NO_LIMIT, PAIR_RULES, RISK_LEVELS, asset_exclusions, asset_risk_class
from lightning_modules.explanations import attention_table, faithfulness
from lightning_modules.family import FAMILY, Speaks, events_read
from lightning_modules.feature_explanations import feature_attention_table, feature_faithfulness
from lightning_modules.fit import load_ranker
from lightning_modules.histories import Histories
from lightning_modules.popularity import popularity_scores
from lightning_modules.ranker import FeatureRanker, Ranker

# What stands as explanation and as reason beside a recommendation that no purchase is named for.
SILENT = ("none", "Customers with similar purchases bought it; this model does not say which purchase spoke for it.")
UNNAMED = ("none", "None of this customer's purchases speaks for it: it follows those for which one does.")
LEADS: Mapping[Speaks, tuple[str, str]] = {
    "attention": ("Attention rested on", ""),
    "contribution": ("The score comes from", ""),
    "none": ("", ""),  # such a model's reasons are in WITHOUT_HOLDINGS
    "partial contribution": ("What speaks for it among holdings are", "; what other customers buy and the profile count besides"),
}
WITHOUT_HOLDINGS: Mapping[str, tuple[str, str]] = {
    "popularity": ("popularity", "One of the assets allowed for this customer that most customers bought."),
    "recent_popularity": ("popularity", "One of the assets allowed for this customer that most customers bought of late."),
    "gru4rec": ("none", "It often follows such purchases; this model does not say which purchase spoke for it."),
}
BY_PROFILE = "No purchase history yet: ranked by what this customer's profile says of the asset's features."
BY_PROFIT = (
    "Listed for its expected return, {} % a month relative to the average asset by its past prices, "
    "in place of an asset that this customer would rather buy. {}"
)
BATCH = 512
FALLBACK_DAYS = 90
FAITHFULNESS_SAMPLE = 500
NAMED_HOLDINGS = 3
Ints = NDArray[np.int64]
RULE = {name: number for number, name in enumerate(PAIR_RULES)}


def recommend(
    config: RunConfig,
    run_id: str,
    as_of: date,
    snapshot: Path,
    histories_dir: Path,
    model_dir: Path,
    out: Path,
) -> Path:
    """Writes to ``out``: recommendations, exclusions, asset_exclusions, customer_exclusions, attention
    (Parquet) and faithfulness.json; features.parquet and feature_faithfulness.json where the model says which features spoke.

    A customer with a history is ranked by the model; one without by his profile, where the model can, and else is offered
    what most customers bought in the last 90 days, and the row says so. One without an accepted profile is offered
    nothing: suitability fails closed. Fewer than k rows mean that fewer candidates were eligible.
    """
    torch.set_num_threads(config.threads)
    out.mkdir(parents=True, exist_ok=True)
    histories = Histories.open(histories_dir)
    items = pl.read_parquet(histories_dir / "items.parquet").with_columns(item=pl.int_range(1, pl.len() + 1, dtype=pl.Int32))
    customers = pl.read_parquet(histories_dir / "customers.parquet").with_columns(customer=pl.int_range(pl.len(), dtype=pl.Int32))
    items = items.join(asset_risk_class(items, config.recommend), on="asset_id", how="left", maintain_order="left")
    removed = asset_exclusions(items, snapshot / "restricted.parquet", as_of, config.recommend)
    removed.write_parquet(out / "asset_exclusions.parquet")

    model = load_ranker(model_dir, histories_dir)
    since = (as_of - timedelta(days=FALLBACK_DAYS)).toordinal() - date(1970, 1, 1).toordinal()
    recent = popularity_scores(histories, since_day=since).numpy()
    top, pair_counts = _rank(config, histories, model, recent, snapshot, items, customers, removed, out)
    has_history = (customers["n_buys"] > 0).to_numpy()
    table, proof = _explain(config, histories, model, top, has_history)
    table.write_parquet(out / "attention.parquet")
    if isinstance(model, FeatureRanker):
        _explain_features(config, histories, model, top, out)
    (out / "faithfulness.json").write_text(json.dumps(proof, indent=2), encoding="utf-8")
    (out / "exclusion_counts.json").write_text(json.dumps(pair_counts, indent=2), encoding="utf-8")

    rows = top.join(
        items.select("item", "asset_id", "asset_name", "asset_class", "sector", "asset_risk", "risk_source"),
        on="item",
        maintain_order="left",
    ).join(
        customers.select("customer", "customer_id", "risk_level", "risk_predicted", has_history=pl.col("n_buys") > 0),
        on="customer",
        maintain_order="left",
    )
    holdings = pl.scan_parquet(snapshot / "holdings.parquet").select("customer_id", "asset_id", "status").collect()
    faithful = bool(proof.get("better_than_random", False))
    speaks = FAMILY[config.recommend.model].speaks
    reasons = _reasons(table, items, customers, holdings, speaks, faithful)
    buyers = pl.DataFrame(
        {
            "item": np.arange(1, histories.n_items + 1, dtype=np.int32),
            "buyers": recent.astype(np.int64),
        }
    )
    fallback = (
        pl.lit(BY_PROFILE)
        if FAMILY[config.recommend.model].serves_cold
        else pl.format(
            "No purchase history yet: one of the assets allowed for this customer that most customers bought "
            "in the last {} days ({} buyers).",
            pl.lit(FALLBACK_DAYS),
            pl.col("buyers"),
        )
    )
    unnamed = WITHOUT_HOLDINGS.get(config.recommend.model, SILENT if speaks == "none" else UNNAMED)
    warm = pl.col("has_history")
    serves_cold = FAMILY[config.recommend.model].serves_cold
    cold_id, cold_explanation = (config.recommend.model, "profile") if serves_cold else ("recent_popularity", "popularity")
    measured = pl.lit(f"{speaks}, better than random erasure" if faithful else f"{speaks}, NOT better than random erasure")
    recommendations = (
        rows.join(reasons, on=["customer", "item"], how="left", maintain_order="left")
        .join(buyers, on="item", how="left", maintain_order="left")
        .with_columns(pl.lit(run_id).alias("run_id"), pl.lit(as_of).alias("as_of"))
        .with_columns(
            model_id=pl.when(warm).then(pl.lit(config.recommend.model)).otherwise(pl.lit(cold_id)),
            explanation=pl.when(pl.col("reason").is_not_null())
            .then(measured)
            .otherwise(pl.when(warm).then(pl.lit(unnamed[0])).otherwise(pl.lit(cold_explanation))),
            reason=pl.coalesce("reason", pl.when(warm).then(pl.lit(unnamed[1])).otherwise(fallback)),
            listed_for=pl.when(pl.col("by_preference")).then(pl.lit("preference")).otherwise(pl.lit("profit")),
        )
        .with_columns(
            reason=pl.when(pl.col("listed_for") == "profit")
            .then(pl.format(BY_PROFIT, (pl.col("profit_view") * 100).round(2), pl.col("reason")))
            .otherwise(pl.col("reason"))
        )
        .select(
            "run_id",
            "as_of",
            "customer_id",
            "rank",
            "asset_id",
            "asset_name",
            "asset_class",
            "sector",
            "score",
            "listed_for",
            "profit_view",
            "model_id",
            "risk_level",
            "risk_predicted",
            "asset_risk",
            "risk_source",
            "reason",
            "reason_assets",
            "reason_weights",
            "explanation",
        )
        .sort("customer_id", "rank")
    )
    recommendations.write_parquet(out / "recommendations.parquet")
    return out


def _rank(
    config: RunConfig,
    histories: Histories,
    model: Ranker,
    recent: NDArray[np.float32],
    snapshot: Path,
    items: pl.DataFrame,
    customers: pl.DataFrame,
    removed: pl.DataFrame,
    out: Path,
) -> tuple[pl.DataFrame, dict[str, dict[str, int]]]:
    """``customer, rank, item, score, by_preference, profit_view`` of the eligible list of k.

    Streams pair exclusions to exclusions.parquet.
    """
    open_to_all = ~items["asset_id"].is_in(removed["asset_id"].unique().to_list()).to_numpy()  # [N]
    asset_risk = items["asset_risk"].to_numpy().astype(np.int8)  # [N]
    profile = customers["risk_level"].replace_strict(RISK_LEVELS, default=NO_LIMIT, return_dtype=pl.Int8).to_numpy()  # [C]
    pairs = (
        customer_pairs(snapshot, config.recommend.same_asset)
        .join(customers.select("customer_id", "customer"), on="customer_id")
        .join(items.select("asset_id", column=pl.col("item") - 1), on="asset_id")
        .sort("customer", "column", "rule")
    )
    owner, column, breaks = pairs["customer"].to_numpy(), pairs["column"].to_numpy(), pairs["rule"].to_numpy()
    asset_ids = pa.array(items["asset_id"].to_list())
    rule_ids = pa.array(list(PAIR_RULES))
    schema = pa.schema(
        [
            ("customer_id", pa.string()),
            ("asset_id", pa.dictionary(pa.int32(), pa.string())),
            ("rule_id", pa.dictionary(pa.int8(), pa.string())),
        ]
    )
    unprofiled = ~customers["has_profile"].to_numpy()  # [C]
    unknown = customers.filter(pl.Series(unprofiled)).select("customer_id", rule_id=pl.lit("no_profile"))
    unknown.write_parquet(out / "customer_exclusions.parquet")
    counts: dict[str, dict[str, int]] = {rule: {"candidates": 0, "customers": 0} for rule in PAIR_RULES}
    parts: list[pl.DataFrame] = []
    k, dial = config.recommend.k, config.recommend.dial
    profit = _profit(snapshot, histories) if dial else np.zeros(histories.n_items)
    lengths = customers["n_buys"].to_numpy()
    read = events_read(model_spec(config, config.recommend.model))
    with pq.ParquetWriter(out / "exclusions.parquet", schema, compression="zstd") as writer:
        for chosen in _batches(histories.n_customers):
            low, high = int(chosen[0]), int(chosen[-1]) + 1
            with torch.inference_mode():
                scores = model.score(histories.batch(torch.from_numpy(chosen), max_length=read)).float().numpy().copy()
            if not FAMILY[config.recommend.model].serves_cold:
                scores[lengths[low:high] == 0] = recent
            first, last = np.searchsorted(owner, [low, high])
            broken = np.zeros((len(PAIR_RULES), high - low, histories.n_items), bool)  # rule, customer, candidate
            broken[breaks[first:last], owner[first:last] - low, column[first:last]] = True
            broken[RULE["above_risk_profile"]] = asset_risk[None, :] > profile[low:high, None]
            if config.recommend.offer_previously_held:
                broken[RULE["previously_held"]] = False
            forbidden = broken.any(axis=0)
            scores[forbidden | ~open_to_all[None, :] | unprofiled[low:high, None]] = -np.inf
            liked = top_lists(scores, np.isfinite(scores), k)
            order = liked
            if dial:
                # Without a history the scores are counts of buyers, no likelihoods: such customers are not dialled.
                ranked = FAMILY[config.recommend.model].serves_cold | (lengths[low:high] > 0)
                order = np.where(ranked[:, None], chosen_by_dial(scores, profit, np.isfinite(scores), dial, k), liked)
            value = np.take_along_axis(scores, order, axis=1)
            keep = order >= 0
            who, place = np.nonzero(keep)
            parts.append(
                pl.DataFrame(
                    {
                        "customer": (who + low).astype(np.int32),
                        "rank": (place + 1).astype(np.int32),
                        "item": (order[keep] + 1).astype(np.int32),
                        "score": value[keep].astype(np.float32),
                        "by_preference": (order[:, :, None] == liked[:, None, :]).any(2)[keep],
                        "profit_view": profit[order[keep]],
                    }
                )
            )
            # A candidate that nobody may be offered is listed once, in asset_exclusions; here only what is personal.
            rule, who, what = np.nonzero(broken & open_to_all[None, None, :])
            for number, name in enumerate(PAIR_RULES):
                counts[name]["candidates"] += int((rule == number).sum())
                counts[name]["customers"] += len(np.unique(who[rule == number]))
            order_by = np.lexsort((rule, what, who))
            writer.write_table(
                pa.table(
                    [
                        pa.array(customers["customer_id"].gather(who[order_by] + low).to_list(), pa.string()),
                        pa.DictionaryArray.from_arrays(pa.array(what[order_by].astype(np.int32)), asset_ids),
                        pa.DictionaryArray.from_arrays(pa.array(rule[order_by].astype(np.int8)), rule_ids),
                    ],
                    schema=schema,
                )
            )
    counts["no_profile"] = {"candidates": unknown.height * histories.n_items, "customers": unknown.height}
    return pl.concat(parts), counts


def _profit(snapshot: Path, histories: Histories) -> NDArray[np.float64]:
    """[N] profit view of each item, from the closes known on the cut."""
    closes = pl.scan_parquet(snapshot / "prices.parquet").select("asset_id", "date", "close")
    known = closes.filter(pl.col("date") <= histories.cut).collect()
    return profit_view(known, histories.cut + timedelta(days=1), histories.asset_ids)


def customer_pairs(snapshot: Path, same_asset: Mapping[str, str]) -> pl.DataFrame:
    """``customer_id, asset_id, rule``: what a customer holds, held, or may hold for all that quarantine says.

    A row that a contract set aside is no evidence of what the customer owns, but reason enough not to offer it.
    """
    parts = [
        pl.scan_parquet(snapshot / "holdings.parquet").select(
            "customer_id",
            "asset_id",
            rule=pl.when(pl.col("status") == "held").then(RULE["held"]).otherwise(RULE["previously_held"]),
        )
    ]
    for table in ("transactions", "delivered_holdings"):
        path = snapshot.parent / "quarantine" / f"{table}.parquet"
        if path.exists():
            parts.append(
                pl.scan_parquet(path).select(
                    "customer_id", pl.col("asset_id").replace(same_asset), rule=pl.lit(RULE["possibly_held"])
                )
            )
    return pl.concat([part.with_columns(pl.col("rule").cast(pl.Int64)) for part in parts]).drop_nulls().unique().collect()


def _batches(total: int) -> Iterator[Ints]:
    for start in range(0, total, BATCH):
        yield np.arange(start, min(start + BATCH, total), dtype=np.int64)


def _explain(
    config: RunConfig,
    histories: Histories,
    model: Ranker,
    top: pl.DataFrame,
    has_history: NDArray[np.bool_],
) -> tuple[pl.DataFrame, dict[str, object]]:
    """Attention of every recommendation over the customer's holdings, and its measured faithfulness on a sample.

    Both empty for a kind of model that does not look at single holdings.
    """
    spec = model_spec(config, config.recommend.model)
    if FAMILY[spec.kind].speaks == "none":
        has_history = np.zeros_like(has_history)
    read, k = events_read(spec), config.recommend.k
    ranked = top.filter(pl.Series(has_history[top["customer"].to_numpy()]))
    who, candidates = _listed(ranked, k)
    frame = pl.from_arrow(attention_table(model, histories, who, candidates, read))
    assert isinstance(frame, pl.DataFrame)
    draw = np.random.default_rng(config.seed)
    sample = np.sort(draw.choice(len(who), min(FAITHFULNESS_SAMPLE, len(who)), replace=False))
    proof = faithfulness(model, histories, who[sample], candidates[sample], config.seed, max_length=read)
    return frame, dict(proof)


def _explain_features(config: RunConfig, histories: Histories, model: FeatureRanker, top: pl.DataFrame, out: Path) -> None:
    """features.parquet: the weight of every feature of every recommendation; and its faithfulness on a sample."""
    read = events_read(model_spec(config, config.recommend.model))
    who, candidates = _listed(top, config.recommend.k)
    pq.write_table(feature_attention_table(model, histories, who, candidates, read), out / "features.parquet")
    sample = np.sort(np.random.default_rng(config.seed).choice(len(who), min(FAITHFULNESS_SAMPLE, len(who)), replace=False))
    proof = feature_faithfulness(model, histories, who[sample], candidates[sample], config.seed, max_length=read)
    (out / "feature_faithfulness.json").write_text(json.dumps(proof, indent=2), encoding="utf-8")


def _listed(top: pl.DataFrame, k: int) -> tuple[Ints, Ints]:
    """Customers [n] in order of appearance, and their items by rank [n, k], 0 where there is none."""
    who = top["customer"].unique(maintain_order=True).to_numpy().astype(np.int64)
    place = pl.DataFrame({"customer": who.astype(np.int32), "row": np.arange(len(who))})
    items = np.zeros((len(who), k), np.int64)
    placed = top.join(place, on="customer", maintain_order="left")
    items[placed["row"].to_numpy(), placed["rank"].to_numpy() - 1] = placed["item"].to_numpy()
    return who, items


def _reasons(
    attention: pl.DataFrame,
    items: pl.DataFrame,
    customers: pl.DataFrame,
    holdings: pl.DataFrame,
    speaks: Speaks,
    faithful: bool,
) -> pl.DataFrame:
    """``customer, item, reason, reason_assets, reason_weights``: the holdings that carried most weight, in words."""
    named = (
        attention.filter(pl.col("weight") > 0)
        .sort(["customer", "candidate", "weight", "item"], descending=[False, False, True, False])
        .group_by("customer", "candidate", maintain_order=True)
        .head(NAMED_HOLDINGS)
        .join(items.select("item", "asset_id", "asset_name"), on="item", maintain_order="left")
        .join(customers.select("customer", "customer_id"), on="customer", maintain_order="left")
        .join(holdings, on=["customer_id", "asset_id"], how="left", maintain_order="left")
        .with_columns(
            words=pl.format(
                "{}{} ({} %)",
                pl.col("asset_name"),
                pl.when(pl.col("status") == "closed").then(pl.lit(", since sold")).otherwise(pl.lit("")),
                (pl.col("weight") * 100).round(0).cast(pl.Int64),
            )
        )
    )
    lead, rest = LEADS[speaks]
    doubt = f". {speaks.capitalize()} was not shown to be better than chance as an explanation in this run."
    tail = "." if faithful else doubt
    return (
        named.group_by("customer", "candidate", maintain_order=True)
        .agg(
            pl.col("words").str.join(", "),
            pl.col("asset_id").alias("reason_assets"),
            pl.col("weight").cast(pl.Float64).round(4).alias("reason_weights"),
        )
        .select(
            "customer",
            pl.col("candidate").alias("item"),
            pl.format("{} the customer's purchases of {}{}", pl.lit(lead), pl.col("words"), pl.lit(rest + tail)).alias("reason"),
            "reason_assets",
            "reason_weights",
        )
    )
