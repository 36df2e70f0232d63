"""What ``nightfolio bench far-trans`` prints: the protocol, the table, the paired differences, the front."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from flows.bench.far_trans import BEST, DIALS, Walk, dialled
from flows.bench.far_trans_data import FarTransBenchmark
from flows.bench.far_trans_lists import paired_difference, per_split
from reports.profit_front import write_profit_front

PROTOCOL = """\
FAR-Trans temporal benchmark, {set} splits {first} to {last} ({count}): trained on purchases before each time point,
asked for first purchases from it to its test end; {customers:,} (split, customer) cases of {distinct:,} customers;
candidates are the eligible assets less what the customer's training set holds, no sampled negatives; a split's value
is the mean over its eligible customers, a model's the mean over splits. ROI@10 counts listed assets with a known
return; `known` is their share."""


def print_walk(console: Console, benchmark: FarTransBenchmark, walk: Walk, which: str, seed: int) -> None:
    """The whole account of one walk forward."""
    rows = walk.rows
    splits = rows["split"].unique().sort()
    one = rows.filter(pl.col("model") == rows["model"][0])
    console.print(
        PROTOCOL.format(
            set=which,
            first=splits[0],
            last=splits[-1],
            count=len(splits),
            customers=one.height,
            distinct=one["customer"].n_unique(),
        )
    )
    _print_models(console, walk, benchmark.published.filter(pl.col("split").is_in(splits.to_list())), which)
    _print_pairs(console, walk, seed)
    if BEST in walk.seconds["model"].to_list():
        _print_front(console, walk)


def _print_models(console: Console, walk: Walk, published: pl.DataFrame, which: str) -> None:
    eligible = walk.views["eligible"].max()
    catalogue = walk.lists.group_by("model").agg(pl.col("ISIN").n_unique().alias("listed"))
    costs = walk.seconds.group_by("model").agg(total=pl.col("seconds").sum(), each=pl.col("seconds").mean())
    means = _means(walk).join(catalogue, on="model").join(costs, on="model", how="inner", maintain_order="left")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("model", "nDCG@10", "recall@10", "ROI@10", "known", "assets listed", "s a split", "s in all"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in means.sort("ndcg").iter_rows(named=True):
        table.add_row(
            row["model"],
            f"{row['ndcg']:.4f}",
            f"{row['recall']:.4f}",
            _number(row["roi"]),
            f"{row['known']:.0%}",
            f"{row['listed']} ({row['listed'] / eligible:.0%})",
            f"{row['each']:.1f}",
            f"{row['total']:.0f}",
        )
    if which == "evaluation":
        for row in _published(published).iter_rows(named=True):
            table.add_row(f"{row['model']} (published)", f"{row['ndcg']:.4f}", "", _number(row["roi"]), "", "", "", "")
    console.print(table)
    reference = _published(published).filter(pl.col("model") == "LightGCN")
    if which == "evaluation" and reference.height:
        ours = means.filter(pl.col("model") == BEST)
        covered = published.filter(pl.col("model") == "LightGCN")["split"].n_unique() == walk.rows["split"].n_unique()
        if ours.height and covered:
            console.print(f"{BEST} is at {ours['ndcg'][0] / reference['ndcg'][0]:.3f} times LightGCN's nDCG@10 (aim: 1.20)")


def _print_pairs(console: Console, walk: Walk, seed: int) -> None:
    models = walk.seconds["model"].unique(maintain_order=True).to_list()
    if BEST not in models:
        return
    console.print("\npaired nDCG@10 difference per customer, 95 % interval of a bootstrap over customers (1,000 draws):")
    for other in models:
        if other != BEST:
            mean, low, high = paired_difference(walk.rows, BEST, other, seed)
            console.print(f"  {BEST} - {other:<20} {mean:+.4f} [{low:+.4f}, {high:+.4f}]")


def _print_front(console: Console, walk: Walk) -> None:
    seen = walk.views["priced"]
    console.print(
        "\nthe dial between preference (0) and profit (1); the profit view knows "
        f"{float(seen.to_numpy().mean()):.0%} of the eligible assets, none of them on {(seen == 0).sum()} of {len(seen)} splits:"
    )
    for row in front(walk).iter_rows(named=True):
        console.print(
            f"  dial {row['dial']:<5g} nDCG@10 {row['ndcg']:.4f}  ROI@10 {_number(row['roi'])}  known {row['known']:.0%}"
        )


def front(walk: Walk) -> pl.DataFrame:
    """dial, ndcg, roi, known: the mean over splits at each setting of the dial."""
    names = pl.DataFrame({"model": [dialled(dial) for dial in DIALS], "dial": list(DIALS)})
    return names.join(_means(walk), on="model", maintain_order="left").select("dial", "ndcg", "roi", "known")


def write_front_page(benchmark: FarTransBenchmark, walk: Walk, out: Path) -> Path:
    """The front as a page beside the results."""
    splits = walk.rows["split"].unique().to_list()
    return write_profit_front(front(walk), _published(benchmark.published.filter(pl.col("split").is_in(splits))), out)


def _means(walk: Walk) -> pl.DataFrame:
    return per_split(walk.rows).group_by("model", maintain_order=True).agg(pl.col("ndcg", "recall", "roi", "known").mean())


def _published(published: pl.DataFrame) -> pl.DataFrame:
    means = published.group_by("model", maintain_order=True)
    return means.agg(ndcg=pl.col("ndcg_at_10").mean(), roi=pl.col("roi_at_10").mean())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"
