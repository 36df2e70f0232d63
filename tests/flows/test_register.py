"""The register names every model of every run, with where it comes from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data_contracts.storage import file_sha256
from flows.records.record import GENESIS, Link, Record
from flows.records.standing import standings
from flows.register import approval, models_of, register
from flows.run_store import RunStore
from flows.show_models import models


def test_a_night_enters_every_model_once(home: Path, run: Path) -> None:
    rows = register(RunStore(home, write=False)).filter(pl.col("run") == run.name)
    assert sorted(rows["status"]) == sorted(
        ["champion" if RunStore(home).current() == run else "retired", "evaluated", "evaluated"]
    )
    (published,) = rows.filter(pl.col("status").is_in(["champion", "retired"])).to_dicts()
    weights = file_sha256(run / "models" / "attention_cf-published" / "weights.safetensors")
    assert published["model_id"] == f"m-{weights[:12]}"
    assert published["trained_on"] == file_sha256(run / "histories" / "present" / "events.arrow")[:12]
    assert (published["trained_to"], published["parent"]) == ("2024-06-28", "")
    metrics = pl.read_parquet(run / "evaluation" / "metrics.parquet").filter(
        (pl.col("segment_kind") == "all") & (pl.col("model") == "attention_cf")
    )
    assert published["ndcg"] == metrics["ndcg_at_10"][0]
    assert published["approval"] == "not asked for (gate.approval = never)"
    past = rows.filter(pl.col("status") == "evaluated")
    assert past["trained_to"].unique().to_list() == ["2024-02-29"]
    assert past["trained_on"].unique().to_list() != [published["trained_on"]]


def test_a_challenger_and_a_replaced_champion_are_told_apart(home: Path, run: Path, tmp_path: Path) -> None:
    staged = tmp_path / run.name
    shutil.copytree(run, staged)
    (staged / "manifest.json").unlink()
    fits = '{"attention_cf": "attention_cf-evaluated", "challenger": "transformer-evaluated"}'
    (staged / "evaluation" / "models.json").write_text(fits)
    store = RunStore(home, write=False)
    champion = f'{{"champion": {{"run_id": "{run.name}"}}}}'
    (staged / "evaluation" / "champion.json").write_text(champion)
    rows = {row["status"]: row for row in models_of(staged, "staging", current=False, store=store)}
    assert set(rows) == {"in the making", "challenger refused", "evaluated"}
    # Hashed from the files, where no manifest says so; the parent is the champion's published model.
    own = f"m-{file_sha256(staged / 'models' / 'attention_cf-published' / 'weights.safetensors')[:12]}"
    assert rows["in the making"]["model_id"] == rows["in the making"]["parent"] == rows["challenger refused"]["parent"] == own
    (staged / "evaluation" / "models.json").write_text(fits.replace("challenger", "former_champion"))
    assert "champion replaced" in {row["status"] for row in models_of(staged, "staging", current=False, store=store)}


def record(kind: Any) -> Link:
    words = {"at": "2024-06-29T06:00:00+00:00", "by": "Ada Byron", "account": "ops@host", "reason": "looked at all of it"}
    hashes = {"manifest_sha256": "ab", "previous": GENESIS, "key_id": "k", "mac": "m"}
    return Link(Record(number=1, kind=kind, run_id="r", detail={}, **words, **hashes), "cd")


@pytest.mark.parametrize(
    ("publish", "needs", "kinds", "said"),
    [
        ("never", "false", ["blocked"], "blocked by the gate"),
        ("now", "false", ["published"], "not asked for (gate.approval = always)"),
        ("after_approval", "true", ["held", "approved"], "approved by Ada Byron: looked at all of it"),
        ("after_approval", "true", ["held", "rejected"], "rejected by Ada Byron: looked at all of it"),
        ("after_approval", "true", ["held"], "waits for a person"),
        ("after_approval", "true", [], "waits for a person"),
    ],
)
def test_who_let_it_through(publish: str, needs: str, kinds: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text(f'{{"publish": "{publish}", "needs_decision": {needs}, "approval": "always"}}')
    standing = standings(record(kind) for kind in kinds)[0].get("r")
    assert approval(tmp_path, standing) == said
    assert approval(tmp_path / "elsewhere", None) == ""


def test_the_command_lists_them(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models(home)
    assert "attention_cf" in capsys.readouterr().out


def test_an_empty_home_has_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models(tmp_path)
    assert "no model yet" in capsys.readouterr().out


@pytest.mark.parametrize("described", [True, False])
def test_a_retired_run_forgets_no_model(home: Path, run: Path, tmp_path: Path, described: bool) -> None:
    """``described`` False: an earlier version's retention removed model.json as well."""
    retired, store = tmp_path / run.name, RunStore(home, write=False)
    before = list(models_of(run, "published", current=False, store=store))
    shutil.copytree(run, retired)
    shutil.rmtree(retired / "histories")
    for path in (retired / "models").rglob("*"):
        if path.is_file() and not (described and path.name == "model.json"):
            path.unlink()
    after = list(models_of(retired, "published", current=False, store=store))
    assert len(after) == 3
    if not described:
        before = [row | {"trained_to": ""} for row in before]
    assert after == before
