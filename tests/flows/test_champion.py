"""A challenger replaces the champion by the rule, and the night goes on with what it publishes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flows import champion
from flows.config import load_config
from flows.evaluate_again import evaluate_again
from flows.learn import train_model
from flows.night import Night
from flows.nightly import nightly
from flows.sections.gate import GateConfig
from tests.flows.small_market import LITTLE_AUDIT

AS_OF = date(2024, 6, 28)


@pytest.mark.parametrize(
    ("rule", "low", "n", "wins"),
    [
        ("above", 0.001, 400, True),
        ("above", 0.0, 400, False),
        ("above", 0.1, 19, False),
        ("above", None, 400, False),
        ("not_worse", -0.004, 400, True),
        ("not_worse", -0.005, 400, False),
    ],
)
def test_the_rule(rule: Any, low: float | None, n: int, wins: bool) -> None:
    assert champion.by_rule(0.01, low, n, GateConfig(challenger=rule)) is wins


def test_which_settings_differ() -> None:
    def settings(**changes: Any) -> dict[str, Any]:
        return champion.settings_of(load_config("smoke", settings=changes))

    assert champion.differing(settings(), settings()) == []
    # What is evaluated beside the published model does not make it another one; nor do limits of the gate.
    assert champion.differing(settings(), settings(**{"train.models": ["attention_cf"], "gate.ease": "block"})) == []
    other = settings(**{"recommend.model": "transformer", "train.epochs": 3, "model.dim": 32})
    assert champion.differing(settings(), other) == ["kind", "model.dim", "train.epochs"]


def tonight(home: Path, folder: Path, **settings: Any) -> Night:
    folder.mkdir(exist_ok=True)
    config = load_config("smoke", settings=settings)
    return Night("2024-06-28-09", folder, AS_OF, config, home, datetime(2024, 6, 29, tzinfo=UTC))


def test_the_same_settings_go_on(home: Path, tmp_path: Path) -> None:
    assert champion.champion_tonight(tonight(home, tmp_path)) is None
    told = json.loads((tmp_path / "evaluation" / "champion.json").read_text())
    assert (told["decision"], told["champion"]["kind"], told["challenger"]) == ("continues", "attention_cf", None)


def test_the_first_publication_has_no_champion(tmp_path: Path) -> None:
    assert champion.champion_tonight(tonight(tmp_path / "home", tmp_path)) is None
    assert json.loads((tmp_path / "evaluation" / "champion.json").read_text())["decision"] == "first"


def test_settings_of_another_version_are_said(home: Path, run: Path, tmp_path: Path) -> None:
    old = tmp_path / "home" / "published" / run.name
    old.mkdir(parents=True)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["config"]["train"]["momentum"] = 0.9
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert champion.champion_tonight(tonight(tmp_path / "home", tmp_path)) is None
    told = json.loads((tmp_path / "evaluation" / "champion.json").read_text())
    assert told["decision"] == "unreadable"
    assert "train.momentum" in told["told"]


def test_a_better_challenger_replaces_and_a_worse_one_is_refused(home: Path, run: Path, tmp_path: Path) -> None:
    """On this market EASE is above the two-epoch attention-CF, in both directions of the challenge."""
    past, snapshot = run / "histories" / "past", run / "snapshot"
    weak, strong = run / "models" / "attention_cf-evaluated", tmp_path / "ease"
    night = tonight(home, tmp_path, **{"train.models": ["ease"], "recommend.model": "ease"})
    train_model(night.config, "ease", past, strong)
    held = champion.champion_tonight(night)
    assert held is not None
    assert (held.run_id, held.config.recommend.model) == (run.name, "attention_cf")

    won, named = champion.challenge(night, snapshot, past, held, weak, {"ease": strong})
    told = json.loads((tmp_path / "evaluation" / "champion.json").read_text())
    assert (told["decision"], told["published"]["kind"]) == ("replaced", "ease")
    assert told["low"] > 0
    # The same paired difference, worked out from the run's own metrics.
    rows = pl.read_parquet(run / "evaluation" / "metrics.parquet").filter(
        (pl.col("segment_kind") == "all") & (pl.col("model") == "attention_cf")
    )
    assert told["gain"] == pytest.approx(-rows["ease_gain"][0], abs=1e-9)
    assert won is night
    assert named == {"ease": strong, "former_champion": weak}

    reigning = champion.Champion("r", night.config)
    challenging = tonight(home, tmp_path)
    models = {"attention_cf": weak, "transformer": run / "models" / "transformer-evaluated"}
    kept, named = champion.challenge(challenging, snapshot, past, reigning, strong, models)
    told = json.loads((tmp_path / "evaluation" / "champion.json").read_text())
    assert (told["decision"], told["published"]["kind"], told["challenger"]["kind"]) == ("refused", "ease", "attention_cf")
    assert kept.config.recommend.model == "ease"
    assert list(named) == ["ease", "transformer", "challenger"]
    assert (named["ease"], named["challenger"]) == (strong, weak)

    # Not shown to be worse by more than the margin is enough where the settings say so.
    lenient = replace(
        challenging, config=load_config("smoke", settings={"gate.challenger": "not_worse", "gate.challenger_margin": 0.9})
    )
    goes_on, _ = champion.challenge(lenient, snapshot, past, reigning, strong, models)
    assert goes_on is lenient


def test_settings_that_change_no_weight_are_no_challenge(home: Path, run: Path, tmp_path: Path) -> None:
    night = tonight(home, tmp_path, **{"train.patience": 5})
    held = champion.champion_tonight(night)
    assert held is not None
    fit = run / "models" / "attention_cf-evaluated"
    goes_on, named = champion.challenge(night, run / "snapshot", run / "histories" / "past", held, fit, {"attention_cf": fit})
    assert goes_on is night
    assert named == {"attention_cf": fit}
    assert json.loads((tmp_path / "evaluation" / "champion.json").read_text())["decision"] == "continues"


def test_a_refused_challenger_changes_nothing_that_is_published(home: Path, run: Path, tmp_path: Path) -> None:
    place = tmp_path / "home"
    shutil.copytree(home / "published" / run.name, place / "published" / run.name)
    shutil.copytree(home / "markets", place / "markets")
    published = nightly("smoke", settings={"train.epochs": 1, **LITTLE_AUDIT}, home=place)
    one, other = (pl.read_parquet(folder / "recommendations.parquet").drop("run_id") for folder in (run, published))
    assert_frame_equal(one, other)
    manifest, gate = (json.loads((published / name).read_text()) for name in ("manifest.json", "gate.json"))
    # What was published is in the manifest's settings; what was asked for is in the gate's record.
    assert manifest["config"]["train"]["epochs"] == 2
    assert gate["champion"]["challenger"]["train"]["epochs"] == 1
    (check,) = [line for line in gate["checks"] if line["id"] == "champion"]
    assert check["outcome"] == "warn"
    assert "train.epochs differ" in check["measured"]
    scored = pl.read_parquet(published / "evaluation" / "metrics.parquet")["model"].unique().to_list()
    assert {"attention_cf", "challenger", "transformer"} <= set(scored)
    assert evaluate_again(published)
