"""What the night makes keeps its contracts, or the night is stopped: at once for its holdings, by the gate for its file."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from data_contracts.errors import ContractBlocked
from flows import made_tables
from flows.evaluate_again import stored_config
from flows.gate import step
from flows.night import Night
from flows.records.publication import settle
from flows.records.verify import verify
from flows.run_store import RunStore
from reports.evidence import Absent

AS_OF = date(2024, 6, 28)


@pytest.fixture
def night(run: Path, tmp_path: Path) -> Night:
    """The smoke night again, in a home of its own, before it was gated."""
    store = RunStore(tmp_path / "home")
    folder = store.home / "staging" / run.name
    shutil.copytree(run, folder)
    config, _ = stored_config(run)
    return Night(run.name, folder, AS_OF, config, store.home, datetime.now(UTC))


def tampered(path: Path, change: pl.Expr) -> None:
    frame = pl.read_parquet(path).with_columns(change)
    path.unlink()
    frame.write_parquet(path)


def test_the_night_asks_the_contracts_of_what_it_makes(run: Path) -> None:
    made = {verdict["table"]: verdict for verdict in json.loads((run / made_tables.PATH).read_text(encoding="utf-8"))}
    assert list(made) == ["holdings", "recommendations"]
    for table, verdict in made.items():
        assert verdict["outcome"] == "pass"
        assert verdict["read"] > 1000
        assert json.loads((run / "contracts" / f"{table}.gx.json").read_text(encoding="utf-8"))["success"] is True
    assert all(rule["checked"] for rule in made["recommendations"]["rules"]), "every rule could be asked"
    (check,) = [c for c in json.loads((run / "gate.json").read_text(encoding="utf-8"))["checks"] if c["id"] == "output"]
    assert (check["outcome"], check["owner"]) == ("pass", "data steward")
    page = (run / "evidence" / "contracts.html").read_text(encoding="utf-8")
    assert 'id="recommendations"' in page
    assert 'id="holdings"' in page


def test_a_broken_file_of_recommendations_is_never_published(night: Night) -> None:
    # One reason is lost: nothing that a suitability rule speaks of.
    tampered(
        night.folder / "recommendations.parquet",
        pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("")).otherwise(pl.col("reason")).alias("reason"),
    )
    made_tables.check_recommendations(night)
    step.gate(night, Absent("not asked here"))
    gate = json.loads((night.folder / "gate.json").read_text(encoding="utf-8"))
    (check,) = [check for check in gate["checks"] if check["outcome"] == "block"]
    assert gate["publish"] == "never"
    assert check["id"] == "output"
    assert "recommendations.reason_said" in check["measured"]
    assert check["remedy"].startswith("Do not use this run's file")
    manifest = json.loads((night.folder / "manifest.json").read_text(encoding="utf-8"))
    kept = [one for one in manifest["outputs"] if one["path"] == "recommendations.csv"]
    left = settle(night.store, night.folder, {**manifest, "outputs": kept})
    assert left.parent.name == "held"
    assert night.store.current() is None
    assert "Contracts of what the night makes" in verify_last(night.store)


def verify_last(store: RunStore) -> str:
    """What the newest record says about the checks that block."""
    assert verify(store).records == 1
    return str(json.loads((store.home / "records" / "000001.json").read_text(encoding="utf-8"))["detail"]["checks"])


def test_a_file_that_was_not_checked_is_not_published(night: Night) -> None:
    (night.folder / made_tables.PATH).unlink()
    step.gate(night, Absent("not asked here"))
    gate = json.loads((night.folder / "gate.json").read_text(encoding="utf-8"))
    (check,) = [check for check in gate["checks"] if check["outcome"] == "block"]
    assert (check["id"], check["measured"]) == (
        "output",
        "not measured: no verdict on holdings and recommendations (contracts/made.json)",
    )


def test_broken_holdings_stop_the_night_at_once(night: Night) -> None:
    tampered(night.folder / "snapshot" / "holdings.parquet", pl.col("asset_id").reverse())
    with pytest.raises(ContractBlocked, match="does not come after the row before") as stopped:
        made_tables.check_holdings(night)
    assert "fault of Nightfolio" in stopped.value.remedy
    page = (night.folder / "evidence" / "contracts.html").read_text(encoding="utf-8")
    assert "key_ascends" in page or "key ascends" in page
