"""The home: leases, numbers, the one rename, and what a dead process leaves behind."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from data_contracts.errors import LeaseHeld, RunNotFound, StorageError
from flows.artifact import Artifact
from flows.config import load_config
from flows.night import staged_run
from flows.run_store import RunStore

DAY = date(2024, 6, 28)


def test_runs_are_numbered_per_as_of(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    assert [store.new_run(DAY).name for _ in range(2)] == ["2024-06-28-01", "2024-06-28-02"]


def test_a_run_is_moved_by_one_rename_and_current_points_at_it(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    assert store.current() is None
    for number in ("01", "02"):
        staged = store.new_run(DAY)
        (staged / "manifest.json").write_text("{}")
        assert store.move(staged, "published") == tmp_path / "published" / f"2024-06-28-{number}"
        store.point_current(staged.name)
        assert not staged.exists()
        assert store.current() == tmp_path / "published" / f"2024-06-28-{number}"
    assert (tmp_path / "published" / "CURRENT" / "manifest.json").read_text() == "{}"
    assert [(entry.run_id, entry.state, entry.current) for entry in store.runs()] == [
        ("2024-06-28-01", "published", False),
        ("2024-06-28-02", "published", True),
    ]
    again = store.home / "staging" / "2024-06-28-02"
    again.mkdir()
    with pytest.raises(StorageError, match="exists already"):
        store.move(again, "published")


def test_the_second_night_says_who_holds_the_lease(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with store.lease(DAY):
        with (
            pytest.raises(LeaseHeld, match=r"as_of 2024-06-28 is already being run by .+@.+, process \d+, since"),
            store.lease(DAY),
        ):
            pass
        with store.lease(date(2024, 6, 27)):
            pass
    with store.lease(DAY):
        pass


def test_a_killed_holder_frees_its_lease_and_its_run_is_swept(tmp_path: Path) -> None:
    program = (
        "import os, sys; from datetime import date; from pathlib import Path; from flows.run_store import RunStore\n"
        "store = RunStore(Path(sys.argv[1]))\n"
        "with store.lease(date(2024, 6, 28)):\n"
        "    store.new_run(date(2024, 6, 28))\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == -9
    store = RunStore(tmp_path)
    assert store.sweep() == ["2024-06-28-01"]
    assert json.loads((tmp_path / "failed" / "2024-06-28-01" / "failure.json").read_text())["error"] == "the process died"


def test_an_error_moves_the_run_to_failed_with_its_reason(tmp_path: Path) -> None:
    config = load_config("smoke")
    with pytest.raises(ZeroDivisionError), staged_run(config, tmp_path):
        raise ZeroDivisionError("no")
    failure = json.loads((tmp_path / "failed" / "2024-06-28-01" / "failure.json").read_text())
    assert failure["error"] == "ZeroDivisionError: no"
    assert list((tmp_path / "staging").iterdir()) == []


def test_an_unwritable_home_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"cannot write under .*file/home: Not a directory \(.* MiB free there\)"):
        RunStore(tmp_path / "file" / "home")


def test_a_full_disk_stops_the_run_and_publishes_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    config = load_config("smoke")
    with (
        pytest.raises(StorageError, match=r"cannot write under .*: File too large"),
        staged_run(config, tmp_path) as night,
    ):
        # The kernel refuses the write as it would on a full quota; no disk is filled for a test.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            (night.folder / "recommendations.csv").write_bytes(b"x" * 65536)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert RunStore(tmp_path).current() is None
    assert [entry.state for entry in RunStore(tmp_path).runs()] == ["failed"]


def test_an_unknown_run_lists_what_there_is(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with pytest.raises(RunNotFound, match="nothing is published yet"):
        store.find(None)
    with pytest.raises(RunNotFound, match="no run 'x'"):
        store.find("x")


def test_an_artifact_notices_that_a_file_changed(tmp_path: Path) -> None:
    folder = tmp_path / "snapshot"
    folder.mkdir()
    (folder / "a.txt").write_text("as it was")
    made = Artifact.of(folder)
    assert made.open() == folder
    (folder / "a.txt").write_text("as it is")
    with pytest.raises(StorageError, match="snapshot changed or vanished between two steps"):
        made.open()
