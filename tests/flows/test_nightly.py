"""The whole night on the smallest market, through the real engine, and what it leaves on disk."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from data_contracts.errors import ContractBlocked, LandingError, LookAheadError, TrainingError
from data_contracts.storage import file_sha256
from flows.config import RunConfig, load_config
from flows.histories import build_histories
from flows.ingest import simulated_folder
from flows.learn import train_model
from flows.nightly import nightly
from flows.recommend import recommend
from flows.recorded_rules import recorded_rules
from flows.run_store import RunStore
from lightning_modules.settings import ModelKind
from tests.flows.small_market import LITTLE_AUDIT

AS_OF = date(2024, 6, 28)


def test_the_manifest_lists_every_file_with_its_hash(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    listed = {entry["path"]: entry["sha256"] for entry in manifest["outputs"]}
    on_disk = {file.relative_to(run).as_posix(): file_sha256(file) for file in run.rglob("*") if file.is_file()}
    on_disk.pop("manifest.json")
    assert listed == on_disk
    assert {entry["table"] for entry in manifest["inputs"]} >= {
        "customers",
        "assets",
        "prices",
        "transactions",
    }
    assert manifest["code"]["source_sha256"]
    assert manifest["packages"]["torch"].startswith("2.13.0")
    assert not (run / "work").exists()


def golden_facts(folder: Path) -> dict[str, Any]:
    """What a run's result comes down to: exact counts and hashes, and metrics that may move in the third digit."""
    verdicts = json.loads((folder / "contracts" / "verdicts.json").read_text())
    metrics = pl.read_parquet(folder / "evaluation" / "metrics.parquet").filter(pl.col("segment_kind") == "all")
    rows = pl.read_parquet(folder / "recommendations.parquet")
    return {
        "accepted": {verdict["table"]: verdict["accepted"] for verdict in verdicts},
        "histories": {name: file_sha256(folder / "histories" / name / "events.arrow") for name in ("past", "present")},
        "customers": rows["customer_id"].n_unique(),
        "recommendations": rows.height,
        "ndcg_at_10": {model: round(value, 4) for model, value in metrics.select("model", "ndcg_at_10").iter_rows()},
    }


def test_the_golden_run(run: Path) -> None:
    golden = json.loads((Path(__file__).parents[1] / "golden" / "smoke.json").read_text())
    facts = golden_facts(run)
    # Trained weights differ in their last bits between kinds of processor; nothing else may.
    for model, value in golden.pop("ndcg_at_10").items():
        assert facts["ndcg_at_10"][model] == pytest.approx(value, abs=0.02)
    assert facts["ndcg_at_10"]["popularity"] == pytest.approx(0.276, abs=1e-4)
    assert facts["ndcg_at_10"]["ease"] == pytest.approx(0.3224, abs=1e-3)
    assert {name: facts[name] for name in golden} == golden


def test_the_evidence_says_what_is_not_above_ease_and_how_much_data_there_is(run: Path) -> None:
    text = (run / "evidence" / "index.html").read_text(encoding="utf-8")
    metrics = pl.read_parquet(run / "evaluation" / "metrics.parquet").filter(pl.col("segment_kind") == "all")
    assert metrics["model"].to_list()[:2] == ["popularity", "ease"]
    assert "Accuracy against EASE" in text
    assert "below EASE" in text
    bands = pl.read_parquet(run / "evaluation" / "sufficiency.parquet")
    assert bands["customers"].sum() == pl.read_parquet(run / "histories" / "past" / "customers.parquet").height
    assert "the minimum is 50 to 100" in text


def test_rows_are_conserved(run: Path) -> None:
    verdicts = json.loads((run / "contracts" / "verdicts.json").read_text())
    for verdict in verdicts:
        assert verdict["read"] == verdict["accepted"] + verdict["quarantined"], verdict["table"]
        assert verdict["landed"] == verdict["read"] + verdict["withheld"], verdict["table"]


def test_nobody_is_offered_what_the_rules_forbid(run: Path) -> None:
    # Worked out again from the published tables, by other code than the one that applied the rules.
    rows = pl.read_parquet(run / "recommendations.parquet")
    assert rows.height > 0
    assert rows.group_by("customer_id").len()["len"].max() <= 10
    holdings = pl.read_parquet(run / "snapshot" / "holdings.parquet")
    assert rows.join(holdings, on=["customer_id", "asset_id"], how="semi").is_empty()
    restricted = pl.read_parquet(run / "snapshot" / "restricted.parquet").filter(
        (pl.col("list_kind") == "restricted")
        & (pl.col("valid_from") <= AS_OF)
        & (pl.col("valid_to").is_null() | (pl.col("valid_to") >= AS_OF))
    )
    assert restricted.height > 0
    assert rows.join(restricted, on="asset_id", how="semi").is_empty()
    newest = pl.read_parquet(run / "snapshot" / "prices.parquet").group_by("asset_id").agg(pl.col("date").max())
    fresh = newest.filter(pl.col("date") >= AS_OF - timedelta(days=7))
    assert rows.join(fresh, on="asset_id", how="anti").is_empty()
    limit = pl.col("risk_level").replace_strict(
        {"conservative": 1, "income": 2, "balanced": 3, "aggressive": 4, "not_available": 9},
        return_dtype=pl.Int8,
    )
    assert rows.filter(pl.col("asset_risk") > limit).is_empty()
    assert rows["risk_level"].n_unique() > 2


def test_every_published_row_was_checked_again_and_the_rules_of_the_night_are_kept(run: Path) -> None:
    report = json.loads((run / "recommendations" / "recheck.json").read_text(encoding="utf-8"))
    assert report["rows_checked"] == pl.read_parquet(run / "recommendations.parquet").height
    assert report["n_violations"] == 0
    assert report["sha256"] == file_sha256(run / "recommendations.csv")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert recorded_rules(run) == RunConfig.model_validate(manifest["config"]).suitability
    (check,) = [check for check in json.loads((run / "gate.json").read_text())["checks"] if check["id"] == "suitability"]
    assert check["outcome"] == "pass"


def test_every_candidate_is_offered_removed_or_outranked(run: Path) -> None:
    rows = pl.read_parquet(run / "recommendations.parquet")
    folder = run / "recommendations"
    everyone = pl.read_parquet(folder / "asset_exclusions.parquet")["asset_id"].n_unique()
    removed = pl.read_parquet(folder / "exclusions.parquet")
    catalogue = pl.read_parquet(run / "histories" / "present" / "items.parquet").height
    personal = removed.group_by("customer_id").agg(pl.col("asset_id").n_unique().alias("removed"))
    short = rows.group_by("customer_id").len().filter(pl.col("len") < 10).join(personal, on="customer_id", how="left")
    # Whoever got fewer than ten had no other eligible candidate left.
    assert (short["len"] + short["removed"].fill_null(0) + everyone == catalogue).all()


@pytest.mark.parametrize(
    ("kind", "speaks", "words"),
    [
        ("ease", "contribution", "The score comes from the customer's purchases of"),
        ("markov", "contribution", "The score comes from the customer's purchases of"),
        ("signal_attention", "partial contribution", "; what other customers buy and the profile count besides."),
        ("popularity", "popularity", "One of the assets allowed for this customer that most customers bought."),
        ("bpr_mf", "none", "Customers with similar purchases bought it; this model reads no single purchase."),
        ("gru4rec", "leave_one_out", "This recommendation depends most on the customer's"),
    ],
)
def test_every_kind_of_baseline_says_what_its_recommendations_rest_on(
    kind: ModelKind, speaks: str, words: str, run: Path, tmp_path: Path
) -> None:
    settings = {"train.models": [kind], "recommend.model": kind}
    config = load_config("smoke", settings=settings)
    train_model(config, kind, run / "histories" / "present", tmp_path / "model")
    recommend(config, "r", AS_OF, run / "snapshot", run / "histories" / "present", tmp_path / "model", tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out" / "recommendations.parquet").filter(pl.col("model_id") == kind)
    assert rows.height > 1000
    assert rows["explanation"][0].startswith(speaks)
    assert words in rows["reason"][0]
    attention = pl.read_parquet(tmp_path / "out" / "attention.parquet")
    proof = json.loads((tmp_path / "out" / "faithfulness.json").read_text())
    assert attention.is_empty() == ("contribution" not in speaks)
    assert proof["method"] == ("none" if speaks == "popularity" else speaks)
    assert (tmp_path / "out" / "leave_one_out.parquet").exists() == (speaks == "leave_one_out")
    if speaks in ("none", "popularity"):
        assert rows["reason_assets"].null_count() == rows.height
        assert proof["n_pairs"] == 0
        return
    # The first named purchase is the reason more often than a random one.
    assert proof["better_than_random"]
    assert rows.filter(pl.col("explanation") == f"{speaks}, better than random erasure").height > 1000
    assert (rows["reason_weights"].list.sum().drop_nulls() <= 1.0002).all()


def test_a_night_on_popularity_is_published_and_shows_no_attention(home: Path, prefect_engine: None, tmp_path: Path) -> None:
    settings = {"train.models": ["popularity"], "recommend.model": "popularity"}
    folder = nightly("smoke", settings=settings, home=tmp_path)
    text = (folder / "evidence" / "index.html").read_text(encoding="utf-8")
    assert "the published model (popularity) does not look at single purchases of a customer" in text
    assert "closed form: no steps" in text


def test_a_customer_with_no_history_is_served_and_told_so(run: Path) -> None:
    customers = pl.read_parquet(run / "histories" / "present" / "customers.parquet").filter(pl.col("n_buys") == 0)
    rows = pl.read_parquet(run / "recommendations.parquet").join(customers, on="customer_id", how="semi")
    assert rows.height > 0
    assert rows["model_id"].unique().to_list() == ["recent_popularity"]
    assert rows["reason"].str.starts_with("No purchase history yet").all()


def test_portfolio_attention_serves_customers_without_history_and_says_which_features_spoke(run: Path, tmp_path: Path) -> None:
    settings = {"train.models": ["portfolio_attention"], "recommend.model": "portfolio_attention", "recommend.k": 3}
    config = load_config("smoke", settings=settings)
    present = run / "histories" / "present"
    train_model(config, "portfolio_attention", present, tmp_path / "model")
    out = recommend(config, "a-run", AS_OF, run / "snapshot", present, tmp_path / "model", tmp_path / "out")
    rows = pl.read_parquet(out / "recommendations.parquet")
    cold = pl.read_parquet(present / "customers.parquet").filter(pl.col("n_buys") == 0)
    served = rows.join(cold, on="customer_id", how="semi")
    assert rows["model_id"].unique().to_list() == ["portfolio_attention"]
    assert served["explanation"].unique().to_list() == ["profile"]
    assert served["reason"].str.contains("ranked by what this customer's profile says").all()
    spoke = pl.read_parquet(out / "features.parquet").group_by("customer", "candidate").agg(pl.col("weight").sum(), pl.len())
    assert spoke.height == rows.height
    assert spoke["weight"].to_numpy() == pytest.approx(1, abs=1e-5)
    assert json.loads((out / "feature_faithfulness.json").read_text())["n_pairs"] > 0
    assert {"sector", "class", "risk", "momentum", "buyers"} <= set(pl.read_parquet(out / "features.parquet")["feature"])
    assert rows["reason_features"].list.len().min() == 3
    assert (
        rows["reason"]
        .str.contains(r"Of what the model reads of it, .* \(\d+ %\), .* \(\d+ %\) and .* \(\d+ %\) count most\.$")
        .all()
    )


def test_no_cell_of_the_csv_begins_a_formula(run: Path) -> None:
    with (run / "recommendations.csv").open(newline="", encoding="utf-8") as handle:
        cells = list(csv.reader(handle))
    assert len(cells) == pl.read_parquet(run / "recommendations.parquet").height + 1
    for row in cells:
        for cell in row:
            assert not cell.startswith(("=", "+", "@", "\t", "\r")), cell
            assert not cell.startswith("-") or float(cell) < 0


def test_the_evidence_opens_from_disk_alone(run: Path) -> None:
    pages = list((run / "evidence").glob("*.html"))
    assert {"index.html", "contracts.html"} <= {page.name for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loads = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)\s*=\s*[\"']?(?:https?:)?//[^\s\"'>]+", text)
        assert not loads, (page.name, loads)


def test_no_customer_id_reaches_the_pages(run: Path) -> None:
    ids = pl.read_parquet(run / "snapshot" / "customers.parquet")["customer_id"].unique().to_list()
    for page in (run / "evidence").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not [one for one in ids if one in text], page.name


def test_a_second_night_compares_with_the_first_and_gives_the_same_recommendations(home: Path, run: Path) -> None:
    second = nightly("smoke", home=home)
    assert int(second.name[11:]) > int(run.name[11:])
    assert (second / "evidence" / "drift_trades.html").exists()
    assert json.loads((second / "manifest.json").read_text())["previous"] == {
        "run_id": run.name,
        "manifest_sha256": file_sha256(run / "manifest.json"),
    }
    one, other = (pl.read_parquet(folder / "recommendations.parquet").drop("run_id") for folder in (run, second))
    assert_frame_equal(one, other)
    # The same seed: the same metrics, to the bit.
    metrics = "evaluation/metrics.parquet"
    assert file_sha256(run / metrics) == file_sha256(second / metrics)


def _copy_with(folder: Path, into: Path, change: Callable[[str, pl.DataFrame], pl.DataFrame]) -> Path:
    into.mkdir()
    for file in folder.glob("*.parquet"):
        change(file.stem, pl.read_parquet(file)).write_parquet(into / file.name)
    return into


def _future(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Adds, for every dated table, a copy of its last rows dated after as_of, with other values."""
    column = {"transactions": "date", "prices": "date", "customers": "valid_from"}.get(name)
    if column is None:
        return frame
    later = frame.tail(20).with_columns(pl.lit(AS_OF + timedelta(days=3)).alias(column))
    if name == "prices":
        later = later.unique("asset_id").with_columns(pl.col("close") * 3)
    return pl.concat([frame, later])


SMALL = {
    "model.dim": 16,
    "model.blocks": 1,
    "model.holders": 8,
    "train.epochs": 1,
    "evaluate.horizon_days": 120,
    "gate.popularity": "warn",
    **LITTLE_AUDIT,
}


def test_a_planted_future_row_makes_the_night_fail(home: Path, tmp_path: Path, prefect_engine: None) -> None:
    market = simulated_folder(load_config("smoke").simulation, home)
    source = _copy_with(market, tmp_path / "landing", _future)
    with pytest.raises(ContractBlocked, match=r"transactions \(transactions.parquet\): 20 rows are dated after as_of 2024-06-28"):
        nightly("firm", source, AS_OF, SMALL, tmp_path / "home")
    store = RunStore(tmp_path / "home")
    assert store.current() is None
    assert [entry.state for entry in store.runs()] == ["failed"]


def test_a_customer_whose_profile_is_in_quarantine_is_offered_nothing(home: Path, tmp_path: Path, prefect_engine: None) -> None:
    market = simulated_folder(load_config("smoke").simulation, home)
    customers = pl.read_parquet(market / "customers.parquet").filter(pl.col("risk_level") == "conservative")
    misspelt = customers["customer_id"].unique().sort().head(3).to_list()

    def misspell(name: str, frame: pl.DataFrame) -> pl.DataFrame:
        if name != "customers":
            return frame
        wrong = pl.col("customer_id").is_in(misspelt)
        return frame.with_columns(pl.when(wrong).then(pl.lit("Konservativ")).otherwise("risk_level").alias("risk_level"))

    folder = nightly("firm", _copy_with(market, tmp_path / "landing", misspell), AS_OF, SMALL, tmp_path / "home")
    rows = pl.read_parquet(folder / "recommendations.parquet")
    assert rows.height > 0
    assert rows.filter(pl.col("customer_id").is_in(misspelt)).is_empty()
    kept = pl.read_parquet(folder / "recommendations" / "customer_exclusions.parquet")
    assert set(misspelt) & set(kept["customer_id"]) == set(kept["customer_id"])
    assert kept["rule_id"].unique().to_list() == ["no_profile"]


def test_a_future_row_in_the_snapshot_stops_the_histories(run: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for file in (run / "snapshot").glob("*.parquet"):
        frame = pl.read_parquet(file)
        if file.stem == "prices":
            frame = pl.concat([frame, frame.tail(1).with_columns(date=pl.lit(AS_OF + timedelta(days=1)))])
        frame.write_parquet(snapshot / file.name)
    with pytest.raises(LookAheadError, match=r"prices"):
        build_histories(snapshot, AS_OF, load_config("smoke").histories, AS_OF, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda folder: (folder / "prices.parquet").unlink(), LandingError, "prices"),
        (
            lambda folder: _rewrite(folder / "transactions.parquet", lambda frame: frame.drop("side")),
            LandingError,
            "side",
        ),
        (
            lambda folder: _rewrite(folder / "transactions.parquet", lambda frame: frame.head(0)),
            ContractBlocked,
            "transactions",
        ),
        (lambda folder: _truncate(folder / "transactions.parquet"), LandingError, "transactions.parquet"),
    ],
    ids=["missing file", "missing column", "empty table", "truncated parquet"],
)
def test_bad_landing_files_stop_the_night_with_a_message(
    home: Path,
    tmp_path: Path,
    prefect_engine: None,
    change: Callable[[Path], object],
    error: type[Exception],
    message: str,
) -> None:
    market = simulated_folder(load_config("smoke").simulation, home)
    source = _copy_with(market, tmp_path / "landing", lambda _, frame: frame)
    change(source)
    with pytest.raises(error, match=message):
        nightly("firm", source, AS_OF, SMALL, tmp_path / "home")
    store = RunStore(tmp_path / "home")
    assert store.current() is None
    assert [entry.state for entry in store.runs()] == ["failed"]


def test_an_as_of_before_the_data_is_said(home: Path, tmp_path: Path, prefect_engine: None) -> None:
    market = simulated_folder(load_config("smoke").simulation, home)
    with pytest.raises((ContractBlocked, TrainingError), match=r"2010-01-01|no rows|0 rows"):
        nightly("firm", market, date(2010, 1, 1), {**SMALL, "source.future_rows": "withhold"}, tmp_path / "home")
    assert RunStore(tmp_path / "home").current() is None


def _rewrite(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    change(pl.read_parquet(path)).write_parquet(path)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_the_dial_lists_for_profit_and_says_so(run: Path, tmp_path: Path) -> None:
    def listed(dial: float) -> pl.DataFrame:
        config = load_config("smoke", settings={"recommend.dial": dial})
        present, model = run / "histories" / "present", run / "models" / "attention_cf-published"
        out = recommend(config, run.name, AS_OF, run / "snapshot", present, model, tmp_path / str(dial))
        return pl.read_parquet(out / "recommendations.parquet")

    preferred, mixed = listed(0.0), listed(0.9)
    assert set(preferred["listed_for"]) == {"preference"}
    for_profit = mixed.filter(pl.col("listed_for") == "profit")
    assert for_profit.height > 0
    assert for_profit["reason"].str.starts_with("Listed for its expected return, ").all()
    # Nothing is offered for profit that would have been listed anyway, and the order is still that of preference.
    assert for_profit.join(preferred, on=["customer_id", "asset_id"], how="semi").height == 0
    assert (mixed.sort("customer_id", "rank").group_by("customer_id").agg((pl.col("score").diff() <= 0).all())["score"]).all()
    # The rules come first: what profit brings in was removed for nobody.
    removed = pl.read_parquet(tmp_path / "0.9" / "exclusions.parquet").with_columns(pl.col("asset_id").cast(pl.String))
    assert for_profit.join(removed, on=["customer_id", "asset_id"], how="semi").height == 0
    assert mixed.filter(pl.col("listed_for") == "profit")["profit_view"].mean() > preferred["profit_view"].mean()  # type: ignore[operator]
