"""`nightfolio contracts` and `nightfolio quarantine` on a landing folder made from the contracts' own samples."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import CONTRACTS
from data_contracts.columns import CAPACITIES
from data_contracts.errors import ConfigError, RunNotFound
from data_contracts.releases import Release
from data_contracts.samples import SAMPLE_AS_OF, sample_tables, write_samples
from flows.cli import app
from flows.config import load_config
from flows.contract_commands import compared_with
from flows.ingest import context_of
from flows.records.releases import releases_in_force

RUN = "2021-06-30-01"


def nightfolio(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def spoilt(folder: Path) -> tuple[Path, str]:
    """The samples with one close ten times too high; and that row as FILE:ROW."""
    tables = sample_tables()
    closes = tables["prices"].with_row_index("row", offset=1)
    chosen = closes.filter(pl.col("asset_id") == closes["asset_id"][0], pl.col("date") == SAMPLE_AS_OF - timedelta(days=9))
    (number,) = chosen["row"]
    high = pl.when(pl.col("row") == number).then(pl.col("close") * 10).otherwise("close")
    write_samples(folder, tables | {"prices": closes.with_columns(high).drop("row")}, csv=True)
    return folder, f"prices.csv:{number}"


def check(source: Path, home: Path, *more: object) -> Result:
    return nightfolio("contracts", "check", "--source", source, "--as-of", SAMPLE_AS_OF, "--home", home, *more)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Path, Result]:
    """The spoilt samples, the row as FILE:ROW, a home with what a check of them kept, and what it said; to be read only."""
    place = tmp_path_factory.mktemp("checked")
    (source, row), home = spoilt(place / "source"), place / "home"
    return source, row, home, check(source, home, "--out", home / "failed" / RUN)  # what is kept has the shape of a run


def test_a_row_is_shown_released_and_then_accepted(checked: tuple[Path, str, Path, Result], tmp_path: Path) -> None:
    source, place, kept_home, first = checked
    home = shutil.copytree(kept_home, tmp_path / "home")
    assert first.exit_code == 0, first.output
    assert f"nightfolio {source} as of 2021-06-30" in first.stdout
    assert "price_outlier" in first.stdout
    assert "10 times above" in first.stdout or "9.9" in first.stdout or "times above" in first.stdout
    shown = nightfolio("quarantine", "show", "--home", home, "--run", RUN, "--table", "prices", "--rule", "price_outlier")
    assert f"{place}  [price_outlier] broken: no close jumps and reverts" in shown.stdout
    assert "prices: 1 rows" in shown.stdout
    release = ("quarantine", "release", "--home", home, "--run", RUN, "--table", "prices", "--rows", place)
    done = nightfolio(*release, "--by", "M. Steward", "--reason", "an auction")
    assert done.exit_code == 0, done.output
    (kept,) = releases_in_force(home)
    assert (kept.by, kept.reason, kept.rule_ids, f"{kept.file}:{kept.row}") == (
        "M. Steward",
        "an auction",
        ("price_outlier",),
        place,
    )
    again = check(source, home)
    assert "released by M. Steward: an auction (1 row, price_outlier; record 1)" in again.stdout
    # Another home knows nothing of it.
    assert "released by" not in check(source, tmp_path / "other").stdout


def test_what_an_earlier_check_kept_is_not_written_over(tmp_path: Path) -> None:
    source, home, out = write_samples(tmp_path / "source"), tmp_path / "home", tmp_path / "out"
    out.mkdir()
    assert check(source, home, "--out", out).exit_code == 0, "an empty folder will do"
    kept = sorted(out.rglob("*"))
    for place, why in ((out, "not empty"), (out / "contracts" / "verdicts.json", "no folder")):
        error = check(source, home, "--out", place).exception
        assert isinstance(error, ConfigError)
        assert error.message == f"--out {place} is {why}"
        assert error.remedy.startswith("name a new or empty folder")
    assert sorted(out.rglob("*")) == kept


def test_a_night_knows_the_last_publications_columns_and_the_releases(checked: tuple[Path, str, Path, Result]) -> None:
    source, published = checked[0], checked[2] / "failed" / RUN
    given = (Release("prices", "0" * 64, ("price_outlier",), "S", "r", "run", "f", 1, "t"),)
    config = load_config("firm", source=source)
    context = context_of(config, SAMPLE_AS_OF, given, published)
    assert context.previous_columns["prices"] == {"asset_id": "text", "date": "date", "close": "decimal"}
    assert context.previous_rows["prices"] == sample_tables()["prices"].height
    assert context.releases == given
    assert context_of(config, SAMPLE_AS_OF, (), None).previous_columns == {}


def test_the_limits_of_a_check_by_default_are_those_of_the_default_settings() -> None:
    context = context_of(load_config("default"), SAMPLE_AS_OF, (), None)
    assert set(context.capacity_bands) == set(CAPACITIES)
    assert replace(context, capacity_bands=CAPACITIES) == CheckContext.by_default(SAMPLE_AS_OF)


def test_what_would_stop_the_night_exits_with_1(tmp_path: Path) -> None:
    source = write_samples(tmp_path / "source")
    assert check(source, tmp_path / "home").exit_code == 0
    late = nightfolio("contracts", "check", "--source", source, "--as-of", "2021-08-30", "--home", tmp_path)
    assert late.exit_code == 1
    assert "would stop the night" in late.stdout
    assert "prices (prices.parquet): the newest row is" in late.stdout
    assert not (tmp_path / "home").exists()  # nothing is left where nothing was to be kept


def test_a_release_is_refused_without_a_reason_without_the_row_and_for_a_firm_rule(tmp_path: Path) -> None:
    (source, place), home = spoilt(tmp_path / "source"), tmp_path / "home"
    with (source / "prices.csv").open("a", encoding="utf-8") as file:
        file.write("GB0002634946,2021-06-28,-5.0\n")
    check(source, home, "--out", home / "failed" / RUN)
    release = ("quarantine", "release", "--home", home, "--run", RUN, "--table", "prices", "--by", "S")

    def refused(*more: str) -> str:
        error = nightfolio(*release, *more).exception
        assert isinstance(error, ConfigError)
        return error.message

    assert refused("--rows", place, "--reason", " ") == "--reason is empty"
    assert refused("--rows", "prices.csv:99999", "--reason", "r") == "no quarantined rows of prices are at 'prices.csv:99999'"
    last = pl.read_csv(source / "prices.csv").height
    assert "which nobody may release: later steps rely on it" in refused("--rows", f"prices.csv:{last}", "--reason", "r")
    assert "which nobody may release" in refused("--rows", f"{place},prices.csv:{last}", "--reason", "r")
    assert releases_in_force(home) == (), "all rows or none"


def test_repairs_are_shown(tmp_path: Path) -> None:
    tables = sample_tables()
    customers = tables["customers"].with_columns(pl.col("risk_level").str.to_titlecase())
    source, home = write_samples(tmp_path / "source", tables | {"customers": customers}), tmp_path / "home"
    check(source, home, "--out", home / "failed" / RUN)
    shown = nightfolio("quarantine", "show", "--home", home, "--run", RUN, "--repairs").stdout
    assert "[risk_level_spelling] risk_level: 'Income' became 'income'" in shown


def test_contracts_are_shown_and_written_as_pages(tmp_path: Path) -> None:
    overview = nightfolio("contracts", "show").stdout
    page = nightfolio("contracts", "show", "prices").stdout
    for name, contract in CONTRACTS.items():
        assert name in overview
        assert contract.sha256[:16] in overview
    for rule in CONTRACTS["prices"].rules:
        assert rule.rule_id in page
        assert rule.remedy in page
    assert isinstance(nightfolio("contracts", "show", "trades").exception, RunNotFound)
    assert nightfolio("contracts", "docs", "--out", tmp_path / "docs").exit_code == 0
    assert {path.stem for path in (tmp_path / "docs").iterdir()} == {"index", *CONTRACTS}
    assert (tmp_path / "docs" / "prices.md").read_text(encoding="utf-8").strip() == page.strip()


@pytest.mark.parametrize("missing", ["reconciliation", "run"])
def test_a_reconciliation_that_is_not_there(missing: str, tmp_path: Path) -> None:
    if missing == "reconciliation":
        (tmp_path / "failed" / RUN).mkdir(parents=True)
    error = nightfolio("contracts", "reconcile", "--home", tmp_path, "--run", RUN).exception
    assert isinstance(error, RunNotFound)


def test_the_reconciliation_is_listed_by_customer_and_asset(tmp_path: Path) -> None:
    tables = sample_tables()
    stated = tables["delivered_holdings"].with_columns(units=pl.when(pl.int_range(pl.len()) == 0).then(999.0).otherwise("units"))
    source, home = write_samples(tmp_path / "source", tables | {"delivered_holdings": stated}), tmp_path / "home"
    check(source, home, "--out", home / "failed" / RUN)
    shown = nightfolio("contracts", "reconcile", "--home", home, "--run", RUN).stdout
    assert "units differ 1" in shown
    assert stated["customer_id"][0] in shown
    assert "999" in shown


def test_a_check_compares_with_the_homes_last_publication_and_says_so(tmp_path: Path) -> None:
    source, home = write_samples(tmp_path / "source", csv=True), tmp_path / "home"
    published = home / "published" / RUN
    first = check(source, home, "--out", published)
    assert f"compared with no earlier delivery: {home} has no publication of this format" in first.stdout
    manifest = {"as_of": str(SAMPLE_AS_OF), "config": {"source": {"format": "nightfolio"}}}
    (published / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    closes = pl.read_csv(source / "prices.csv")
    closes.head(closes.height // 3).drop("close").with_columns(close=1.0, volume=1).write_csv(source / "prices.csv")
    again = check(source, home)
    assert f"compared with the publication {RUN}" in again.stdout
    assert again.exit_code == 1
    assert "[volume_change]" in again.stdout
    assert "schema_new_column" in again.stdout
    alone = check(source, home, "--against", "none")
    assert "compared with no earlier delivery: as told" in alone.stdout
    assert "volume_change" not in alone.stdout
    with pytest.raises(RunNotFound, match="no run '2021-06-30-07'"):
        compared_with(home, "nightfolio", SAMPLE_AS_OF, "2021-06-30-07")
    # A publication of a later day, or of a source of another format, is none to compare with.
    for other in ({"as_of": "2021-07-01"}, {"config": {"source": {"format": "far_trans"}}}):
        (published / "manifest.json").write_text(json.dumps(manifest | other), encoding="utf-8")
        assert compared_with(home, "nightfolio", SAMPLE_AS_OF, None) is None


def test_an_unknown_rule_or_table_of_the_quarantine_is_named(checked: tuple[Path, str, Path, Result]) -> None:
    home = checked[2]
    show = ("quarantine", "show", "--home", home, "--run", RUN)

    def refused(*more: str) -> ConfigError:
        error = nightfolio(*show, *more).exception
        assert isinstance(error, ConfigError)
        return error

    typo = refused("--rule", "price_outlyer")
    assert typo.message == "no rule that sets rows aside is 'price_outlyer'"
    assert "price_outlier" in typo.remedy
    assert refused("--table", "customers", "--rule", "price_outlier").message.startswith("no rule of customers")
    assert "price_stale" not in refused("--table", "prices", "--rule", "price_stale").remedy, (
        "a rule that warns sets nothing aside"
    )
    assert refused("--table", "closes").message == f"run {RUN} checked no table called 'closes'"
    assert refused("--repairs", "--rule", "price_outlier").message == "no repair that changes values is 'price_outlier'"
    assert "no row was set aside by close_above_0" in nightfolio(*show, "--rule", "close_above_0").stdout
