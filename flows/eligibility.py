"""Why a recommendation may be offered, in words: the profile it was held against, and what somebody should know besides."""

from __future__ import annotations

import polars as pl

from flows.sections.suitability import AboveRiskProfile, ProfileNotAvailable, SuitabilityConfig

SOURCES = {
    "declared": "as its source declares",
    "policy": "by the firm's policy for its kind",
    "volatility": "for its volatility",
}


def in_words(rules: SuitabilityConfig, breaches: pl.DataFrame) -> pl.Expr:
    """One sentence a row, and one more a flag, from ``risk_level, risk_predicted, asset_risk, risk_source, flags, asset_id``.

    ``breaches``: what :func:`flows.suitability.asset_breaches` found; the detail of a flagged asset is told with the flag.
    """
    limits = [rule for rule in rules.in_force().values() if isinstance(rule, AboveRiskProfile)]
    unknown = [rule.highest_class for rule in rules.in_force().values() if isinstance(rule, ProfileNotAvailable)]
    highest: dict[str, int] = {}
    steps = max((rule.predicted_steps_down for rule in limits), default=0)
    for rule in limits:
        highest |= {name: min(most, highest.get(name, 4)) for name, most in rule.highest_class.items()}
    predicted = pl.col("risk_predicted")
    allowed = pl.col("risk_level").replace_strict(highest, default=None, return_dtype=pl.Int64) - pl.when(predicted).then(
        steps
    ).otherwise(0)
    profile = pl.when(predicted).then(pl.lit("predicted, not declared")).otherwise(pl.lit("declared"))
    how = pl.col("risk_source").replace_strict(SOURCES, return_dtype=pl.String)
    known = pl.format(
        "Risk profile {} ({}) allows up to risk class {}; the asset is class {} {}.",
        "risk_level",
        profile,
        allowed,
        "asset_risk",
        how,
    )
    rest = f"what is offered then is risk class {min(unknown)} at most" if unknown else "no limit is set for that"
    nameless = pl.format("Risk profile not available: {}; the asset is class {} {}.", pl.lit(rest), "asset_risk", how)
    unlimited = pl.format(
        "No rule limits the risk class for profile {}; the asset is class {} {}.", "risk_level", "asset_risk", how
    )
    sentence = (
        pl.when(pl.col("risk_level") == "not_available")
        .then(nameless)
        .otherwise(pl.when(allowed.is_null()).then(unlimited).otherwise(known))
    )
    return pl.concat_str(sentence, _flags_in_words(rules, breaches))


def _flags_in_words(rules: SuitabilityConfig, breaches: pl.DataFrame) -> pl.Expr:
    """`` Note: WORDS (RULE).`` for every flag of a row, with the detail where the asset itself is flagged."""
    flagged = breaches.filter((pl.col("effect") == "flag") & pl.col("detail").is_not_null())
    notes = []
    for name, rule in rules.in_force().items():
        if rule.effect != "flag":
            continue
        details = dict(flagged.filter(pl.col("rule_id") == name).select("asset_id", "detail").iter_rows())
        said = pl.format(": {}", pl.col("asset_id").replace_strict(details, default=None, return_dtype=pl.String)).fill_null("")
        note = pl.concat_str(pl.lit(f" Note: {rule.words}"), said, pl.lit(f" ({name})."))
        notes.append(pl.when(pl.col("flags").list.contains(name)).then(note).otherwise(pl.lit("")))
    return pl.concat_str(notes) if notes else pl.lit("")
