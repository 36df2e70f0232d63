"""Retention removes what nothing needs, records it, and leaves a home that verifies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from data_contracts.errors import DecisionRefused
from flows.bench.tamper import key_at, small_home, small_manifest
from flows.bench.tamper_target import edit
from flows.records.chain import Chain
from flows.records.publication import finish_interrupted, settle
from flows.records.retention import retirable, retire
from flows.records.verify import verify
from flows.run_store import RunStore
from flows.sections.records import RecordsConfig

LATER = datetime.now(UTC) + timedelta(days=400)
ONE = RecordsConfig(keep_days=300, keep_runs=1, keep_failed_days=30)
RUN = "2024-06-25-01"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with key_at(tmp_path / "record.key"):
        small_home(tmp_path / "home")
        yield RunStore(tmp_path / "home")


def test_young_runs_and_the_newest_are_kept_whole(store: RunStore) -> None:
    assert retirable(store, ONE) == []
    assert retirable(store, RecordsConfig(keep_days=500), LATER) == []
    assert RUN not in [run.run_id for run in retirable(store, RecordsConfig(keep_days=300, keep_runs=4), LATER)]


def test_nothing_that_a_whole_run_names_is_removed_and_nothing_that_waits(store: RunStore) -> None:
    # In force is 06-29-02; its manifest names 06-27-01 as the publication before it. 06-27-02 waits for a decision and
    # names 06-27-01 too. 06-25-01 and 06-26-01 are named by nothing that is kept, nor are the rejected and the blocked.
    runs = [run.run_id for run in retirable(store, ONE, LATER)]
    assert runs == ["2024-06-25-01", "2024-06-26-01", "2024-06-28-01", "2024-06-29-01"]


def test_a_comparison_named_in_the_manifest_keeps_its_run_whole(store: RunStore) -> None:
    named = store.home / "published" / "2024-06-29-02" / "manifest.json"
    content = json.loads(named.read_text())
    named.write_text(json.dumps({**content, "compared_with": RUN}))
    assert RUN not in [run.run_id for run in retirable(store, ONE, LATER)]


def test_what_is_removed_is_recorded_and_the_home_still_verifies(store: RunStore) -> None:
    before = verify(store).bytes
    retired = retire(store, ONE, LATER)
    assert [run.run_id for run in retired] == ["2024-06-25-01", "2024-06-26-01", "2024-06-28-01", "2024-06-29-01"]
    run = store.home / "published" / RUN
    assert not (run / "snapshot").exists()
    assert (run / "recommendations.parquet").exists()
    record = Chain(store.home).links()[12].record
    assert (record.kind, record.run_id) == ("retired", RUN)
    assert [entry["path"] for entry in record.detail["removed"]] == ["snapshot/transactions.parquet"]
    found = verify(store)
    assert found.faults == ()
    assert found.bytes == before - sum(run.bytes for run in retired)
    assert retirable(store, ONE, LATER) == []


def test_what_was_not_retired_must_still_be_there(store: RunStore) -> None:
    retire(store, ONE, LATER)
    (store.home / "published" / RUN / "recommendations.csv").unlink()
    assert [str(fault) for fault in verify(store).faults] == [f"published/{RUN}/recommendations.csv: deleted"]


def test_an_altered_run_is_kept(store: RunStore) -> None:
    edit(store.home / "published" / RUN / "recommendations.csv")
    with pytest.raises(DecisionRefused, match=r"nothing of it is removed: .*recommendations.csv: altered"):
        retire(store, ONE, LATER)
    assert (store.home / "published" / RUN / "snapshot").exists()


def test_a_removal_that_died_in_between_is_finished(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as died:
        died.setattr("flows.records.retention.remove_retired", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            retire(store, ONE, LATER)
    assert (store.home / "published" / RUN / "snapshot").exists()
    assert verify(store).faults == ()
    finish_interrupted(store)
    assert not (store.home / "published" / RUN / "snapshot").exists()
    assert verify(store).faults == ()


def test_an_old_failed_run_goes_altogether_and_a_young_one_stays(store: RunStore) -> None:
    failed = store.home / "failed" / "2024-06-24-01"
    (failed / "models").mkdir(parents=True)
    (failed / "models" / "half").write_bytes(b"half")
    (failed / "failure.json").write_text("{}")
    assert "2024-06-24-01" not in [run.run_id for run in retirable(store, ONE)]
    (run,) = [run for run in retire(store, ONE, LATER) if run.folder == "failed"]
    assert [entry["path"] for entry in run.removed] == ["failure.json", "models/half"]
    assert not failed.exists()
    assert verify(store).faults == ()
    # Its number is never given again: what the record says was removed must not come to mean another run.
    assert store.new_run(date(2024, 6, 24)).name == "2024-06-24-02"


def test_what_a_model_is_stays_when_its_weights_go(store: RunStore) -> None:
    run = store.home / "staging" / "2024-06-24-01"
    (run / "models" / "x-published").mkdir(parents=True)
    (run / "gate.json").write_text('{"publish": "now", "checks": []}')
    for name in ("model.json", "weights.safetensors"):
        (run / "models" / "x-published" / name).write_text("{}")
    settle(store, run, small_manifest(run))
    (retired,) = [one for one in retirable(store, ONE, LATER) if one.run_id == run.name]
    assert [entry["path"] for entry in retired.removed] == ["models/x-published/weights.safetensors"]
