"""The commands about records, as they are typed."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from flows.bench.tamper import key_at, small_home
from flows.bench.tamper_target import edit
from flows.cli import app
from flows.records.chain import Chain
from flows.records.tell import note, print_standing, standings_of
from flows.run_store import RunStore


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with key_at(tmp_path / "record.key"):
        small_home(tmp_path / "home")
        yield tmp_path / "home"


def typed(*arguments: str, home: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*arguments, "--home", str(home)])
    return done.exit_code, done.output


def test_verify_names_what_was_altered_and_exits_with_1(home: Path) -> None:
    status, said = typed("verify", home=home)
    assert status == 0
    assert re.search(r"everything is as it was recorded: 12 records, 7 runs, 35 files, [\d,]+ bytes in [\d.]+ s", said)
    edit(home / "published" / "2024-06-25-01" / "recommendations.csv")
    status, said = typed("verify", home=home)
    assert status == 1
    assert "published/2024-06-25-01/recommendations.csv: altered" in said.replace("\n", "")
    assert typed("verify", "2024-06-26-01", home=home)[0] == 0


def test_verify_says_it_to_machines_too(home: Path) -> None:
    status, said = typed("verify", "--json", "--head", "0" * 64, home=home)
    told = json.loads(said)
    assert status == 1
    assert told["altered"][0]["what"].startswith("the filed head 000")
    assert (told["records"], told["runs"], told["files"]) == (12, 7, 35)


def test_approve_publishes_and_prints_the_head_to_file(home: Path) -> None:
    status, said = typed("approve", "2024-06-27-02", "--by", "A. Person", "--reason", "prices were checked", home=home)
    assert status == 0
    assert "approved by A. Person: prices were checked" in said
    head = Chain(home).links()[-1].sha256
    assert head in said
    assert typed("verify", "--head", head, home=home)[0] == 0


def test_reject_leaves_in_force_what_was(home: Path) -> None:
    status, said = typed("reject", "2024-06-27-02", "--by", "A. Person", "--reason", "no", home=home)
    assert status == 0
    assert "in force stays 2024-06-29-02" in said


def test_every_state_is_told_and_a_block_loudly(home: Path) -> None:
    store = RunStore(home, write=False)
    console = Console(record=True, width=200, file=io.StringIO())
    assert print_standing(console, home / "held" / "2024-06-29-01") == "blocked"
    said = console.export_text()
    assert "BLOCKED, not published: Accuracy" in said
    assert "in force stays 2024-06-29-02" in said
    notes = {run_id: note(run) for run_id, run in standings_of(store).items()}
    assert notes["2024-06-25-01"] == ""
    assert notes["2024-06-27-01"] == "approved by A. Person: looked at it"
    assert notes["2024-06-27-02"].startswith("waits for a decision: nightfolio approve 2024-06-27-02")
    assert notes["2024-06-28-01"] == "rejected by A. Person: looked at it"


def test_retire_removes_nothing_without_yes(home: Path) -> None:
    status, said = typed("retire", "--set", "records.keep_days=0", "--set", "records.keep_runs=1", home=home)
    assert status == 0
    assert "published/2024-06-25-01  1 files" in said
    assert "would be removed (--yes removes it): 4 runs" in said
    assert len(Chain(home).links()) == 12
    status, said = typed("retire", "--yes", "--set", "records.keep_days=0", "--set", "records.keep_runs=1", home=home)
    assert (status, len(Chain(home).links())) == (0, 16)
    assert typed("verify", home=home)[0] == 0


def test_verify_exits_with_2_where_there_is_no_chain(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", "verify", "--home", str(tmp_path / "missing")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "there is no chain here" in done.stderr


def test_what_could_not_be_checked_is_no_plain_all_well(home: Path, tmp_path: Path) -> None:
    (tmp_path / "record.key.head").unlink()
    status, said = typed("verify", home=home)
    assert status == 0
    assert "no head is filed beside the record key" in said
    assert "everything that could be checked is as it was recorded; mind the notes above" in said
