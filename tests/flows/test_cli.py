"""The command line from outside: a process, its exit status and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.flows.small_market import LITTLE_AUDIT

ROOT = Path(__file__).resolve().parents[2]
NIGHTFOLIO = Path(sys.executable).parent / "nightfolio"


def nightfolio(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NIGHTFOLIO_HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run([NIGHTFOLIO, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_help_explains_itself(tmp_path: Path) -> None:
    done = nightfolio("--help", home=tmp_path)
    assert done.returncode == 0
    for command in ("nightly", "train", "evaluate", "explain", "runs", "show", "serve", "settings", "simulate"):
        assert command in done.stdout


def test_the_command_line_starts_without_what_only_some_commands_need() -> None:
    heavy = ("torch", "prefect", "great_expectations", "evidently", "plotly", "pandas", "scipy")
    program = f"import sys, flows.cli; print(*(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_bad_setting_exits_with_2_and_the_fields_name_before_anything_starts(tmp_path: Path) -> None:
    done = nightfolio("nightly", "--set", "train.epoch=3", home=tmp_path / "home")
    assert done.returncode == 2
    assert "train.epoch: no such setting" in done.stderr
    assert "remedy:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()


def test_resume_takes_no_other_settings_and_names_what_is_not_there(tmp_path: Path) -> None:
    done = nightfolio("train", "--resume", "2024-06-28-01", "--set", "train.epochs=3", home=tmp_path)
    assert done.returncode == 2
    assert "--resume goes on with the settings of the run it names" in done.stderr
    done = nightfolio("train", "--resume", "2024-06-28-01", home=tmp_path)
    assert done.returncode == 2
    assert "no run '2024-06-28-01'" in done.stderr
    assert not (tmp_path / "prefect").exists(), "refused before anything starts"


def test_settings_lists_every_field_with_its_bounds(tmp_path: Path) -> None:
    done = nightfolio("settings", home=tmp_path)
    assert "train.epochs" in done.stdout
    assert "Ge(ge=1)" in done.stdout
    assert "source.future_rows" in done.stdout


def test_runs_says_that_there_is_none(tmp_path: Path) -> None:
    done = nightfolio("runs", home=tmp_path)
    assert done.returncode == 0
    assert "no run yet" in done.stdout


def test_a_missing_landing_folder_is_named_and_nothing_is_published(tmp_path: Path) -> None:
    done = nightfolio(
        "nightly", "--preset", "firm", "--source", str(tmp_path / "nowhere"), "--as-of", "2024-06-28", home=tmp_path
    )
    assert done.returncode == 2, done.stderr
    assert "nowhere does not exist" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "published" / "CURRENT").exists()
    shown = nightfolio("show", "2024-06-28-01", home=tmp_path)
    assert "failed at ingest" in shown.stdout


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with one smoke night run by the command, without any server configured, and what it printed."""
    home = tmp_path_factory.mktemp("cli")
    settings = [word for name, value in LITTLE_AUDIT.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    done = nightfolio("nightly", "--preset", "smoke", *settings, home=home)
    assert done.returncode == 0, done.stderr[-3000:]
    return home, done.stdout


def test_a_night_ends_by_saying_what_it_did_and_where(published: tuple[Path, str]) -> None:
    home, printed = published
    assert "as of 2024-06-28" in printed
    assert "customers got" in printed
    for model in ("popularity", "ease", "attention_cf", "transformer"):
        assert model in printed
    assert "gain over EASE" in printed
    assert "attention_cf does not beat EASE" in printed
    assert "have fewer than 50 (the minimum is 50 to 100)" in printed
    for name in ("recommendations.csv", "recommendations.parquet", "evidence/index.html"):
        path = home / "published" / "2024-06-28-01" / name
        assert str(path) in printed.replace("\n", "")
        assert path.exists()


def test_show_runs_evaluate_and_explain_read_the_run(published: tuple[Path, str]) -> None:
    home, _ = published
    assert "<- CURRENT" in nightfolio("runs", home=home).stdout
    shown = nightfolio("show", home=home).stdout
    assert "quarantined" in shown
    assert "train attention_cf (published)" in shown
    again = nightfolio("evaluate", home=home)
    assert again.returncode == 0, again.stderr
    assert "scored again from the stored weights: equal to the recorded metrics" in again.stdout
    assert "risk_level balanced" in again.stdout
    assert "NDCG@10 by band" in again.stdout
    rows = pl.read_parquet(home / "published" / "CURRENT" / "recommendations.parquet").filter(
        pl.col("model_id") == "attention_cf"
    )
    customer = rows["customer_id"][0]
    told = nightfolio("explain", customer, home=home).stdout
    assert customer in told
    assert rows.filter(pl.col("customer_id") == customer)["asset_id"][0] in told
    assert rows.filter(pl.col("customer_id") == customer)["reason"][0] in told.replace("\n", " ")
    assert "candidates removed: the customer holds the asset (held)" in told
    unknown = nightfolio("explain", "nobody", home=home)
    assert unknown.returncode == 2
    assert "knows no customer 'nobody'" in unknown.stderr
