"""The proof of an explanation, with models whose true reasons are known: it can come out either way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_modules.changed_weights import as_changed
from lightning_modules.cluster_bootstrap import ClusterBootstrap
from lightning_modules.faithfulness import SIZES, Proof, prove
from lightning_modules.histories import Histories, HistoryBatch
from tests.lightning_modules.small_histories import write

CUSTOMERS = 60


class LargestItem:
    """Candidate 1 scores the largest item that is left; attention falls in proportion to exp(``sign`` * item)."""

    examples = "purchases"

    def __init__(self, sign: float = 1.0) -> None:
        self.sign = sign

    def score(self, batch: HistoryBatch) -> Tensor:
        first = torch.nn.functional.one_hot(torch.zeros(len(batch.items), dtype=torch.int64), 9)
        return first * batch.items.max(1).values[:, None].float()

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        weights = torch.softmax((self.sign * batch.items.float()).masked_fill(~batch.mask, -1e9), 1) * batch.mask
        return weights[:, None, :].expand(-1, candidates.shape[1], -1)

    prepare = loss = None


class WeighedItems(LargestItem):
    """Candidate 1 scores the attended mean of the items: a model that really scores by its weights."""

    def score(self, batch: HistoryBatch) -> Tensor:
        weights = self.attention(batch, torch.ones(len(batch.items), 1, dtype=torch.int64))[:, 0]
        weights = as_changed(weights, batch.mask)
        first = torch.nn.functional.one_hot(torch.zeros(len(batch.items), dtype=torch.int64), 9)
        return first * (weights * batch.items).sum(1, keepdim=True)


class Even(LargestItem):
    """Every event alike."""

    def attention(self, batch: HistoryBatch, candidates: Tensor) -> Tensor:
        weights = batch.mask / batch.mask.sum(1, keepdim=True).clamp_min(1)
        return weights[:, None, :].expand(-1, candidates.shape[1], -1)


@pytest.fixture
def many(tmp_path: Path) -> Histories:
    """Sixty customers with four different items each, in random order."""
    generator = np.random.default_rng(0)
    rows = [[(int(i), 9 - at) for at, i in enumerate(generator.permutation(8)[:4] + 1)] for _ in range(CUSTOMERS)]
    return write(tmp_path, rows, 9)


def proven(model: LargestItem, histories: Histories, candidates: int = 1, seed: int = 1) -> Proof:
    asked = np.full((histories.n_customers, candidates), 1)
    return prove(model, histories, np.arange(histories.n_customers), asked, seed, own="attention")  # type: ignore[arg-type]


def row(proof: Proof, method: str, measure: str, k: str = "", against: str = "") -> dict[str, Any]:
    wanted = (method, measure, k, against)
    found = [r for r in proof.table.to_pylist() if (r["method"], r["measure"], r["k"], r["against"]) == wanted]
    assert len(found) == 1, wanted
    return found[0]


def test_attention_on_what_matters_is_proven_at_every_size(many: Histories) -> None:
    proof = proven(LargestItem(), many, candidates=2)
    verdict = proof.verdicts["attention"]
    assert (verdict["n_pairs"], verdict["n_customers"], verdict["better_than_random"]) == (120, 60, True)
    for k, _ in SIZES:
        for measure in ("comprehensiveness", "sufficiency"):
            for against in ("random", "recent"):
                assert row(proof, "attention", measure, k, against)["low"] > 0, (k, measure, against)
    # The largest item alone gives the whole score: nothing is lost by keeping only it, at any size.
    assert row(proof, "attention", "sufficiency", "1", "random")["value"] == pytest.approx(0, abs=1e-6)
    # One in four random holdings is the largest: a quarter of what is lost without the attended one.
    at_random = row(proof, "attention", "comprehensiveness", "1", "random")
    assert at_random["reference"] == pytest.approx(at_random["value"] / 4, rel=0.35)
    assert row(proof, "random", "comprehensiveness", "1")["value"] == pytest.approx(at_random["reference"])


def test_attention_on_what_does_not_matter_fails_and_leave_one_out_does_not(many: Histories) -> None:
    proof = proven(LargestItem(sign=-1.0), many)
    assert proof.verdicts["attention"]["mean_difference"] < 0
    assert proof.verdicts["attention"]["better_than_random"] is False
    assert proof.verdicts["leave_one_out"]["better_than_random"] is True
    assert row(proof, "attention", "agreement")["value"] < 0
    assert row(proof, "attention", "sufficiency", "2", "random")["high"] < 0


def test_even_attention_is_no_better_than_chance(many: Histories) -> None:
    proof = proven(Even(), many)
    for k, _ in SIZES:
        found = row(proof, "attention", "comprehensiveness", k, "random")
        assert found["low"] < 0 < found["high"]
    assert row(proof, "attention", "agreement")["n_pairs"] == 0  # it orders nothing
    assert row(proof, "attention", "agreement")["value"] is None


def test_erasing_needs_a_choice_and_shares_round_up(tmp_path: Path) -> None:
    proof = proven(LargestItem(), write(tmp_path, [[(1, 9), (2, 8)], [(1, 9), (2, 8), (3, 7)], [(4, 5)], []], 9))
    sizes = {k: row(proof, "attention", "comprehensiveness", k, "random")["n_pairs"] for k, _ in SIZES}
    # Two and three holdings: k of them must leave one. 20 % of either is one, 50 % is one and two.
    assert sizes == {"1": 2, "2": 1, "3": 0, "20 %": 2, "50 %": 2}
    whole, left = torch.tensor([3.0] + [0.0] * 8).log_softmax(0)[0], torch.tensor([1.0] + [0.0] * 8).log_softmax(0)[0]
    two = row(proof, "attention", "comprehensiveness", "2", "random")
    assert two["value"] == pytest.approx(float(whole - left), abs=1e-5)
    assert two["low"] is None  # one customer has no interval


def test_shuffled_and_even_weights_move_a_model_that_scores_by_them(many: Histories) -> None:
    proof = proven(WeighedItems(), many)
    assert proof.changed_over == "holdings"
    for change in ("shuffled", "uniform"):
        assert row(proof, "attention", f"{change} weights, total variation")["low"] > 0.01
        assert row(proof, "attention", f"{change} weights, nats lost")["low"] > 0


def test_a_model_that_scores_without_weights_has_none_to_shuffle(many: Histories) -> None:
    proof = proven(LargestItem(), many)
    assert proof.changed_over is None
    assert row(proof, "attention", "shuffled weights, total variation")["value"] is None


def test_a_model_without_weights_is_proven_by_leaving_out_alone(many: Histories) -> None:
    asked = np.ones((CUSTOMERS, 1), np.int64)
    proof = prove(LargestItem(), many, np.arange(CUSTOMERS), asked, 1, own=None)  # type: ignore[arg-type]
    assert set(proof.verdicts) == {"leave_one_out"}
    methods = {r["method"] for r in proof.table.to_pylist() if r["measure"] == "comprehensiveness"}
    assert methods == {"leave_one_out", "recent", "random"}


def test_the_proof_repeats_by_seed(many: Histories) -> None:
    first = proven(WeighedItems(), many, seed=4)
    assert first == proven(WeighedItems(), many, seed=4)
    assert first.verdicts != proven(WeighedItems(), many, seed=5).verdicts


def test_without_a_customer_of_two_holdings_nothing_is_claimed(tmp_path: Path) -> None:
    proof = proven(Even(), write(tmp_path, [[], [(2, 3), (2, 1)]], 9))
    assert proof.verdicts["attention"]["n_pairs"] == 0
    assert proof.verdicts["attention"]["mean_difference"] is None
    assert proof.verdicts["attention"]["better_than_random"] is False


def test_the_bootstrap_draws_customers_with_all_their_pairs() -> None:
    cluster = np.repeat(np.arange(50), 20)
    values = np.repeat(np.random.default_rng(0).normal(size=50), 20)
    low, high = ClusterBootstrap(cluster, np.random.default_rng(1)).interval(values)
    assert low is not None
    assert high is not None
    # A thousand pairs, but fifty independent ones: the interval is that of fifty.
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(50), rel=0.15)
    assert ClusterBootstrap(cluster, np.random.default_rng(1)).interval(np.where(cluster == 0, values, np.nan)) == (None, None)
