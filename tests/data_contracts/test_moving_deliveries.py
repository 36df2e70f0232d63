"""A delivery that goes on while it is read: refused as that, whatever the moment, or read as it lay there before."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from data_contracts.corruptions.meanwhile import delivered_meanwhile, on_open
from data_contracts.corruptions.sample import AS_OF as SAMPLE_AS_OF
from data_contracts.corruptions.sample import provenance, write_sample
from data_contracts.errors import LandingError
from data_contracts.landing import LandedTable, read_landing
from data_contracts.landing.unchanged import changed, listing

AS_OF = date(2021, 6, 30)
MOVED = "written, replaced or removed while the source was read"
CAME_OR_WENT = "; files came, went or were written while the source was read"
AWAY = "away.tmp"


@dataclass
class Sender:
    """Does what is planned for a file, by its name, when the reader opens it; each once."""

    plan: dict[str, Callable[[Path], object]]
    done: list[str] = field(default_factory=list)

    def __call__(self, path: Path) -> None:
        if path.name in self.plan and path.name not in self.done:
            self.done.append(path.name)
            self.plan[path.name](path.parent)


def land(source: Path, into: Path, **plan: Callable[[Path], object]) -> dict[str, LandedTable]:
    """The sound source read; ``prices=step``: the step happens when prices.csv is opened. assets is opened first."""
    sender = Sender({f"{name}.csv": step for name, step in plan.items()})
    try:
        return read_landing("nightfolio", on_open(source, sender), into, AS_OF, "block")
    finally:
        assert sender.done == list(sender.plan)


def fault(source: Path, into: Path, **plan: Callable[[Path], object]) -> str:
    with pytest.raises(LandingError) as caught:
        land(source, into, **plan)
    said = str(caught.value)
    assert "remedy: run again when the delivery has ended" in said
    return said


def taken(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).rename(folder.parent / AWAY)


def put(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder.parent / AWAY).rename(folder / name)


def new(name: str, text: str = "asset_id,list_kind,valid_from,valid_to\n") -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def in_turn(*steps: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [step(folder) for step in steps]


@pytest.mark.parametrize(
    "plan",
    [
        # Away when it is looked for.
        {"assets": taken("prices.csv")},
        # Away when it is looked for, and back: the same file as before to every stamp.
        {"assets": taken("prices.csv"), "customers": put("prices.csv"), "transactions": taken("prices.csv")},
        # There when it is looked for, away when it is opened.
        {"prices": taken("prices.csv")},
        # Read, and away at the end; and back again, as another file.
        {"transactions": taken("prices.csv")},
        {"transactions": in_turn(taken("prices.csv"), new("prices.csv"))},
        # Half of it there when it is read.
        {"prices": new("prices.csv", "")},
    ],
)
def test_a_file_that_moves_while_it_is_read_is_named(
    plan: dict[str, Callable[[Path], object]], source: Path, tmp_path: Path
) -> None:
    assert f"prices.csv: 1 file was {MOVED}" in fault(source, tmp_path / "landed", **plan)


def test_a_file_that_was_away_only_when_it_was_looked_for(source: Path, tmp_path: Path) -> None:
    # prices is looked for after customers was opened; a missing restricted list is no fault, so the reading goes on.
    plan = {"transactions": taken("restricted.csv")}
    assert f"restricted.csv: 1 file was {MOVED}" in fault(source, tmp_path / "gone", **plan)
    put("restricted.csv")(source)
    (source / "holdings.csv").write_text("as_of_date,customer_id,asset_id,units\n2021-06-01,ann,US0378331005,10\n")
    plan = {"transactions": taken("holdings.csv"), "restricted": put("holdings.csv")}
    assert f"holdings.csv: 1 file was {MOVED}" in fault(source, tmp_path / "back", **plan)


def test_a_file_that_comes_after_it_was_looked_for(source: Path, tmp_path: Path) -> None:
    said = fault(source, tmp_path / "landed", transactions=new("markets.csv", "market_id\n"))
    assert f"markets.csv: 1 file was {MOVED}" in said


def test_a_part_that_comes_after_its_folder_was_listed(source: Path, tmp_path: Path) -> None:
    (source / "prices").mkdir()
    pl.read_csv(source / "prices.csv", try_parse_dates=True).write_parquet(source / "prices" / "2021.parquet")
    (source / "prices.csv").unlink()
    said = fault(source, tmp_path / "landed", transactions=new("prices/2022.parquet", "PAR1"))
    assert f"prices/2022.parquet: 1 file was {MOVED}" in said


def test_a_file_that_is_away_at_every_look_but_was_there_between(source: Path, tmp_path: Path) -> None:
    taken("prices.csv")(source)
    os.utime(source, (0, 0))  # times advance in steps: what happens within one of them would not be seen
    said = fault(source, tmp_path / "looks", assets=put("prices.csv"), customers=taken("prices.csv"))
    assert said.startswith("prices: no file in ")
    assert CAME_OR_WENT in said
    assert "if it stays: put the file there" in said
    os.utime(source, (0, 0))
    said = fault(source, tmp_path / "opened", assets=put("prices.csv"), prices=taken("prices.csv"))
    assert said.startswith("prices.csv has gone since the folder was listed" + CAME_OR_WENT)


def test_what_is_wrong_is_not_hidden_by_files_that_nobody_reads(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").write_text("asset_id,date\n")
    said = fault(source, tmp_path / "landed", assets=new("next.part"))
    assert "prices.csv: column close missing" in said
    assert CAME_OR_WENT in said


def test_a_missing_file_is_only_missing_where_nothing_moves(source: Path, tmp_path: Path) -> None:
    (source / "prices.csv").unlink()
    with pytest.raises(LandingError, match="prices: no file in ") as caught:
        land(source, tmp_path / "landed")
    assert CAME_OR_WENT not in str(caught.value)


def test_files_that_nobody_reads_may_come_and_go(source: Path, tmp_path: Path) -> None:
    quiet = {name: table.path.read_bytes() for name, table in land(source, tmp_path / "quiet").items()}
    (source / "old.txt").write_text("old")
    moves = {"assets": new("prices.csv.part2"), "customers": lambda folder: (folder / "old.txt").unlink()}
    found = land(source, tmp_path / "moved", **moves)
    assert {name: table.path.read_bytes() for name, table in found.items()} == quiet


@pytest.mark.parametrize("name", ["restricted_list.csv", "holdings_snapshots.parquet", "transactions_provenance.csv"])
def test_what_the_data_set_may_leave_out_is_missed_where_it_goes_while_it_is_read(name: str, tmp_path: Path) -> None:
    source = write_sample(tmp_path / "source")
    (source / "transactions_provenance.csv").write_bytes(provenance())
    sender = Sender({"customer_information.csv": taken(name)})
    with pytest.raises(LandingError, match=f"{name}: 1 file was {MOVED}"):
        read_landing("far_trans", on_open(source, sender), tmp_path / "landed", SAMPLE_AS_OF, "block")
    assert sender.done


@pytest.mark.parametrize("in_place", [False, True])
def test_a_file_that_changes_all_the_time_stops_the_night(in_place: bool, source: Path, tmp_path: Path) -> None:
    text = (source / "prices.csv").read_text()

    def deliver(folder: Path) -> None:
        for version in (text, text.replace("5.25", "5.26")):
            path = folder / "prices.csv" if in_place else tmp_path / "next.csv"
            path.write_text(version)
            path.replace(folder / "prices.csv")

    with delivered_meanwhile(source, deliver) as moving:
        said = fault(moving, tmp_path / "landed")
    assert f"prices.csv: 1 file was {MOVED}" in said


def test_what_counts_as_changed(tmp_path: Path) -> None:
    def ours(name: str) -> bool:
        return name.endswith(".csv")

    for name in ("a.csv", "b.csv", "c.csv", "d.csv", "e.txt"):
        (tmp_path / name).write_text("x\n")
    before = listing(tmp_path)
    assert changed(before, listing(tmp_path), ours, ["a.csv", "b.csv", "c.csv", "d.csv"]) == []
    assert changed(before, listing(tmp_path), ours, ["a.csv", "b.csv", "c.csv"]) == ["d.csv"]  # it was away
    (tmp_path / "a.csv").write_text("longer\n")
    (tmp_path / "b.csv").unlink()
    (tmp_path / "c.csv.part").write_text("x\n")
    (tmp_path / "c.csv.part").replace(tmp_path / "c.csv")
    (tmp_path / "e.txt").unlink()
    (tmp_path / "f.csv").write_text("new\n")
    (tmp_path / "g.txt").write_text("new\n")
    assert changed(before, listing(tmp_path), ours) == ["a.csv", "b.csv", "c.csv", "f.csv"]
    # Read, though it was neither there before nor is it now: it came and went.
    assert changed(before, listing(tmp_path), lambda _: False, ["d.csv", "h.csv"]) == ["h.csv"]
