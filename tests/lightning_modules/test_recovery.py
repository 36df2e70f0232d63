"""On a market whose truth is known the models find it, and their attention points at the true reason."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch

from lightning_modules.evaluation import rank_tables
from lightning_modules.faithfulness import prove
from lightning_modules.fit import fit, load_ranker
from lightning_modules.histories import Histories
from lightning_modules.history_files import write_histories
from lightning_modules.importance import weights_table
from lightning_modules.popularity import popularity_scores
from lightning_modules.settings import ModelSpec, TrainSettings
from tests.lightning_modules.small_histories import planted_market


def ndcg(ranks: pa.Table, k: int = 10) -> float:
    """Mean NDCG@k of customers with one relevant item each."""
    place = ranks["rank"].to_numpy()
    return float(np.where(place <= k, 1 / np.log2(place + 1), 0).mean())


@pytest.mark.parametrize("kind", ["attention_cf", "transformer"])
def test_a_planted_companion_is_recovered_far_above_popularity(kind: str, tmp_path: Path) -> None:
    histories, following = planted_market(tmp_path / "market")
    everyone = np.arange(histories.n_customers)
    popularity = popularity_scores(histories)
    base, _ = rank_tables(lambda b: popularity.expand(len(b.customers), -1), histories, everyone, following)
    spec = ModelSpec(kind=kind, dim=32, heads=2, blocks=1, max_length=10, holders=4)  # type: ignore[arg-type]
    settings = TrainSettings(epochs=8, batch_size=64, base_lr=3e-3, recency_half_life_days=None, threads=1)
    fit(spec, settings, tmp_path / "market", tmp_path / "model")
    model = load_ranker(tmp_path / "model", tmp_path / "market")
    ranks, top = rank_tables(model.score, histories, everyone, following, max_length=10)
    assert ndcg(base) < 0.5
    assert ndcg(ranks) > 0.85
    # The true reason for the next purchase is the one holding whose companion is missing.
    asked = top.filter(pa.compute.equal(top["rank"], 1))["item"].to_numpy()[:, None]
    companion = np.where(following % 2 == 1, following + 1, following - 1)
    table = weights_table(model, histories, everyone, asked.astype(np.int64), 10, keep=1)  # type: ignore[arg-type]
    pointed = float((table["item"].to_numpy() == companion[table["customer"].to_numpy()]).mean())
    proof = prove(model, histories, everyone[:300], asked[:300], 0, own="attention", max_length=10)  # type: ignore[arg-type]
    assert proof.verdicts["attention"]["better_than_random"]
    assert pointed > 0.6


def test_real_purchases_are_predicted_better_than_by_popularity(far_trans_dir: Path, tmp_path: Path) -> None:
    """A third of FAR-Trans' customers: fit on buys to 2020-06-30, ask for the new ones of the following half-year."""
    histories, customers, items = far_trans_histories(far_trans_dir, tmp_path / "histories")
    popularity = popularity_scores(histories)
    base, _ = rank_tables(lambda b: popularity.expand(len(b.customers), -1), histories, customers, items)
    settings = TrainSettings(epochs=8, batch_size=64, threads=1)
    for kind in ("attention_cf", "transformer"):
        spec = ModelSpec(kind=kind, dim=32)  # type: ignore[arg-type]
        fit(spec, settings, tmp_path / "histories", tmp_path / kind)
        model = load_ranker(tmp_path / kind, tmp_path / "histories")
        ranks, _ = rank_tables(model.score, histories, customers, items, max_length=spec.max_length)
        assert gain(ranks) > 1.1 * gain(base)


def gain(ranks: pa.Table, k: int = 10) -> float:
    """Sum of the discounted gains of all pairs that stand among the first k."""
    place = ranks["rank"].to_numpy()
    return float(np.where(place <= k, 1 / np.log2(place + 1), 0).sum())


def far_trans_histories(source: Path, out: Path) -> tuple[Histories, np.ndarray, np.ndarray]:
    """Histories of every third customer at 2020-06-30, and the pairs first bought in the half-year after."""
    cut, end = date(2020, 6, 30), date(2020, 12, 31)
    buys = (
        pl.read_csv(source / "transactions.csv.gz", infer_schema_length=0)
        .filter((pl.col("transactionType") == "Buy") & (pl.col("customerID").hash(0) % 3 == 0))
        .select("customerID", "ISIN", day=pl.col("timestamp").str.slice(0, 10).str.to_date())
        .group_by("customerID", "ISIN")
        .agg(pl.col("day").min())
        .sort("customerID", "day", "ISIN")
    )
    past = buys.filter(pl.col("day") <= cut)
    assets = past["ISIN"].unique().sort()
    people = past["customerID"].unique().sort()
    numbered = (
        buys.filter(pl.col("day") <= end)
        .join(pl.DataFrame({"ISIN": assets, "item": np.arange(1, len(assets) + 1, dtype=np.int32)}), on="ISIN")
        .join(pl.DataFrame({"customerID": people, "customer": np.arange(len(people))}), on="customerID")
        .sort("customer", "day", "item")
    )
    known = numbered.filter(pl.col("day") <= cut).with_columns(
        pl.col("day").to_physical(), weight=pl.lit(1.0), first=pl.lit(True)
    )
    offsets = np.concatenate([[0], np.cumsum(np.bincount(known["customer"], minlength=len(people)))])
    write_histories(
        out,
        known.select("item", "day", "weight", "first").to_arrow(),
        offsets.astype(np.int64),
        pa.table({"asset_id": assets.to_list()}),
        pa.table({"customer_id": people.to_list()}),
        np.zeros((len(assets), 0), np.float32),
        [],
        np.zeros((len(people), 0), np.float32),
        [],
        cut,
    )
    later = numbered.filter(pl.col("day") > cut)
    torch.manual_seed(0)
    return Histories.open(out), later["customer"].to_numpy(), later["item"].to_numpy()
