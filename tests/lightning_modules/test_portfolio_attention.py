"""Portfolio attention: true to its score, by value, and able to speak of what nobody bought and to whom never bought."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.feature_explanations import feature_attention_table, feature_faithfulness
from lightning_modules.feature_groups import feature_groups
from lightning_modules.fit import fit, load_ranker
from lightning_modules.histories import Histories
from lightning_modules.portfolio_attention import PortfolioAttention
from lightning_modules.settings import ModelSpec, TrainSettings
from tests.lightning_modules.small_histories import write

SECTORS = 4
NAMES = [f"sector={sector}" for sector in range(SECTORS)] + ["dividend_yield", "volatility", "buyers_30"]


def planted(directory: Path, customers: int = 300) -> tuple[Histories, np.ndarray]:
    """24 items in four sectors; a customer buys in one sector only, which his profile tells. Items 21..24, one a sector, are
    cold; the last 40 customers never bought.

    Returns:
        the training set and [C] the sector of each customer.
    """
    generator = np.random.default_rng(3)
    sector_of_item = np.arange(24) % SECTORS
    taste = np.arange(customers) % SECTORS
    rows = []
    for customer in range(customers):
        liked = np.flatnonzero(sector_of_item[:20] == taste[customer]) + 1
        bought = generator.permutation(liked)[: int(generator.integers(2, 5))]
        days = np.sort(generator.integers(1, 200, len(bought)))[::-1]
        rows.append([] if customer >= customers - 40 else [(int(i), int(d)) for i, d in zip(bought, days, strict=True)])
    features = np.zeros((24, len(NAMES)), np.float32)
    features[np.arange(24), sector_of_item] = 1
    features[:, 4:6] = generator.normal(size=(24, 2))
    features[:20, 6] = 1.0  # what tells the cold from the warm is no trait, and must not be used
    profile = np.eye(SECTORS, dtype=np.float32)[taste]
    return write(directory, rows, 24, features, profile, item_feature_names=NAMES), taste


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[PortfolioAttention, Histories, np.ndarray]:
    root = tmp_path_factory.mktemp("portfolio")
    histories, taste = planted(root / "market")
    spec = ModelSpec(kind="portfolio_attention", feature_dim=8, max_length=10)
    settings = TrainSettings(epochs=8, batch_size=64, base_lr=5e-3, recency_half_life_days=None, threads=1)
    fit(spec, settings, root / "market", root / "model")
    model = load_ranker(root / "model", root / "market")
    assert isinstance(model, PortfolioAttention)
    return model, histories, taste


def test_columns_are_grouped_and_counts_of_buyers_left_out() -> None:
    names = ["asset_class=bond", "sector=A", "sector=B", "dividend_yield", "dividend_yield?", "volatility", "risk_class"]
    names += ["momentum_30", "momentum_90?", "buyers_30", "colour"]
    assert feature_groups(names) == {
        "class": (0,),
        "sector": (1, 2),
        "yield": (3, 4),
        "risk": (5, 6),
        "momentum": (7, 8),
        "colour": (10,),
    }


def test_a_cold_item_is_ranked_above_warm_ones_by_its_features(
    fitted: tuple[PortfolioAttention, Histories, np.ndarray],
) -> None:
    model, histories, taste = fitted
    assert model.warm.tolist() == [True] * 20 + [False] * 4
    buyers = np.arange(200)
    with torch.no_grad():
        scores = model.score(histories.batch(buyers, 10))
    cold = scores[torch.arange(200), 20 + torch.from_numpy(taste[:200])]  # the cold item of the customer's sector
    foreign = scores[:, :20][torch.from_numpy((np.arange(20) % SECTORS)[None] != taste[:200, None])].view(200, 15)
    assert (cold[:, None] > foreign).float().mean() > 0.95
    # The other three cold items stay behind it: its features and nothing else put it there.
    assert (scores[:, 20:].argmax(1) == torch.from_numpy(taste[:200])).float().mean() > 0.95
    weights = model.feature_attention(histories.batch(buyers, 10), torch.tensor([[21, 1]]).expand(200, -1))
    assert model.feature_names == ("sector", "yield", "risk", "buyers")
    assert (weights[:, 0, 3] == 0).all()  # nobody bought it, so that cannot speak for it
    assert (weights[:, 1, 3] > 0).all()
    assert torch.allclose(weights.sum(-1), torch.ones(200, 2), atol=1e-5)


def test_a_cold_customer_is_scored_by_his_profile(fitted: tuple[PortfolioAttention, Histories, np.ndarray]) -> None:
    model, histories, taste = fitted
    never = np.arange(260, 300)
    assert (histories.lengths[260:] == 0).all()
    with torch.no_grad():
        best = model.score(histories.batch(never, 10)).argmax(1)
    assert (best % SECTORS == torch.from_numpy(taste[never])).float().mean() > 0.95


def test_the_features_that_spoke_are_a_table(fitted: tuple[PortfolioAttention, Histories, np.ndarray]) -> None:
    model, histories, _ = fitted
    candidates = np.array([[21, 2], [5, 0]])
    rows = feature_attention_table(model, histories, np.array([7, 270]), candidates, 10).to_pylist()
    assert [(row["customer"], row["candidate"]) for row in rows] == [(7, 21)] * 4 + [(7, 2)] * 4 + [(270, 5)] * 4
    heaviest = [row["weight"] for row in rows[:4]]
    assert heaviest == sorted(heaviest, reverse=True)
    assert sum(heaviest) == pytest.approx(1, abs=1e-5)
    assert {row["feature"] for row in rows[4:8]} == {"sector", "yield", "risk", "buyers"}


def test_hiding_the_feature_that_spoke_hurts_more_than_hiding_another(
    fitted: tuple[PortfolioAttention, Histories, np.ndarray],
) -> None:
    model, histories, taste = fitted
    asked = np.arange(200)
    candidates = np.stack([taste[asked] + 21, taste[asked] + 1], 1)  # a cold and a warm item of the customer's sector
    proof = feature_faithfulness(model, histories, asked, candidates, seed=0, max_length=10)
    assert proof["n_pairs"] == 400
    assert proof["better_than_random"] is True
    # The test can fail: where every feature is attended alike, the most attended one is any.
    with torch.no_grad():
        kept = [model.asked.clone(), model.lean.clone()]
        model.asked.zero_()
        model.lean.copy_(torch.tensor([-3.0, 3.0, -3.0, -3.0]))  # and where the model looks at the yield, it looks at nothing
        blind = feature_faithfulness(model, histories, asked, candidates[:, :1], seed=0, max_length=10)
        model.asked.copy_(kept[0])
        model.lean.copy_(kept[1])
    assert blind["mean_difference"] < proof["mean_difference"]
    none = feature_faithfulness(model, histories, asked[:2], np.zeros((2, 1), np.int64), seed=0)
    assert none["n_pairs"] == 0


def test_a_score_is_exactly_the_sum_over_holdings_and_features(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(5, len(NAMES))).astype(np.float32)
    profile = generator.normal(size=(2, 3)).astype(np.float32)
    rows = [[(1, 40), (2, 5), (4, 1)], [(3, 9)]]
    histories = write(tmp_path, rows, 5, features, profile, item_feature_names=NAMES, weights=[1.0, 2.0, 0.5, 1.0])
    torch.manual_seed(0)
    model = PortfolioAttention(ModelSpec(kind="portfolio_attention", feature_dim=4, step_decay=1.0), histories)
    model.prepare(histories, None)
    torch.nn.init.normal_(model.lean)
    model.eval()
    batch = histories.batch(np.array([0]))
    asked = torch.arange(1, 6)[None]
    with torch.no_grad():
        seen = model._catalogue()
        weights = model.feature_attention(batch, asked)[0]  # [5, F]
        told = model._told(model.profile_scale(batch.features))[0]  # [F, d]
        expected, holdings = [], []
        for item in range(1, 6):
            groups = seen.groups[item]
            total, spoke = seen.base[item - 1], torch.zeros(3)
            for number in range(4):
                query, out = groups[number] @ model.query[number], groups[number]
                keys = seen.groups[batch.items[0], number] @ model.key[number]
                values = seen.groups[batch.items[0], number] @ model.value[number]
                months = torch.log1p(torch.tensor([40.0, 5.0, 1.0]) / 30)
                decay = model.modifiers.terms[1].log_power.exp()[number]
                worth = model.modifiers.terms[0].power[number] * torch.tensor([1.0, 2.0, 0.5])
                attention = torch.softmax(keys @ query / 2 + worth - decay * months, 0)
                term = 3**model.length_power * (attention * (values @ out)).sum() + told[number] @ out
                total = total + 4 * weights[item - 1, number] * term
                spoke = spoke + weights[item - 1, number] * attention
            expected.append(total)
            holdings.append(spoke)
        assert torch.allclose(model.score(batch)[0], torch.stack(expected), atol=1e-5)
        assert torch.allclose(model.attention(batch, asked)[0], torch.stack(holdings), atol=1e-5)


def test_the_larger_holding_weighs_more(tmp_path: Path) -> None:
    same = np.zeros((3, 1), np.float32)
    worth = np.log1p([100.0, 900.0]).tolist()
    histories = write(tmp_path, [[(1, 5), (1, 5)]], 3, same, same[:1], item_feature_names=["sector=a"], weights=worth)
    model = PortfolioAttention(ModelSpec(kind="portfolio_attention", step_decay=1.0), histories).eval()
    weights = model.attention(histories.batch(np.array([0])), torch.tensor([[2]]))[0, 0]
    assert torch.allclose(weights, torch.tensor([101.0, 901.0]) / 1002, atol=1e-4)


def test_without_any_feature_the_buyers_are_left(tmp_path: Path) -> None:
    none = np.zeros((3, 0), np.float32)
    histories = write(tmp_path, [[(1, 5)], [(2, 4), (1, 1)]], 3, none, none[:2])
    model = PortfolioAttention(ModelSpec(kind="portfolio_attention"), histories)
    model.prepare(histories, None)
    weights = model.eval().feature_attention(histories.batch(np.arange(2)), torch.tensor([[1, 3], [2, 3]]))
    assert weights[..., 0].tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert model.score(histories.batch(np.arange(2))).isfinite().all()
