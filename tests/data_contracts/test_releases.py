"""Rows released from quarantine: the next check accepts exactly them, and says who let them pass and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import CONTRACTS, check_landing
from data_contracts.landing import read_landing
from data_contracts.releases import Release, content_hash
from data_contracts.verdicts import TableVerdict
from tests.data_contracts.conftest import CONTEXT, write_sound

OUTLIER = (("2021-06-24", 100.0), ("2021-06-25", 900.0), ("2021-06-28", 101.0))


def priced(source: Path, *closes: tuple[str, float]) -> None:
    lines = [f"US0378331005,{day},{close}" for day, close in closes]
    (source / "prices.csv").write_text("\n".join(["asset_id,date,close", *lines, ""]), encoding="utf-8")


def night(source: Path, run: Path, context: CheckContext, *releases: Release) -> dict[str, TableVerdict]:
    landed = read_landing("nightfolio", source, run / "landed", context.as_of, "block")
    chosen = {table: landed[table] for table in ("assets", "prices")}
    asked = replace(context, releases=releases, quarantine_limits={"prices": 0.9}, price_jump_limit=0.5)
    told: list[TableVerdict] = []
    try:
        check_landing(chosen, run, asked, told=told.extend)
    except Exception:
        if not told:
            raise
    return {verdict.table: verdict for verdict in told}


def release_of(run: Path, **changes: object) -> Release:
    row = pl.read_parquet(run / "quarantine" / "prices.parquet").row(0, named=True)
    said = Release(
        table="prices",
        content_sha256=content_hash(row, CONTRACTS["prices"].schema),
        rule_ids=tuple(row["rule_ids"]),
        by="M. Steward",
        reason="the exchange confirmed the auction",
        run="2021-06-30-01",
        file=row["_source_file"],
        row=row["_source_row"],
        released_at="2021-07-01T08:00:00+00:00",
        record=12,
    )
    return replace(said, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def outlier_released(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The release of the row that a first check set aside: a value, the same for every check after it."""
    place = tmp_path_factory.mktemp("first")
    source = write_sound(place / "source")
    priced(source, *OUTLIER)
    verdict = night(source, place / "run", CONTEXT)["prices"]
    assert (verdict.accepted, verdict.quarantined) == (2, 1)
    return release_of(place / "run")


@pytest.fixture
def released(source: Path, outlier_released: Release) -> Release:
    priced(source, *OUTLIER)
    return outlier_released


def test_the_next_check_accepts_the_row_and_says_who_let_it_pass(
    source: Path, tmp_path: Path, context: CheckContext, released: Release
) -> None:
    verdict = night(source, tmp_path / "next", context, released)["prices"]
    assert (verdict.read, verdict.accepted, verdict.quarantined) == (3, 3, 0)
    assert "released by M. Steward: the exchange confirmed the auction (1 row, price_outlier; record 12)" in verdict.notes
    assert verdict.releases == (12,)
    (rule,) = [rule for rule in verdict.rules if rule.rule_id == "price_outlier"]
    assert (rule.outcome, rule.failed, rule.released) == ("pass", 1, 1)
    assert "1 of them released" in rule.message


def test_the_row_is_known_again_wherever_it_lies_in_the_file(
    source: Path, tmp_path: Path, context: CheckContext, released: Release
) -> None:
    priced(source, ("2021-06-22", 99.0), *OUTLIER)
    assert night(source, tmp_path / "next", context, released)["prices"].quarantined == 0


@pytest.mark.parametrize(
    ("closes", "changes"),
    [
        ((OUTLIER[0], ("2021-06-25", 901.0), OUTLIER[2]), {}),  # edited since: another row
        (OUTLIER, {"table": "assets"}),
        (OUTLIER, {"rule_ids": ("asset_known",)}),  # released from another rule
        (OUTLIER, {"rule_ids": ("asset_known", "price_outlier")}),  # from more than it breaks
    ],
)
def test_no_other_row_passes(
    closes: tuple[tuple[str, float], ...],
    changes: dict[str, object],
    source: Path,
    tmp_path: Path,
    context: CheckContext,
    released: Release,
) -> None:
    priced(source, *closes)
    verdict = night(source, tmp_path / "next", context, replace(released, **changes))["prices"]  # type: ignore[arg-type]
    assert verdict.quarantined == 1
    assert not any("released" in note for note in verdict.notes)


def test_a_row_that_breaks_a_rule_more_stays_set_aside(
    source: Path, tmp_path: Path, context: CheckContext, released: Release
) -> None:
    (source / "assets.csv").write_text(
        "asset_id,asset_name,asset_class,market_id,valid_from\nGB0002634946,BAE Systems,stock,XLON,2018-01-02\n", encoding="utf-8"
    )
    assert night(source, tmp_path / "next", context, released)["prices"].quarantined == 3


def test_a_rule_that_nobody_may_release_is_not_released(source: Path, tmp_path: Path, context: CheckContext) -> None:
    """Whatever release is given, no row passes a rule that later steps rely on."""
    priced(source, ("2021-06-28", 100.0), ("2021-06-29", -5.0))
    night(source, tmp_path / "first", context)
    forged = release_of(tmp_path / "first")
    assert forged.rule_ids == ("close_above_0",)
    assert night(source, tmp_path / "next", context, forged)["prices"].quarantined == 1


def test_only_rules_of_judgement_may_be_released() -> None:
    releasable = {(c.table, r.rule_id) for c in CONTRACTS.values() for r in c.rules if r.releasable}
    assert releasable == {
        ("assets", "isin_check_digit"),
        ("assets", "isin_country"),
        ("assets", "dividend_yield_in_range"),
        ("prices", "price_outlier"),
        ("transactions", "amount_is_units_times_price"),
    }


def test_a_column_that_a_source_does_not_fill_changes_no_hash() -> None:
    assert content_hash({"a": 1.0, "b": None}, ("a", "b")) == content_hash({"a": 1.0}, ("a",))
    assert content_hash({"a": 1.0}, ("a",)) != content_hash({"a": 1.5}, ("a",))
