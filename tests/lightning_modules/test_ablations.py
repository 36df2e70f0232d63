"""Each ablation takes away what it says, and nothing where there is nothing to take away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from data_contracts.errors import ConfigError
from lightning_modules.ablations import ABLATIONS, ATTENDS, ablation
from lightning_modules.evaluation import best_items
from lightning_modules.family import build_ranker
from lightning_modules.fit import fit, load_ranker
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.sample import drawn_customers, write_sample
from lightning_modules.settings import KINDS, ModelKind, ModelSpec, TrainSettings
from lightning_modules.shuffled import ShuffledExamples, random_order, shuffled
from tests.lightning_modules.small_histories import planted_market, write

SETTINGS = TrainSettings(epochs=1, batch_size=64, threads=1)


def spec_of(kind: ModelKind) -> ModelSpec:
    return ModelSpec(
        kind=kind, dim=8, blocks=1, max_length=6, holders=4, holder_dim=4, horizon_days=60,
        regime="learned", temporal_decay="learned",
    )  # fmt: skip


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Histories:
    return planted_market(tmp_path_factory.mktemp("market"), customers=50)[0]


def applicable(kind: ModelKind) -> set[str]:
    return {name for name, one in ABLATIONS.items() if one.why_not(spec_of(kind), SETTINGS) is None}


def test_which_variants_apply_to_which_kind() -> None:
    decaying = {"no_attention", "uniform_attention", "shuffled_order", "no_temporal_decay", "no_regime", "no_item_features"}
    assert applicable("attention_cf") == decaying | {"item_only", "user_only", "no_warmup"}
    assert applicable("sequential_attention") == applicable("portfolio_attention") == decaying | {"no_warmup"}
    assert applicable("transformer") == (decaying | {"no_positions", "no_warmup"}) - {"no_regime"}
    assert applicable("signal_attention") == {"no_attention", "uniform_attention", "shuffled_order", "no_warmup"}
    assert applicable("gru4rec") == {"shuffled_order", "no_item_features", "no_warmup"}
    assert applicable("bpr_mf") == {"no_warmup"}
    for kind in ("ease", "item_knn", "markov", "popularity", "recent_popularity"):
        assert applicable(kind) == set()


@pytest.mark.parametrize(
    ("name", "spec", "settings"),
    [
        ("no_attention", {"attention": "uniform"}, {}),
        ("shuffled_order", {"decay": "off", "step_decay": 1.0}, {}),
        ("no_positions", {"kind": "transformer", "positions": "none"}, {}),
        ("no_temporal_decay", {"kind": "transformer", "temporal_decay": "none"}, {}),
        ("no_temporal_decay", {"decay": "off", "step_decay": 1.0}, {}),
        ("no_regime", {"regime": "off"}, {}),
        ("no_item_features", {"item_features": False}, {}),
        ("item_only", {"holders": 0}, {}),
        ("user_only", {"item_side": False}, {}),
        ("no_warmup", {}, {"warmup_fraction": 0.0}),
    ],
)
def test_what_is_off_already_is_not_taken_away_but_said(name: str, spec: dict[str, object], settings: dict[str, object]) -> None:
    changed = replace(spec_of("attention_cf"), **spec), replace(SETTINGS, **settings)  # type: ignore[arg-type]
    assert ablation(name).why_not(*changed)
    with pytest.raises(ConfigError, match="does not apply"):
        ablation(name).of(*changed)


def test_an_unknown_variant_and_a_model_that_nobody_speaks_in_are_refused() -> None:
    with pytest.raises(ConfigError, match="no_attention, uniform_attention"):
        ablation("no_sense")
    with pytest.raises(ConfigError, match="item_side"):
        ModelSpec(item_side=False, holders=0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_variant_that_applies_is_fitted_stored_loaded_and_scores(
    kind: ModelKind, market: Histories, tmp_path: Path
) -> None:
    batch = market.batch(np.arange(20), 6)
    for name in sorted(applicable(kind)):
        changed = ablation(name).of(spec_of(kind), SETTINGS)
        assert changed != (spec_of(kind), SETTINGS)
        fit(*changed, market.directory, tmp_path)
        model = load_ranker(tmp_path, market.directory)
        with torch.no_grad():
            scores, weights = model.score(batch), model.attention(batch, torch.arange(1, 4).expand(20, -1))
        assert scores.isfinite().all(), name
        total = weights.sum(-1)
        assert torch.all((total - 1).abs().lt(1e-5) | (total == 0)), name


@pytest.mark.parametrize("kind", [kind for kind in ATTENDS if kind != "signal_attention"])
@pytest.mark.parametrize("attention", ["uniform", "pooled"])
def test_without_learned_attention_every_event_weighs_alike(kind: ModelKind, attention: str, market: Histories) -> None:
    torch.manual_seed(0)
    model = build_ranker(replace(spec_of(kind), attention=attention), market)  # type: ignore[arg-type]
    assert isinstance(model, nn.Module)
    model.eval()
    batch = market.batch(np.arange(30), 6)
    with torch.no_grad():
        weights = model.attention(batch, torch.arange(1, 6).expand(30, -1))
    alike = (batch.mask / batch.lengths[:, None])[:, None].expand_as(weights)
    torch.testing.assert_close(weights, alike)


def test_mean_pooling_of_attention_cf_is_the_mean_vector_times_the_candidate(market: Histories) -> None:
    torch.manual_seed(0)
    model = build_ranker(replace(spec_of("attention_cf"), attention="pooled", holders=0, regime="off"), market)
    assert isinstance(model, nn.Module)
    model.eval()
    batch = market.batch(np.arange(10), 6)
    with torch.no_grad():
        table = model.items()
        mean = (table[batch.items] * batch.mask[..., None]).sum(1) / batch.lengths[:, None]
        told = model.profile_item(model.profile_scale(batch.features))
        expected = model.items.bias + (told + mean * batch.lengths[:, None] ** model.length_power) @ table[1:].T
        torch.testing.assert_close(model.score(batch), expected)
    assert not [name for name, _ in model.named_parameters() if name.split(".")[0] in ("query", "key", "value", "asks", "likes")]


def test_the_pooled_transformer_reads_every_event_alone(market: Histories) -> None:
    torch.manual_seed(0)
    spec = replace(spec_of("transformer"), attention="pooled", positions="none")  # type: ignore[arg-type]
    model = build_ranker(spec, market)
    assert isinstance(model, nn.Module)
    model.eval()
    batch = market.batch(np.arange(10), 6)
    with torch.no_grad():
        backwards = replace(batch, items=_reversed(batch), days=batch.days)
        torch.testing.assert_close(model.score(batch), model.score(backwards))
        learned = build_ranker(replace(spec, attention="learned"), market)
        assert isinstance(learned, nn.Module)
        learned.eval()
        assert not torch.allclose(learned.score(batch), learned.score(backwards))


def _reversed(batch: HistoryBatch) -> torch.Tensor:
    items = torch.zeros_like(batch.items)
    for row, length in enumerate(batch.lengths.tolist()):
        items[row, :length] = batch.items[row, :length].flip(0)
    return items


def test_signal_attention_without_weighing_serves_all_by_one(market: Histories) -> None:
    batch = market.batch(np.arange(30))
    for attention, strengths in (("uniform", None), ("pooled", 1)):
        model = build_ranker(replace(spec_of("signal_attention"), attention=attention), market)  # type: ignore[arg-type]
        weights = model.signal_weights(batch)  # type: ignore[attr-defined]
        torch.testing.assert_close(weights, torch.full_like(weights, 1 / weights.shape[1]))
        assert len(model.strength) == (strengths or weights.shape[1])  # type: ignore[attr-defined]


def test_user_attention_alone_looks_at_no_holding(market: Histories) -> None:
    torch.manual_seed(0)
    model = build_ranker(replace(spec_of("attention_cf"), item_side=False), market)
    assert isinstance(model, nn.Module)
    model.eval()
    batch = market.batch(np.arange(10), 6)
    with torch.no_grad():
        assert not model.attention(batch, torch.arange(1, 4).expand(10, -1)).any()
        before = model.score(batch)
        model.value.weight.mul_(9)
        assert torch.equal(before, model.score(batch))


def test_without_item_features_they_reach_no_score(tmp_path: Path) -> None:
    plain = [[(1, 30), (2, 20), (3, 5)], [(2, 40), (4, 2)]] * 3
    names = ["asset_class=stock", "volatility"]
    one = write(tmp_path / "a", plain, 4, np.eye(4, 2, dtype=np.float32), item_feature_names=names)
    other = write(tmp_path / "b", plain, 4, np.eye(4, 2, dtype=np.float32)[::-1].copy(), item_feature_names=names)
    for kind in ("attention_cf", "sequential_attention", "portfolio_attention", "transformer"):
        scores = []
        for described, histories in ((False, one), (False, other), (True, one), (True, other)):
            torch.manual_seed(0)
            model = build_ranker(replace(spec_of(kind), item_features=described), histories)  # type: ignore[arg-type]
            assert isinstance(model, nn.Module)
            model.prepare(histories, None)
            model.eval()
            with torch.no_grad():
                scores.append(model.score(histories.batch(np.arange(6), 6)))
        assert torch.equal(scores[0], scores[1]), kind
        assert not torch.equal(scores[2], scores[3]), kind


class TestShuffled:
    def batch(self, market: Histories, rows: list[int], length: int = 6) -> HistoryBatch:
        return market.batch(np.array(rows), length)

    def test_purchases_change_days_within_a_customer_and_nothing_else_moves(self, market: Histories) -> None:
        batch = self.batch(market, list(range(40)))
        mixed = shuffled(batch, 3)
        assert torch.equal(mixed.days, batch.days)
        assert torch.equal(mixed.mask, batch.mask)
        assert torch.equal(mixed.items.sort(1).values, batch.items.sort(1).values)
        assert (mixed.items != batch.items).any(1).float().mean() > 0.9
        assert not torch.equal(mixed.items, shuffled(batch, 4).items)

    def test_an_event_keeps_its_amount(self, tmp_path: Path) -> None:
        histories = write(tmp_path, [[(1, 9), (2, 8), (3, 7), (4, 6)]], 4, weights=[1.0, 2.0, 3.0, 4.0])
        mixed = shuffled(histories.batch(np.array([0])), 1)
        assert mixed.items.float().tolist() == mixed.weights.tolist()
        assert mixed.items.tolist() != [[1, 2, 3, 4]]

    def test_the_order_does_not_depend_on_the_batch(self, market: Histories) -> None:
        alone, together = self.batch(market, [7]), self.batch(market, [3, 7, 11])
        width = int(alone.lengths[0])
        assert torch.equal(shuffled(alone, 0).items[0, :width], shuffled(together, 0).items[1, :width])

    def test_a_hidden_event_stays_hidden_where_it_is(self, market: Histories) -> None:
        batch = self.batch(market, [0, 1, 2])
        holed = replace(batch, items=batch.items.index_fill(1, torch.tensor([1]), 0))
        assert (shuffled(holed, 5).items[:, 1] == 0).all()
        assert torch.equal(shuffled(holed, 5).mask, holed.mask)

    def test_a_sequence_s_targets_move_with_their_purchases(self, market: Histories) -> None:
        from lightning_modules.examples import PurchaseExamples, SequenceExamples

        rows = np.arange(10)
        plain = SequenceExamples(market, 6, None)
        mixed = ShuffledExamples(plain, 2, sequences=True)[rows]
        assert torch.equal(mixed.targets, (mixed.history.items - 1).clamp_min(0))
        assert mixed.weights.sum() == pytest.approx(float(plain[rows].weights.sum()))
        questions = PurchaseExamples(market, 6, None)
        asked = ShuffledExamples(questions, 2, sequences=False)
        assert len(asked) == len(questions)
        assert torch.equal(asked[rows].targets, questions[rows].targets)
        assert not torch.equal(asked[rows].history.items, questions[rows].history.items)

    @given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=5), st.integers(0, 2**31 - 1))
    def test_it_is_a_permutation_that_leaves_gaps_alone(self, real: list[list[bool]], seed: int) -> None:
        items = torch.tensor(real).long() * torch.arange(1, 5)
        n = len(real)
        nothing = torch.zeros(n, 4)
        batch = HistoryBatch(
            torch.arange(n), items, nothing.long(), nothing, items.gt(0).sum(1), nothing, torch.full((n,), 18_000)
        )
        order = random_order(batch, seed)
        assert torch.equal(order.sort(1).values, torch.arange(4).expand(n, -1))
        assert torch.equal(batch.mask.gather(1, order), batch.mask)
        gap = ~batch.mask
        assert torch.equal(order[gap], torch.arange(4).expand(n, -1)[gap])

    def test_all_orders_are_about_as_likely(self) -> None:
        n = 3000
        items = torch.arange(1, 4).expand(n, -1)
        nothing = torch.zeros(n, 3)
        batch = HistoryBatch(torch.arange(n), items, nothing.long(), nothing, torch.full((n,), 3), nothing, torch.full((n,), 9))
        orders, counts = torch.unique(random_order(batch, 0), dim=0, return_counts=True)
        assert len(orders) == 6
        assert counts.min() > 0.85 * n / 6
        assert counts.max() < 1.15 * n / 6


def test_a_sample_is_the_chosen_customers_as_they_were(market: Histories, tmp_path: Path) -> None:
    rows = drawn_customers(market, 20, 1)
    assert len(rows) == 20
    assert (np.diff(rows) > 0).all()
    assert drawn_customers(market, 10_000, 1).tolist() == np.flatnonzero(market.lengths.numpy() > 0).tolist()
    assert rows.tolist() != drawn_customers(market, 20, 2).tolist()
    write_sample(market, rows, tmp_path)
    sample = Histories.open(tmp_path)
    assert sample.customer_ids == [market.customer_ids[row] for row in rows]
    assert sample.vocabulary == market.vocabulary
    there, here = sample.batch(np.arange(20)), market.batch(rows)
    for name in ("items", "days", "weights", "lengths", "features", "now"):
        assert torch.equal(getattr(there, name), getattr(here, name)), name
    assert sample.first.sum() == sum(int(market.first[market.offsets[r] : market.offsets[r + 1]].sum()) for r in rows)


def test_the_best_items_are_the_first_that_were_not_bought(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 3)], [(1, 9), (2, 5), (3, 4)], [(4, 1)]], 4)
    scores = torch.tensor([4.0, 3.0, 2.0, 1.0])
    found = best_items(lambda batch: scores.expand(len(batch.items), -1), histories, np.array([2, 0, 1]), 3)
    assert found.tolist() == [[1, 2, 3], [2, 3, 4], [4, 0, 0]]
