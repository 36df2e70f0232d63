"""Rules on whole tables: empty, stale, changed too much, too much set aside."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from data_contracts.checkpoint import check_landing
from data_contracts.contract import CheckContext
from data_contracts.errors import ContractBlocked
from data_contracts.landing import read_landing


def message(source: Path, run: Path, context: CheckContext) -> str:
    landed = read_landing("nightfolio", source, run / "landed", context.as_of, "withhold")
    with pytest.raises(ContractBlocked) as caught:
        check_landing(landed, run, context)
    return str(caught.value)


def test_an_empty_table_stops_the_night(source: Path, tmp_path: Path, context: CheckContext) -> None:
    (source / "prices.csv").write_text("asset_id,date,close\n", encoding="utf-8")
    said = message(source, tmp_path / "run", context)
    assert "  prices (prices.csv): no row to read [row_count]\n    remedy: deliver the table with its rows" in said


def test_an_as_of_before_the_data_stops_the_night(source: Path, tmp_path: Path, context: CheckContext) -> None:
    said = message(source, tmp_path / "run", replace(context, as_of=date(2017, 1, 1)))
    assert "transactions (transactions.csv): no row to read (4 rows of the source lie after as_of 2017-01-01) [row_count]" in said
    assert "remedy: choose an --as-of that the source covers" in said


def test_stale_prices_stop_the_night(source: Path, tmp_path: Path, context: CheckContext) -> None:
    late = replace(context, as_of=date(2021, 7, 20))
    said = message(source, tmp_path / "run", late)
    assert "prices (prices.csv): the newest row is 21 days older than as_of 2021-07-20 (allowed: 7) [freshness]" in said


@pytest.mark.parametrize(("previous", "change"), [(9, "-55.6%"), (2, "+100.0%")])
def test_a_table_that_shrank_or_grew_too_much_stops_the_night(
    previous: int, change: str, source: Path, tmp_path: Path, context: CheckContext
) -> None:
    said = message(source, tmp_path / "run", replace(context, previous_rows={"transactions": previous}))
    assert (
        f"transactions (transactions.csv): 4 rows, {change} against {previous} at the last publication (allowed: 50% either way)"
        in said
    )


def test_volume_within_the_limit_passes(source: Path, tmp_path: Path, context: CheckContext) -> None:
    landed = read_landing("nightfolio", source, tmp_path / "landed", context.as_of, "block")
    verdicts = check_landing(landed, tmp_path, replace(context, previous_rows={"transactions": 3, "prices": 3}))
    assert {verdict.outcome for verdict in verdicts} == {"pass"}


def test_a_table_with_fewer_rows_than_last_time_is_told(source: Path, tmp_path: Path, context: CheckContext) -> None:
    landed = read_landing("nightfolio", source, tmp_path / "landed", context.as_of, "block")
    verdicts = check_landing(landed, tmp_path, replace(context, previous_rows={"transactions": 4, "prices": 6}))
    assert {verdict.table: verdict.outcome for verdict in verdicts if verdict.outcome != "pass"} == {"prices": "warn"}
    (told,) = [rule.message for verdict in verdicts for rule in verdict.rules if rule.outcome == "warn"]
    assert told == "prices (prices.csv): 3 rows fewer than at the last publication (3 against 6)"


def test_too_much_quarantine_stops_the_night(source: Path, tmp_path: Path, context: CheckContext) -> None:
    with (source / "prices.csv").open("a", encoding="utf-8") as file:
        file.write("GB0002634946,2021-06-28,-5.0\n")
    said = message(source, tmp_path / "run", context)
    assert "prices (prices.csv): 1 of 4 rows (25.0%) quarantined (allowed: 5.0%) [quarantine_share]" in said
    landed = read_landing("nightfolio", source, tmp_path / "again", context.as_of, "withhold")
    patient = replace(context, quarantine_limits={"prices": 0.3})
    assert [v.outcome for v in check_landing(landed, tmp_path / "again", patient) if v.table == "prices"] == ["quarantine"]
