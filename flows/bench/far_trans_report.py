"""What ``nightfolio bench far-trans`` prints: the protocol, the table, the paired differences, the front."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from flows.bench.far_trans import BEST, CHOSEN_DIAL, DIALS, Walk, dialled
from flows.bench.far_trans_data import NEAR, FarTransBenchmark
from flows.bench.far_trans_foresight import earned_at
from flows.bench.far_trans_lists import paired_difference, per_split
from flows.bench.far_trans_oracle import ORACLES
from reports.profit_front import write_profit_front

GIVEN_UP = 0.08
"""Share of nDCG@10 that the chosen setting of the dial may cost on the validation splits: LightGCN's published preference is
nine per cent below what our best model had when this was set."""
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
    if which == "validation":
        console.print(f"No returns are published for these: they are taken from closes within {NEAR} days of a split's two ends.")
    _print_models(console, walk, benchmark.published.filter(pl.col("split").is_in(splits.to_list())), which)
    _print_pairs(console, walk, seed)
    _print_oracles(console, walk)
    if BEST in walk.seconds["model"].to_list():
        published = benchmark.published.filter(pl.col("split").is_in(splits.to_list())) if which == "evaluation" else None
        _print_front(console, walk, which)
        _print_foresight(console, walk, published)


def _print_models(console: Console, walk: Walk, published: pl.DataFrame, which: str) -> None:
    eligible = walk.views["eligible"].max()
    catalogue = walk.lists.group_by("model").agg(pl.col("ISIN").n_unique().alias("listed"))
    costs = walk.seconds.group_by("model").agg(total=pl.col("seconds").sum(), each=pl.col("seconds").mean())
    means = _means(walk).join(catalogue, on="model").join(costs, on="model", how="left", maintain_order="left")
    means = means.filter(pl.col("total").is_not_null() | (pl.col("model") == dialled(CHOSEN_DIAL)))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("model", "nDCG@10", "recall@10", "ROI@10", "known", "assets listed", "s a split", "s in all"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in means.sort("ndcg").iter_rows(named=True):
        table.add_row(
            row["model"] if row["total"] is not None else f"{row['model']} (chosen)",
            f"{row['ndcg']:.4f}",
            f"{row['recall']:.4f}",
            _number(row["roi"]),
            f"{row['known']:.0%}",
            f"{row['listed']} ({row['listed'] / eligible:.0%})",
            "" if row["each"] is None else f"{row['each']:.1f}",
            "" if row["total"] is None else f"{row['total']:.0f}",
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


def _print_oracles(console: Console, walk: Walk) -> None:
    means = _means(walk)
    ahead = means.filter(pl.col("model").is_in(ORACLES))
    if ahead.height == 0:
        return
    ours = means.filter(pl.col("model") == BEST)["ndcg"][0]
    console.print("\nreferences that look into the test window, no contestants:")
    for row in ahead.sort("ndcg").iter_rows(named=True):
        console.print(f"  {row['model']:<42} nDCG@10 {row['ndcg']:.4f}  {row['ndcg'] / ours:.3f} times {BEST}")


def _print_front(console: Console, walk: Walk, which: str) -> None:
    seen, ic = walk.views["priced"], walk.views["ic"].drop_nulls()
    console.print(
        "\nthe dial between preference (0) and profit (1); the profit view knows "
        f"{float(seen.to_numpy().mean()):.0%} of the eligible assets, none of them on {(seen == 0).sum()} of {len(seen)} splits:"
    )
    points = front(walk)
    found = within_budget(points)
    for row in points.iter_rows(named=True):
        mark = "  <- chosen on the validation splits" if row["dial"] == CHOSEN_DIAL else ""
        if which == "validation":
            mark = f"  keeps {row['kept']:.1%} where the view speaks{mark}"
        console.print(
            f"  dial {row['dial']:<5g} nDCG@10 {row['ndcg']:.4f}  ROI@10 {_number(row['roi'])}  known {row['known']:.0%}{mark}"
        )
    if which == "validation":
        console.print(f"  the highest that keeps {1 - GIVEN_UP:.0%} of nDCG@10 where the view speaks: {found:g}")
    if ic.len():
        values = ic.to_numpy()
        console.print(
            f"rank correlation of the view with the returns to come, per split: mean {values.mean():+.3f}, "
            f"from {values.min():+.3f} to {values.max():+.3f}, above 0 on {(values > 0).sum()} of {len(values)}"
        )


def _reference(walk: Walk, published: pl.DataFrame | None) -> tuple[str, float]:
    """The preference at which profits are compared: LightGCN's where these splits' is published, else what is to be kept."""
    splits = walk.rows["split"].n_unique()
    if published is not None:
        theirs = published.filter(pl.col("model") == "LightGCN")
        if theirs["split"].n_unique() == splits:
            return "LightGCN's nDCG@10", float(theirs["ndcg_at_10"].to_numpy().mean())
    return f"{1 - GIVEN_UP:.0%} of nDCG@10", (1 - GIVEN_UP) * float(front(walk)["ndcg"][0])


def _print_foresight(console: Console, walk: Walk, published: pl.DataFrame | None) -> None:
    if not walk.foresight.height:
        return
    walk = replace(walk, rows=walk.rows.join(walk.foresight.select("split").unique(), on="split", how="semi"))
    name, ndcg = _reference(walk, published)
    console.print(f"\nROI@10 at {name} ({ndcg:.4f}), interpolated on each view's front:")
    ours = walk.views["ic"].drop_nulls()
    mean = f"{float(ours.to_numpy().mean()):+.2f}" if ours.len() else "-"
    console.print(
        f"  ours                                  rank correlation {mean:<6} ROI@10 {_number(earned_at(front(walk), ndcg))}"
    )
    means = walk.foresight.group_by("skill", "dial", maintain_order=True).agg(pl.col("ndcg", "roi", "ic").mean())
    for (skill,), points in means.group_by("skill", maintain_order=True):
        what = "the returns to come" if skill == 1 else "the returns to come, blurred"
        roi = _number(earned_at(points.select("ndcg", "roi"), ndcg))
        console.print(f"  {what:<37} rank correlation {points['ic'][0]:<+6.2f} ROI@10 {roi}")


def front(walk: Walk) -> pl.DataFrame:
    """dial, ndcg, roi, known: the mean over splits at each setting of the dial; kept: its share of the nDCG@10 at dial 0 over
    the splits where the view knows an asset (1 where there is none)."""
    names = pl.DataFrame({"model": [dialled(dial) for dial in DIALS], "dial": list(DIALS)})
    spoken = walk.views.filter(pl.col("priced") > 0).select("split")
    there = per_split(walk.rows).join(spoken, on="split", how="semi").group_by("model").agg(kept=pl.col("ndcg").mean())
    points = names.join(_means(walk), on="model", maintain_order="left").join(
        there, on="model", how="left", maintain_order="left"
    )
    share = (pl.col("kept") / pl.col("kept").first()).fill_null(1.0)
    return points.select("dial", "ndcg", "roi", "known", kept=share)


def within_budget(points: pl.DataFrame) -> float:
    """The highest setting of the dial up to which every one keeps ``1 - GIVEN_UP`` of the preference."""
    ordered = points.sort("dial")
    enough = (ordered["kept"] >= 1 - GIVEN_UP).cum_min()
    return float(ordered.filter(enough)["dial"].max())  # type: ignore[arg-type]


def write_front_page(benchmark: FarTransBenchmark, walk: Walk, out: Path) -> Path:
    """The front as a page beside the results."""
    splits = walk.rows["split"].unique().to_list()
    points = front(walk).with_columns(chosen=pl.col("dial") == CHOSEN_DIAL)
    return write_profit_front(points, _published(benchmark.published.filter(pl.col("split").is_in(splits))), out)


def _means(walk: Walk) -> pl.DataFrame:
    return per_split(walk.rows).group_by("model", maintain_order=True).agg(pl.col("ndcg", "recall", "roi", "known").mean())


def _published(published: pl.DataFrame) -> pl.DataFrame:
    means = published.group_by("model", maintain_order=True)
    return means.agg(ndcg=pl.col("ndcg_at_10").mean(), roi=pl.col("roi_at_10").mean())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"
