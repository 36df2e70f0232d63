"""Nights that re-use the partitions of earlier nights come to the same bytes as nights that do not."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data_contracts import checkpoint
from data_contracts.carried import Carried
from data_contracts.check_context import CheckContext
from data_contracts.checkpoint import check_landing
from data_contracts.contract import Contract
from data_contracts.errors import ContractBlocked
from data_contracts.findings import carried_of
from data_contracts.landing import read_landing
from data_contracts.landing.partitions import KEPT_DAYS, code_hash
from data_contracts.verdicts import TableVerdict, read_verdicts
from tests.data_contracts.conftest import CONTEXT, write_sound

AS_OF = date(2021, 6, 30)
ISIN = "US0378331005"
# Of so few rows one is more than a limit.
PATIENT = replace(CONTEXT, freshness_days=60, quarantine_limits={"transactions": 1.0, "prices": 1.0})
TABLES = ("assets", "prices", "transactions", "delivered_holdings")


def trades(*rows: tuple[str, date, float], first: int = 1) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "transaction_id": [str(first + number) for number in range(len(rows))],
            "customer_id": [who for who, _, _ in rows],
            "asset_id": [ISIN] * len(rows),
            "side": ["buy"] * len(rows),
            "date": [day for _, day, _ in rows],
            "value": [100.0 * units for _, _, units in rows],
            "units": [units for _, _, units in rows],
        }
    )


@pytest.fixture
def folders(source: Path) -> Path:
    return in_folders(source)


def in_folders(source: Path) -> Path:
    """The sound source with its trades and closes in folders of two files each."""
    (source / "transactions.csv").unlink()
    (source / "prices.csv").unlink()
    for name in ("transactions", "prices"):
        (source / name).mkdir()
    trades(("ann", date(2021, 5, 3), 1.0), ("bob", date(2021, 5, 4), 2.0)).write_parquet(source / "transactions" / "05.parquet")
    trades(("ann", date(2021, 6, 29), 3.0), first=10).write_parquet(source / "transactions" / "06.parquet")
    for month, day in (("05", date(2021, 5, 3)), ("06", date(2021, 6, 29))):
        closes = pl.DataFrame({"asset_id": [ISIN], "date": [day], "close": [100.0]})
        closes.write_parquet(source / "prices" / f"{month}.parquet")
    return source


def night(source: Path, run: Path, context: CheckContext, kept: Path | None) -> dict[str, TableVerdict]:
    landed = read_landing("nightfolio", source, run / "landed", context.as_of, "withhold", partitions=kept)
    context = replace(context, kept=kept)
    # The tables that partitions are kept of, and what they refer to.
    chosen = {table: landed[table] for table in TABLES if table in landed}
    return {verdict.table: verdict for verdict in check_landing(chosen, run, context)}


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a night on the sound folders kept, for the tests of the night after it: the same bytes whoever makes them."""
    place = tmp_path_factory.mktemp("first")
    night(in_folders(write_sound(place / "source")), place / "run", PATIENT, place / "kept")
    return place / "kept"


def bytes_of(run: Path) -> dict[str, str]:
    return {
        str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(run.rglob("*"))
        if file.is_file() and file.name != "table.json"  # of work/codes: says which files the codes are of
    }


def add_a_day(source: Path) -> None:
    trades(("cid", AS_OF, 4.0), first=20).write_parquet(source / "transactions" / "07.parquet")


def change_an_old_file(source: Path) -> None:
    trades(("ann", date(2021, 5, 3), 1.5), ("bob", date(2021, 5, 4), 2.0)).write_parquet(source / "transactions" / "05.parquet")


def remove_a_file(source: Path) -> None:
    (source / "transactions" / "05.parquet").unlink()


def repeat_an_old_row(source: Path) -> None:
    trades(("ann", date(2021, 5, 3), 1.0)).write_parquet(source / "transactions" / "07.parquet")


def contradict_an_old_row(source: Path) -> None:
    # The last in the order of the files is the correction: the old partition loses a row.
    trades(("ann", date(2021, 5, 3), 1.25)).write_parquet(source / "transactions" / "07.parquet")


def sell(who: str, units: float) -> Callable[[Path], None]:
    def change(source: Path) -> None:
        frame = trades((who, AS_OF, units), first=20).with_columns(pl.lit("sell").alias("side"))
        frame.write_parquet(source / "transactions" / "07.parquet")

    return change


def sell_what_is_not_held(source: Path) -> None:
    sell("ann", 5.0)(source)  # of 1 and 3


def sell_what_is_held(source: Path) -> None:
    sell("ann", 4.0)(source)


def take_anothers_number(source: Path) -> None:
    trades(("cid", AS_OF, 4.0), first=2).write_parquet(source / "transactions" / "07.parquet")  # bob's


def pay_too_much(source: Path) -> None:
    frame = trades(("cid", AS_OF, 4.0), first=20).with_columns(value=pl.lit(1000.0))
    frame.write_parquet(source / "transactions" / "07.parquet")
    pl.DataFrame({"asset_id": [ISIN], "date": [AS_OF], "close": [100.0]}).write_parquet(source / "prices" / "07.parquet")


def price_an_old_day(source: Path) -> None:
    pl.DataFrame({"asset_id": [ISIN], "date": [date(2021, 5, 4)], "close": [300.0]}).write_parquet(
        source / "prices" / "07.parquet"
    )


def state_a_position(source: Path) -> None:
    sell("ann", 5.0)(source)
    stated = {"as_of_date": [date(2021, 4, 30)], "customer_id": ["ann"], "asset_id": [ISIN], "units": [2.0]}
    pl.DataFrame(stated).write_parquet(source / "holdings.parquet")


def strip_a_name(source: Path) -> None:
    trades((" cid", AS_OF, 4.0), first=20).write_parquet(source / "transactions" / "07.parquet")


def spoil_a_field(source: Path) -> None:
    frame = trades(("cid", AS_OF, 4.0), first=20).with_columns(pl.lit("many").alias("units"))
    frame.write_parquet(source / "transactions" / "07.parquet")


def lose_the_asset(source: Path) -> None:
    text = (source / "assets.csv").read_text(encoding="utf-8")
    (source / "assets.csv").write_text(text.replace(ISIN, "US5949181045"), encoding="utf-8")


def nothing(source: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "days", "counts", "broken"),
    [
        (nothing, 0, (3, 0), None),
        (add_a_day, 0, (4, 0), None),
        (add_a_day, 1, (4, 0), None),
        (change_an_old_file, 0, (3, 0), None),
        (remove_a_file, 0, (1, 0), None),
        (repeat_an_old_row, 0, (3, 1), None),
        (contradict_an_old_row, 0, (3, 1), None),
        (sell_what_is_not_held, 0, None, ("sell_beyond_holdings", 1)),
        (sell_what_is_held, 0, (4, 0), ("sell_beyond_holdings", 0)),
        (take_anothers_number, 0, (4, 0), ("id_of_two_customers", 2)),
        (pay_too_much, 0, None, ("trade_price_near_close", 1)),
        (price_an_old_day, 0, None, ("trade_price_near_close", 1)),
        (state_a_position, 0, (4, 0), ("sell_beyond_holdings", 0)),
        (strip_a_name, 0, (4, 0), None),
        (spoil_a_field, 0, None, None),  # one row of four: more than the rule's limit, so the night stops either way
        (lose_the_asset, 0, (0, 3), None),
        (nothing, -10, (2, 0), None),  # a replay of an earlier day: the trade of June is withheld
    ],
)
def test_the_next_night_is_the_same_to_the_byte(
    change: Callable[[Path], None],
    days: int,
    counts: tuple[int, int] | None,
    broken: tuple[str, int] | None,
    first_night: Path,
    folders: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``counts``: trades accepted and set aside, None: the night stops. ``broken``: a rule on trades, the rows that break it."""
    carried: list[Carried | None] = []

    def spy(*of: Any) -> Carried | None:
        carried.append(carried_of(*of))
        return carried[-1]

    monkeypatch.setattr(checkpoint, "carried_of", spy)
    shutil.copytree(first_night, tmp_path / "kept")
    made = {path.stat().st_ino for path in (tmp_path / "kept").glob("*.parquet")}
    change(folders)
    later = replace(PATIENT, as_of=AS_OF + timedelta(days=days))
    found, blocked = {}, {}
    for name, kept in (("reused", tmp_path / "kept"), ("afresh", None)):
        try:
            found[name] = night(folders, tmp_path / name, later, kept)
        except ContractBlocked as error:
            blocked[name] = str(error).replace(name, "")
    # Else the two nights would be one: files, and what was found of them (by a night of no later day), were there to be used.
    assert made & {path.stat().st_ino for path in (tmp_path / "reused" / "landed").rglob("*.parquet")}
    assert any(carried) == (days >= 0)
    assert bytes_of(tmp_path / "reused") == bytes_of(tmp_path / "afresh")
    if broken is not None:
        verdicts = {verdict.table: verdict for verdict in read_verdicts(tmp_path / "reused" / "contracts" / "verdicts.json")}
        assert [rule.failed for rule in verdicts["transactions"].rules if rule.rule_id == broken[0]] == [broken[1]]
    if counts is None:
        assert blocked["reused"] == blocked["afresh"]
        return
    assert found["reused"] == found["afresh"]
    assert (found["reused"]["transactions"].accepted, found["reused"]["transactions"].quarantined) == counts


def test_only_what_is_new_is_asked(folders: Path, tmp_path: Path, context: CheckContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three nights: what the second was told of the first, and the third of the second; each is kept under its own files."""
    found: list[tuple[str, int, bool] | None] = []

    def spy(contract: Contract, *rest: Any) -> Carried | None:
        carried = carried_of(contract, *rest)
        if contract.table == "transactions":
            found.append(None if carried is None else (contract.table, carried.rows, carried.later))
        return carried

    monkeypatch.setattr(checkpoint, "carried_of", spy)
    context = replace(context, freshness_days=60, ask_library=False)  # whose words on nights like these are compared above
    kept = tmp_path / "kept"
    night(folders, tmp_path / "first", context, kept)
    add_a_day(folders)
    night(folders, tmp_path / "second", context, kept)
    trades(("bob", AS_OF, 4.0), first=30).write_parquet(folders / "transactions" / "08.parquet")  # of the same day as the last
    night(folders, tmp_path / "third", context, kept)
    change_an_old_file(folders)
    night(folders, tmp_path / "fourth", context, kept)
    assert found == [None, ("transactions", 3, True), ("transactions", 4, False), None]
    assert len(list((kept / "carried").glob("transactions-*"))) == 2, "of the third and the fourth night"
    for number, damage in enumerate((damage_the_hits, lose_the_hits, lower_a_count, empty_the_note, cut_the_note)):
        for folder in (kept / "carried").glob("transactions-*"):
            damage(folder)
        night(folders, tmp_path / f"damaged {number}", context, kept)
        assert found[-1] is None, f"{damage.__name__}: damaged findings are not used"
        night(folders, tmp_path / f"mended {number}", context, kept)
        assert found[-1] == ("transactions", 5, True), f"{damage.__name__}: and are kept again"
        assert bytes_of(tmp_path / f"mended {number}") == bytes_of(tmp_path / f"damaged {number}")


def damage_the_hits(folder: Path) -> None:
    (folder / "hits.parquet").write_bytes(b"PAR1 damaged PAR1")


def lose_the_hits(folder: Path) -> None:
    (folder / "hits.parquet").unlink()


def lower_a_count(folder: Path) -> None:
    text = (folder / "note.json").read_text(encoding="utf-8")
    (folder / "note.json").write_text(text.replace('"rows": 5', '"rows": 4'), encoding="utf-8")


def empty_the_note(folder: Path) -> None:
    (folder / "note.json").write_text("{}", encoding="utf-8")


def cut_the_note(folder: Path) -> None:
    (folder / "note.json").write_text("[1,", encoding="utf-8")


def test_a_file_is_read_once_and_a_damaged_partition_is_made_again(folders: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    read_landing("nightfolio", folders, tmp_path / "first", AS_OF, "block", partitions=kept)
    made = {path.name: path.stat().st_ino for path in kept.glob("*.parquet")}
    assert len(made) == 4
    second = read_landing("nightfolio", folders, tmp_path / "second", AS_OF, "block", partitions=kept)
    linked = {path.stat().st_ino for table in ("prices", "transactions") for path in second[table].path.glob("*.parquet")}
    assert linked == set(made.values())
    expected = bytes_of(tmp_path / "second")
    for path in kept.glob("*.parquet"):
        path.unlink()
        path.write_bytes(b"PAR1 damaged PAR1")
    read_landing("nightfolio", folders, tmp_path / "third", AS_OF, "block", partitions=kept)
    assert bytes_of(tmp_path / "third") == expected
    assert b"damaged" not in b"".join(path.read_bytes() for path in kept.glob("*.parquet"))


def test_a_partition_nobody_used_for_long_is_removed(folders: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    read_landing("nightfolio", folders, tmp_path / "first", AS_OF, "block", partitions=kept)
    old = time.time() - (KEPT_DAYS + 1) * 86_400
    for note in kept.glob("*.json"):
        os.utime(note, (old, old))
    (folders / "transactions" / "05.parquet").unlink()
    read_landing("nightfolio", folders, tmp_path / "second", AS_OF, "block", partitions=kept)
    assert len(list(kept.glob("*.json"))) == len(list(kept.glob("*.parquet"))) == 3


def test_a_partition_is_made_again_when_any_code_that_it_may_depend_on_changes(tmp_path: Path) -> None:
    for name in ("transactions.py", "landing/days.py", "corruptions/edits.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a = 1\n", encoding="utf-8")
    before = code_hash(tmp_path)
    (tmp_path / "corruptions" / "edits.py").write_text("a = 2\n", encoding="utf-8")
    assert code_hash(tmp_path) == before
    for name in ("transactions.py", "landing/days.py"):
        (tmp_path / name).write_text("a = 2\n", encoding="utf-8")
        assert code_hash(tmp_path) != before
        before = code_hash(tmp_path)
