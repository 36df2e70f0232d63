"""Columns that are new, gone, renamed or of another kind: said by name, tolerated where nothing that is read has gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import check_landing
from data_contracts.errors import LandingError
from data_contracts.landing import read_landing
from data_contracts.landing.drift import Change, compare, kinds_of, renamed_to
from data_contracts.samples import SAMPLE_AS_OF, sample_tables, write_samples
from data_contracts.verdicts import TableVerdict


def check(
    source: Path,
    run: Path,
    context: CheckContext,
    table: str,
    previous: dict[str, str] | None = None,
    *,
    ask_library: bool = True,
) -> TableVerdict:
    landed = read_landing("nightfolio", source, run / "landed", context.as_of, "block")
    before = {} if previous is None else {table: previous}
    asked = replace(context, previous_columns=before, ask_library=ask_library)
    needed = {name: landed[name] for name in {"assets", "markets", table} if name in landed}
    (found,) = [verdict for verdict in check_landing(needed, run, asked) if verdict.table == table]
    return found


def drift(verdict: TableVerdict) -> dict[str, str]:
    return {rule.rule_id: rule.message for rule in verdict.rules if rule.rule_id.startswith("schema_") and rule.failed}


def test_kinds_of_typed_and_of_text_columns() -> None:
    frame = pl.LazyFrame(
        {
            "n": ["1", " 2"],
            "x": ["1.5", "2"],
            "d": ["2021-06-28", None],
            "t": ["2021-06-28T22:30:00Z", "2021-06-28 10:00"],
            "b": ["true", "no"],
            "s": ["1.5", "1,5"],
            "e": ["", None],
            "_row": [1, 2],
            "typed": [date(2021, 1, 1), None],
        }
    )
    assert kinds_of(frame) == {
        "n": "integer",
        "x": "decimal",
        "d": "date",
        "t": "timestamp",
        "b": "boolean",
        "s": "text",
        "e": "empty",
        "typed": "date",
    }


def test_an_additional_column_is_tolerated_noted_and_new_only_once(source: Path, tmp_path: Path, context: CheckContext) -> None:
    first = check(source, tmp_path / "first", context, "prices", ask_library=False)
    assert first.source_columns == {"asset_id": "text", "date": "date", "close": "decimal"}
    assert drift(first) == {}
    (source / "prices.csv").write_text("asset_id,date,close,volume\nUS0378331005,2021-06-28,100.0,7\n", encoding="utf-8")
    second = check(source, tmp_path / "second", context, "prices", dict(first.source_columns))
    assert (second.outcome, second.accepted) == ("warn", 1)
    assert second.notes == ("columns that are not read: volume",)
    assert drift(second) == {
        "schema_new_column": "prices (prices.csv): since the last publication the source has volume (integer)"
    }
    third = check(source, tmp_path / "third", context, "prices", dict(second.source_columns), ask_library=False)
    assert drift(third) == {}


def test_an_optional_column_that_is_gone_or_renamed_is_said(tmp_path: Path, context: CheckContext) -> None:
    tables = sample_tables()
    source = write_samples(tmp_path / "source", {"assets": tables["assets"].with_columns(risk_class=pl.lit(3)), **_rest(tables)})
    first = check(source, tmp_path / "first", context, "assets", ask_library=False)
    write_samples(source, {"assets": tables["assets"].drop("risk_class")})
    gone = check(source, tmp_path / "gone", context, "assets", dict(first.source_columns))
    lost = "assets (assets.parquet): since the last publication the source no longer has risk_class (integer)"
    assert drift(gone) == {"schema_missing_column": lost}
    write_samples(source, {"assets": tables["assets"].rename({"risk_class": "RiskClasse"})})
    renamed = check(source, tmp_path / "renamed", context, "assets", dict(first.source_columns))
    assert drift(renamed) == {
        "schema_renamed_column": "assets (assets.parquet): perhaps under another name: RiskClasse looks like risk_class"
    }
    # Without an earlier publication the name alone says so.
    alone = check(source, tmp_path / "alone", context, "assets", ask_library=False)
    assert set(drift(alone)) == {"schema_renamed_column"}


def _rest(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    return {name: frame for name, frame in tables.items() if name != "assets"}


def test_a_column_of_another_kind_is_said(source: Path, tmp_path: Path, context: CheckContext) -> None:
    before = {"asset_id": "text", "date": "date", "close": "text"}
    verdict = check(source, tmp_path / "run", context, "prices", before)
    assert drift(verdict) == {
        "schema_retyped_column": "prices (prices.csv): since the last publication other values in close (was text, is decimal)"
    }
    # A column of whole numbers that now has fractions is no other kind, nor is one that was empty.
    for harmless in ("integer", "empty"):
        same = check(source, tmp_path / harmless, context, "prices", before | {"close": harmless}, ask_library=False)
        assert drift(same) == {}


@pytest.mark.parametrize(
    ("header", "first", "hint"),
    [
        ("asset_id,Date,close", "US0378331005,2021-06-28,100.0", "; is date now called Date?"),
        ("asset_id,date,closing", "US0378331005,2021-06-28,100.0", "; is close now called closing?"),
        ("asset_id,day,close", "US0378331005,2021-06-28,100.0", "; is date now called day?"),  # the only column of dates
        ("asset_id,when,close", "US0378331005,Monday,100.0", ""),
    ],
)
def test_a_missing_column_is_named_with_what_it_may_be_called_now(
    header: str, first: str, hint: str, source: Path, tmp_path: Path, context: CheckContext
) -> None:
    (source / "prices.csv").write_text(f"{header}\n{first}\n", encoding="utf-8")
    with pytest.raises(LandingError) as caught:
        read_landing("nightfolio", source, tmp_path / "landed", context.as_of, "block")
    missing = next(name for name in ("date", "close") if name not in header.split(","))
    assert caught.value.message == f"prices.csv: column {missing} missing (found {header.replace(',', ', ')}){hint}"


def test_a_name_before_a_kind() -> None:
    assert renamed_to("close", "decimal", {"closePrice": "text", "open": "decimal"}) == "closePrice"
    assert renamed_to("close", "decimal", {"a": "decimal", "b": "decimal"}) is None
    assert renamed_to("name", "text", {"whatever": "text"}) is None  # any two texts are alike


def test_nothing_changed() -> None:
    same = {"a": "text", "b": "integer, not read"}
    assert compare(same, same, {}) == Change()
    assert compare(same, {}, {}) == Change()


@pytest.mark.parametrize(
    ("written", "zone", "day"),
    [
        ("2021-06-28T22:30:00Z", "Europe/Athens", date(2021, 6, 29)),
        ("2021-06-28T22:30:00Z", "America/New_York", date(2021, 6, 28)),
        ("2021-06-29T00:30:00+03:00", "America/New_York", date(2021, 6, 28)),
        ("2021-06-28 23:30:00", "Europe/Athens", date(2021, 6, 28)),  # no zone: the firm's own clock
    ],
)
def test_timestamps_become_the_firms_days(
    written: str, zone: str, day: date, source: Path, tmp_path: Path, context: CheckContext
) -> None:
    (source / "prices.csv").write_text(
        f"asset_id,date,close\nUS0378331005,{written},100.0\nUS0378331005,28/06/2021,1.0\n", encoding="utf-8"
    )
    landed = read_landing("nightfolio", source, tmp_path / "landed", context.as_of, "block", zone)["prices"]
    frame = pl.read_parquet(landed.path)
    assert frame["date"].to_list() == [day, None]
    assert frame["_type_errors"].to_list() == [[], ["date"]]  # what is no timestamp either is still refused


def test_typed_timestamps_become_the_firms_days_and_say_so(source: Path, tmp_path: Path, context: CheckContext) -> None:
    (source / "prices.csv").unlink()
    late = pl.Series("date", ["2021-06-28T22:30:00"]).str.to_datetime(time_zone="UTC")
    pl.DataFrame({"asset_id": ["US0378331005"], "date": late, "close": [100.0]}).write_parquet(source / "prices.parquet")
    landed = read_landing("nightfolio", source, tmp_path / "landed", context.as_of, "block", "Europe/Athens")["prices"]
    assert pl.read_parquet(landed.path)["date"].to_list() == [date(2021, 6, 29)]
    assert landed.notes == ("date: timestamps read as days in Europe/Athens",)


def test_the_samples_are_sound(tmp_path: Path, context: CheckContext) -> None:
    for seed in (0, 1):
        source = write_samples(tmp_path / f"source{seed}", sample_tables(seed=seed), csv=bool(seed))
        landed = read_landing("nightfolio", source, tmp_path / f"landed{seed}", SAMPLE_AS_OF, "block")
        verdicts = check_landing(landed, tmp_path / f"run{seed}", context)
        assert {verdict.table: verdict.outcome for verdict in verdicts} == dict.fromkeys(landed, "pass")
    again = sample_tables(seed=1)
    assert all(frame.equals(again[name]) for name, frame in sample_tables(seed=1).items())
