"""A run is rebuilt from its recorded inputs, byte by byte; one that was altered differs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from data_contracts.errors import ConfigError, RunNotFound, StorageError
from data_contracts.releases import Release
from flows.bench.tamper_target import Target, edit, fit_manifest
from flows.keys import read_key
from flows.records.releases import release, withdraw
from flows.records.verify import verify
from flows.replay import Compared, Replay, differences, replay, used_releases
from flows.run_store import RunStore


@pytest.fixture
def copy(home: Path, run: Path, tmp_path: Path) -> RunStore:
    """A copy of the home with its first run only."""
    for name in ("published", "records", "held"):
        (tmp_path / name).mkdir()
    shutil.copytree(run, tmp_path / "published" / run.name)
    (tmp_path / "published" / "CURRENT").symlink_to(run.name)
    shutil.copy(home / "records" / "000001.json", tmp_path / "records")
    shutil.copy(home / "record.key", tmp_path)
    return RunStore(tmp_path)


def test_a_run_replayed_gives_the_same_bytes(home: Path, run: Path) -> None:
    found = replay(RunStore(home, write=False), run.name)
    assert [file for file in found.files if file.verdict != "equal"] == []
    assert found.equal
    assert found.warnings == ()
    names = {file.path for file in found.files}
    assert {
        "recommendations.parquet",
        "recommendations.csv",
        "recommendations/exclusions.parquet",
        "recommendations/attention.parquet",
        "histories/present/events.arrow",
        "models/attention_cf-published/weights.safetensors",
        "snapshot/transactions.parquet",
        "snapshot/holdings.parquet",
        "snapshot/reconciliation.parquet",
    } <= names
    assert not any(name.startswith(("evidence/", "histories/past/", "models/transformer")) for name in names)


def test_recommendations_that_an_insider_altered_and_signed_are_different(copy: RunStore) -> None:
    # Every hash and signature fits: only making the recommendations again shows that they are not what the inputs give.
    run = copy.home / "published" / "2024-06-28-01"
    path = run / "recommendations.parquet"
    rows = pl.read_parquet(path)
    rows.with_columns(score=pl.col("score") + (pl.col("rank") == 1).cast(pl.Float32)).write_parquet(path)
    sha256 = fit_manifest(run, path.name)
    Target(copy.home).write_anew(1, read_key(copy.home / "record.key"), lambda record: record.update(manifest_sha256=sha256))
    assert verify(copy).faults == ()
    found = replay(copy, run.name)
    assert [file for file in found.files if file.verdict != "equal"] == [Compared("recommendations.parquet", "different")]
    assert not found.equal


def test_altered_inputs_are_not_replayed(copy: RunStore) -> None:
    edit(copy.home / "published" / "2024-06-28-01" / "snapshot" / "prices.parquet")
    with pytest.raises(StorageError, match=r"are not as they were recorded: .*snapshot/prices.parquet: altered"):
        replay(copy, None)


def test_a_run_without_recommendations_is_not_replayed(copy: RunStore) -> None:
    (copy.home / "published" / "2024-06-28-01" / "recommendations.parquet").unlink()
    with pytest.raises(RunNotFound, match="published no recommendations"):
        replay(copy, None)


def test_settings_of_another_version_are_named(copy: RunStore) -> None:
    path = copy.home / "published" / "2024-06-28-01" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["config"]["train"]["momentum"] = 0.9
    path.write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=r"another version: this one does not know its settings \(train.momentum\)"):
        replay(copy, None)


def test_a_simulated_run_takes_no_source(copy: RunStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="was simulated"):
        replay(copy, None, tmp_path)


def test_other_code_packages_and_processors_are_named(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    assert differences(manifest) == []
    manifest["code"]["source_sha256"] = "0" * 64
    manifest["packages"]["torch"] = "1.0"
    manifest["machine"]["processor"] = "abacus"
    code, package, machine = differences(manifest)
    assert code.startswith("other code: 000000000000")
    assert package.startswith("other torch: 1.0 then, 2.13")
    assert machine.startswith("other processor: abacus then, ")


def test_nothing_compared_is_not_equal() -> None:
    assert not Replay("r", "nothing", (), (), 0.0).equal
    assert not Replay("r", "s", (Compared("a", "not rebuilt"),), (), 0.0).equal


def test_a_replay_lets_pass_what_the_run_let_pass_whatever_was_withdrawn_since(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "home")
    rows = [Release("assets", digit * 64, ("isin",), "", "", "2024-06-28-01", "assets.csv", 7, "") for digit in "012"]
    first, second, _ = release(store, rows, "A. Person", "checked")
    withdraw(store, [second.record], "A. Person", "a mistake")
    run = tmp_path / "run"
    (run / "contracts").mkdir(parents=True)
    used = [{"releases": []}, {"releases": [first.record, second.record, 99]}]
    (run / "contracts" / "verdicts.json").write_text(json.dumps(used))
    assert used_releases(store.home, run) == (
        (first, second),
        ["no record speaks of release 99, which the run used"],
    )
