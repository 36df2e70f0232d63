"""Ranking metrics from rank tables: pure functions, no scores, no model.

The evaluation of a model leaves two tables (customers and items are indices; an asset's index counts from 1):

``relevant``
    one row a customer and relevant item: ``customer``, ``item``, ``greater`` (candidates scored strictly
    higher), ``ties`` (other candidates scored equal), ``rank`` (1-based, ties broken by item),
    ``n_candidates``, ``n_relevant`` (relevant items of this customer). Candidates are the full catalogue less
    what is excluded.
``top``
    one row a customer and place: ``customer``, ``rank`` (1..k), ``item``, ``score``, ``relevant``.

With binary relevance, for a customer with relevant set R, |R| = n_relevant and N = n_candidates:

- NDCG@k = sum over r in R with rank <= k of 1 / log2(rank + 1), divided by the same sum for ranks
  1..min(|R|, k).
- hit@k = 1 if any rank <= k. recall@k = share of R with rank <= k. MRR = 1 / best rank.
- AUC = chance that a relevant item is scored above a random other candidate, ties counting one half
  (the Mann-Whitney statistic with mid-ranks); null where every candidate is relevant.
- coverage@k = distinct items among the top k of the segment's customers, divided by the catalogue.

Sources: Järvelin & Kekäläinen (2002) for NDCG; Hanley & McNeil (1982) for AUC.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from reports.intervals import bootstrap_mean

HISTORY_BANDS: tuple[tuple[str, int, int | None], ...] = (
    ("0", 0, 0),
    ("1-4", 1, 4),
    ("5-9", 5, 9),
    ("10-49", 10, 49),
    ("50-99", 50, 99),
    ("100-499", 100, 499),
    ("500-4999", 500, 4999),
    ("5000+", 5000, None),
)
"""Name, least and greatest number of interactions in the history (both included)."""

POPULARITY: Final = "popularity"
EASE: Final = "ease"
"""Names of the two models that every other one is compared with, customer by customer."""

_RELEVANT = ("customer", "item", "greater", "ties", "rank", "n_candidates", "n_relevant")
_TOP = ("customer", "rank", "item")


@dataclass(frozen=True)
class Ranking:
    """The two tables of one model (see the module's docstring)."""

    relevant: pl.DataFrame
    top: pl.DataFrame

    def __post_init__(self) -> None:
        for name, frame, columns in (("relevant", self.relevant, _RELEVANT), ("top", self.top, _TOP)):
            missing = [column for column in columns if column not in frame.columns]
            if missing:
                raise ValueError(f"{name} ranks lack the columns {missing}; found {frame.columns}")


def per_customer(relevant: pl.DataFrame, *, cutoffs: tuple[int, ...] = (5, 10)) -> pl.DataFrame:
    """One row a customer, sorted: ``ndcg_at_k``, ``hit_at_k``, ``recall_at_k`` (each k), ``auc``, ``mrr``."""
    rank, n_relevant = pl.col("rank"), pl.col("n_relevant")
    # Relevant items of one customer share `greater` exactly when they share a score, so the table alone
    # says how many of the candidates above or beside an item are relevant themselves.
    above = (pl.col("greater").rank("min").over("customer") - 1).cast(pl.Float64)
    beside = (pl.len().over("customer", "greater") - 1).cast(pl.Float64)
    others = (pl.col("n_candidates") - pl.len().over("customer")).cast(pl.Float64)
    beaten_by = (pl.col("greater") - above) + 0.5 * (pl.col("ties") - beside)
    aucs = pl.when(others > 0).then((others - beaten_by) / others)

    metrics: list[pl.Expr] = []
    for k in cutoffs:
        within = rank <= k
        gain = pl.when(within).then(1.0 / (rank + 1).cast(pl.Float64).log(2)).otherwise(0.0)
        ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])
        best = (
            pl.min_horizontal(n_relevant, pl.lit(k))
            .first()
            .replace_strict(dict(enumerate(ideal.tolist())), return_dtype=pl.Float64)
        )
        metrics += [
            (gain.sum() / best).alias(f"ndcg_at_{k}"),
            within.any().cast(pl.Float64).alias(f"hit_at_{k}"),
            (within.sum() / n_relevant.first()).cast(pl.Float64).alias(f"recall_at_{k}"),
        ]
    return (
        # Sorted, so that sums do not depend on the order of the rows in their last digit.
        relevant.sort("customer", "rank")
        .with_columns(aucs.alias("_auc"))
        .group_by("customer", maintain_order=True)
        .agg(
            *metrics,
            pl.col("_auc").mean().alias("auc"),
            (1.0 / rank.min()).alias("mrr"),
            pl.len().alias("relevant_items"),
            pl.col("n_candidates").first(),
        )
        .sort("customer")
    )


def coverage(top: pl.DataFrame, *, n_items: int, k: int = 10) -> float:
    """Share of the catalogue that appears in anybody's top k."""
    return top.filter(pl.col("rank") <= k)["item"].n_unique() / n_items if n_items else float("nan")


def history_band(length: pl.Expr) -> pl.Expr:
    """The name of the band that a history length (number of interactions) falls in."""
    bands = [
        pl.when(length >= least if greatest is None else length.is_between(least, greatest)).then(pl.lit(name))
        for name, least, greatest in HISTORY_BANDS
    ]
    return pl.coalesce(*bands, pl.lit("unknown"))


def summarise(
    rankings: Mapping[str, Ranking],
    customers: pl.DataFrame | None,
    *,
    n_items: int,
    baseline: str = "popularity",
    cutoffs: tuple[int, ...] = (5, 10),
    resamples: int = 1000,
    seed: int = 0,
) -> pl.DataFrame:
    """Metrics of every model, for all customers and for each segment.

    ``rankings`` maps a model's name to its tables; all must have scored the same customers and relevant
    items. ``customers`` has ``customer`` (the index) and one column a kind of segment (``customer_type``,
    ``risk_level``, ...); an integer column ``history_length`` is cut into :data:`HISTORY_BANDS`. None: no
    segments.

    Returns one row a model and segment: ``model, segment_kind, segment, n_customers, n_relevant,
    n_candidates`` (mean of a customer), ``ndcg_at_k, hit_at_k, recall_at_k`` (k in cutoffs), ``auc, mrr,
    coverage_at_K``, and for NDCG at the largest cut-off K the 95 % interval over customers
    (``ndcg_at_K_low/_high``), the paired gain over the baseline (``ndcg_gain``, ``ndcg_gain_low/_high``; null for the
    baseline itself or where it is not given) and the same over EASE (``ease_gain...``). The kind of the first rows is ``all``.

    Raises ValueError where two models were not scored on the same customers and items.
    """
    if not rankings:
        raise ValueError("no model to summarise")
    _same_question(rankings)
    k = max(cutoffs)
    tables = {name: per_customer(ranking.relevant, cutoffs=cutoffs) for name, ranking in rankings.items()}
    rivals = {"ndcg_gain": baseline, "ease_gain": EASE}
    rows: list[dict[str, object]] = []
    for kind, segment, members in _segments(next(iter(tables.values())), customers):
        for name, table in tables.items():
            inside = table if members is None else table.join(members, on="customer", how="semi").sort("customer")
            top = rankings[name].top.join(inside.select("customer"), on="customer", how="semi")
            # A segment's interval does not depend on which other segments there are.
            stream = zlib.crc32(f"{name}|{kind}|{segment}".encode())
            values = inside[f"ndcg_at_{k}"].to_numpy()
            _, low, high = bootstrap_mean(values, resamples=resamples, seed=(seed, stream))
            row: dict[str, object] = {
                "model": name,
                "segment_kind": kind,
                "segment": segment,
                "n_customers": inside.height,
                "n_relevant": int(inside["relevant_items"].sum()),
                "n_candidates": inside["n_candidates"].mean(),
            }
            for metric in ("ndcg", "hit", "recall"):
                row |= {f"{metric}_at_{cut}": inside[f"{metric}_at_{cut}"].mean() for cut in cutoffs}
            row |= {"auc": inside["auc"].mean(), "mrr": inside["mrr"].mean()}
            row[f"coverage_at_{k}"] = coverage(top, n_items=n_items, k=k)
            row |= {f"ndcg_at_{k}_low": low, f"ndcg_at_{k}_high": high}
            for column, rival in rivals.items():
                gain: tuple[float | None, float | None, float | None] = (None, None, None)
                if rival in tables and name != rival:
                    paired = inside.join(tables[rival], on="customer", how="left", suffix="_base", maintain_order="left")
                    difference = (paired[f"ndcg_at_{k}"] - paired[f"ndcg_at_{k}_base"]).to_numpy()
                    gain = bootstrap_mean(difference, resamples=resamples, seed=(seed, stream))
                row |= dict(zip((column, f"{column}_low", f"{column}_high"), gain, strict=True))
            rows.append(row)
    return pl.DataFrame(rows, schema=_summary_schema(cutoffs))


def _summary_schema(cutoffs: tuple[int, ...]) -> dict[str, type[pl.DataType]]:
    k = max(cutoffs)
    text = ("model", "segment_kind", "segment")
    metrics = [f"{metric}_at_{cut}" for metric in ("ndcg", "hit", "recall") for cut in cutoffs]
    last = ("auc", "mrr", f"coverage_at_{k}", f"ndcg_at_{k}_low", f"ndcg_at_{k}_high")
    schema: dict[str, type[pl.DataType]] = dict.fromkeys(text, pl.String)
    schema |= {"n_customers": pl.Int64, "n_relevant": pl.Int64, "n_candidates": pl.Float64}
    gains = [f"{column}{end}" for column in ("ndcg_gain", "ease_gain") for end in ("", "_low", "_high")]
    schema |= dict.fromkeys((*metrics, *last, *gains), pl.Float64)
    return schema


def _same_question(rankings: Mapping[str, Ranking]) -> None:
    columns = ["customer", "item", "n_candidates", "n_relevant"]
    (first, reference), *others = (
        (name, ranking.relevant.select(pl.col(columns).cast(pl.Int64)).sort("customer", "item"))
        for name, ranking in rankings.items()
    )
    for name, table in others:
        if not table.equals(reference):
            raise ValueError(
                f"{name!r} and {first!r} were not scored on the same customers, relevant items and "
                "candidates: their metrics cannot be compared"
            )


def _segments(scored: pl.DataFrame, customers: pl.DataFrame | None) -> Iterator[tuple[str, str, pl.DataFrame | None]]:
    """Kind, name and members of every segment that has a scored customer; first of all, everybody."""
    yield "all", "all", None
    if customers is None:
        return
    index = scored.schema["customer"]
    labels = scored.select("customer").join(
        customers.with_columns(pl.col("customer").cast(index)),
        on="customer",
        how="left",
        maintain_order="left",
    )
    if labels.height != scored.height:
        raise ValueError("the customers table has several rows for one customer")
    for kind in (column for column in customers.columns if column != "customer"):
        if kind == "history_length":
            label, order = history_band(pl.col(kind)), [name for name, _, _ in HISTORY_BANDS]
        else:
            label, order = pl.col(kind).cast(pl.String).fill_null("unknown"), []
        named = labels.select("customer", label.alias("_segment"))
        present = named["_segment"].unique().to_list()
        rank = {name: place for place, name in enumerate(order)}
        for segment in sorted(present, key=lambda name: (rank.get(name, len(rank)), name == "unknown", name)):
            yield kind, segment, named.filter(pl.col("_segment") == segment).select("customer")


def main_cutoff(metrics: pl.DataFrame) -> int:
    """The largest k of ``ndcg_at_k``: the one with intervals."""
    return max(int(name.split("_")[2]) for name in metrics.columns if name.startswith("ndcg_at_") and name.count("_") == 2)
