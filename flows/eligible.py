"""Which candidates a customer may be offered, best first; every other with the rule that removed it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from flows.config import RunConfig
from flows.dial import top_lists, worth
from flows.exclusions import Exclusions
from flows.learn import model_spec
from flows.list_rules import limited_lists
from flows.pair_rules import Ceiling, PairRule, pair_rules
from flows.profit_view import profit_view
from flows.sections.suitability import NoProfile
from lightning_modules.family import FAMILY, events_read
from lightning_modules.histories import Histories
from lightning_modules.ranker import Ranker

BATCH = 512
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def rank_eligible(
    config: RunConfig,
    histories: Histories,
    model: Ranker,
    recent: NDArray[np.float32],
    snapshot: Path,
    items: pl.DataFrame,
    customers: pl.DataFrame,
    breaches: pl.DataFrame,
    out: Path,
) -> tuple[pl.DataFrame, dict[str, dict[str, int]]]:
    """``customer, rank, item, score, by_preference, profit_view, flags`` of the eligible list of k; and counts by rule.

    ``breaches``: what :func:`flows.suitability.asset_breaches` found. ``flags``: ids of the flagging rules that a row breaks.
    Streams pair exclusions to exclusions.parquet. Counts: candidates and customers that a rule removed, rows that it flagged.
    """
    rules = config.suitability
    shut = breaches.filter(pl.col("effect") == "exclude")["asset_id"].unique()
    open_to_all = ~items["asset_id"].is_in(shut.to_list()).to_numpy()  # [N]
    on_pairs, on_lists = pair_rules(rules, items, customers, snapshot, histories.cut)
    personal = [rule for rule in on_pairs if rule.excludes]
    marks = [rule for rule in on_pairs if not rule.excludes] + _asset_marks(breaches, items, customers.height)
    refused = _refused(config, customers, histories.n_items, out)  # [C]
    counts = {name: {"candidates": 0, "customers": 0, "flagged": 0} for name in rules.rules}
    for name, rule in rules.in_force().items():
        if isinstance(rule, NoProfile):
            counts[name] |= {"candidates": int(refused.sum()) * histories.n_items, "customers": int(refused.sum())}

    k, dial = config.recommend.k, config.recommend.dial
    profit = _profit(snapshot, histories, items) if dial else np.zeros(histories.n_items)
    lengths = customers["n_buys"].to_numpy()
    serves_cold = FAMILY[config.recommend.model].serves_cold
    read = events_read(model_spec(config, config.recommend.model))
    parts: list[pl.DataFrame] = []
    rule_ids = [rule.rule_id for rule in personal] + [rule.rule_id for rule in on_lists]
    with Exclusions(out / "exclusions.parquet", items["asset_id"], customers["customer_id"], rule_ids) as exclusions:
        for chosen in _batches(histories.n_customers):
            low, high = int(chosen[0]), int(chosen[-1]) + 1
            with torch.inference_mode():
                scores = model.score(histories.batch(torch.from_numpy(chosen), max_length=read)).float().numpy().copy()
            if not serves_cold:
                scores[lengths[low:high] == 0] = recent
            # A candidate that nobody may be offered, and a customer who is offered nothing, are listed once, elsewhere.
            asked = open_to_all[None, :] & ~refused[low:high, None]
            broken = [rule.test.broken(low, high) & asked for rule in personal]
            allowed = asked & np.isfinite(scores)
            for hit in broken:
                allowed &= ~hit
            liked, passed = limited_lists(scores, allowed, k, on_lists)
            order = liked
            if dial:
                # Without a history the scores are counts of buyers, no likelihoods: such customers are not dialled.
                ranked = serves_cold | (lengths[low:high] > 0)
                wanted = np.where(ranked[:, None], worth(scores, profit, allowed, dial, k), scores)
                on_list, passed = limited_lists(wanted, allowed, k, on_lists)
                order = top_lists(scores, _chosen(on_list, allowed), k)  # preference orders what was chosen
            who, place = np.nonzero(order >= 0)
            column = order[who, place]
            flags = np.array([rule.test.broken(low, high)[who, column] for rule in marks]).reshape(len(marks), len(who))
            parts.append(
                pl.DataFrame(
                    {
                        "customer": (who + low).astype(np.int32),
                        "rank": (place + 1).astype(np.int32),
                        "item": (column + 1).astype(np.int32),
                        "score": scores[who, column].astype(np.float32),
                        "by_preference": (order[:, :, None] == liked[:, None, :]).any(2)[who, place],
                        "profit_view": profit[column],
                    }
                ).with_columns(flags=_named([rule.rule_id for rule in marks], flags))
            )
            for mark, hit in zip(marks, flags, strict=True):
                counts[mark.rule_id]["flagged"] += int(hit.sum())
            for name, hit in zip(rule_ids, [*broken, *passed], strict=True):
                counts[name]["candidates"] += int(hit.sum())
                counts[name]["customers"] += int(hit.any(axis=1).sum())
            exclusions.write(low, [*broken, *passed])
    return pl.concat(parts), counts


def _refused(config: RunConfig, customers: pl.DataFrame, n_items: int, out: Path) -> Bools:
    """[C] who is offered nothing at all; writes customer_exclusions.parquet."""
    ids = [name for name, rule in config.suitability.in_force().items() if isinstance(rule, NoProfile)]
    unknown = ~customers["has_profile"].to_numpy() if ids else np.zeros(customers.height, bool)
    named = [customers.filter(pl.Series(unknown)).select("customer_id", rule_id=pl.lit(name)) for name in ids]
    nobody = pl.DataFrame(schema={"customer_id": pl.String, "rule_id": pl.String})
    pl.concat([nobody, *named]).write_parquet(out / "customer_exclusions.parquet")
    return unknown


def _asset_marks(breaches: pl.DataFrame, items: pl.DataFrame, n_customers: int) -> list[PairRule]:
    """The rules that flag an asset for everybody, e.g. the watch list."""
    flagged = breaches.filter(pl.col("effect") == "flag")
    nobody_below = np.zeros(n_customers)
    return [
        PairRule(
            str(name), False, Ceiling(nobody_below, items["asset_id"].is_in(hits["asset_id"].to_list()).to_numpy().astype(float))
        )
        for (name,), hits in flagged.group_by("rule_id", maintain_order=True)
    ]


def _chosen(lists: Ints, allowed: Bools) -> Bools:
    """[n, N]: is the candidate on the list [n, k]?"""
    chosen = np.zeros_like(allowed)
    row, place = np.nonzero(lists >= 0)
    chosen[row, lists[row, place]] = True
    return chosen


def _named(names: list[str], hits: Bools) -> pl.Series:
    """Per column of ``hits`` [F, n] the names of the rows that are true, as a list."""
    which, row = np.nonzero(hits)
    found = pl.DataFrame({"row": row, "name": pl.Series(names, dtype=pl.String).gather(which)})
    every = pl.DataFrame({"row": np.arange(hits.shape[1])})
    listed = found.group_by("row", maintain_order=True).agg(pl.col("name"))
    return every.join(listed, on="row", how="left", maintain_order="left")["name"].fill_null(
        pl.Series([[]], dtype=pl.List(pl.String))
    )


def _profit(snapshot: Path, histories: Histories, items: pl.DataFrame) -> NDArray[np.float64]:
    """[N] profit view of each item, from the closes known on the cut and its class."""
    closes = pl.scan_parquet(snapshot / "prices.parquet").select("asset_id", "date", "close")
    known = closes.filter(pl.col("date") <= histories.cut).collect()
    classes = items["asset_class"].fill_null("").to_list()
    return profit_view(known, histories.cut + timedelta(days=1), histories.asset_ids, classes)


def _batches(total: int) -> Iterator[Ints]:
    for start in range(0, total, BATCH):
        yield np.arange(start, min(start + BATCH, total), dtype=np.int64)
