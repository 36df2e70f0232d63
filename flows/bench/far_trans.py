"""``nightfolio bench far-trans``: the published temporal benchmark, walked forward split by split.

Each split's models are trained on what is dated before its time point and asked once. Settings were chosen on the three
validation splits (``--validation``), never on the evaluation splits.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch

from data_contracts.errors import ConfigError
from flows.bench.far_trans_data import FarTransBenchmark, Split, row_of
from flows.bench.far_trans_foresight import foresight, information_coefficient, no_foresight, returns_of
from flows.bench.far_trans_lists import list_metrics, per_split
from flows.bench.far_trans_oracle import OTHERS, demand, demand_scores, told_of_others
from flows.dial import chosen_by_dial, top_lists
from flows.profit_view import profit_view
from lightning_modules.examples import owned_columns
from lightning_modules.family import FAMILY
from lightning_modules.fit import fit, load_ranker
from lightning_modules.histories import Histories
from lightning_modules.settings import KINDS, ModelKind, ModelSpec, TrainSettings

BEST: ModelKind = "signal_attention"
BASELINES: tuple[ModelKind, ...] = ("popularity", "recent_popularity", "item_knn", "markov", "ease")
EVENTS_BATCH = 512
DIALS = (0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0)
CHOSEN_DIAL = 0.45
"""The setting that is reported: what :func:`flows.bench.far_trans_report.within_budget` names on the validation splits."""

SPECS: dict[ModelKind, ModelSpec] = {
    # Chosen on the validation splits, 2026-11-25: mean nDCG@10 0.4314. Asked 164 days ahead on 8 past days, as the protocol
    # asks, it gave 0.4301: a shorter question can be asked on later days. Dropout 0.1 had given 0.4292 there.
    "signal_attention": ModelSpec(kind="signal_attention", dropout=0.3, horizon_days=100, anchors=12),
    # The baselines too. Ridge of 300, 3,000, 30,000, 100,000, 300,000: 0.3970, 0.4131, 0.4176, 0.4179, 0.4177.
    "ease": ModelSpec(kind="ease", ease_ridge=100_000.0),
    # Shrinkage of 10, 50, 500 with 100 neighbours: 0.3800, 0.3893, 0.4098; this 0.4130.
    "item_knn": ModelSpec(kind="item_knn", knn_neighbours=400, knn_shrinkage=1000.0),
    # 30, 90, 180, 365 days: 0.2601, 0.2777, 0.3339, 0.3442. Markov's default was the best of five settings (0.3304).
    "recent_popularity": ModelSpec(kind="recent_popularity", recent_days=365),
}
SETTINGS: dict[ModelKind, TrainSettings] = {
    "signal_attention": TrainSettings(epochs=8, base_lr=1e-2, batch_size=128),
}


@dataclass(frozen=True)
class Walk:
    """What a walk forward left: one row per (model, split, customer), seconds per (model, split), and the lists."""

    rows: pl.DataFrame  # model, split, customer, ndcg, recall, roi, known
    lists: pl.DataFrame  # model, split, customer, rank, ISIN
    seconds: pl.DataFrame  # model, split, seconds
    views: pl.DataFrame  # split, eligible (assets), priced (share of them that the profit view knows), ic (with their returns)
    foresight: pl.DataFrame  # split, skill, dial, ndcg, roi, ic: only where it was asked for


def walk_forward(
    benchmark: FarTransBenchmark,
    which: str,
    models: tuple[ModelKind, ...],
    *,
    threads: int = 2,
    seed: int = 0,
    told: Callable[[str], None] = lambda text: None,
    oracle: bool = False,
    told_others: bool = False,
) -> Walk:
    """Train and ask every model on every split of set ``which``; the best one also along the dial between the two views.

    With ``oracle`` and ``told_others`` also what knowing the window's purchases would be worth (far_trans_oracle), and with
    ``oracle`` along the dial between preference and the returns to come (far_trans_foresight).
    """
    rows: list[pl.DataFrame] = []
    lists: list[pl.DataFrame] = []
    seconds: list[dict[str, object]] = []
    views: list[dict[str, object]] = []
    foreseen: list[pl.DataFrame] = [no_foresight()]
    torch.set_num_threads(threads)
    for split in benchmark.splits(which):
        with tempfile.TemporaryDirectory() as scratch:
            histories_dir = benchmark.write_training_set(split, Path(scratch) / "histories")
            histories = Histories.open(histories_dir)
            eligible = np.isin(np.array(histories.asset_ids), np.array(split.assets))
            allowed = eligible & ~_owned(histories, split)
            assets = histories.asset_ids
            classes = [benchmark.classes.get(asset, "") for asset in assets]
            profit = profit_view(benchmark.closes, split.time_point, assets, classes, benchmark.realised_windows)
            priced = float((profit[eligible] != 0).mean())
            ic = information_coefficient(profit, returns_of(split, assets))
            views.append({"split": split.number, "eligible": int(eligible.sum()), "priced": priced, "ic": ic})
            for kind in models:
                started = time.perf_counter()
                scores = _scores(kind, histories_dir, split, Path(scratch) / kind, threads, seed)
                took = time.perf_counter() - started
                named = {str(kind): top_lists(scores, allowed)}
                if kind == BEST:
                    for dial in DIALS:
                        named[dialled(dial)] = chosen_by_dial(scores, profit, allowed, dial)
                    if oracle:
                        foreseen.append(foresight(scores, allowed, assets, split, seed))
                        ahead = demand_scores(scores, allowed, demand(split, assets))
                        named.update({name: top_lists(known, allowed) for name, known in ahead.items()})
                    if told_others:
                        again = partial(_scores, BEST, threads=threads, seed=seed)
                        named[OTHERS] = top_lists(told_of_others(benchmark, split, again, Path(scratch), seed), allowed)
                for name, chosen in named.items():
                    measured = list_metrics(chosen, assets, split)
                    rows.append(measured.with_columns(model=pl.lit(name), split=pl.lit(split.number)))
                    lists.append(_long(chosen, assets, split, name))
                seconds.append({"model": str(kind), "split": split.number, "seconds": took})
                mean = float(rows[-len(named)]["ndcg"].to_numpy().mean())
                told(f"split {split.number:>2} {split.time_point} {kind}: nDCG@10 {mean:.4f}, {took:.1f} s")
    shown = pl.DataFrame(views, schema_overrides={"ic": pl.Float64})
    return Walk(pl.concat(rows), pl.concat(lists), pl.DataFrame(seconds), shown, pl.concat(foreseen))


def dialled(dial: float) -> str:
    """Name under which the best model's lists at ``dial`` are kept."""
    return f"{BEST} dial {dial:g}"


def kinds_of(names: str) -> tuple[ModelKind, ...]:
    """``"ease, markov"`` -> those kinds; nothing -> every baseline and the best model. Raises ConfigError for an unknown one."""
    asked = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in asked if name not in KINDS]
    if unknown:
        raise ConfigError(f"no such model: {', '.join(unknown)}", remedy=f"choose from {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in asked) if asked else (*BASELINES, BEST)


def spec_of(kind: ModelKind) -> ModelSpec:
    """The settings a model is benched with."""
    return SPECS.get(kind, ModelSpec(kind=kind))


def settings_of(kind: ModelKind, threads: int, seed: int) -> TrainSettings:
    """How a model is fitted in the bench."""
    chosen = asdict(SETTINGS.get(kind, TrainSettings()))
    return TrainSettings(**{**chosen, "threads": threads, "seed": seed})


def _scores(
    kind: ModelKind, histories_dir: Path, split: Split, out: Path, threads: int, seed: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """[n eligible customers, N] in the order of ``split.customers``."""
    spec = spec_of(kind)
    fit(spec, settings_of(kind, threads, seed), histories_dir, out)
    model = load_ranker(out, histories_dir)
    histories = Histories.open(histories_dir)
    rows = row_of(split.customers, histories.customer_ids)
    length = None if FAMILY[kind].reads_all else spec.max_length
    scores = np.empty((len(rows), histories.n_items), np.float32)
    with torch.inference_mode():
        for start in range(0, len(rows), EVENTS_BATCH):
            batch = histories.batch(rows[start : start + EVENTS_BATCH], length)
            scores[start : start + EVENTS_BATCH] = model.score(batch).float().numpy()
    return scores


def _owned(histories: Histories, split: Split) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """[n, N]: what each eligible customer's training set holds; never listed."""
    rows = row_of(split.customers, histories.customer_ids)
    owned: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = owned_columns(histories.batch(rows).items, histories.n_items).numpy()
    return owned


def _long(chosen: np.ndarray[tuple[int, int], np.dtype[np.int64]], assets: list[str], split: Split, name: str) -> pl.DataFrame:
    row, place = np.nonzero(chosen >= 0)
    return pl.DataFrame(
        {
            "model": [name] * len(row),
            "split": np.full(len(row), split.number),
            "customer": np.array(split.customers)[row],
            "rank": place + 1,
            "ISIN": np.array(assets)[chosen[row, place]],
        }
    )


def write_results(walk: Walk, out: Path, about: dict[str, object]) -> Path:
    """Rows, lists, seconds and per-split means as Parquet, and what was asked for as JSON."""
    out.mkdir(parents=True, exist_ok=True)
    walk.rows.write_parquet(out / "customers.parquet")
    walk.lists.write_parquet(out / "lists.parquet")
    walk.seconds.write_parquet(out / "seconds.parquet")
    walk.views.write_parquet(out / "views.parquet")
    walk.foresight.write_parquet(out / "foresight.parquet")
    per_split(walk.rows).write_parquet(out / "splits.parquet")
    (out / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return out
