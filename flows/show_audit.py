"""What the command line prints about ablations and the consistency of attention. Reads finished files only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console

from flows.show_table import new_table
from reports import consistency


def print_audit(console: Console, run: Path) -> None:
    """Both tables, where the run has them."""
    if (run / "audit" / "ablation.parquet").exists():
        print_ablation(console, run)
    if (run / "audit" / "consistency.parquet").exists():
        print_consistency(console, run)
        console.print()


def print_ablation(console: Console, run: Path) -> None:
    """A line a variant: what the model ranks like without the part, and what that says."""
    table = pl.read_parquet(run / "audit" / "ablation.parquet")
    for model, rows in table.group_by("model", maintain_order=True):
        measured = rows.drop_nulls("n_customers")
        if measured.height:
            budget = measured.row(0, named=True)
            console.print(
                f"{model[0]}: learnt from {budget['sample']:,} customers, {budget['epochs']} epochs, {budget['seeds']} seed(s); "
                f"{budget['n_customers']:,} asked, full catalogue, no sampled negatives; "
                f"NDCG@10 of the whole model {budget['reference_ndcg']:.4f}",
                style="dim",
                soft_wrap=True,
            )
        lines = new_table("<without", "NDCG@10", "drop", "95 % interval", "seeds", "<verdict")
        for row in rows.iter_rows(named=True):
            lines.add_row(
                row["variant"],
                "" if row["ndcg"] is None else f"{row['ndcg']:.4f}",
                _percent(row["drop"]),
                "" if row["drop_low"] is None else f"{_percent(row['drop_low'])} to {_percent(row['drop_high'])}",
                "" if row["seed_low"] is None else f"{_percent(row['seed_low'])} to {_percent(row['seed_high'])}",
                row["verdict"].replace("_", " ") + (f": {row['note']}" if row["note"] else ""),
            )
        console.print(lines)
        console.print()


def print_consistency(console: Console, run: Path) -> None:
    """A line a support and segment: observed divergence, both nulls, and the yardsticks."""
    table = pl.read_parquet(run / "audit" / "consistency.parquet")
    if table.is_empty():
        console.print("consistency of attention: not measured, or the model names no holdings", style="dim")
        return
    console.print(consistency.sentence(table), soft_wrap=True)
    lines = new_table(
        "<support", "<customers", "n", "JSD", "any customer", "effect", "p (q)", "given holdings", "effect", "p (q)",
        "uniform", "other seed", "<reading",
    )  # fmt: skip
    for row in consistency.rows(table):
        who = "all" if row["segment_kind"] == "all" else f"{row['segment_kind']} {row['segment']}"
        lines.add_row(
            row["support"],
            who,
            f"{row['n']:,}",
            f"{row['mean_jsd']:.3f}",
            f"{row['null_mean']:.3f}",
            _effect(row, ""),
            f"{row['p']:.3f} ({row['q']:.3f})",
            f"{row['holdings_null_mean']:.3f}",
            _effect(row, "holdings_"),
            f"{row['holdings_p']:.3f} ({row['holdings_q']:.3f})",
            f"{row['uniform_jsd']:.3f}",
            "" if row["seed_jsd"] is None else f"{row['seed_jsd']:.4f}",
            row["reading"],
        )
    console.print(lines)


def _effect(row: dict[str, Any], prefix: str) -> str:
    spread = row[f"{prefix}effect_std"]
    return f"{row[f'{prefix}effect']:+.3f}" + ("" if spread is None else f" ({spread:+.1f} sd)")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f} %"
