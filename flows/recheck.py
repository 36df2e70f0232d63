"""Counterfactual check: every suitability rule asked again of every published row, by other code than the one that applied it.

Reads the published CSV as a stranger would: the file itself, the accepted tables beside it and the rules that the run recorded
(``recommendations/suitability_rules.toml``). Nothing of :mod:`flows.suitability`, :mod:`flows.pair_rules`,
:mod:`flows.list_rules` or :mod:`flows.eligible` is used, so a fault there shows here. The rules are in
:mod:`flows.recheck_rules`.
"""

from __future__ import annotations

import json
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from data_contracts.errors import RunNotFound
from data_contracts.storage import file_sha256
from flows.recheck_rules import SLACK, breaks, facts_beside

CSV, PARQUET = "recommendations.csv", "recommendations.parquet"
RULES = Path("recommendations") / "suitability_rules.toml"
REPORT = Path("recommendations") / "recheck.json"
LISTED = 1000
"""Violations that the report lists one by one; it counts all of them."""

FILE_CHECKS = {
    "ranks": "a customer's ranks are 1, 2, 3, ... and no asset is on the list twice",
    "stated_facts": "profile, risk class, class, sector and as_of of a row are those of the accepted tables",
    "known_flags": "a row's flags name rules of this run that flag",
    "files_agree": "the CSV and the Parquet file say the same",
}


def recheck(run: Path, as_of: date) -> dict[str, Any]:
    """The report on the published file of ``run`` (a folder, published or in the making).

    ``file, sha256, rows_checked, rules`` (per id: words, source, effect, checked rows, violations), ``n_violations`` and the
    first of them (rule, row of the CSV, rank, asset, what is wrong), without the customer. Raises RunNotFound where a file is
    missing.
    """
    for name in (CSV, PARQUET, RULES):
        if not (run / name).exists():
            raise RunNotFound(f"run {run.name} has no {name}", remedy="only a night that recommended can be checked again")
    if not (run / "snapshot").is_dir():
        raise RunNotFound(f"the inputs of run {run.name} were retired", remedy="check it again where a copy was kept")
    rules = tomllib.loads((run / RULES).read_text(encoding="utf-8"))
    rows = read_published(run / CSV)
    facts = facts_beside(rows, run, as_of, rules["asset_risk"])
    found = {name: _of_file(name, rows, facts, run, as_of, rules["rules"]) for name in FILE_CHECKS}
    report: dict[str, Any] = {
        name: {"words": words, "source": "what a published row states", "effect": "refuse", "checked": rows.height}
        for name, words in FILE_CHECKS.items()
    }
    for name, rule in rules["rules"].items():
        found[name] = _of_rule(name, rule, rows, facts, run, as_of) if rule["on"] else _none()
        told = {key: rule[key] for key in ("words", "source", "effect")}
        report[name] = {**told, "effect": rule["effect"] if rule["on"] else "off", "checked": rows.height if rule["on"] else 0}
    for name, wrong in found.items():
        report[name]["violations"] = wrong.height
    listed = pl.concat([wrong.select(pl.lit(name).alias("rule_id"), "row", "what") for name, wrong in found.items()])
    listed = listed.join(rows.select("row", "rank", "asset_id"), on="row", how="left", maintain_order="left").head(LISTED)
    return {
        "file": CSV,
        "sha256": file_sha256(run / CSV),
        "rows_checked": rows.height,
        "rules": report,
        "n_violations": sum(wrong.height for wrong in found.values()),
        "violations": listed.to_dicts(),
    }


def write_recheck(run: Path, as_of: date) -> Path:
    """Writes the report into ``run``, whatever it says; the gate lets nothing pass in which a row breaks a rule."""
    path = run / REPORT
    path.write_text(json.dumps(recheck(run, as_of), indent=2, ensure_ascii=False), encoding="utf-8")
    return path


def read_published(path: Path) -> pl.DataFrame:
    """The published CSV with types, ``flags`` as lists, and ``row``: its data row, from 1."""
    text = ("customer_id", "asset_id", "asset_name", "asset_class", "sector", "risk_level")
    return pl.read_csv(path, infer_schema=False).select(
        pl.int_range(1, pl.len() + 1).alias("row"),
        *(_unguarded(name) for name in text),
        pl.col("as_of").str.to_date(strict=False),
        pl.col("rank", "asset_risk").cast(pl.Int64, strict=False),
        pl.col("risk_predicted") == "true",
        flags=pl.when(pl.col("flags").fill_null("") == "")
        .then(pl.lit([], dtype=pl.List(pl.String)))
        .otherwise(pl.col("flags").str.split("; ")),
    )


def _unguarded(column: str) -> pl.Expr:
    """The apostrophe that keeps a spreadsheet from running a cell is no part of what the cell says."""
    return pl.col(column).str.replace(r"^'(\s*[=+\-@＝＋－＠\t\r\n])", "${1}")


def _of_rule(name: str, rule: dict[str, Any], rows: pl.DataFrame, facts: pl.DataFrame, run: Path, as_of: date) -> pl.DataFrame:
    """``row, what``: rows that break an excluding rule; rows that a flagging rule should have marked, or should not have."""
    surely = breaks(rule, facts, run, as_of, SLACK)
    if rule["effect"] == "exclude":
        return rows.filter(pl.col("row").is_in(surely.implode())).select("row", what=pl.lit(rule["words"]))
    perhaps = breaks(rule, facts, run, as_of, -SLACK)
    marked = pl.col("flags").list.contains(name)
    missing = rows.filter(pl.col("row").is_in(surely.implode()) & ~marked).select("row", what=pl.lit("the row is not flagged"))
    spurious = rows.filter(~pl.col("row").is_in(perhaps.implode()) & marked)
    return pl.concat([missing, spurious.select("row", what=pl.lit("the row is flagged without cause"))])


def _of_file(
    name: str, rows: pl.DataFrame, facts: pl.DataFrame, run: Path, as_of: date, rules: dict[str, dict[str, Any]]
) -> pl.DataFrame:
    """``row, what`` of the rows that contradict themselves, the accepted tables or the other file."""
    if name == "ranks":
        place = pl.col("rank").rank("ordinal").over("customer_id")
        twice = pl.len().over("customer_id", "asset_id") > 1
        return rows.filter((pl.col("rank") != place).fill_null(True) | twice).select("row", what=pl.lit(FILE_CHECKS[name]))
    if name == "stated_facts":
        pairs = (
            ("risk_level", pl.col("now_risk_level").fill_null("not_available")),
            ("risk_predicted", pl.col("now_risk_predicted").fill_null(False)),
            ("asset_risk", pl.col("now_asset_risk")),
            ("asset_class", pl.col("now_asset_class")),
            ("sector", pl.col("now_sector")),
            ("as_of", pl.lit(as_of)),
        )
        wrong = [
            pl.when(pl.col(stated).ne_missing(true)).then(
                pl.format("{} is {}", pl.lit(stated), true.cast(pl.String).fill_null("unknown"))
            )
            for stated, true in pairs
        ]
        return facts.select("row", what=pl.concat_str(wrong, separator="; ", ignore_nulls=True)).filter(pl.col("what") != "")
    if name == "known_flags":
        marking = [rule_id for rule_id, rule in rules.items() if rule["on"] and rule["effect"] == "flag"]
        odd = pl.col("flags").list.set_difference(pl.lit(marking, dtype=pl.List(pl.String))).list.len() > 0
        return rows.filter(odd).select("row", what=pl.lit(FILE_CHECKS[name]))
    columns = ("customer_id", "rank", "asset_id", "asset_risk", "risk_level", "flags")
    other = pl.read_parquet(run / PARQUET, columns=list(columns)).with_columns(pl.col("rank", "asset_risk").cast(pl.Int64))
    flat = pl.col("flags").list.join("; ")
    same = pl.concat(
        [
            frame.select(
                "row", key=pl.concat_str([pl.col(*columns[:-1]).cast(pl.String), flat], separator="|", ignore_nulls=True)
            )
            for frame in (rows, other.with_columns(row=pl.int_range(1, pl.len() + 1)))
        ]
    )
    return (
        same.group_by("row", maintain_order=True)
        .agg(pl.len(), pl.col("key").n_unique().alias("keys"))
        .filter((pl.col("len") != 2) | (pl.col("keys") != 1))
        .sort("row")
        .select("row", what=pl.lit(FILE_CHECKS[name]))
    )


def _none() -> pl.DataFrame:
    return pl.DataFrame(schema={"row": pl.Int64, "what": pl.String})
