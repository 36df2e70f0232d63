"""The checkpoint: conservation, messages, quarantine, and two engines that must agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts import checkpoint, expectations, suites
from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import check_landing, check_table
from data_contracts.contract import Expectation
from data_contracts.errors import ContractBlocked
from data_contracts.landing import LandedTable, read_landing
from data_contracts.verdicts import RuleVerdict, TableVerdict
from tests.data_contracts.conftest import CONTEXT, write_sound

AS_OF = date(2021, 6, 30)
Future = Literal["withhold", "block"]


def night(
    source: Path, run: Path, context: CheckContext, future: Future = "block", only: tuple[str, ...] = ()
) -> dict[str, TableVerdict]:
    landed = read_landing("nightfolio", source, run / "landed", context.as_of, future)
    chosen = {table: landed[table] for table in only or landed}
    return {verdict.table: verdict for verdict in check_landing(chosen, run, context)}


def append(source: Path, name: str, line: str) -> None:
    with (source / name).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def blocked(source: Path, run: Path, context: CheckContext, future: Future = "block") -> str:
    with pytest.raises(ContractBlocked) as caught:
        night(source, run, context, future)
    return str(caught.value)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, TableVerdict]]:
    """A night on the sound source, to be read: its folder and its verdicts."""
    place = tmp_path_factory.mktemp("sound")
    return place / "run", night(write_sound(place / "source"), place / "run", CONTEXT)


def test_a_sound_source_passes_whole(sound: tuple[Path, dict[str, TableVerdict]]) -> None:
    run, verdicts = sound
    assert [(v.table, v.outcome, v.accepted, v.quarantined) for v in verdicts.values()] == [
        ("assets", "pass", 3, 0),
        ("customers", "pass", 3, 0),
        ("prices", "pass", 3, 0),
        ("transactions", "pass", 4, 0),
        ("restricted", "pass", 0, 0),
    ]
    snapshot = pl.read_parquet(run / "snapshot" / "transactions.parquet")
    assert snapshot.columns[-1] == "_source_row"
    assert snapshot["record_kind"].to_list() == ["full"] * 4
    assert snapshot["customer_id"].to_list() == ["ann", "ann", "bob", "ann"]  # in the order of the source
    assert not list((run / "snapshot").glob(".*"))


def test_a_future_row_stops_the_night(source: Path, tmp_path: Path, context: CheckContext) -> None:
    for number in range(5, 17):
        append(source, "transactions.csv", f"{number},bob,US0378331005,buy,2021-06-01,100.0,{number}")
    append(source, "transactions.csv", "17,bob,US0378331005,buy,2021-07-03,100.0,1")
    message = blocked(source, tmp_path / "run", replace(context, quarantine_limits={"transactions": 0.5}, ask_library=False))
    assert message.splitlines()[:3] == [
        "1 contract rule stops the night",
        "  transactions (transactions.csv): 1 row is dated after as_of 2021-06-30 (first: row 17, 2021-07-03)"
        " [date_not_after_as_of]",
        "    remedy: run with a later --as-of, deliver a source cut at as_of, or replay with future_rows = 'withhold'",
    ]
    # Everything was written before the night was stopped, and the row is not among the accepted.
    run = tmp_path / "run"
    assert pl.read_parquet(run / "quarantine" / "transactions.parquet")["_source_row"].to_list() == [17]
    assert pl.read_parquet(run / "snapshot" / "transactions.parquet")["date"].max() == date(2021, 6, 29)
    assert (run / "contracts" / "verdicts.json").exists()


def test_a_replay_withholds_the_same_row_and_counts_it(source: Path, tmp_path: Path, context: CheckContext) -> None:
    append(source, "transactions.csv", "5,bob,US0378331005,buy,2021-07-03,100.0,1")
    verdict = night(source, tmp_path / "run", replace(context, ask_library=False), "withhold")["transactions"]
    assert (verdict.landed, verdict.read, verdict.withheld, verdict.accepted) == (5, 4, 1, 4)
    assert verdict.outcome == "pass"


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        (
            "transactions.csv",
            "5,bob,FR0000120271,buy,2021-06-29,10.0,1",
            "transactions (transactions.csv): 1 row is of an asset that is not among the accepted assets"
            " (first: row 5, FR0000120271)",
        ),
        (
            "prices.csv",
            "GB0002634946,2021-06-28,-5.0",
            "prices (prices.csv): 1 row has a close of 0 EUR or less (first: row 4, -5.0)",
        ),
        (
            "prices.csv",
            "GB0002634946,2021-06-29,5.25",
            "prices (prices.csv): 1 row is equal to an earlier row"
            " (first: row 4, asset_id=GB0002634946, date=2021-06-29, close=5.25)",
        ),
        (
            "customers.csv",
            "ann,premium,income,2018-01-02",
            "customers (customers.csv): 1 row is contradicted by a later row for the same customer and day"
            " (first: row 1, 2018-01-02)",
        ),
        (
            "assets.csv",
            "US0378331006,Apple Ink,stock,XNGS,2018-01-02",
            "assets (assets.csv): 1 row has no valid ISIN (ISO 6166 form and check digit) (first: row 4, US0378331006)",
        ),
    ],
)
def test_a_bad_row_goes_to_quarantine_with_its_message(
    file: str, line: str, message: str, source: Path, tmp_path: Path, context: CheckContext
) -> None:
    append(source, file, line)
    table = file.removesuffix(".csv")
    patient = replace(context, quarantine_limits={table: 0.9})
    verdict = night(source, tmp_path / "run", patient, only=tuple({"assets", table}))[table]
    assert [rule.message for rule in verdict.rules if rule.failed] == [message]
    assert verdict.outcome == "quarantine"
    quarantined = pl.read_parquet(tmp_path / "run" / "quarantine" / f"{table}.parquet")
    assert quarantined.height == 1
    assert quarantined["rule_ids"].to_list()[0]
    assert len(quarantined["rule_ids"].to_list()[0]) == len(quarantined["reasons"].to_list()[0])


def test_a_wrong_type_is_quarantined_with_its_raw_row(source: Path, tmp_path: Path, context: CheckContext) -> None:
    append(source, "prices.csv", "GB0002634946,29/06/2021,five")
    message = blocked(source, tmp_path / "run", replace(context, quarantine_limits={"prices": 0.9}))
    # One row of four: above the limit of the rule itself, so the night stops.
    assert (
        "  prices (prices.csv): 1 row has a field that is not of its column's type; 25.0% of all, the limit is 5.0%"
        " (first: row 4, date=29/06/2021, close=five) [type]\n"
    ) in message
    row = pl.read_parquet(tmp_path / "run" / "quarantine" / "prices.parquet").row(0, named=True)
    assert json.loads(row["_raw"]) == {"asset_id": "GB0002634946", "date": "29/06/2021", "close": "five"}
    assert row["rule_ids"] == ["type", "date_not_null", "close_not_null"]
    assert row["reasons"][0] == "not of the column's type: date, close"


def test_examples_never_name_a_customer(source: Path, tmp_path: Path, context: CheckContext) -> None:
    append(source, "customers.csv", "secret-ann,mass,reckless,2018-01-02")
    append(source, "customers.csv", "secret-bob,mass,income,yesterday")
    append(source, "transactions.csv", "secret-7,secret-cid,US0378331005,gift,2021-06-29,-1,x")
    message = blocked(source, tmp_path / "run", context)
    assert "secret" not in message
    for file in (tmp_path / "run" / "contracts").iterdir():
        assert "secret" not in file.read_text(encoding="utf-8"), file.name


def test_every_blocking_rule_is_listed(source: Path, tmp_path: Path, context: CheckContext) -> None:
    append(source, "transactions.csv", "5,bob,US0378331005,buy,2021-07-03,100.0,1")
    append(source, "prices.csv", "US0378331005,2021-07-01,100.0")
    message = blocked(source, tmp_path / "run", replace(context, quarantine_limits={"prices": 0.9}))
    assert message.startswith("3 contract rules stop the night")
    assert "prices (prices.csv): 1 row is dated after as_of 2021-06-30 (first: row 4, 2021-07-01)" in message
    assert "transactions (transactions.csv): 1 of 5 rows (20.0%) quarantined (allowed: 5.0%)" in message


def test_a_restriction_is_never_quarantined_silently(source: Path, tmp_path: Path, context: CheckContext) -> None:
    (source / "restricted.csv").write_text(
        "asset_id,list_kind,valid_from,valid_to\nUS0378331006,restricted,2021-01-01,\n", encoding="utf-8"
    )
    message = blocked(source, tmp_path / "run", context)
    assert "restricted (restricted.csv): 1 row has no valid ISIN" in message


def test_verdicts_json_tells_what_the_verdicts_say(sound: tuple[Path, dict[str, TableVerdict]]) -> None:
    run, verdicts = sound
    written = json.loads((run / "contracts" / "verdicts.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps([verdict.as_dict() for verdict in verdicts.values()]))
    gx = json.loads((run / "contracts" / "prices.gx.json").read_text(encoding="utf-8"))
    assert gx["success"] is True
    assert {result["result"]["element_count"] for result in gx["results"]} == {3}
    assert gx["statistics"]["unsuccessful_expectations"] == 0
    opinion = gx["second_opinion"]
    assert (opinion["first_row"], opinion["rows"], opinion["of"]) == (0, 3, 3)
    assert {"rule_id", "expectation", "unexpected_count", "element_count"} <= set(opinion["results"][0])
    independent = {result["rule_id"]: result["independent"] for result in opinion["results"]}
    # What a search found is counted again, not found again.
    assert independent["close_not_null"]
    assert not independent["exact_repeat"]
    assert not independent["type"]


def test_the_suite_is_the_librarys_own_and_carries_the_contracts_version(
    source: Path, tmp_path: Path, context: CheckContext
) -> None:
    append(source, "prices.csv", "GB0002634946,2021-06-28,-5.0")
    night(source, tmp_path / "run", replace(context, quarantine_limits={"prices": 0.9}), only=("assets", "prices"))
    gx = json.loads((tmp_path / "run" / "contracts" / "prices.gx.json").read_text(encoding="utf-8"))
    library, _ = expectations.library()
    suite = library.ExpectationSuite(**gx["suite"])
    assert [one.rule_id for one in suite.expectations] == [rule.rule_id for rule in checkpoint.CONTRACTS["prices"].rules]
    assert suite.meta["contract_version"] == checkpoint.CONTRACTS["prices"].version
    failed = {one["rule_id"]: one["result"] for one in gx["results"] if not one["success"]}
    assert failed == {
        "close_above_0": {
            "element_count": 4,
            "unexpected_count": 1,
            "unexpected_percent": 25.0,
            "partial_unexpected_index_list": [{"_source_file": "prices.csv", "_source_row": 4}],
        }
    }


def test_a_market_that_cannot_be_looked_up_is_not_asked(sound: tuple[Path, dict[str, TableVerdict]]) -> None:
    rules = {rule.rule_id: rule for rule in sound[1]["assets"].rules}
    assert rules["market_known"].checked == 0
    assert rules["market_known"].description.endswith("(not asked: there is nothing to hold it against)")


def test_engines_that_disagree_stop_everything(
    source: Path, tmp_path: Path, context: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = checkpoint.CONTRACTS["prices"]
    lax = Expectation("ExpectColumnValuesToBeBetween", {"column": "close", "min_value": -1000.0})
    rules = tuple(replace(r, expectation=lax) if r.rule_id == "close_above_0" else r for r in prices.rules)
    monkeypatch.setitem(checkpoint.CONTRACTS, "prices", replace(prices, rules=rules))
    append(source, "prices.csv", "GB0002634946,2021-06-28,-5.0")
    with pytest.raises(RuntimeError, match=r"two engines disagree on rule close_above_0: Polars finds 1 bad rows of 4"):
        night(source, tmp_path / "run", context, only=("assets", "prices"))
    assert not list((tmp_path / "run" / "snapshot").glob(".*")), "no half-made file is left behind"


def test_an_expectation_that_does_not_run_is_no_pass(tmp_path: Path) -> None:
    chunk = pl.DataFrame({"x": ["a", "b"]}).to_arrow()
    broken = Expectation("ExpectColumnValuesToBeBetween", {"column": "absent", "min_value": 0})
    with pytest.raises(RuntimeError, match="the expectation of rule r did not run"):
        expectations.count_failures("t", {"r": broken}, [chunk])


def test_a_large_table_gets_its_second_opinion_on_a_stretch_of_it(
    source: Path, tmp_path: Path, context: CheckContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "SAMPLE_ROWS", 2)
    opinions = []
    for run in ("one", "two"):
        night(source, tmp_path / run, context, only=("assets", "transactions"))
        gx = json.loads((tmp_path / run / "contracts" / "transactions.gx.json").read_text(encoding="utf-8"))
        assert {result["result"]["element_count"] for result in gx["results"]} == {4}
        opinions.append(gx["second_opinion"])
    assert opinions[0] == opinions[1]
    assert (opinions[0]["rows"], opinions[0]["of"]) == (2, 4)
    assert {result["element_count"] for result in opinions[0]["results"]} == {2}


def test_verdicts_refuse_lost_rows() -> None:
    with pytest.raises(RuntimeError, match="10 rows read, but 8 accepted and 1 quarantined"):
        TableVerdict("t", "1", landed=10, read=10, withheld=0, accepted=8, quarantined=1, rules=())
    with pytest.raises(RuntimeError, match="11 rows landed, 10 read, 0 withheld"):
        TableVerdict("t", "1", landed=11, read=10, withheld=0, accepted=10, quarantined=0, rules=())


def test_the_worst_rule_is_the_outcome_of_the_table() -> None:
    def rule(outcome: str) -> RuleVerdict:
        return RuleVerdict("t", "r", "", (), "warn", outcome, 1, 1, 1.0, "", ())  # type: ignore[arg-type]

    table: Callable[..., TableVerdict] = lambda *outcomes: TableVerdict(  # noqa: E731
        "t", "1", 0, 0, 0, 0, 0, tuple(rule(outcome) for outcome in outcomes)
    )
    assert table().outcome == "pass"
    assert table("warn", "pass").outcome == "warn"
    assert table("quarantine", "block", "warn").outcome == "block"


price_rows = st.lists(
    st.tuples(
        st.sampled_from(["US0378331005", "GB0002634946", "FR0000000000", None]),
        st.sampled_from([date(2021, 6, 28), date(2021, 6, 29), date(2021, 7, 3), date(1970, 1, 1), None]),
        st.sampled_from([100.0, 101.0, 500.0, 0.0, -1.0, None]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=price_rows)
def test_rows_are_conserved_whatever_lands(
    rows: list[tuple[str | None, date | None, float | None]],
    tmp_path_factory: pytest.TempPathFactory,
    context: CheckContext,
) -> None:
    folder = tmp_path_factory.mktemp("prices")
    known = folder / "assets.parquet"
    pl.DataFrame({"asset_id": ["US0378331005", "GB0002634946"]}).write_parquet(known)
    schema = {"asset_id": pl.String, "date": pl.Date, "close": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    frame.write_parquet(folder / "prices.parquet")
    landed = LandedTable("prices", folder / "prices.parquet", len(rows), len(rows), 0, ())
    verdict = check_table(
        landed,
        folder / "accepted.parquet",
        folder / "quarantine.parquet",
        folder / "gx.json",
        replace(context, references={"assets": known}),
    )
    accepted = pl.read_parquet(folder / "accepted.parquet")
    assert verdict.accepted + verdict.quarantined == len(rows)
    # What is accepted keeps every rule, said here once more in plain words.
    assert accepted.filter(pl.col("close").is_null() | (pl.col("close") <= 0)).is_empty()
    assert accepted.filter(pl.col("date") > AS_OF).is_empty()
    assert not accepted.select("asset_id", "date").is_duplicated().any()
    expected = {
        row
        for row in rows
        if row[0] in ("US0378331005", "GB0002634946")
        and row[1] in (date(2021, 6, 28), date(2021, 6, 29))
        and row[2] is not None
        and row[2] > 0
        and {other[2] for other in rows if other[:2] == row[:2]} == {row[2]}
    }
    assert set(accepted.select("asset_id", "date", "close").rows()) == expected
