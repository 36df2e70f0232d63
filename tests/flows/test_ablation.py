"""The ablation and the consistency of attention, in the night and ad hoc."""

from __future__ import annotations

import io
import json
import re
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from data_contracts.errors import ConfigError, TrainingError
from data_contracts.storage import file_sha256
from flows import ablation, consistency
from flows.ablate import ablate, fits
from flows.ablate_command import budget
from flows.ablation import REFERENCE, Fit
from flows.config import RunConfig, load_config
from flows.run_store import RunStore
from flows.show_runs import print_run, print_runs
from lightning_modules.ablations import ABLATIONS
from lightning_modules.histories import Histories

CUT, AS_OF = date(2024, 2, 29), date(2024, 6, 28)


def config(**audit: object) -> RunConfig:
    settings = {"audit.epochs": 1, "audit.sample": 60, "threads": 1, **{f"audit.{name}": value for name, value in audit.items()}}
    return load_config("smoke", settings=settings)


def measured(settings: RunConfig, run: Path, out: Path) -> pl.DataFrame:
    past, shared = run / "histories" / "past", out / "fits"
    learnt = ablation.prepare(settings, run / "snapshot", past, CUT, AS_OF, shared)
    for one in ablation.planned(settings):
        ablation.fit_and_ask(settings, one, learnt, past, shared, 1)
    return pl.read_parquet(ablation.write_tables(settings, learnt, shared, out))


def test_the_night_leaves_both_tables_and_shows_them(run: Path) -> None:
    table = pl.read_parquet(run / "audit" / "ablation.parquet")
    (row,) = table.to_dicts()
    assert (row["model"], row["variant"], row["applies"]) == ("attention_cf", "uniform_attention", True)
    metrics = pl.read_parquet(run / "evaluation" / "metrics.parquet").filter(pl.col("segment_kind") == "all")
    asked = metrics.filter(pl.col("model") == "attention_cf").row(0, named=True)
    # The smoke night's sample is everybody and its budget the fit's own: the reference is the evaluated model again.
    assert row["n_customers"] == asked["n_customers"]
    assert row["reference_ndcg"] == pytest.approx(asked["ndcg_at_10"])
    assert row["drop_low"] <= row["drop"] <= row["drop_high"]
    alike = pl.read_parquet(run / "audit" / "consistency.parquet")
    assert alike.schema == pl.Schema(consistency.SCHEMA)
    assert set(alike["support"]) == {"asset", "sector", "asset_class"}
    assert set(alike["segment_kind"]) == {"all", "customer_type", "risk_level"}
    assert alike["seed_jsd"].null_count() == 0
    text = (run / "evidence" / "index.html").read_text(encoding="utf-8")
    assert row["said"] in text
    assert "Do similar customers have similar attention?" in text
    manifest = json.loads((run / "manifest.json").read_text())
    assert {"audit/ablation.parquet", "audit/consistency.parquet"} <= {entry["path"] for entry in manifest["outputs"]}


def test_a_sample_is_learnt_from_and_everybody_is_asked(run: Path, tmp_path: Path) -> None:
    table = measured(config(seeds=2, ablations=["no_attention", "no_positions"]), run, tmp_path)
    pooled, positions = table.to_dicts()
    asked = pl.read_parquet(run / "evaluation" / "attention_cf.relevant.parquet")["customer"].n_unique()
    assert (pooled["sample"], pooled["epochs"], pooled["seeds"], pooled["n_customers"]) == (60, 1, 2, asked)
    assert Histories.open(tmp_path / "fits" / "sample").n_customers == 60
    assert pooled["seed_low"] <= pooled["drop"] <= pooled["seed_high"]
    assert positions["verdict"] == "not_applicable"
    assert positions["applies"] is False
    assert "no positions" in positions["said"]
    again = measured(config(seeds=2, ablations=["no_attention", "no_positions"]), run, tmp_path / "again")
    assert_frame_equal(again, table)


def test_a_variant_that_does_not_change_the_fit_costs_nothing(run: Path, tmp_path: Path) -> None:
    # One step of warm-up reaches the peak at once: nothing differs, and the table says so.
    table = measured(config(ablations=["no_warmup"], sample=20), run, tmp_path)
    (row,) = table.to_dicts()
    assert row["drop"] == 0
    assert row["verdict"] == "does_not_help"
    assert "the same with it and without" in row["note"]


def test_a_fit_that_fails_is_told_and_does_not_stop_the_night(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(ablations=["uniform_attention"])
    fitted = ablation.fit

    def explode(spec: object, *arguments: object, **options: object) -> object:
        if getattr(spec, "attention", "") == "uniform":
            raise TrainingError("the loss became nan at step 3", remedy="lower base_lr")
        return fitted(spec, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ablation, "fit", explode)
    (row,) = measured(settings, run, tmp_path).to_dicts()
    assert row["verdict"] == "did_not_train"
    assert "the loss became nan" in row["said"]
    monkeypatch.setattr(ablation, "fit", lambda *_: (_ for _ in ()).throw(TrainingError("no events", remedy="")))
    (row,) = measured(settings, run, tmp_path / "again").to_dicts()
    assert row["verdict"] == "not_measured"
    assert "the reference could not be fitted: no events" in row["said"]


def test_what_is_planned() -> None:
    assert ablation.planned(config(models=["ease"])) == []
    assert [one.name for one in ablation.planned(config(ablations=["no_positions", "no_warmup"]))] == [
        "attention_cf-reference-42",
        "attention_cf-no_warmup-42",
    ]
    two = fits(config(ablations=["no_warmup"]))
    assert two[-1] == Fit("attention_cf", REFERENCE, 43)  # for the consistency
    assert Fit("attention_cf", REFERENCE, 43) not in fits(config(ablations=["no_warmup"], second_seed=False))
    with pytest.raises(ConfigError, match=r"audit\.ablations"):
        config(ablations=["no_sense"])


def test_a_model_of_its_customers_is_not_asked_about_others(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bpr_mf belong to customers"):
        measured(config(models=["bpr_mf"], ablations=["no_warmup"]), run, tmp_path)


def test_a_model_that_names_no_holdings_has_no_consistency(run: Path, tmp_path: Path) -> None:
    path = consistency.measure(config(), "popularity", run, None, run / "histories" / "past", tmp_path)
    assert pl.read_parquet(path).is_empty()


def test_the_flags_stand_above_the_settings_and_the_whole_budget_is_the_default() -> None:
    assert budget({}, None, None, None, None, None) == {
        "audit.ablations": tuple(ABLATIONS),
        "audit.sample": 0,
        "audit.epochs": 0,
    }
    found = budget({"audit.epochs": 5, "seed": 1}, ["no_warmup"], ["transformer"], 2, 100, None)
    assert found == {
        "seed": 1,
        "audit.ablations": ("no_warmup",),
        "audit.models": ("transformer",),
        "audit.seeds": 2,
        "audit.sample": 100,
        "audit.epochs": 5,
    }


def test_the_ad_hoc_flow_keeps_its_tables_and_its_models(home: Path) -> None:
    settings = {"audit.ablations": ["shuffled_order"], "audit.sample": 0, "audit.epochs": 1, "threads": 1}
    run = ablate("smoke", settings=settings, home=home, workers=2)
    assert run.parent.name == "trained"
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["kind"] == "ablation"
    listed = {entry["path"]: entry["sha256"] for entry in manifest["outputs"]}
    for path in ("audit/ablation.parquet", "audit/consistency.parquet", "ablations/attention_cf-shuffled_order-42/model.json"):
        assert listed[path] == file_sha256(run / path)
    (row,) = pl.read_parquet(run / "audit" / "ablation.parquet").to_dicts()
    assert row["variant"] == "shuffled_order"
    assert pl.read_parquet(run / "audit" / "consistency.parquet")["seed_jsd"].null_count() == 0
    model = json.loads((run / "ablations" / "attention_cf-shuffled_order-42" / "model.json").read_text())
    assert model["settings"]["order"] == "shuffled"
    assert not (run / "resume.json").exists()
    # The other commands know what it is.
    console = Console(width=200, record=True, file=io.StringIO())
    print_runs(console, RunStore(home))
    print_run(console, run)
    told = console.export_text()
    assert re.search(rf"{run.name}\s+trained\s+attention_cf\s+ablation", told)
    assert re.search(r"shuffled_order\s+0\.\d{4}", told)
    assert "Do similar customers have similar attention?" in told
