"""Part of the step recommend, on the simulated market only: how often an explanation names the reason that was planted.

Three questions, each answered for the model's own weights and for leave-one-out importance, beside chance (any holding of the
same customer) and recency (his latest purchase):

- ``recommendation``: of the recommendations for which a planted reason exists, the share whose first named holding is one.
  A planted reason of candidate c is a holding h that the customer still holds and whose companion c is: by the simulator's
  rule, holding h makes him buy c.
- ``purchase``: of the purchases made after the cut that a holding truly drove, the share for which the evaluated model's
  explanation, from what was known on the cut, names that very holding first.
- ``taste``: of the recommendations without a planted reason in a sector that the customer likes, the share whose first named
  holding is of that sector.

Only pairs with two distinct holdings or more, of which at least one would be right. Nothing flows back: recommendations are
written before the truth is opened.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_contracts.simulated_truth import driven_purchases, liked_sectors, planted_ties
from flows.config import RunConfig
from flows.explain import listed
from flows.ingest import landing_folder
from flows.learn import model_spec
from flows.night import Night
from lightning_modules.cluster_bootstrap import ClusterBootstrap
from lightning_modules.faithfulness import LEAVE_ONE_OUT
from lightning_modules.family import FAMILY, events_read
from lightning_modules.fit import load_ranker
from lightning_modules.histories import Histories
from lightning_modules.importance import leave_one_out_table, weights_table

DEFINITIONS = {
    "recommendation": "the first named holding is one that is still held and whose planted companion was recommended",
    "purchase": "the first named holding is the one that truly drove a purchase made after the cut (evaluated model)",
    "taste": "no planted tie, a sector that the customer likes: the first named holding is of that sector",
}
PAIR = ["customer", "candidate"]
Ints = NDArray[np.int64]


def measure_planted(night: Night, model: Path, out: Path) -> None:
    """Writes ``planted.json`` into ``out``, where the step wrote its recommendations; nothing for another source or a model
    that reads no holdings."""
    config = night.config
    kind = config.recommend.model
    if config.source.format != "simulated" or not FAMILY[kind].reads_holdings:
        return
    landing = landing_folder(night)
    rows = _of_recommendations(night, landing, model, out)
    rows += _of_purchases(night, landing, _evaluated(night))
    method = json.loads((out / "faithfulness.json").read_text(encoding="utf-8"))["method"]
    (out / "planted.json").write_text(
        json.dumps({"published": method, "definitions": DEFINITIONS, "rows": rows}, indent=2), encoding="utf-8"
    )


def _evaluated(night: Night) -> Path:
    """The fit on the past that has the settings which are published: the champion's, where tonight's were refused."""
    decided = night.folder / "evaluation" / "champion.json"
    refused = decided.exists() and json.loads(decided.read_text(encoding="utf-8"))["decision"] == "refused"
    return night.folder / "models" / f"{night.config.recommend.model}-{'champion' if refused else 'evaluated'}"


def _of_recommendations(night: Night, landing: Path, model: Path, out: Path) -> list[dict[str, Any]]:
    present = night.folder / "histories" / "present"
    customers, items = _names(present)
    led = items.select(companion_id="asset_id", candidate="item")
    ties = planted_ties(landing).join(items, on="asset_id").join(led, on="companion_id").select("item", "candidate")
    held = pl.read_parquet(night.folder / "snapshot" / "holdings.parquet").filter(pl.col("status") == "held")
    mine = held.join(customers, on="customer_id").join(items, on="asset_id").select("customer", "item")
    planted = mine.join(ties, on="item").with_columns(right=pl.lit(True))
    sectors = pl.read_parquet(present / "items.parquet").select("asset_id", "sector").join(items, on="asset_id")
    liked = liked_sectors(landing).join(customers, on="customer_id").select("customer", "sector")

    top = (
        pl.read_parquet(out / "recommendations.parquet", columns=["customer_id", "rank", "asset_id"])
        .join(customers.filter(pl.col("n_buys") > 0), on="customer_id", maintain_order="left")
        .join(items, on="asset_id", maintain_order="left")
    )
    who, candidates = listed(top, night.config.recommend.k)
    tables = _weights(night.config, present, model, *_some(who, candidates, night.config))
    rows: list[dict[str, Any]] = []
    for method, table in tables.items():
        tied = table.join(planted, on=[*PAIR, "item"], how="left", maintain_order="left")
        rows.append(_share("recommendation", method, tied.with_columns(pl.col("right").fill_null(False)), night.config.seed))
        untied = tied.filter(pl.col("right").is_null().all().over(PAIR)).drop("right")
        same = (
            untied.join(sectors.select("item", "sector"), on="item", maintain_order="left")
            .join(
                sectors.select(pl.col("item").alias("candidate"), pl.col("sector").alias("wanted")),
                on="candidate",
                maintain_order="left",
            )
            .join(liked.rename({"sector": "wanted"}), on=["customer", "wanted"], how="semi", maintain_order="left")
            .with_columns(right=(pl.col("sector") == pl.col("wanted")).fill_null(False))
        )
        rows.append(_share("taste", method, same, night.config.seed))
    return rows


def _of_purchases(night: Night, landing: Path, model: Path) -> list[dict[str, Any]]:
    past = night.folder / "histories" / "past"
    customers, items = _names(past)
    asked = (
        driven_purchases(landing, night.evaluation_cut, night.as_of)
        .join(customers.filter(pl.col("n_buys") > 0), on="customer_id")
        .join(items.rename({"item": "candidate"}), on="asset_id")
        .join(items.rename({"asset_id": "driver_id"}), on="driver_id")
        .sort(*PAIR)
        .with_columns(rank=(pl.int_range(pl.len()) + 1).over("customer"))
    )
    if asked.is_empty():
        return []
    who, candidates = listed(asked.select("customer", "rank", pl.col("candidate").alias("item")), int(asked["rank"].max()))  # type: ignore[arg-type]
    tables = _weights(night.config, past, model, *_some(who, candidates, night.config))
    driver = asked.select(*PAIR, "item", right=pl.lit(True))
    return [
        _share(
            "purchase",
            method,
            table.join(driver, on=[*PAIR, "item"], how="left", maintain_order="left").with_columns(
                pl.col("right").fill_null(False)
            ),
            night.config.seed,
        )
        for method, table in tables.items()
    ]


def _names(histories: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``customer_id, n_buys, customer`` and ``asset_id, item`` of a training set."""
    customers = pl.read_parquet(histories / "customers.parquet").select("customer_id", "n_buys")
    items = pl.read_parquet(histories / "items.parquet").select("asset_id")
    return (
        customers.with_columns(customer=pl.int_range(pl.len(), dtype=pl.Int32)),
        items.with_columns(item=pl.int_range(1, pl.len() + 1, dtype=pl.Int32)),
    )


def _some(who: Ints, candidates: Ints, config: RunConfig) -> tuple[Ints, Ints]:
    """A seeded sample of customers, with all their candidates."""
    count = min(config.explain.sample_customers, len(who))
    chosen = np.sort(np.random.default_rng(config.seed).choice(len(who), count, replace=False))
    return who[chosen], candidates[chosen]


def _weights(config: RunConfig, histories: Path, model: Path, who: Ints, candidates: Ints) -> dict[str, pl.DataFrame]:
    """``customer, candidate, item, day, weight`` by the model's own weights, where it gives any, and by leave-one-out."""
    kind = config.recommend.model
    opened, ranker, read = Histories.open(histories), load_ranker(model, histories), events_read(model_spec(config, kind))
    tables = {}
    if FAMILY[kind].speaks != "none":
        tables[str(FAMILY[kind].speaks)] = weights_table(ranker, opened, who, candidates, read)
    tables[LEAVE_ONE_OUT] = leave_one_out_table(ranker, opened, who, candidates, read, most=config.explain.most_holdings)
    frames = {name: pl.from_arrow(table) for name, table in tables.items()}
    return {name: frame for name, frame in frames.items() if isinstance(frame, pl.DataFrame)}


def _share(what: str, method: str, table: pl.DataFrame, seed: int) -> dict[str, Any]:
    """How often the first named holding is right; ``table`` is in the order of naming, with a column ``right`` (bool)."""
    latest = pl.col("day") == pl.col("day").max()
    pairs = (
        table.group_by(PAIR, maintain_order=True)
        .agg(
            holdings=pl.len(),
            any=pl.col("right").any(),
            # What has no weight is not named.
            named=((pl.col("weight").first() > 0) & pl.col("right").first()).cast(pl.Float64),
            chance=pl.col("right").cast(pl.Float64).mean(),
            recent=pl.col("right").filter(latest).cast(pl.Float64).mean(),
        )
        .filter(pl.col("any") & (pl.col("holdings") >= 2))
    )
    named, chance, recent = (pairs[name].to_numpy() for name in ("named", "chance", "recent"))
    bootstrap = ClusterBootstrap(pairs["customer"].to_numpy().astype(np.int64), np.random.default_rng(seed))
    low, high = bootstrap.interval(named)
    row: dict[str, Any] = {
        "what": what,
        "method": method,
        "n_pairs": pairs.height,
        "n_customers": pairs["customer"].n_unique(),
        # Of all pairs that were explained, how many have a right answer.
        "share_with_a_right_holding": pairs.height / table.select(PAIR).n_unique() if table.height else None,
        "named": _mean(named),
        "low": low,
        "high": high,
    }
    for other, values in (("chance", chance), ("recent", recent)):
        low, high = bootstrap.interval(named - values)
        row |= {
            other: _mean(values),
            f"over_{other}": _mean(named - values),
            f"over_{other}_low": low,
            f"over_{other}_high": high,
        }
    return row


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
