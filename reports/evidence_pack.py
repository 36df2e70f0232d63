"""The evidence of one run as pages that open from disk: ``index.html`` and what it links to.

The index holds no script and its policy forbids every load; the pages with interactive pictures share one
copy of plotly beside them. Drift pages are written by :func:`reports.drift.drift_report` into the same
directory before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from reports import consistency
from reports.ablation import ablation_svg
from reports.attention import heatmap_svg, write_attention_page
from reports.attention_panels import Side, panels_svg
from reports.changes import lists_svg
from reports.contracts import table_summaries, write_contracts_page
from reports.evidence import AREAS, Absent, Check, Evidence, Outcome, RankingEvidence
from reports.faithfulness import METHODS, FaithfulnessEvidence, erasures, lone
from reports.mapping import write_mapping
from reports.model_card import ModelCard
from reports.pages import write_page
from reports.regimes import regime_svg, spells
from reports.sufficiency import accuracy_by_band, sentence
from reports.training import fit_facts, write_training_page

SIDES: Mapping[Side, str] = {
    "head": "Attention of each head, the same customers and holdings in every panel",
    "regime": "Attention in a bull market and in a bear market, the same customers and holdings side by side",
}
KIND_NAMES = {
    "all": "All customers",
    "customer_type": "Customer type",
    "risk_level": "Risk level",
    "history_length": "Interactions in the history",
}

_COLUMNS: dict[str, tuple[str, ...]] = {
    "reconciliation": ("kind", "pairs"),
    "recommendations": ("customer", "rank", "asset_id", "asset_name", "score", "reason"),
    "exclusions": ("rule_id", "reason", "source", "effect", "limits", "candidates", "customers", "flagged", "violations"),
    "regimes": ("date", "regime", "level"),
    "ablation": ("model", "variant", "part", "meaning", "ndcg", "reference_ndcg", "drop", "verdict", "said", "sample", "epochs"),
    "sufficiency": ("band", "level", "customers", "share", "interactions"),
    "register": ("model_id", "kind", "run", "status", "trained_to", "trained_on", "parent", "ndcg", "approval"),
}


def write_evidence(directory: Path, evidence: Evidence) -> Path:
    """Write all pages of ``evidence`` into ``directory`` (made if needed) and return the index's path.

    Raises ValueError where a section's table lacks a column, naming the section, before anything is written.
    """
    _check(evidence)
    directory.mkdir(parents=True, exist_ok=True)
    pages: dict[str, str] = {"mapping": write_mapping(directory).name}
    values: dict[str, Any] = {"e": evidence, "pages": pages, "kind_names": KIND_NAMES}
    values |= {"most_customers": MOST_CUSTOMERS, "most_rows": MOST_ROWS}

    values["attend"], values["areas"], values["checks_by_area"] = _checks(evidence.verdict.checks)
    values["changes_picture"] = Markup("")
    if not isinstance(evidence.changes, Absent):
        values["changes_picture"] = lists_svg(evidence.changes.distances)
    values["tables"] = ()
    if not isinstance(evidence.contracts, Absent):
        values["tables"] = table_summaries(evidence.contracts)
        pages["contracts"] = write_contracts_page(evidence.contracts, directory / "contracts.html").name
    if not isinstance(evidence.ranking, Absent):
        values |= _ranking(evidence.ranking)
        pages["metrics"] = _write_metrics_page(evidence.ranking, directory / "metrics.html").name
    if not isinstance(evidence.card, Absent):
        pages["model_card"] = _write_card(evidence.card, evidence.ranking, values, directory).name
    if not isinstance(evidence.attention, Absent):
        values["heatmap"] = heatmap_svg(evidence.attention.table)
        detail = evidence.attention.detail
        for side, label in SIDES.items():
            values[f"{side}_panels"] = Markup("") if detail is None else panels_svg(detail, side, label)
        pages["attention"] = write_attention_page(evidence.attention, directory / "attention.html").name
    values |= _audit(evidence)
    if not isinstance(evidence.faithfulness, Absent):
        values |= _faithfulness(evidence.faithfulness)
    values["fits"] = ()
    if not isinstance(evidence.training, Absent):
        values["fits"] = tuple(fit_facts(fit) for fit in evidence.training)
        pages["training"] = write_training_page(evidence.training, directory / "training.html").name
    if not isinstance(evidence.sufficiency, Absent):
        values["sufficiency_said"] = sentence(evidence.sufficiency)
        values["sufficiency"], values["sufficiency_models"] = evidence.sufficiency.to_dicts(), []
        if not isinstance(evidence.ranking, Absent):
            by_band = accuracy_by_band(evidence.sufficiency, evidence.ranking.summary, evidence.ranking.protocol.cutoff)
            values["sufficiency"] = by_band.to_dicts()
            values["sufficiency_models"] = evidence.ranking.summary["model"].unique(maintain_order=True).to_list()
    values["sample"] = _by_customer(evidence.recommendations)
    values["regime_picture"], values["spells"] = Markup(""), ()
    if not isinstance(evidence.regimes, Absent):
        values["regime_picture"] = regime_svg(evidence.regimes)
        values["spells"] = spells(evidence.regimes).reverse().to_dicts()
    values["live"] = {link for link in _links(evidence) if _leads_somewhere(directory, link)}
    return write_page("index.html", directory / "index.html", **values)


MOST_CUSTOMERS, MOST_ROWS = 20, 200
"""However large a run is, its page stays small: that many sample customers, and rows of a table that lists things."""

FEWEST_CUSTOMERS = 20
"""Below this many customers a bootstrap interval is too narrow to be believed, and the page draws no conclusion."""


def standing(row: Mapping[str, Any], baseline: str, gain: str = "ndcg_gain") -> str:
    """How a model stands against the baseline, in words that its interval and its number of customers allow."""
    if row["n_customers"] < FEWEST_CUSTOMERS:
        return "too few customers to say"
    low, high = row[f"{gain}_low"], row[f"{gain}_high"]
    if row[gain] is None or low is None or high is None:
        return f"not compared with {baseline}"
    if low > 0:
        return f"above {baseline}"
    if high < 0:
        return f"below {baseline}"
    return f"not distinguishable from {baseline}"


def _links(evidence: Evidence) -> list[str]:
    drift = () if isinstance(evidence.drift, Absent) else evidence.drift
    return [check.link for check in evidence.verdict.checks] + [verdict.page for verdict in drift]


def _leads_somewhere(directory: Path, link: str) -> bool:
    """Whether the link is an anchor of the index or a page that was written: a section may be absent."""
    page = link.partition("#")[0]
    return bool(link) and (not page or (page == Path(page).name and (directory / page).exists()))


def _check(evidence: Evidence) -> None:
    frames = {section: (getattr(evidence, section), columns) for section, columns in _COLUMNS.items()}
    if not isinstance(evidence.attention, Absent):
        frames["attention"] = (evidence.attention.table, ("customer", "holding", "weight"))
    for fit in () if isinstance(evidence.training, Absent) else evidence.training:
        frames[f"training of {fit.model}"] = (fit.curve, ("step", "epoch", "learning_rate", "loss"))
    for section, (frame, columns) in frames.items():
        if isinstance(frame, Absent):
            continue
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise ValueError(f"evidence section {section!r} lacks the columns {missing}; found {frame.columns}")
    if not isinstance(evidence.ranking, Absent):
        models = evidence.ranking.summary["model"].unique().to_list()
        if evidence.ranking.served_model not in models:
            raise ValueError(f"served model {evidence.ranking.served_model!r} is not among {sorted(models)}")


def _faithfulness(found: FaithfulnessEvidence) -> dict[str, Any]:
    return {
        "method_names": METHODS,
        "erasures": erasures(found.table),
        "agreement": lone(found.table, "agreement"),
        "agreement_recent": lone(found.table, "agreement", "recent"),
        "shuffled": lone(found.table, "shuffled weights, total variation"),
        "shuffled_nats": lone(found.table, "shuffled weights, nats lost"),
        "even": lone(found.table, "uniform weights, total variation"),
        "even_nats": lone(found.table, "uniform weights, nats lost"),
    }


def _ranking(ranking: RankingEvidence) -> dict[str, Any]:
    """What the index shows: every model over all customers, and the served model against the baseline by
    segment."""
    k = ranking.protocol.cutoff
    everybody = ranking.summary.filter(pl.col("segment_kind") == "all").sort(f"ndcg_at_{k}", descending=True)
    models = [
        row | {"standing": standing(row, ranking.baseline), "ease_standing": standing(row, "EASE", "ease_gain")}
        for row in everybody.iter_rows(named=True)
    ]
    served = ranking.summary.filter((pl.col("segment_kind") != "all") & (pl.col("model") == ranking.served_model))
    base = ranking.summary.filter(pl.col("model") == ranking.baseline)
    segments = served.join(
        base.select("segment_kind", "segment", pl.col(f"ndcg_at_{k}").alias("base")),
        on=["segment_kind", "segment"],
        how="left",
        maintain_order="left",
    )
    rows = [row | {"standing": standing(row, ranking.baseline)} for row in segments.iter_rows(named=True)]
    return {"models": models, "segments": _grouped(rows, "segment_kind"), "k": k}


WORST_FIRST: tuple[Outcome, ...] = ("block", "warn", "not_measured", "pass", "not_applicable")


def _checks(
    checks: tuple[Check, ...],
) -> tuple[list[Check], list[dict[str, str]], list[tuple[str, list[Check]]]]:
    """What needs attention, worst first; each area with its worst outcome; every check by area."""
    attend = [check for outcome in WORST_FIRST[:3] for check in checks if check.outcome == outcome]
    groups: dict[str, list[Check]] = {}
    for area, name in (*AREAS.items(), ("", "Other")):
        members = [check for check in checks if (check.area if check.area in AREAS else "") == area]
        if members:
            groups[name] = members
    areas = []
    for name, members in groups.items():
        made = [check for check in members if check.outcome != "not_applicable"]
        held = sum(check.outcome == "pass" for check in made)
        worst = min((check.outcome for check in members), key=WORST_FIRST.index)
        said = f"{held} of {len(made)} checks hold" if len(made) != 1 else "1 check holds" if held else "1 check does not hold"
        areas.append({"name": name, "outcome": worst, "said": said if made else "nothing to check tonight"})
    return attend, areas, list(groups.items())


def _write_card(card: ModelCard, ranking: RankingEvidence | Absent, values: dict[str, Any], directory: Path) -> Path:
    shown: dict[str, Any] = {"segments": [], "kind_names": KIND_NAMES}
    if not isinstance(ranking, Absent):
        shown |= {"segments": values["segments"], "k": values["k"], "protocol": ranking.protocol, "baseline": ranking.baseline}
    return write_page("model_card.html", directory / "model_card.html", card=card, **shown)


def _audit(evidence: Evidence) -> dict[str, Any]:
    """What stands in the sections on ablation and consistency."""
    values: dict[str, Any] = {"ablation_picture": Markup(""), "ablation_budgets": [], "consistency": [], "consistency_said": ""}
    if not isinstance(evidence.ablation, Absent):
        values["ablation_picture"] = ablation_svg(evidence.ablation)
        budgets = evidence.ablation.group_by("model", "sample", "epochs", maintain_order=True)
        measured = budgets.agg(pl.col("seeds").max(), pl.col("n_customers").max()).drop_nulls("n_customers")
        values["ablation_budgets"] = measured.to_dicts()
    if not isinstance(evidence.consistency, Absent):
        values["consistency_said"] = consistency.sentence(evidence.consistency.table)
        values["consistency_how"] = evidence.consistency.how
        values["consistency"] = _grouped(consistency.rows(evidence.consistency.table), "support")
    return values


def _write_metrics_page(ranking: RankingEvidence, target: Path) -> Path:
    k = ranking.protocol.cutoff
    main = f"ndcg_at_{k}"
    # The main metric first, then the rest in the summary's own order.
    metrics = [
        name
        for name in ranking.summary.columns
        if name in ("auc", "mrr") or name.startswith(("ndcg_at_", "hit_at_", "recall_at_", "coverage_at_"))
    ]
    columns = [main, *(name for name in metrics if name != main and not name.endswith(("_low", "_high")))]
    return write_page(
        "metrics.html",
        target,
        protocol=ranking.protocol,
        k=k,
        main=main,
        baseline=ranking.baseline,
        served=ranking.served_model,
        columns=[(name, metric_name(name)) for name in columns],
        kinds=_grouped(ranking.summary.to_dicts(), "segment_kind"),
        kind_names=KIND_NAMES,
    )


def metric_name(column: str) -> str:
    """``ndcg_at_10`` as ``NDCG@10``."""
    name, _, k = column.partition("_at_")
    title = {"ndcg": "NDCG", "hit": "Hit rate", "recall": "Recall", "coverage": "Coverage"}
    return f"{title.get(name, name.upper())}@{k}" if k else name.upper()


def _grouped(rows: list[dict[str, Any]], key: str) -> list[tuple[str, list[dict[str, Any]]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return list(groups.items())


def _by_customer(lines: pl.DataFrame | Absent) -> list[tuple[str, list[dict[str, Any]]]]:
    return [] if isinstance(lines, Absent) else _grouped(lines.to_dicts(), "customer")
