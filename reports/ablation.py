"""What each part of a model is worth: how much worse it ranks without the part, and what that allows to be said.

The rule: a drop of more than 5 % says that a part genuinely helps. A drop is the mean over customers of (NDCG@10 of the
reference less that of the variant), each the mean over seeds, relative to the reference's mean; its interval is the 95 %
bootstrap over customers, paired. The rule is met where the whole interval lies above 5 %.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import polars as pl
from markupsafe import Markup

from reports.intervals import bootstrap_ratio
from reports.text import plain

THRESHOLD: Final = 0.05
FEWEST_CUSTOMERS: Final = 20
"""Below this many customers a bootstrap interval is too narrow to be believed."""
RESAMPLES: Final = 1000

Worth = Literal[
    "helps",
    "helps_perhaps",
    "helps_little",
    "not_shown",
    "does_not_help",
    "hurts",
    "too_few",
    "did_not_train",
    "not_measured",
    "not_applicable",
]
WORDS: Final[dict[Worth, str]] = {
    "helps": "genuinely helps",
    "helps_perhaps": "helps; that it is by more than 5 % is not shown",
    "helps_little": "helps, but by less than 5 %",
    "not_shown": "is not shown to help: the interval holds 0",
    "does_not_help": "does not help: no difference is shown, and one of more than 5 % is ruled out",
    "hurts": "hurts: the model ranks better without it",
    "too_few": "too few customers to say",
    "did_not_train": "the model could not be trained without it",
    "not_measured": "not measured",
    "not_applicable": "not applicable",
}

SCHEMA: Final[dict[str, type[pl.DataType]]] = {
    "model": pl.String,
    "variant": pl.String,
    "part": pl.String,
    "meaning": pl.String,
    "applies": pl.Boolean,
    "n_customers": pl.Int64,
    "ndcg": pl.Float64,
    "reference_ndcg": pl.Float64,
    "drop": pl.Float64,
    "drop_low": pl.Float64,
    "drop_high": pl.Float64,
    "seeds": pl.Int64,
    "seed_low": pl.Float64,
    "seed_high": pl.Float64,
    "verdict": pl.String,
    "said": pl.String,
    "note": pl.String,
}
"""Columns of :func:`ablation_table`; drops are shares of the reference's NDCG@10, above 0 where the variant is worse."""


@dataclass(frozen=True)
class VariantScores:
    """One variant of one model: what it is, and how it ranked."""

    model: str
    variant: str
    part: str
    """What is taken away: "attention", "the order of purchases"."""
    meaning: str
    scores: pl.DataFrame | None
    """``seed`` i64, ``customer`` i32, ``reference`` f64, ``ndcg`` f64: NDCG@10 with and without the part, every seed with the
    same customers; None where nothing was scored."""
    verdict: Literal["did_not_train", "not_measured", "not_applicable"] | None = None
    """Why not, where there are no scores."""
    note: str = ""


def worth(low: float, high: float, n_customers: int) -> Worth:
    """What the interval of a relative drop allows to be said."""
    if n_customers < FEWEST_CUSTOMERS:
        return "too_few"
    if low > THRESHOLD:
        return "helps"
    if high < 0:
        return "hurts"
    if low > 0:
        return "helps_perhaps" if high > THRESHOLD else "helps_little"
    return "not_shown" if high > THRESHOLD else "does_not_help"


def ablation_table(variants: Sequence[VariantScores], seed: int = 0) -> pl.DataFrame:
    """One row a model and variant, in order: the columns of :data:`SCHEMA`.

    ``seed_low``, ``seed_high``: the least and the greatest relative drop of a single seed; null with one seed.
    """
    return pl.DataFrame([_row(one, seed) for one in variants], schema=SCHEMA)


def _row(one: VariantScores, seed: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": one.model,
        "variant": one.variant,
        "part": one.part,
        "meaning": one.meaning,
        "applies": one.verdict != "not_applicable",
        "note": one.note,
    }
    if one.scores is None:
        assert one.verdict is not None
        return row | {"verdict": one.verdict, "said": f"{WORDS[one.verdict].capitalize()}: {one.note}."}
    per_customer = (
        one.scores.sort("customer", "seed")
        .group_by("customer", maintain_order=True)
        .agg(pl.col("reference").mean(), pl.col("ndcg").mean())
    )
    reference = per_customer["reference"].to_numpy()
    difference = (per_customer["reference"] - per_customer["ndcg"]).to_numpy()
    # A variant's interval does not depend on which others there are.
    stream = zlib.crc32(f"{one.model}|{one.variant}".encode())
    drop, low, high = bootstrap_ratio(difference, reference, resamples=RESAMPLES, seed=(seed, stream))
    single = one.scores.group_by("seed", maintain_order=True).agg(
        ((pl.col("reference") - pl.col("ndcg")).sum() / pl.col("reference").sum()).alias("drop")
    )["drop"]
    seeds = len(single)
    if not difference.any():
        row["note"] = "every customer's NDCG@10 is the same with it and without"
    said: Worth = "too_few" if low is None or high is None else worth(low, high, per_customer.height)
    return row | {
        "n_customers": per_customer.height,
        "ndcg": per_customer["ndcg"].mean(),
        "reference_ndcg": per_customer["reference"].mean(),
        "drop": drop,
        "drop_low": low,
        "drop_high": high,
        "seeds": seeds,
        "seed_low": single.min() if seeds > 1 else None,
        "seed_high": single.max() if seeds > 1 else None,
        "verdict": said,
        "said": sentence(one.part, said, drop, low, high),
    }


def sentence(part: str, said: Worth, drop: float | None, low: float | None, high: float | None) -> str:
    """E.g. "Attention genuinely helps. Without it NDCG@10 falls by 12.3 % (drop 9.8 % to 14.9 %)."."""
    start = f"{part[:1].upper()}{part[1:]}"
    words = WORDS[said] if said != "too_few" else f"is worth an unknown amount ({WORDS[said]})"
    if drop is None:
        return f"{start} {words}."
    way = "falls" if drop >= 0 else "rises"
    interval = "" if low is None or high is None else f" (drop {_percent(low)} to {_percent(high)})"
    return f"{start} {words}. Without it NDCG@10 {way} by {_percent(abs(drop))}{interval}."


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %".replace("-", "−")


INK, SOFT, ACCENT = "#1c2430", "#4d5866", "#1f5a8a"


def ablation_svg(table: pl.DataFrame) -> Markup:
    """Each measured variant's drop with its interval, against 0 and the rule's 5 %. Empty where nothing was measured."""
    measured = table.filter(pl.col("drop").is_not_null())
    if measured.is_empty():
        return Markup("")
    width, left, right, row, top = 900, 250, 40, 34, 30
    ends = [value for name in ("drop", "drop_low", "drop_high") for value in measured[name].drop_nulls().to_list()]
    low, high = min(-0.02, *ends), max(THRESHOLD + 0.02, *ends)
    height = top + row * measured.height + 34

    def x(share: float) -> float:
        place: float = left + (share - low) / (high - low) * (width - left - right)
        return round(place, 1)

    several = measured["model"].n_unique() > 1
    title = "Drop in NDCG@10 without each part, with 95 % intervals"
    svg = [
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
            'aria-labelledby="ablation-title"><title id="ablation-title">{t}</title>'
        ).format(w=width, h=height, t=title)
    ]
    bottom = top + row * measured.height
    for share, words, dash in ((0.0, "0", "none"), (THRESHOLD, f"{THRESHOLD:.0%}".replace("%", " %"), "5 4")):
        svg.append(
            Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" stroke="{}" stroke-dasharray="{}"/>').format(
                x(share), x(share), top - 8, bottom, SOFT, dash
            )
        )
        svg.append(_text(x(share), top - 14, words, SOFT, "middle"))
    for number, entry in enumerate(measured.iter_rows(named=True)):
        y = top + row * number + row / 2
        name = f"{entry['model']}: {entry['variant']}" if several else entry["variant"]
        svg.append(_text(left - 14, y + 4, plain(name, 38), INK, "end"))
        if entry["drop_low"] is not None:
            svg.append(
                Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" stroke="{}" stroke-width="3"/>').format(
                    x(entry["drop_low"]), x(entry["drop_high"]), y, y, ACCENT
                )
            )
        svg.append(
            Markup('<circle cx="{}" cy="{}" r="5" fill="{}"><title>{}</title></circle>').format(
                x(entry["drop"]), y, ACCENT, plain(entry["said"], 300)
            )
        )
    svg.append(_text(left, height - 8, "better without it", SOFT, "start"))
    svg.append(_text(width - right, height - 8, "drop in NDCG@10, share of the whole model's: worse without it", SOFT, "end"))
    return Markup("").join([*svg, Markup("</svg>")])


def _text(x: float, y: float, words: str, ink: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" fill="{}" font-size="13" text-anchor="{}">{}</text>').format(x, y, ink, anchor, words)
