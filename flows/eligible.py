"""Which candidates a customer may be offered, best first; every other with the rule that removed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
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
from flows.suitability import NO_LIMIT, PAIR_RULES, RISK_LEVELS
from lightning_modules.family import FAMILY, events_read
from lightning_modules.histories import Histories
from lightning_modules.ranker import Ranker

BATCH = 512
Ints = NDArray[np.int64]
RULE = {name: number for number, name in enumerate(PAIR_RULES)}


def rank_eligible(
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
