"""What the command line prints of one customer: the recommendations, what spoke for each, and what the rules held back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape

from data_contracts.errors import ConfigError, RunNotFound
from flows.pseudonyms import behind
from flows.recorded_rules import recorded_rules
from flows.sentences import FEATURES
from reports.explanation_picture import SUFFIXES, Line, write_explanation

BAR = 40


def print_explanation(console: Console, run: Path, customer: str, *, home: Path, picture: Path | None = None) -> None:
    """Recommendations of one customer with their reasons, and how many candidates each rule removed; also as a picture.

    Raises RunNotFound where the run published nothing or does not know the customer, ConfigError for another kind of picture.
    """
    if picture is not None and picture.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--picture {picture.name} is neither .svg nor .html", remedy="name a file that ends in one of the two")
    path = run / "recommendations.parquet"
    if not path.exists():
        raise RunNotFound(f"run {run.name} published no recommendations", remedy="`nightfolio runs` lists runs that did")
    profile = _profile(run, home, customer)
    identifier = profile["customer_id"]
    predicted = " (predicted)" if profile["risk_predicted"] else ""
    console.print(
        f"[bold]{escape(customer)}[/]  {profile['customer_type']}, "
        f"profile {profile['risk_level']}{predicted}, {profile['n_buys']} buys up to as_of"
    )
    rows = pl.scan_parquet(path).filter(pl.col("customer_id") == identifier).sort("rank").collect()
    if rows.is_empty():
        missing = [f"{rule.words} ({name})" for name, rule in recorded_rules(run).rules.items() if rule.kind == "no_profile"]
        console.print("no candidate was eligible" if profile["has_profile"] else f"nothing offered: {'; '.join(missing)}")
    names = dict(pl.read_parquet(run / "histories" / "present" / "items.parquet", columns=["asset_id", "asset_name"]).iter_rows())
    lines = [_line(row, names) for row in rows.iter_rows(named=True)]
    for row, line in zip(rows.iter_rows(named=True), lines, strict=True):
        console.print(
            f"\n[bold]{row['rank']:>2}. {escape(row['asset_name'])}[/]  "
            f"{row['asset_id']}  score {row['score']:.3f}  risk class {row['asset_risk']}  {row['model_id']}"
        )
        console.print(f"    {escape(row['reason'])}", soft_wrap=True)
        if "eligibility" in row:  # a run of an earlier version has none
            console.print(f"    {escape(row['eligibility'])}", style="dim", soft_wrap=True)
        for name, weight in (*line.holdings, *line.features):
            console.print(f"    {escape(_fitted(name, 34))} {'█' * max(round(weight * BAR), 1)} {weight:.1%}")
    if rows.height:
        console.print(f"\nexplanation: {rows['explanation'][0]}")
    _print_removed(console, run, identifier)
    if picture is not None:
        written = write_explanation(picture, customer, lines, rows["explanation"][0] if rows.height else "nothing was offered")
        console.print(f"picture: {written}", soft_wrap=True)


def _profile(run: Path, home: Path, customer: str) -> dict[str, Any]:
    path = run / "histories" / "present" / "customers.parquet"
    if not path.exists():
        raise RunNotFound(f"the histories of run {run.name} were retired", remedy="explain it where a copy was kept")
    customers = pl.read_parquet(path)
    known = customers.filter(pl.col("customer_id") == customer)
    if known.is_empty():
        known = customers.filter(pl.col("customer_id") == (behind(home, customers["customer_id"], customer) or ""))
    if known.is_empty():
        raise RunNotFound(
            f"run {run.name} knows no customer {customer!r}",
            remedy="use the identifier of the source's customers table, or the pseudonym of this home's evidence",
        )
    return known.row(0, named=True)


def _line(row: dict[str, Any], names: dict[str, str]) -> Line:
    weights = row["reason_weights"] or []
    holdings = [(names.get(asset, asset), weight) for asset, weight in zip(row["reason_assets"] or [], weights, strict=True)]
    rest = round(1 - sum(weights), 4)
    if weights and rest > 0.0005:
        holdings.append(("all other holdings", rest))
    features = [
        (FEATURES.get(name, name), weight)
        for name, weight in zip(row["reason_features"] or [], row["reason_feature_weights"] or [], strict=True)
    ]
    return Line(row["rank"], f"{row['asset_name']} ({row['asset_id']})", row["reason"], holdings, features)


def _fitted(name: str, width: int) -> str:
    """A name on one line, cut or filled up to ``width``."""
    flat = " ".join(name.split())
    return f"{flat if len(flat) <= width else flat[: width - 1] + '…':<{width}}"


def _print_removed(console: Console, run: Path, customer: str) -> None:
    folder = run / "recommendations"
    removed = pl.scan_parquet(folder / "exclusions.parquet").filter(pl.col("customer_id") == customer).select("rule_id").collect()
    everyone = pl.read_parquet(folder / "asset_exclusions.parquet", columns=["rule_id"])
    for name, rule in recorded_rules(run).rules.items():
        n = int((removed["rule_id"].cast(pl.String) == name).sum()) + int((everyone["rule_id"] == name).sum())
        if n:
            console.print(f"{n:>6} candidates removed: {escape(rule.words)} ({name})")
