"""Sequential attention: scores are what the formula says, and what it shows is what it used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules import sequential_attention
from lightning_modules.histories import Histories
from lightning_modules.sequential_attention import SequentialAttention
from lightning_modules.settings import ModelSpec
from tests.lightning_modules.small_histories import write

ROWS = [[(2, 90), (1, 90), (4, 30)], [], [(3, 30)], [(1, 60), (3, 60), (5, 9), (2, 3), (4, 1)]]


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    generator = np.random.default_rng(0)
    return write(
        tmp_path,
        ROWS,
        6,
        generator.normal(size=(6, 3)).astype(np.float32),
        generator.normal(size=(4, 2)).astype(np.float32),
    )


def model_of(histories: Histories, **changes: object) -> SequentialAttention:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = SequentialAttention(ModelSpec(kind="sequential_attention", dim=8, mlp_dim=3, **changes), histories)  # type: ignore[arg-type]
        model.prepare(histories, None)
    return model.eval()


@pytest.mark.parametrize("changes", [{}, {"top_k": 2}, {"decay": "exponential", "decay_half_life_days": 20.0}])
def test_a_score_by_the_textbook(histories: Histories, changes: dict[str, object]) -> None:
    model = model_of(histories, **changes)
    with torch.no_grad():
        batch = histories.batch(np.array([3]))
        table = model.items()
        read = table[batch.items[0]]  # [5, D]
        profile = model.from_profile(model.profile_scale(batch.features))[0]
        asked = model.norm(profile + model.from_last(read[-1]) + model.from_recent(read.mean(0)))
        weights = model.attention(batch, torch.tensor([[1, 6]]))[0]
        per_head = model._context(batch, table, weights=True)[1]
        assert per_head is not None
        value = model.value(read).view(5, 2, 4)
        found = torch.stack([per_head[0, head, 0] @ value[:, head] for head in range(2)]).flatten()
        context = asked + model.output(found)
        pairs = [
            context @ item + model.hidden @ torch.relu(model.of_context(context) + model.of_item(item)) for item in table[1:]
        ]
        expected = torch.stack(pairs) + model.items.bias
        assert torch.allclose(model.score(batch)[0], expected, atol=1e-5)
    assert torch.allclose(weights[0], per_head[0, :, 0].mean(0), atol=1e-6)
    assert torch.equal(weights[0], weights[1])
    # Two heads of two holdings each, where only the two best are looked at.
    assert (weights[0] > 0).sum() <= (4 if "top_k" in changes else 5)


def test_scoring_in_slices_changes_nothing(histories: Histories, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(histories)
    batch = histories.batch(np.arange(4))
    whole = model.score(batch).detach()
    monkeypatch.setattr(sequential_attention, "PAIRS", 6)
    with torch.no_grad():
        assert torch.allclose(model.score(batch), whole, atol=1e-6)


def test_the_recent_context_asks(histories: Histories) -> None:
    """The same holdings in another order are another question: the last purchase leads."""
    model = model_of(histories, decay="off")
    batch = histories.batch(np.array([3]))
    turned = replace(batch, items=batch.items.flip(1))
    one, other = (model.attention(asked, torch.tensor([[1]]))[0, 0] for asked in (batch, turned))
    assert not torch.allclose(one, other.flip(0), atol=1e-4)


def test_exponential_decay_moves_attention_to_the_recent(histories: Histories) -> None:
    batch = histories.batch(np.array([0]))
    asked = torch.tensor([[1]])
    none = model_of(histories, decay="off").attention(batch, asked)[0, 0]
    steep = model_of(histories, decay="exponential", decay_half_life_days=10.0, decay_learned=False).attention(batch, asked)[0, 0]
    # 60 days at a half-life of 10 are six halvings.
    assert torch.allclose(steep[2] / steep[0], none[2] / none[0] * 64, rtol=0.2)
