"""The explanations: does attention help, is it alike for similar customers, does it name what moved the score."""

from __future__ import annotations

from math import isnan
from typing import Any

import polars as pl

from flows.gate.finding import Finding, Subject, interval
from flows.sections.gate import Act, GateConfig
from lightning_modules.faithfulness import LEAVE_ONE_OUT
from lightning_modules.family import FAMILY, Speaks
from lightning_modules.settings import ModelKind
from reports.consistency import BEYOND, FEWEST_CUSTOMERS, reading

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
    "Similar customers are not shown to have similar attention beyond what their like holdings bring about.",
    "data scientist",
    "Do not compare customers by their attention: it is not shown to be more alike than their like holdings make it.",
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

NOT_BY_CONSTRUCTION = tuple(
    (measure, k, against)
    for measure, k in (("comprehensiveness", "50 %"), ("sufficiency", "1"))
    for against in ("random", "recent")
)
"""Measure, k and rival that leaving one out has to beat."""
OF_OWN_WEIGHTS = (("comprehensiveness", "1", "recent"),)
MEASURES = {"comprehensiveness": "erasing {k} hurts more", "sufficiency": "keeping {k} keeps more"}


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
    helps = bool((rows["verdict"] == "helps").filter(~open_questions).all())
    act: Act = "warn" if helps else settings.ablation  # what was measured holds, but an open variant could have failed
    return ABLATION.judged(
        helps and not open_questions.any(),
        act,
        f"{said}{_budget(rows)}",
        "NDCG falls by more than 5 % without attention, the whole 95 % interval, in every variant",
        variants=rows.select("variant", "drop", "drop_low", "drop_high", "verdict").to_dicts(),
    )


def _budget(rows: pl.DataFrame) -> str:
    """What the models of the comparison were fitted on: less than the published one."""
    if not {"sample", "epochs"} <= set(rows.columns):
        return ""
    row = rows.row(0, named=True)
    return f" Models fitted again for this audit on {row['sample']:,} customers, {row['epochs']} epochs; not the published fit."


def consistency(table: pl.DataFrame | None, model: ModelKind, settings: GateConfig) -> Finding:
    """Over all customers, by asset: attention is more alike between similar customers than their like holdings make it.

    The permutation of customers alone shows nothing: uniform or random weights on like holdings beat it too.
    """
    if FAMILY[model].speaks in WITHOUT_ATTENTION:
        return CONSISTENCY.not_applicable(f"the published model ({model}) has no attention")
    if table is None:
        return CONSISTENCY.not_measured("attention consistency was not measured (audit/consistency.parquet)")
    rows = table.filter(pl.col("segment_kind") == "all")
    deciding = rows.filter((pl.col("support") == "asset") & (pl.col("n") >= FEWEST_CUSTOMERS))
    if deciding.is_empty():
        return CONSISTENCY.not_measured(f"fewer than {FEWEST_CUSTOMERS} customers could be compared by asset")
    level = settings.consistency_p
    said = "; ".join(
        f"{row['support']}: {reading(row, level)} (divergence {row['mean_jsd']:.3f}, {row['null_mean']:.3f} of any customers, "
        f"{row['holdings_null_mean']:.3f} from like holdings alone, q {row['holdings_q']:.3f})"
        for row in rows.iter_rows(named=True)
    )
    return CONSISTENCY.judged(
        reading(deciding.row(0, named=True), level) == BEYOND,
        settings.consistency,
        said,
        f"by asset, less divergence than like holdings alone bring about, q at most {level:g}",
        supports=rows.select(
            "support", "n", "mean_jsd", "null_mean", "q", "holdings_null_mean", "holdings_effect", "holdings_q"
        ).to_dicts(),
    )


def faithfulness(proof: dict[str, Any] | None, table: pl.DataFrame | None, model: ModelKind, settings: GateConfig) -> Finding:
    """Erasing what the explanation names costs more than erasing something else, on measures not given by construction.

    Leaving one out names first what costs most alone, so that the erasure of one holding says nothing of it.
    """
    if proof is None:
        return FAITHFULNESS.not_measured("no proof was made (recommendations/faithfulness.json)")
    if not FAMILY[model].reads_holdings:
        return FAITHFULNESS.not_applicable(f"the published model ({model}) names no holding as a reason")
    if not proof.get("n_pairs"):
        return FAITHFULNESS.not_measured("no customer with two or more holdings was served")
    how = proof.get("method", "attention")
    asked = NOT_BY_CONSTRUCTION if how == LEAVE_ONE_OUT else OF_OWN_WEIGHTS
    lows = {question: _low(table, how, *question) for question in asked}
    if any(low is None for low in lows.values()):
        return FAITHFULNESS.not_measured(f"method {how}: not every measure was made (recommendations/faithfulness.parquet)")
    parts = [f"{MEASURES[measure].format(k=k)} than {against}: low {low:+.3f}" for (measure, k, against), low in lows.items()]
    missed = [part for part, low in zip(parts, lows.values(), strict=True) if low is None or low <= 0]
    act = settings.faithfulness
    if how != LEAVE_ONE_OUT:
        gap = f"difference {proof['mean_difference']:+.3f} {interval(proof['ci_low'], proof['ci_high'])} nats"
        parts.insert(0, f"erasing 1 hurts more than random: {gap}, n {proof['n_pairs']:,}")
        if proof.get("better_than_random"):
            act = "warn"  # shown to be better than chance, only not than naming the latest holding
        else:
            missed.insert(0, parts[0])
    failed = _failed(proof)
    if failed and not missed:
        act = "warn"  # what is published holds; that the model's own weights do not is said
    return FAITHFULNESS.judged(
        not missed and not failed,
        act,
        f"method {how}; " + (f"not shown: {'; '.join(missed)}" if missed else "; ".join(parts)) + failed,
        "the model's own weights, where it has any, are published; 95 % intervals above 0 against random and recent holdings"
        + ("; leaving one out is judged on erasing half and on keeping one" if how == LEAVE_ONE_OUT else ""),
        method=how,
        lows=[{"measure": measure, "k": k, "against": against, "low": low} for (measure, k, against), low in lows.items()],
    )


def _low(table: pl.DataFrame | None, method: str, measure: str, k: str, against: str) -> float | None:
    """The lower end of one interval of ``faithfulness.parquet``; None where it was not measured."""
    if table is None:
        return None
    row = table.filter(
        (pl.col("method") == method) & (pl.col("measure") == measure) & (pl.col("k") == k) & (pl.col("against") == against)
    )
    low = None if row.is_empty() else row["low"][0]
    return None if low is None or isnan(low) else low


def _failed(proof: dict[str, Any]) -> str:
    """What is said where the model's own weights failed their proof or something else is published."""
    own, methods = proof.get("weights"), proof.get("methods", {})
    if not own or own == proof.get("method"):
        return ""
    if methods.get(own, {}).get("better_than_random"):
        return f"; the model's own weights ({own}) are not what is published as the reason"
    return f"; the model's own weights ({own}) failed the same test and are not published as the reason"
