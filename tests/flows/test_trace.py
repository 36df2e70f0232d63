"""The story of one line, for a line that was published, one that a rule removed, and one that was outranked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from data_contracts.errors import RunNotFound
from flows.pseudonyms import known_key, pseudonym
from flows.run_store import RunStore
from flows.show_trace import print_story
from flows.trace import trace


def told(story: dict[str, Any]) -> str:
    console = Console(record=True, width=200, file=io.StringIO())
    print_story(console, story)
    return console.export_text()


@pytest.fixture(scope="module")
def rows(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "recommendations.parquet").filter(pl.col("model_id") == "attention_cf")


def test_a_published_line_from_its_source_rows_to_its_record(home: Path, run: Path, rows: pl.DataFrame) -> None:
    row = rows.row(50, named=True)
    store = RunStore(home, write=False)
    story = trace(store, run.name, row["customer_id"], row["asset_id"])
    assert story["outcome"]["verdict"] == "recommended"
    assert story["outcome"]["rank"] == row["rank"]
    assert story["outcome"]["scored_again"]["score"] == pytest.approx(row["score"], abs=1e-5)
    assert story["outcome"]["scored_again"]["rank"] == row["rank"]
    assert {rule["outcome"] for rule in story["rules"]} <= {"passed", "flagged"}
    # Each source row is that row of the landing file.
    landing = {path.stem: pl.read_parquet(path) for path in next((home / "markets").iterdir()).glob("*.parquet")}
    tables = {place["table"] for place in story["source_rows"]}
    assert {"customers", "assets", "prices", "transactions"} <= tables
    for place in story["source_rows"]:
        assert place["file"] == ("holdings" if place["table"] == "delivered_holdings" else place["table"]) + ".parquet"
        landed = landing[Path(place["file"]).stem].row(place["row"] - 1, named=True)
        if "customer_id" in landed:
            assert landed["customer_id"] == row["customer_id"]
        if place["table"] in ("assets", "prices"):
            assert landed["asset_id"] == row["asset_id"]
    bought = pl.read_parquet(run / "snapshot" / "transactions.parquet").filter(
        (pl.col("customer_id") == row["customer_id"]) & (pl.col("side") == "buy")
    )
    assert sorted(event["asset_id"] for event in story["history"]) == sorted(bought["asset_id"])
    assert sum(weight["weight"] for weight in story["attention"]["attention"]) == pytest.approx(1, abs=1e-4)
    assert [record["number"] for record in story["run"]["records"]] == [1]
    text = told(story)
    for words in (
        f"recommended at rank {row['rank']}",
        "scored again from the stored model",
        "(equal)",
        "transactions.parquet, row ",
        "record 1: published on",
        story["run"]["manifest_sha256"],
        "verdict warn, publish now",
    ):
        assert words in text
    # A pseudonym from a page tells the same story.
    assert trace(store, run.name, pseudonym(known_key(home), row["customer_id"]), row["asset_id"]) == story


def test_a_line_that_a_rule_removed_says_which(home: Path, run: Path) -> None:
    removed = pl.read_parquet(run / "recommendations" / "exclusions.parquet").with_columns(
        pl.col("asset_id", "rule_id").cast(pl.String)
    )
    row = removed.filter(pl.col("rule_id") == "above_risk_profile").row(0, named=True)
    story = trace(RunStore(home, write=False), run.name, row["customer_id"], row["asset_id"])
    assert story["outcome"]["verdict"] == "removed"
    assert "above_risk_profile" in story["outcome"]["by"]
    assert story["outcome"]["scored_again"]["rank"] is None
    assert "not offered: removed by" in told(story)


def test_a_line_that_was_outranked_says_where_it_stands(home: Path, run: Path, rows: pl.DataFrame) -> None:
    folder = run / "recommendations"
    mine = rows.filter(pl.col("rank") == 10).row(0, named=True)
    seen = set(rows.filter(pl.col("customer_id") == mine["customer_id"])["asset_id"])
    seen |= set(
        pl.read_parquet(folder / "exclusions.parquet")
        .filter(pl.col("customer_id") == mine["customer_id"])["asset_id"]
        .cast(pl.String)
    )
    seen |= set(pl.read_parquet(folder / "asset_exclusions.parquet")["asset_id"])
    catalogue = pl.read_parquet(run / "histories" / "present" / "items.parquet")["asset_id"]
    other = next(asset for asset in catalogue if asset not in seen)
    story = trace(RunStore(home, write=False), run.name, mine["customer_id"], other)
    place = story["outcome"]["scored_again"]
    assert story["outcome"]["verdict"] == "outranked"
    assert place["rank"] > 10
    assert place["score"] <= place["last_listed"] == pytest.approx(mine["score"], abs=1e-5)
    assert f"ranked {place['rank']} of {place['eligible']} eligible candidates" in told(story)


def test_a_customer_without_history_is_placed_by_popularity(home: Path, run: Path) -> None:
    cold = pl.read_parquet(run / "recommendations.parquet").filter(pl.col("model_id") == "recent_popularity").row(0, named=True)
    story = trace(RunStore(home, write=False), run.name, cold["customer_id"], cold["asset_id"])
    assert story["outcome"]["scored_again"]["model"] == "recent_popularity"
    assert story["outcome"]["scored_again"]["score"] == pytest.approx(cold["score"])
    assert story["history"] == []


def test_what_the_run_does_not_know_is_said(home: Path, run: Path, rows: pl.DataFrame) -> None:
    store = RunStore(home, write=False)
    with pytest.raises(RunNotFound, match="knows no customer 'nobody'"):
        trace(store, run.name, "nobody", rows["asset_id"][0])
    with pytest.raises(RunNotFound, match="knows no asset 'nothing'"):
        trace(store, run.name, rows["customer_id"][0], "nothing")
