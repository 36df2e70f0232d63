"""Ranking metrics: exact on literal rows, equal to independent implementations on random ones."""

from __future__ import annotations

from math import log2

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR, RetrievalNormalizedDCG, RetrievalRecall

from reports.ranking import Ranking, coverage, history_band, per_customer, summarise
from tests.reports.rank_tables import ranking_of

# Two customers, a catalogue of 20. Customer 1 has relevant items at ranks 2 and 12, customer 2 at rank 1.
# Shuffled on purpose.
RELEVANT = pl.DataFrame(
    [(1, 7, 11, 0, 12, 20, 2), (2, 5, 0, 0, 1, 18, 1), (1, 3, 1, 0, 2, 20, 2)],
    schema=["customer", "item", "greater", "ties", "rank", "n_candidates", "n_relevant"],
    orient="row",
)
TOP = pl.DataFrame(
    [(2, 1, 5, 0.9, True), (1, 2, 3, 0.8, True), (1, 1, 5, 0.9, False), (2, 2, 9, 0.7, False)],
    schema=["customer", "rank", "item", "score", "relevant"],
    orient="row",
)


def test_exact_metrics_of_literal_rows() -> None:
    one, two = per_customer(RELEVANT).to_dicts()
    ideal = 1 + 1 / log2(3)
    assert one["ndcg_at_10"] == pytest.approx((1 / log2(3)) / ideal, abs=1e-12)
    assert one["ndcg_at_5"] == one["ndcg_at_10"]
    assert (one["hit_at_10"], one["recall_at_10"], one["mrr"]) == (1.0, 0.5, 0.5)
    # 18 candidates are not relevant; 1 of them beats the first, 10 beat the second.
    assert one["auc"] == pytest.approx(((18 - 1) / 18 + (18 - 10) / 18) / 2, abs=1e-12)
    assert [two[name] for name in ("ndcg_at_5", "hit_at_5", "recall_at_5", "mrr", "auc")] == [1.0] * 5
    assert coverage(TOP, n_items=20) == 3 / 20
    assert coverage(TOP, n_items=20, k=1) == 1 / 20


def test_ties_count_one_half_in_auc() -> None:
    scores = np.array([[1.0, 1.0, 1.0, 0.0]])
    table = ranking_of(scores, np.array([[True, False, False, False]]))
    assert per_customer(table.relevant)["auc"].to_list() == [pytest.approx((0.5 + 0.5 + 1.0) / 3)]


def test_auc_is_undefined_where_every_candidate_is_relevant() -> None:
    table = ranking_of(np.array([[2.0, 1.0]]), np.array([[True, True]]))
    assert per_customer(table.relevant)["auc"].to_list() == [None]


@pytest.mark.parametrize("levels", [4, 10_000], ids=["many ties", "few ties"])
def test_equal_to_sklearn_and_torchmetrics(levels: int) -> None:
    rng = np.random.default_rng(5)
    customers, items = 60, 40
    scores = rng.integers(0, levels, (customers, items)).astype(np.float64)
    relevant = rng.random((customers, items)) < 0.08
    relevant[np.arange(customers), rng.integers(0, items, customers)] = True
    found = per_customer(ranking_of(scores, relevant).relevant)

    auc = [roc_auc_score(relevant[c], scores[c]) for c in range(customers)]
    assert found["auc"].to_numpy() == pytest.approx(np.array(auc), abs=1e-12)

    # Our ranks break ties by item; tell the other implementations the same order.
    places = np.argsort(np.lexsort((np.broadcast_to(np.arange(items), scores.shape), -scores)), axis=1)
    strict = (items - places).astype(np.float64)
    for k in (5, 10):
        ndcg = [ndcg_score(relevant[[c]], strict[[c]], k=k) for c in range(customers)]
        assert found[f"ndcg_at_{k}"].to_numpy() == pytest.approx(np.array(ndcg), abs=1e-12)

    predictions = torch.from_numpy(strict).flatten().float()
    target = torch.from_numpy(relevant).flatten()
    queries = torch.arange(customers).repeat_interleave(items)
    for column, metric in (
        ("ndcg_at_10", RetrievalNormalizedDCG(top_k=10)),
        ("hit_at_10", RetrievalHitRate(top_k=10)),
        ("recall_at_10", RetrievalRecall(top_k=10)),
        ("mrr", RetrievalMRR()),
    ):
        expected = float(metric(predictions, target, indexes=queries))
        assert found[column].mean() == pytest.approx(expected, abs=1e-6), column


def test_excluded_items_are_no_candidates() -> None:
    rng = np.random.default_rng(6)
    scores, relevant = rng.random((12, 25)), rng.random((12, 25)) < 0.1
    relevant[:, 3] = True
    excluded = (rng.random((12, 25)) < 0.3) & ~relevant
    found = per_customer(ranking_of(scores, relevant, excluded).relevant)
    auc = [roc_auc_score(relevant[c, ~excluded[c]], scores[c, ~excluded[c]]) for c in range(12)]
    ndcg = [ndcg_score([relevant[c, ~excluded[c]]], [scores[c, ~excluded[c]]], k=10) for c in range(12)]
    assert found["auc"].to_numpy() == pytest.approx(np.array(auc))
    assert found["ndcg_at_10"].to_numpy() == pytest.approx(np.array(ndcg))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 15), st.integers(1, 6))
def test_invariants(seed: int, items: int, customers: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, (customers, items)).astype(np.float64)
    relevant = rng.random((customers, items)) < 0.4
    relevant[:, 0] = True
    table = ranking_of(scores, relevant).relevant
    found = per_customer(table)
    for name in ("ndcg_at_5", "ndcg_at_10", "hit_at_10", "recall_at_10", "mrr", "auc"):
        assert found[name].drop_nulls().is_between(0.0, 1.0 + 1e-12).all(), name
    assert (found["hit_at_10"] >= found["recall_at_10"]).all()
    assert per_customer(table.sample(fraction=1.0, shuffle=True, seed=1)).equals(found), "order of rows"
    # A perfect score puts every relevant item first.
    best = per_customer(ranking_of(relevant.astype(np.float64), relevant).relevant)
    assert best["ndcg_at_10"].to_numpy() == pytest.approx(1.0)
    assert best["auc"].drop_nulls().to_numpy() == pytest.approx(1.0)


def random_models(customers: int = 80) -> dict[str, Ranking]:
    rng = np.random.default_rng(1)
    relevant = np.zeros((customers, 30), dtype=bool)
    relevant[np.arange(customers), rng.integers(0, 30, customers)] = True
    noise = rng.random((customers, 30))
    return {"popularity": ranking_of(noise, relevant), "better": ranking_of(noise + 0.5 * relevant, relevant)}


def test_summary_of_all_and_of_segments() -> None:
    models = random_models()
    customers = pl.DataFrame(
        {
            "customer": np.arange(90),  # ten of them were not scored
            "risk_level": ["balanced", "income", None] * 30,
            "history_length": [0, 1, 3, 7, 20, 60] * 15,
        }
    )
    summary = summarise(models, customers, n_items=30)
    everybody = summary.filter(pl.col("segment_kind") == "all")
    assert everybody["model"].to_list() == ["popularity", "better"]
    assert everybody["n_customers"].to_list() == [80, 80]
    base, better = everybody.to_dicts()
    assert base["ndcg_gain"] is None
    assert better["ndcg_gain"] == pytest.approx(better["ndcg_at_10"] - base["ndcg_at_10"])
    assert 0 < better["ndcg_gain_low"] < better["ndcg_gain"] < better["ndcg_gain_high"]
    assert better["ndcg_at_10_low"] < better["ndcg_at_10"] < better["ndcg_at_10_high"]
    risks = summary.filter((pl.col("segment_kind") == "risk_level") & (pl.col("model") == "better"))
    assert risks["segment"].to_list() == ["balanced", "income", "unknown"]
    bands = summary.filter((pl.col("segment_kind") == "history_length") & (pl.col("model") == "better"))
    assert bands["segment"].to_list() == ["0", "1-4", "5-9", "10-49", "50-99"]
    for kind in (risks, bands):
        assert kind["n_customers"].sum() == 80
        mean = (kind["ndcg_at_10"] * kind["n_customers"]).sum() / 80
        assert mean == pytest.approx(better["ndcg_at_10"])


def test_summary_is_the_same_for_shuffled_tables() -> None:
    models = random_models()
    customers = pl.DataFrame({"customer": np.arange(80), "risk_level": ["a", "b"] * 40})
    shuffled = {
        name: Ranking(*(t.sample(fraction=1.0, shuffle=True, seed=2) for t in (model.relevant, model.top)))
        for name, model in models.items()
    }
    again = summarise(shuffled, customers.reverse(), n_items=30)
    assert again.equals(summarise(models, customers, n_items=30))


def test_models_scored_on_different_questions_are_refused() -> None:
    models = random_models()
    fewer = Ranking(models["better"].relevant.head(79), models["better"].top)
    with pytest.raises(ValueError, match="'better' and 'popularity' were not scored on the same customers"):
        summarise(models | {"better": fewer}, None, n_items=30)


def test_two_rows_for_a_customer_are_refused() -> None:
    customers = pl.DataFrame({"customer": [0, 0, 1], "risk_level": ["a", "b", "a"]})
    with pytest.raises(ValueError, match="several rows for one customer"):
        summarise(random_models(), customers, n_items=30)


def test_missing_columns_are_named() -> None:
    with pytest.raises(ValueError, match=r"relevant ranks lack the columns \['ties'\]"):
        Ranking(RELEVANT.drop("ties"), TOP)


def test_nothing_to_score_gives_an_empty_row_not_a_crash() -> None:
    summary = summarise({"popularity": Ranking(RELEVANT.clear(), TOP.clear())}, None, n_items=20)
    row = summary.row(0, named=True)
    assert (row["n_customers"], row["ndcg_at_10"], row["ndcg_at_10_low"]) == (0, None, None)
    assert np.isnan(coverage(TOP, n_items=0))


def test_history_bands() -> None:
    lengths = pl.DataFrame({"n": [0, 1, 4, 5, 9, 10, 49, 50, 99, 100, 499, 500, 4999, 5000, None, -1]})
    expected = ["0", "1-4", "1-4", "5-9", "5-9", "10-49", "10-49", "50-99", "50-99", "100-499", "100-499"]
    expected += ["500-4999", "500-4999", "5000+", "unknown", "unknown"]
    assert lengths.select(history_band(pl.col("n"))).to_series().to_list() == expected


def test_the_gain_over_ease_is_paired_and_ease_has_none() -> None:
    models = random_models()
    summary = summarise({**models, "ease": models["popularity"]}, None, n_items=30)
    rows = {row["model"]: row for row in summary.iter_rows(named=True)}
    assert rows["ease"]["ease_gain"] is None
    assert rows["popularity"]["ease_gain"] == 0.0
    assert rows["better"]["ease_gain"] == rows["better"]["ndcg_gain"]
    assert rows["better"]["ease_gain_low"] > 0
    assert summarise(models, None, n_items=30)["ease_gain"].to_list() == [None, None]
