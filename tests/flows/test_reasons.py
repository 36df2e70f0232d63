"""Reasons: true to the row beside them, by the method that passed its proof, and held against the planted truth."""

from __future__ import annotations

import csv
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data_contracts.simulated_truth import driven_purchases, liked_sectors, planted_ties
from flows.config import load_config
from flows.explain import Explanation
from flows.ingest import simulated_folder
from flows.planted import _share
from flows.reasons import reason_columns
from flows.recommend import recommend
from flows.sentences import FEATURES, Method
from tests.flows.test_sentences import spoken

AS_OF = date(2024, 6, 28)


def says(said: str, weight: float) -> bool:
    if said == "under 1 %":
        return 0 < weight < 0.005
    if said == "over 99 %":
        return 0.995 <= weight < 1
    return abs(int(said.removesuffix(" %")) - weight * 100) <= 0.5 + 1e-9


def test_every_sentence_says_what_its_row_says(run: Path) -> None:
    rows = pl.read_parquet(run / "recommendations.parquet")
    items = pl.read_parquet(run / "histories" / "present" / "items.parquet")
    names = dict(items.select("asset_id", "asset_name").iter_rows())
    holdings = pl.read_parquet(run / "snapshot" / "holdings.parquet").select("customer_id", "asset_id", "status")
    status = {(customer, asset): state for customer, asset, state in holdings.iter_rows()}
    method = json.loads((run / "recommendations" / "faithfulness.json").read_text())["method"]
    warm, featured = 0, 0
    for row in rows.iter_rows(named=True):
        read = spoken(row["reason"])
        assert len(read) == len(row["reason_assets"] or [])
        assert row["reason"].endswith(".")
        assert "  " not in row["reason"]
        counted = re.search(r"Among features, (.+) counts? most, each hidden in turn\.$", row["reason"])
        said = re.findall(r"(?:^|, | and )([^,(]+?) \(([^)]*)\)", counted[1]) if counted else []
        assert [name for name, _ in said] == [FEATURES.get(name, name) for name in row["reason_features"] or []]
        for (_, words), weight in zip(said, row["reason_feature_weights"] or [], strict=True):
            assert says(words, weight)
        featured += bool(said)
        if not read:
            assert row["explanation"] in ("popularity", f"{method}, better than random erasure")
            continue
        warm += 1
        assert row["explanation"] == f"{method}, better than random erasure"
        assert row["reason_weights"] == sorted(row["reason_weights"], reverse=True)
        assert sum(row["reason_weights"]) <= 1.0002
        for (name, inside), asset, weight in zip(read, row["reason_assets"], row["reason_weights"], strict=True):
            said, _, sold = inside.partition(", ")
            assert name == names[asset]
            assert says(said, weight), (said, weight)
            assert (sold == "since sold") == (status[row["customer_id"], asset] == "closed")
        rest = re.search(r"(?:share|other has) ((?:under |over )?\d+ %)", row["reason"])
        if rest:
            assert says(rest[1], max(round(1 - sum(row["reason_weights"]), 4), 1e-4))
        else:
            assert sum(row["reason_weights"]) == pytest.approx(1, abs=3e-4)
    assert warm > 1500
    assert featured > 1500


def test_the_csv_holds_the_same_lists(run: Path) -> None:
    rows = pl.read_parquet(run / "recommendations.parquet")
    with (run / "recommendations.csv").open(newline="", encoding="utf-8-sig") as handle:
        for line, row in zip(csv.DictReader(handle), rows.iter_rows(named=True), strict=True):
            assert line["reason_assets"] == "; ".join(row["reason_assets"] or [])
            assert line["reason_features"] == "; ".join(row["reason_features"] or [])


@pytest.mark.parametrize("setting", ["attention", "leave_one_out", "auto"])
def test_the_explanation_is_the_one_asked_for_or_the_one_that_passed(setting: str, run: Path, tmp_path: Path) -> None:
    config = load_config("smoke", settings={"explain.explanation": setting})
    model = run / "models" / "attention_cf-published"
    out = recommend(config, "r", AS_OF, run / "snapshot", run / "histories" / "present", model, tmp_path)
    proof = json.loads((out / "faithfulness.json").read_text())
    passed = proof["methods"]["attention"]["better_than_random"]
    expected = setting if setting != "auto" else ("attention" if passed else "leave_one_out")
    assert proof["method"] == expected
    verdict = proof["methods"][expected]["better_than_random"]
    rows = pl.read_parquet(out / "recommendations.parquet").filter(pl.col("reason_assets").is_not_null())
    assert rows["explanation"].unique().to_list() == [f"{expected}, {'better' if verdict else 'NOT better'} than random erasure"]
    assert rows["reason"].str.contains("was not shown to be better than chance").all() == (not verdict)
    assert (out / "leave_one_out.parquet").exists() == (expected == "leave_one_out")
    # The weights are there whatever is published: pictures and the proof speak of them.
    assert pl.read_parquet(out / "attention.parquet").height > 1000
    assert set(pl.read_parquet(out / "faithfulness.parquet")["method"]) >= {"attention", "leave_one_out", "random", "recent"}


def explained(rows: list[tuple[int, int, int, float]], method: Method = "attention", faithful: bool = True) -> pl.DataFrame:
    """Reasons of (customer, candidate, item, weight), with assets named A, B, ... and A sold."""
    weights = pl.DataFrame(
        rows, schema={"customer": pl.Int32, "candidate": pl.Int32, "item": pl.Int32, "weight": pl.Float32}, orient="row"
    )
    items = pl.DataFrame(
        {"item": pl.Series(range(1, 7), dtype=pl.Int32), "asset_id": list("abcdef"), "asset_name": list("ABCDE") + ["F, Inc."]}
    )
    customers = pl.DataFrame({"customer": pl.Series([0, 1], dtype=pl.Int32), "customer_id": ["u", "v"]})
    holdings = pl.DataFrame({"customer_id": ["u", "u"], "asset_id": ["a", "b"], "status": ["closed", "held"]})
    return reason_columns(Explanation(method, weights, None, faithful), items, customers, holdings)


def test_reasons_of_a_literal_table() -> None:
    found = explained(
        [(0, 6, 1, 0.6), (0, 6, 2, 0.3996), (0, 6, 3, 0.0004), (0, 5, 2, 0.0), (1, 1, 6, 1.0), (1, 2, 6, 1.0)]
        + [(1, 3, item, 0.2) for item in (1, 2, 4, 5, 6)]
    )
    assert found.select("customer", "item", "reason", "reason_assets", "reason_weights").rows() == [
        (
            0,
            6,
            "For this recommendation the model looked most at the customer's purchases of “A” (60 %, since sold), “B” (40 %) "
            "and “C” (under 1 %).",
            ["a", "b", "c"],
            [0.6, 0.3996, 0.0004],
        ),
        (1, 1, "For this recommendation the model looked most at the customer's only purchase, “F, Inc.” (100 %).", ["f"], [1.0]),
        (1, 2, "For this recommendation the model looked most at the customer's only purchase, “F, Inc.” (100 %).", ["f"], [1.0]),
        (
            1,
            3,
            "For this recommendation the model looked most at the customer's purchases of “A” (20 %), “B” (20 %) and “D” (20 %); "
            "2 others share 40 %, 2 of them weighing as much as the last one named.",
            ["a", "b", "d"],
            [0.2, 0.2, 0.2],
        ),
    ]


def test_an_unproven_reason_says_so() -> None:
    found = explained([(0, 6, 2, 1.0)], "leave_one_out", faithful=False)
    assert found["reason"][0].endswith(". Leave-one-out was not shown to be better than chance as an explanation in this run.")


def test_how_often_the_planted_reason_is_named_by_hand() -> None:
    # Customer 0 names a right one first; 1 a wrong one, though his latest is right; 2 gives it no weight; 3 has no right one.
    rows = [
        (0, 9, 1, 50, 0.7, True), (0, 9, 2, 60, 0.3, False),
        (1, 9, 1, 50, 0.7, False), (1, 9, 2, 60, 0.2, True), (1, 9, 3, 60, 0.1, False), (1, 9, 4, 10, 0.0, False),
        (2, 9, 1, 50, 0.0, True), (2, 9, 2, 60, 0.0, False),
        (3, 9, 1, 50, 1.0, False), (3, 9, 2, 60, 0.0, False),
        (4, 9, 1, 50, 1.0, True),
    ]  # fmt: skip
    table = pl.DataFrame(rows, schema=["customer", "candidate", "item", "day", "weight", "right"], orient="row")
    found = _share("recommendation", "attention", table, seed=1)
    assert (found["n_pairs"], found["n_customers"]) == (3, 3)
    assert found["share_with_a_right_holding"] == pytest.approx(3 / 5)  # of five pairs; one holding alone is no choice
    assert found["named"] == pytest.approx(1 / 3)
    assert found["chance"] == pytest.approx((1 / 2 + 1 / 4 + 1 / 2) / 3)
    assert found["recent"] == pytest.approx((0 + 1 / 2 + 0) / 3)
    assert found["over_chance"] == pytest.approx(1 / 3 - 5 / 12)


def test_the_night_measures_its_explanations_against_the_planted_truth(run: Path) -> None:
    planted = json.loads((run / "recommendations" / "planted.json").read_text())
    found = {(row["what"], row["method"]): row for row in planted["rows"]}
    assert set(found) == {
        (what, how) for what in ("recommendation", "purchase", "taste") for how in ("attention", "leave_one_out")
    }
    assert found["recommendation", "attention"]["n_pairs"] > 300
    for row in found.values():
        assert 0 <= row["low"] <= row["named"] <= row["high"] <= 1
        assert row["over_chance"] == pytest.approx(row["named"] - row["chance"])


def test_the_truth_in_tables(home: Path) -> None:
    landing = simulated_folder(load_config("smoke").simulation, home)
    ties, liked = planted_ties(landing), liked_sectors(landing)
    assert ties.group_by("asset_id").len()["len"].unique().to_list() == [3]
    assert liked.group_by("customer_id").len()["len"].unique().to_list() == [3]
    bought = driven_purchases(landing, date(2024, 2, 29), AS_OF)
    assert bought.height > 50
    assert not bought.select("customer_id", "asset_id").is_duplicated().any()
    # A holding drives only what is its companion.
    assert bought.join(ties, left_on=["driver_id", "asset_id"], right_on=["asset_id", "companion_id"], how="anti").is_empty()


def test_weights_cannot_be_asked_of_a_model_that_gives_none() -> None:
    settings: dict[str, Any] = {"train.models": ["gru4rec"], "recommend.model": "gru4rec", "explain.explanation": "attention"}
    with pytest.raises(Exception, match="gives no weight to single holdings"):
        load_config("smoke", settings=settings)
