"""What every attention model promises: no leak, no NaN, padding without effect, attention that adds up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lightning_modules.attention_cf import AttentionCF
from lightning_modules.examples import PurchaseExamples, SequenceExamples, owned_columns
from lightning_modules.fit import build_ranker
from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.ranker import Ranker
from lightning_modules.settings import ModelKind, ModelSpec, TrainSettings, as_json
from lightning_modules.transformer import CausalTransformer
from tests.lightning_modules.small_histories import planted_market, write

KINDS: tuple[ModelKind, ...] = ("attention_cf", "sequential_attention", "portfolio_attention", "transformer")
ROWS = [[(2, 90), (1, 90), (4, 30)], [], [(3, 30)], [(1, 60), (3, 60), (5, 9), (2, 3), (4, 1)], [(5, 20), (1, 2)]]


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    generator = np.random.default_rng(0)
    items = generator.normal(size=(6, 3)).astype(np.float32)
    customers = generator.normal(size=(5, 2)).astype(np.float32)
    return write(tmp_path, ROWS, 6, items, customers)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def model_of(kind: ModelKind, histories: Histories, **changes: object) -> Any:
    spec = ModelSpec(kind=kind, dim=8, heads=2, max_length=10, holders=4, holder_dim=4, **changes)  # type: ignore[arg-type]
    model = build_ranker(spec, histories)
    assert isinstance(model, torch.nn.Module)
    model.prepare(histories, 180.0)
    if isinstance(model, AttentionCF):
        torch.nn.init.constant_(model.interaction, 0.7)
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_every_customer_gets_finite_scores_over_the_whole_catalogue(kind: ModelKind, histories: Histories) -> None:
    model = model_of(kind, histories)
    assert isinstance(model, Ranker)
    scores = model.score(histories.batch(np.arange(5)))
    assert scores.shape == (5, 6)
    assert scores.isfinite().all()
    # Cold customers differ by profile.
    assert len({tuple(row) for row in scores.tolist()}) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_padding_has_no_effect(kind: ModelKind, histories: Histories) -> None:
    model = model_of(kind, histories)
    batch = histories.batch(np.arange(5))
    padded = replace(
        batch,
        items=F.pad(batch.items, (0, 4)),
        days=F.pad(batch.days, (0, 4)),
        weights=F.pad(batch.weights, (0, 4)),
    )
    alone = torch.cat([model.score(histories.batch(np.array([row]))) for row in range(5)])
    assert torch.allclose(model.score(batch), model.score(padded), atol=1e-5)
    assert torch.allclose(model.score(batch), alone, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_adds_up_to_one_over_real_events(kind: ModelKind, histories: Histories) -> None:
    batch = histories.batch(np.arange(5))
    weights = model_of(kind, histories).attention(batch, torch.tensor([[1, 6]] * 5))
    assert weights.shape == (5, 2, 5)
    assert (weights[~batch.mask[:, None].expand_as(weights)] == 0).all()
    expected = batch.mask.any(1).float()[:, None].expand(-1, 2)
    assert torch.allclose(weights.sum(-1), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_finite(kind: ModelKind, histories: Histories) -> None:
    model = model_of(kind, histories).train()
    source = PurchaseExamples if model.examples == "purchases" else SequenceExamples
    examples = source(histories, 10, 180.0)
    loss = model.loss(examples[np.arange(len(examples))])
    loss.backward()
    assert loss.isfinite()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    unused = [name for name, gradient in gradients.items() if gradient is None]
    assert not unused, "every parameter learns"
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())


def test_the_item_term_is_exactly_the_sum_of_its_holdings(histories: Histories) -> None:
    model = model_of("attention_cf", histories)
    assert isinstance(model, AttentionCF)
    batch = histories.batch(np.array([3]))
    table = model.items()
    read, candidates = table[batch.items], table[1:]
    profile = model.profile_scale(batch.features)
    # The same by the textbook: per head and candidate, softmax over the holdings of q . k plus the bias.
    width = model.spec.dim // model.spec.heads
    queries = model.query(candidates).view(6, 2, width)
    keys, values = model.key(read[0]).view(5, 2, width), model.value(read[0]).view(5, 2, width)
    bias = model._bias(batch, keys[None], profile)[0]  # [H, L]
    expected = torch.zeros(6)
    attention = torch.zeros(6, 5)
    for head in range(2):
        logits = queries[:, head] @ keys[:, head].T / width**0.5 + bias[head]
        weights = torch.softmax(logits, -1)
        attention += weights / 2
        expected += (weights * (candidates.view(6, 2, width)[:, head] @ values[:, head].T)).sum(1)
    got = model._item_term(batch, read, profile, candidates)[0]
    assert torch.allclose(got, expected * 5**model.length_power, atol=1e-5)
    asked = torch.arange(1, 7)[None]
    assert torch.allclose(model.attention(batch, asked)[0], attention, atol=1e-5)


def test_older_holdings_weigh_less(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 400), (1, 0)], [(2, 1)]], 2)
    weights = model_of("attention_cf", histories).attention(histories.batch(np.array([0])), torch.tensor([[2]]))
    assert weights[0, 0, 0] < weights[0, 0, 1]


def test_a_customer_never_attends_to_himself_as_a_holder(histories: Histories) -> None:
    model = model_of("attention_cf", histories)
    assert isinstance(model, AttentionCF)
    batch = histories.batch(np.array([0]))
    table = model.items()
    read, profile = table[batch.items], model.profile_scale(batch.features)
    with torch.no_grad():
        before = model._user_term(batch, read, profile, table)
        # Whatever stands in the table of holders for customer 0 himself must not matter to him, but to others.
        himself = int((model.holder_customers == 0).nonzero())
        model.holder_features[himself] += 100.0
        after = model._user_term(batch, read, profile, table)
        other = replace(batch, customers=torch.tensor([1]))
        seen_by_another = model._user_term(other, read, profile, table)
    assert torch.equal(before, after)
    assert not torch.equal(after, seen_by_another)


def test_an_item_with_one_holder_has_no_user_term(histories: Histories) -> None:
    model = model_of("attention_cf", histories)
    assert isinstance(model, AttentionCF)
    batch = histories.batch(np.arange(5))
    table = model.items()
    user = model._user_term(batch, table[batch.items], model.profile_scale(batch.features), table)
    assert (user[:, 5] == 0).all()  # item 6: nobody
    assert (user[:, :5] != 0).any(0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_hidden_target_cannot_be_seen(kind: ModelKind, tmp_path: Path) -> None:
    """Two worlds that differ only in what customer 0 buys last: the scores that are trained on are the same."""
    worlds = [
        write(tmp_path / str(item), [[(1, 9), (2, 8), (item, 1)], [(1, 9), (2, 7)], [(1, 4), (2, 3)]], 4) for item in (3, 4)
    ]
    scored = []
    for world in worlds:
        torch.manual_seed(0)
        model = build_ranker(ModelSpec(kind=kind, dim=8, max_length=5, holders=4), world).eval()  # type: ignore[arg-type]
        if model.examples == "purchases":
            batch = PurchaseExamples(world, 5, None)[np.array([2])]
            # The training set itself differs in who bought 3 and 4; what this customer sees must not.
            scored.append(model.score(batch.history)[:, : 2 if kind == "portfolio_attention" else 4])
        else:
            history = SequenceExamples(world, 5, None)[np.array([0])].history
            hidden, packing = model.encode(history, model.item_table(), drop_last=True)
            scored.append(hidden[packing.last])
    assert torch.equal(scored[0], scored[1])


def test_the_transformer_is_causal(histories: Histories) -> None:
    model = model_of("transformer", histories)
    assert isinstance(model, CausalTransformer)
    batch = histories.batch(np.array([3]))
    changed = replace(batch, items=torch.tensor([[1, 3, 5, 2, 6]]))
    before, _ = model.encode(batch, model.item_table())
    after, _ = model.encode(changed, model.item_table())
    assert torch.equal(before[:5], after[:5])
    assert not torch.equal(before[5], after[5])


def test_the_transformer_scores_as_it_was_trained(histories: Histories) -> None:
    """The score after n events equals the training score at position n."""
    model = model_of("transformer", histories)
    assert isinstance(model, CausalTransformer)
    whole = histories.batch(np.array([3]))
    table = model.item_table()
    trained, _ = model.encode(whole, table, drop_last=True)
    begun = replace(
        whole, items=whole.items[:, :2], days=whole.days[:, :2], weights=whole.weights[:, :2], lengths=torch.tensor([2])
    )
    assert torch.allclose(model.score(begun), model.scores(trained[2:3], table), atol=1e-5)


def test_a_history_longer_than_in_training_still_has_positions(histories: Histories) -> None:
    model = model_of("transformer", histories)
    length = 30
    long = HistoryBatch(
        customers=torch.tensor([0]),
        items=torch.ones(1, length, dtype=torch.int64),
        days=torch.zeros(1, length, dtype=torch.int64),
        weights=torch.ones(1, length),
        lengths=torch.tensor([length]),
        features=torch.zeros(1, 2),
        now=torch.tensor([1]),
    )
    assert model.score(long).isfinite().all()


def test_models_without_features_work(tmp_path: Path) -> None:
    none = np.zeros((2, 0), np.float32)
    histories = write(tmp_path, [[(1, 2)], [(1, 3), (2, 1)]], 2, none, none)
    for kind in KINDS:
        assert model_of(kind, histories).score(histories.batch(np.arange(2))).isfinite().all()


def test_spec_and_settings_as_json() -> None:
    told = as_json(ModelSpec(dim=32), TrainSettings(epochs=3))
    assert told["spec"]["dim"] == 32
    assert told["settings"]["epochs"] == 3


OPTIONS: list[dict[str, object]] = [
    {"norm": "post"},
    {"positions": "learned"},
    {"positions": "none"},
    {"temporal_decay": "learned"},
    {"precision": "bfloat16", "temporal_decay": "learned"},
    {"kernel": "linear", "temporal_decay": "learned"},
    {"kernel": "linear", "precision": "bfloat16"},
    {"top_k": 2},
    {"item_features": False, "profile": False, "item_bias": False, "exclude_owned": False},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_of_the_transformer_learns_and_scores(options: dict[str, object], histories: Histories) -> None:
    model = model_of("transformer", histories, **options).train()
    loss = model.loss(SequenceExamples(histories, 10, 180.0)[np.arange(4)])
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())
    model.eval()
    batch = histories.batch(np.arange(5))
    assert model.score(batch).isfinite().all()
    weights = model.attention(batch, torch.tensor([[1]] * 5))
    assert torch.allclose(weights.sum(-1)[:, 0], batch.mask.any(1).float(), atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_transformer_with_any_option_scores_as_it_was_trained(options: dict[str, object], histories: Histories) -> None:
    model = model_of("transformer", histories, **options)
    assert isinstance(model, CausalTransformer)
    whole, table = histories.batch(np.array([3, 0])), model.item_table()
    trained, packing = model.encode(whole, table, drop_last=True)
    begun = replace(
        whole, items=whole.items[:, :2], days=whole.days[:, :2], weights=whole.weights[:, :2], lengths=torch.tensor([2, 2])
    )
    assert torch.allclose(model.score(begun), model.scores(trained[packing.starts + 2], table), atol=1e-5)


def test_the_loss_is_the_plain_softmax_over_what_is_not_owned(histories: Histories) -> None:
    model = model_of("transformer", histories)
    assert isinstance(model, CausalTransformer)
    batch = SequenceExamples(histories, 10, 180.0)[np.arange(4)]
    total, weight = 0.0, 0.0
    for row in range(4):
        for place in range(int(batch.history.lengths[row])):
            begun = histories.batch(batch.history.customers[row : row + 1])
            begun = replace(
                begun,
                items=begun.items[:, : max(place, 1)] * (place > 0),
                days=begun.days[:, : max(place, 1)],
                weights=begun.weights[:, : max(place, 1)],
                lengths=torch.tensor([place]),
            )
            scores = model.score(begun)[0]
            owned = set(batch.owned[row].tolist()) - {0, int(batch.targets[row, place]) + 1}
            left = [column for column in range(6) if column + 1 not in owned]
            lost = torch.logsumexp(scores[left], 0) - scores[batch.targets[row, place]]
            total += float(lost.detach() * batch.weights[row, place])
            weight += float(batch.weights[row, place])
    assert model.loss(batch).item() == pytest.approx(total / weight, abs=1e-5)


def test_with_decay_an_old_event_is_attended_to_less(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 900), (1, 0)], [(2, 1)]], 2)
    plain, decayed = (model_of("transformer", histories, positions="none", temporal_decay=decay) for decay in ("none", "learned"))
    batch, asked = histories.batch(np.array([0])), torch.tensor([[2]])
    assert plain.attention(batch, asked)[0, 0].tolist() == pytest.approx([0.5, 0.5], abs=0.02)
    assert decayed.attention(batch, asked)[0, 0, 0] < 0.01


def test_a_training_batch_may_be_in_any_order(histories: Histories) -> None:
    model = model_of("transformer", histories)
    examples = SequenceExamples(histories, 10, 180.0)
    assert torch.allclose(model.loss(examples[np.arange(4)]), model.loss(examples[np.array([2, 0, 3, 1])]), atol=1e-6)


@pytest.mark.parametrize("kind", ["attention_cf", "portfolio_attention"])
def test_items_that_start_at_their_co_visits_rank_before_any_step(kind: ModelKind, tmp_path: Path) -> None:
    """The planted companion stands far better than where vectors start at random."""
    histories, following = planted_market(tmp_path, customers=200)
    batch, target = histories.batch(np.arange(200)), torch.from_numpy(following)[:, None] - 1
    places = {}
    for start in ("random", "covisits"):
        with torch.no_grad():
            scores = model_of(kind, histories, item_start=start).score(batch)
        scores = scores.masked_fill(owned_columns(batch.items, 40), -torch.inf)
        places[start] = float((scores > scores.gather(1, target)).sum(1).float().mean())
    assert places["covisits"] < 0.75 * places["random"], places
