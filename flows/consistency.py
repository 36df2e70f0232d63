"""Step: consistency. Whether customers who are alike by profile and holdings have like attention.

Measured on the evaluated model and a seeded sample of customers, over the ten assets it ranks first for each (before
suitability). The yardstick beside it is how far the same customers' attention over the same assets lies apart under two fits
that differ in nothing but the seed: in the night, two of the audit's size, so that it can afford them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from flows.config import RunConfig
from flows.learn import as_frame, model_spec
from lightning_modules.consistency import Attended, Flags, Ints, among, attended, consistency, nearest, strata
from lightning_modules.evaluation import best_items
from lightning_modules.family import FAMILY, events_read
from lightning_modules.fit import load_ranker
from lightning_modules.histories import Histories
from lightning_modules.importance import weights_table
from lightning_modules.ranker import Ranker
from lightning_modules.sample import drawn_customers
from lightning_modules.settings import ModelKind

PROFILE = ("customer_type", "risk_level", "investment_capacity")
SEGMENTS = ("customer_type", "risk_level")
SUPPORTS = ("sector", "asset_class")
FEWEST_CUSTOMERS = 20
SCHEMA: dict[str, type[pl.DataType]] = {
    "model": pl.String,
    "support": pl.String,
    "segment_kind": pl.String,
    "segment": pl.String,
    "n": pl.Int64,
    "mean_jsd": pl.Float64,
    "null_mean": pl.Float64,
    "effect": pl.Float64,
    "effect_std": pl.Float64,
    "p": pl.Float64,
    "q": pl.Float64,
    "uniform_jsd": pl.Float64,
    "holdings_null_mean": pl.Float64,
    "holdings_effect": pl.Float64,
    "holdings_effect_std": pl.Float64,
    "holdings_p": pl.Float64,
    "holdings_q": pl.Float64,
    "seed_jsd": pl.Float64,
}
"""Columns of ``consistency.parquet``: the model, and those of :func:`lightning_modules.consistency.consistency`."""


def has_a_seed(kind: ModelKind) -> bool:
    """Whether another seed gives another model that also says where it looks."""
    return FAMILY[kind].speaks in ("attention", "partial contribution")


def measure(
    config: RunConfig, kind: ModelKind, model: Path, seeds: tuple[Path, Path] | None, histories_dir: Path, out: Path
) -> Path:
    """Writes ``consistency.parquet`` into ``out``: a row a support and segment. ``seeds``: two fits with different seeds.

    No row where the model names no single holdings, or fewer than 20 customers have two of them.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "consistency.parquet"
    histories = Histories.open(histories_dir)
    count = config.audit.consistency_sample
    if FAMILY[kind].speaks == "none" or count == 0:
        pl.DataFrame(schema=SCHEMA).write_parquet(path)
        return path
    read = events_read(model_spec(config, kind))
    customers = drawn_customers(histories, count, config.seed)
    ranker = load_ranker(model, histories_dir)
    listed = best_items(ranker.score, histories, customers, config.recommend.k, read)
    attention = _attended(ranker, histories, customers, listed, read)
    pair = None
    if seeds is not None:
        one, other = (_attended(load_ranker(fit, histories_dir), histories, customers, listed, read) for fit in seeds)
        both = np.intersect1d(np.intersect1d(attention.customers, one.customers), other.customers)
        attention, pair = among(attention, both), (among(one, both), among(other, both))
    if len(attention.customers) < FEWEST_CUSTOMERS:
        pl.DataFrame(schema=SCHEMA).write_parquet(path)
        return path
    people = pl.read_parquet(histories_dir / "customers.parquet")[attention.customers]
    profiles = np.stack([_codes(people[name]) for name in PROFILE], 1)
    rows = consistency(
        attention,
        nearest(attention, profiles, config.audit.neighbours, config.seed),
        _supports(histories_dir),
        _segments(people),
        strata(attention, _buyers(histories)),
        permutations=config.audit.permutations,
        seed=config.seed,
        seeds=pair,
    )
    pl.DataFrame([{"model": str(kind), **row} for row in rows], schema=SCHEMA).write_parquet(path)
    return path


def _attended(ranker: Ranker, histories: Histories, customers: Ints, listed: Ints, read: int | None) -> Attended:
    table = as_frame(weights_table(ranker, histories, customers, listed, read))
    columns = (table[name].to_numpy() for name in ("customer", "candidate", "item", "weight"))
    customer, candidate, item, weight = columns
    return attended(customer.astype(np.int64), candidate.astype(np.int64), item.astype(np.int64), weight.astype(np.float64))


def _codes(values: pl.Series) -> Ints:
    return values.cast(pl.String).fill_null("unknown").rank("dense").cast(pl.Int64).to_numpy() - 1


def _supports(histories_dir: Path) -> dict[str, Ints]:
    items = pl.read_parquet(histories_dir / "items.parquet")
    groups = {"asset": np.arange(items.height, dtype=np.int64)} | {name: _codes(items[name]) for name in SUPPORTS}
    return {name: np.concatenate([[0], group]) for name, group in groups.items()}  # item 0 is padding


def _segments(people: pl.DataFrame) -> dict[tuple[str, str], Flags]:
    segments: dict[tuple[str, str], Flags] = {("all", "all"): np.ones(people.height, bool)}
    for kind in SEGMENTS:
        values = people[kind].cast(pl.String).fill_null("unknown")
        segments |= {(kind, value): (values == value).to_numpy() for value in values.unique().sort().to_list()}
    return segments


def _buyers(histories: Histories) -> Ints:
    first = histories.first.numpy() > 0
    return np.bincount(histories.items.numpy()[first], minlength=histories.n_items + 1)
