"""Releases are records: listed, withdrawn, believed only where the chain is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from data_contracts.errors import ConfigError, DecisionRefused, RunNotFound, StorageError
from data_contracts.releases import Release
from data_contracts.samples import SAMPLE_AS_OF, sample_tables, write_samples
from flows.bench.tamper import key_at, small_manifest
from flows.bench.tamper_target import replace
from flows.cli import app
from flows.quarantine_commands import released_rows
from flows.records import releases
from flows.records.chain import Chain
from flows.records.publication import settle
from flows.records.record import GENESIS, Record, key_id
from flows.records.verify import verify
from flows.run_store import RunStore

RUN = "2021-06-30-01"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with key_at(tmp_path / "record.key"):
        yield RunStore(tmp_path / "home")


def row(number: int, **changes: object) -> Release:
    given = {"content_sha256": f"{number:064d}", "row": number, "rule_ids": ("price_outlier",), "table": "prices"} | changes
    return Release(by="", reason="", run=RUN, file="prices.csv", released_at="", **given)  # type: ignore[arg-type]


def nightfolio(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_release_is_a_signed_record_and_in_force_until_it_is_withdrawn(store: RunStore) -> None:
    assert releases.releases_in_force(store.home) == ()
    first, second = releases.release(store, [row(1), row(2)], " M.  Steward", "an auction\nof the exchange")
    assert (first.record, second.record, first.by, first.reason) == (1, 2, "M. Steward", "an auction of the exchange")
    assert releases.releases_in_force(store.home) == (first, second)
    assert releases.withdraw(store, [1], "A. Person", "it was none") == [first]
    assert releases.releases_in_force(store.home) == (second,)
    assert [link.record.kind for link in Chain(store.home).links()] == ["released", "released", "withdrawn"]
    known = releases.standings(Chain(store.home).links())
    assert known[1].withdrawn is not None
    assert (known[1].withdrawn.by, known[1].withdrawn.reason, known[2].withdrawn) == ("A. Person", "it was none", None)
    assert verify(store).faults == ()


def test_only_a_release_in_force_is_withdrawn_and_all_named_or_none(store: RunStore) -> None:
    releases.release(store, [row(1), row(2)], "S", "r")
    releases.withdraw(store, [1], "S", "r")
    for numbers, why in (([2, 1], "release 1 was withdrawn on .* by S: r"), ([2, 3], "record 3 is no release"), ([9], "is no")):
        with pytest.raises(DecisionRefused, match=why):
            releases.withdraw(store, numbers, "S", "r")
    with pytest.raises(ConfigError, match="no release is named"):
        releases.withdraw(store, [], "S", "r")
    with pytest.raises(ConfigError, match="--by is empty"):
        releases.withdraw(store, [2], " ", "r")
    assert [one.record for one in releases.releases_in_force(store.home)] == [2]


def test_a_row_is_released_once_and_again_after_a_withdrawal(store: RunStore) -> None:
    releases.release(store, [row(1)], "S", "r")
    with pytest.raises(DecisionRefused, match=r"prices\.csv:1 of prices is released already: release 1 by S"):
        releases.release(store, [row(2), row(1)], "S", "r")
    releases.release(store, [row(1, rule_ids=("close_above_0",))], "S", "another rule")
    releases.withdraw(store, [1], "S", "r")
    releases.release(store, [row(1)], "S", "r")
    assert [one.record for one in releases.releases_in_force(store.home)] == [2, 4]


def test_releases_follow_whatever_a_dead_process_left(store: RunStore) -> None:
    """A release is recorded after the run that a process recorded and did not move was moved."""
    folder = store.home / "staging" / RUN
    folder.mkdir()
    (folder / "gate.json").write_text(json.dumps({"publish": "now", "checks": []}))
    published = settle(store, folder, small_manifest(folder))
    (store.home / "published" / "CURRENT").unlink()
    published.rename(folder)
    releases.release(store, [row(1)], "S", "r")
    assert store.current() == published
    assert verify(store).faults == ()


def test_what_nobody_signed_lets_nothing_pass(store: RunStore) -> None:
    releases.release(store, [row(1), row(2)], "S", "r")
    path = store.home / "records" / "000001.json"
    told = json.loads(path.read_bytes())
    told["detail"]["row"] = 3
    replace(path, Record.model_validate(told).content())
    with pytest.raises(StorageError, match=r"cannot be trusted.*its signature does not fit"):
        releases.releases_in_force(store.home)
    assert "its signature does not fit" in str(verify(store).faults[0])


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("released", {"table": "prices", "content_sha256": "0", "file": "f", "row": "1", "rule_ids": ["r"]}),
        ("released", {"table": "prices", "content_sha256": "0", "file": "f", "row": 1, "rule_ids": []}),
        ("released", {"table": "prices", "file": "f", "row": 1, "rule_ids": ["r"]}),
        ("withdrawn", {"release": True}),
        ("withdrawn", {}),
    ],
)
def test_a_record_that_says_not_what_it_releases_is_none(kind: str, detail: dict[str, object], store: RunStore) -> None:
    """Even one that is signed: nobody who reads the chain trips over it."""
    releases.release(store, [row(1)], "S", "r")
    key = (store.home.parent / "record.key").read_bytes()
    path = store.home / "records" / "000001.json"
    told = json.loads(path.read_bytes()) | {"kind": kind, "detail": detail, "previous": GENESIS, "mac": ""}
    record = Record.model_validate(told)
    replace(path, record.model_copy(update={"mac": record.expected_mac(key)}).content())
    assert "not a record any more: altered" in [fault.what for fault in verify(store).faults]


def test_a_withdrawal_of_nothing_is_named(store: RunStore) -> None:
    with Chain(store.home).appending() as chain:
        chain.append("withdrawn", RUN, None, by="S", reason="r", detail={"release": 7})
        assert key_id(chain.key)
    (fault,) = verify(store).faults
    assert fault.what == "withdraws record 7, which is no release in force"


def test_a_reason_on_pages_names_no_customer(tmp_path: Path) -> None:
    (tmp_path / "quarantine").mkdir()
    trade = {
        "transaction_id": "T77",
        "customer_id": "C-12",
        "asset_id": "US0378331005",
        "rule_ids": ["amount_is_units_times_price"],
    }
    rows = pl.DataFrame([{**trade, "_source_file": "t.csv", "_source_row": 5}])
    rows.write_parquet(tmp_path / "quarantine" / "transactions.parquet")
    for reason in ("C-12 called us", "booking (T77) was corrected"):
        with pytest.raises(ConfigError, match="the reason names the customer or the transaction"):
            released_rows(tmp_path, "transactions", "t.csv:5", reason)
    (found,) = released_rows(tmp_path, "transactions", "t.csv:5", "a fee is in the value; C-123 is another")
    assert (found.row, found.rule_ids) == (5, ("amount_is_units_times_price",))


def test_releases_are_listed_with_the_runs_that_used_them_and_withdrawn_by_number(store: RunStore, tmp_path: Path) -> None:
    home, tables = store.home, sample_tables()
    closes = tables["prices"].with_row_index("row", offset=1)
    chosen = closes.filter(pl.col("asset_id") == closes["asset_id"][0], pl.col("date") == SAMPLE_AS_OF - timedelta(days=9))
    high = pl.when(pl.col("row") == chosen["row"][0]).then(pl.col("close") * 10).otherwise("close")
    source = write_samples(tmp_path / "source", tables | {"prices": closes.with_columns(high).drop("row")}, csv=True)

    def check(out: str) -> str:
        asked = ("--source", source, "--as-of", SAMPLE_AS_OF, "--home", home)
        return nightfolio("contracts", "check", *asked, "--out", home / "failed" / out).stdout

    check(RUN)
    assert "no release is in force" in nightfolio("quarantine", "releases", "--home", home).stdout
    place = f"prices.csv:{chosen['row'][0]}"
    given = ("--table", "prices", "--rows", place, "--by", "M. Steward", "--reason", "an auction")
    assert "(release 1)" in nightfolio("quarantine", "release", "--home", home, "--run", RUN, *given).stdout
    assert "used by no run yet" in nightfolio("quarantine", "releases", "--home", home).stdout
    check("2021-06-30-02")
    listed = nightfolio("quarantine", "releases", "--home", home).stdout
    assert f"release 1  prices {place} of run {RUN}  [price_outlier]" in listed
    assert "by M. Steward, 20" in listed
    assert ": an auction" in listed
    assert "used by 2021-06-30-02\n" in listed
    gone = nightfolio("quarantine", "withdraw", 1, "--by", "A. Person", "--reason", "it was none", "--home", home)
    assert f"withdrew release 1: {place} of prices" in gone.stdout
    assert "no release is in force" in nightfolio("quarantine", "releases", "--home", home).stdout
    assert "withdrawn by A. Person, 20" in nightfolio("quarantine", "releases", "--withdrawn", "--home", home).stdout
    assert "released by" not in check("2021-06-30-03")
    assert pl.read_parquet(home / "failed" / "2021-06-30-03" / "quarantine" / "prices.parquet").height == 1


def test_nothing_is_made_where_nothing_was_ever_released(tmp_path: Path) -> None:
    asked = ("--by", "S", "--reason", "r", "--home", tmp_path / "home")
    assert isinstance(nightfolio("quarantine", "withdraw", 1, *asked).exception, RunNotFound)
    assert list(tmp_path.iterdir()) == []
