"""The explanations: does attention help, is it alike for similar customers, does it name what moved the score."""

from __future__ import annotations

from typing import Any

import polars as pl

from flows.gate.finding import Finding, Subject, interval
from flows.sections.gate import GateConfig
from lightning_modules.family import FAMILY, Speaks
from lightning_modules.settings import ModelKind
from reports.consistency import reading

ABLATION = Subject(
    "ablation",
    "The model needs its attention",
    "explanation",
    "The model is not shown to need its attention: it ranks nearly as well without it.",
    "data scientist",
    "Taking attention away costs little: say so to whoever reads it as a reason, or publish a simpler model.",
    "#ablation",
)
CONSISTENCY = Subject(
    "consistency",
    "Similar customers, similar attention",
    "explanation",
    "Similar customers are not shown to have similar attention.",
    "data scientist",
    "Do not compare customers by their attention: it is not shown to be more alike for similar customers than by chance.",
    "#consistency",
)
FAITHFULNESS = Subject(
    "faithfulness",
    "The explanation is the reason",
    "explanation",
    "The stated reasons are not shown to be the real ones.",
    "data scientist",
    "Read the reasons as descriptions of the model's weights, not as causes; the file says so on each row.",
    "#faithfulness",
)
TAKEN_AWAY = ("no_attention", "uniform_attention")
"""The variants that take attention itself away; the others take away something beside it."""
WITHOUT_ATTENTION: tuple[Speaks, ...] = ("none", "contribution")


def ablation(table: pl.DataFrame | None, model: ModelKind, settings: GateConfig) -> Finding:
    """Taking attention away costs what the rule of the ablation (its ``verdict`` column) says that it must."""
    if FAMILY[model].speaks in WITHOUT_ATTENTION:
        return ABLATION.not_applicable(f"the published model ({model}) has no attention")
    if table is None:
        return ABLATION.not_measured("no ablation was run (audit/ablation.parquet)")
    rows = table.filter(pl.col("variant").is_in(TAKEN_AWAY) & (pl.col("model") == model))
    if rows.is_empty():
        return ABLATION.not_measured(f"no variant of {model} takes its attention away (audit.ablations)")
    rows = rows.filter("applies")
    if rows.is_empty():
        return ABLATION.not_applicable(f"attention cannot be taken out of the published model ({model})")
    said = " ".join(rows["said"])
    open_questions = rows["verdict"].is_in(["not_measured", "too_few", "did_not_train"])
    if open_questions.all():
        return ABLATION.not_measured(said)
    return ABLATION.judged(
        bool((rows["verdict"] == "helps").filter(~open_questions).all()),
        settings.ablation,
        said,
        "NDCG falls by more than 5 % without attention, the whole 95 % interval",
        variants=rows.select("variant", "drop", "drop_low", "drop_high", "verdict").to_dicts(),
    )


def consistency(table: pl.DataFrame | None, model: ModelKind, settings: GateConfig) -> Finding:
    """Over all customers, on every support: less divergence between similar customers than under the permutation null."""
    if FAMILY[model].speaks in WITHOUT_ATTENTION:
        return CONSISTENCY.not_applicable(f"the published model ({model}) has no attention")
    if table is None:
        return CONSISTENCY.not_measured("attention consistency was not measured (audit/consistency.parquet)")
    rows = table.filter(pl.col("segment_kind") == "all")
    if rows.is_empty():
        return CONSISTENCY.not_measured("no customers could be compared")
    said = "; ".join(
        f"{row['support']}: divergence {row['mean_jsd']:.3f} against {row['null_mean']:.3f} by chance, p {row['p']:.3f} "
        f"({reading(row)})"
        for row in rows.iter_rows(named=True)
    )
    alike = bool(((rows["p"] <= settings.consistency_p) & (rows["mean_jsd"] < rows["null_mean"])).all())
    return CONSISTENCY.judged(
        alike,
        settings.consistency,
        said,
        f"less divergence than by chance, p at most {settings.consistency_p:g}",
        supports=rows.select("support", "mean_jsd", "null_mean", "p").to_dicts(),
    )


def faithfulness(proof: dict[str, Any] | None, model: ModelKind, settings: GateConfig) -> Finding:
    """Erasing what the explanation names first costs more than erasing something else."""
    if proof is None:
        return FAITHFULNESS.not_measured("no proof was made (recommendations/faithfulness.json)")
    if not FAMILY[model].reads_holdings:
        return FAITHFULNESS.not_applicable(f"the published model ({model}) names no holding as a reason")
    if not proof.get("n_pairs"):
        return FAITHFULNESS.not_measured("no customer with two or more holdings was served")
    better, how = bool(proof.get("better_than_random")), proof.get("method", "attention")
    gap = f"difference {proof['mean_difference']:+.3f} {interval(proof['ci_low'], proof['ci_high'])} nats, n {proof['n_pairs']:,}"
    return FAITHFULNESS.judged(
        better,
        settings.faithfulness,
        f"method {how}; erasing the holding named first "
        + (f"hurts more than a random one: {gap}" if better else f"is not shown to hurt more than a random one: {gap}")
        + _failed(proof),
        "the 95 % interval of the paired difference lies above 0",
        method=how,
        difference=proof["mean_difference"],
        low=proof["ci_low"],
        high=proof["ci_high"],
    )


def _failed(proof: dict[str, Any]) -> str:
    """What is said where the model's own weights failed their proof and something else is published."""
    own = proof.get("weights")
    if not own or own == proof.get("method") or proof["methods"][own]["better_than_random"]:
        return ""
    return f"; the model's own weights ({own}) failed the same test and are not published as the reason"
