"""Rules on whole tables: empty, stale, changed too much, too much set aside."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import check_landing
from data_contracts.errors import ContractBlocked
from data_contracts.landing import read_landing
from data_contracts.verdicts import TableVerdict


def message(source: Path, run: Path, context: CheckContext, only: tuple[str, ...] = ()) -> str:
    landed = read_landing("nightfolio", source, run / "landed", context.as_of, "withhold")
    with pytest.raises(ContractBlocked) as caught:
        check_landing({table: landed[table] for table in only or landed}, run, context)
    return str(caught.value)


def test_an_empty_table_stops_the_night(source: Path, tmp_path: Path, context: CheckContext) -> None:
    (source / "prices.csv").write_text("asset_id,date,close\n", encoding="utf-8")
    said = message(source, tmp_path / "run", context, ("assets", "prices"))
    assert "  prices (prices.csv): no row to read [row_count]\n    remedy: deliver the table with its rows" in said


def test_an_as_of_before_the_data_stops_the_night(source: Path, tmp_path: Path, context: CheckContext) -> None:
    said = message(source, tmp_path / "run", replace(context, as_of=date(2017, 1, 1)), ("assets", "transactions"))
    assert "transactions (transactions.csv): no row to read (4 rows of the source lie after as_of 2017-01-01) [row_count]" in said
    assert "remedy: choose an --as-of that the source covers" in said


def test_stale_prices_stop_the_night(source: Path, tmp_path: Path, context: CheckContext) -> None:
    late = replace(context, as_of=date(2021, 7, 20))
    said = message(source, tmp_path / "run", late, ("assets", "prices"))
    assert "prices (prices.csv): the newest row is 21 days older than as_of 2021-07-20 (allowed: 7) [freshness]" in said


@pytest.mark.parametrize(("previous", "change"), [(9, "-55.6%"), (2, "+100.0%")])
def test_a_table_that_shrank_or_grew_too_much_stops_the_night(
    previous: int, change: str, source: Path, tmp_path: Path, context: CheckContext
) -> None:
    compared = replace(context, previous_rows={"transactions": previous})
    said = message(source, tmp_path / "run", compared, ("assets", "transactions"))
    assert (
        f"transactions (transactions.csv): 4 rows, {change} against {previous} at the last publication (allowed: 50% either way)"
        in said
    )


def test_volume_within_the_limit_passes(source: Path, tmp_path: Path, context: CheckContext) -> None:
    verdicts = night(source, tmp_path, replace(context, previous_rows={"transactions": 3, "prices": 3}))
    assert {verdict.outcome for verdict in verdicts.values()} == {"pass"}


def test_a_table_with_fewer_rows_than_last_time_is_told(source: Path, tmp_path: Path, context: CheckContext) -> None:
    verdicts = night(source, tmp_path, replace(context, previous_rows={"transactions": 4, "prices": 6}), ask_library=True)
    assert {table: verdict.outcome for table, verdict in verdicts.items() if verdict.outcome != "pass"} == {"prices": "warn"}
    (told,) = [rule.message for verdict in verdicts.values() for rule in verdict.rules if rule.outcome == "warn"]
    assert told == "prices (prices.csv): 3 rows fewer than at the last publication (3 against 6)"


def test_too_much_quarantine_stops_the_night(source: Path, tmp_path: Path, context: CheckContext) -> None:
    with (source / "prices.csv").open("a", encoding="utf-8") as file:
        file.write("GB0002634946,2021-06-28,-5.0\n")
    said = message(source, tmp_path / "run", context, ("assets", "prices"))
    assert "prices (prices.csv): 1 of 4 rows (25.0%) quarantined (allowed: 5.0%) [quarantine_share]" in said
    landed = read_landing("nightfolio", source, tmp_path / "again", context.as_of, "withhold")
    patient = replace(context, quarantine_limits={"prices": 0.3})
    prices = {table: landed[table] for table in ("assets", "prices")}
    assert [v.outcome for v in check_landing(prices, tmp_path / "again", patient) if v.table == "prices"] == ["quarantine"]


def night(source: Path, run: Path, context: CheckContext, *, ask_library: bool = False) -> dict[str, TableVerdict]:
    landed = read_landing("nightfolio", source, run / "landed", context.as_of, "block")
    return {verdict.table: verdict for verdict in check_landing(landed, run, replace(context, ask_library=ask_library))}


def warnings(verdicts: dict[str, TableVerdict]) -> list[str]:
    return [f"{rule.message} [{rule.rule_id}]" for v in verdicts.values() for rule in v.rules if rule.outcome == "warn"]


def test_a_source_without_a_restricted_list_is_warned_of_and_one_that_had_it_is_blocked(
    source: Path, tmp_path: Path, context: CheckContext
) -> None:
    assert warnings(night(source, tmp_path / "with", context)) == [], "a list without rows is a list"
    (source / "restricted.csv").unlink()
    assert warnings(night(source, tmp_path / "without", context)) == [
        "restricted (no file): the source does not deliver this table: no asset is restricted or watched this night"
        " [table_delivered]"
    ]
    said = message(source, tmp_path / "gone", replace(context, previous_rows={"restricted": 3}))
    assert "restricted (no file): 0 rows, -100.0% against 3 at the last publication" in said


BARE = "9{n},bob,GB0002634946,buy,2021-06-2{n},,\n"


@pytest.mark.parametrize(("kind", "warned"), [("", True), (",record_kind", False)])
def test_lost_amounts_are_told_unless_the_source_says_what_it_knows(
    kind: str, warned: bool, source: Path, tmp_path: Path, context: CheckContext
) -> None:
    path = source / "transactions.csv"
    lines = (path.read_text(encoding="utf-8") + BARE.format(n=1)).splitlines()
    if kind:
        lines = [lines[0] + kind, *(f"{line},full" for line in lines[1:-1]), f"{lines[-1]},dated_only"]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    assert warnings(night(source, tmp_path, context)) == warned * [
        "transactions (transactions.csv): 1 of 5 rows (20.0%) have no value or no units and count as dated_only (allowed: 5%)"
        " [amounts_not_lost]"
    ]


def test_a_source_that_never_has_amounts_has_lost_none(source: Path, tmp_path: Path, context: CheckContext) -> None:
    header = (source / "transactions.csv").read_text(encoding="utf-8").splitlines()[0]
    bare = "".join(BARE.format(n=n) for n in range(5))
    (source / "transactions.csv").write_text(f"{header}\n{bare}", encoding="utf-8")
    assert warnings(night(source, tmp_path, context)) == []


def test_contents_are_held_against_the_last_publication(source: Path, tmp_path: Path, context: CheckContext) -> None:
    """Ten customers of each type; the next night one type is gone, one is new, and a third of the risk levels are lost."""

    def deliver(*types: str, known: int) -> None:
        rows = [f"c{n},{types[n % 2]},{'income' if n < known else ''},2018-01-02" for n in range(20)]
        (source / "customers.csv").write_text(
            "".join(f"{line}\n" for line in ["customer_id,customer_type,risk_level,valid_from", *rows]), encoding="utf-8"
        )
        (source / "transactions.csv").write_text(
            "customer_id,asset_id,side,date,value,units\nc1,US0378331005,buy,2021-06-28,500.0,5\n", encoding="utf-8"
        )

    deliver("mass", "premium", known=18)
    night(source, tmp_path / "first", context)
    last = tmp_path / "first" / "snapshot"
    later = replace(context, previous_tables={path.stem: path for path in last.glob("*.parquet")})
    deliver("mass", "premium", known=15)
    assert warnings(night(source, tmp_path / "alike", later)) == []
    deliver("mass", "gold", known=12)
    assert warnings(night(source, tmp_path / "later", later)) == [
        "customers (customers.csv): since the last publication values were lost: risk_level (90.0% filled before, 60.0% now)"
        " [values_not_lost]",
        "customers (customers.csv): since the last publication new words: customer_type gold (10) [no_new_words]",
        "customers (customers.csv): since the last publication no row has any more: customer_type premium (10 before)"
        " [no_words_gone]",
    ]
