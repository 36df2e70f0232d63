"""The losses over drawn items, as models are trained with them: what is drawn, what is left out, and that they learn."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_modules.evaluation import rank_tables
from lightning_modules.family import computed_ranker
from lightning_modules.fit import fit, load_ranker
from lightning_modules.histories import Histories
from lightning_modules.objective import Negatives, Questions, full_softmax, sampled_loss
from lightning_modules.ranker import Ranker
from lightning_modules.settings import ModelSpec, TrainSettings
from tests.lightning_modules.small_histories import planted_market, write

# Two questions over four items; the customer of the second owns item 2.
ASKED = Questions(
    hidden=torch.eye(2),
    table=torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0], [0.5, 0.5]]),
    bias=torch.tensor([0.0, 0.1, 0.2, 0.3]),
    targets=torch.tensor([0, 2]),
    weights=torch.tensor([1.0, 3.0]),
    owner=torch.tensor([0, 1]),
    owned=torch.tensor([[False] * 4, [False, True, False, False]]),
)


def drawing(column: int) -> Negatives:
    return Negatives(torch.nn.functional.one_hot(torch.tensor(column), 4).float())


def settings(loss: str, negatives: int = 2) -> TrainSettings:
    return TrainSettings(loss=loss, negatives=negatives, gbce_calibration=0.0)  # type: ignore[arg-type]


def test_bpr_over_drawn_items_literally() -> None:
    # Item 4 alone is drawn: 1.0 against 0.8, and 1.2 against 0.8.
    loss = sampled_loss(ASKED, settings("bpr"), drawing(3))
    assert loss.item() == pytest.approx((math.log1p(math.exp(-0.2)) + 3 * math.log1p(math.exp(-0.4))) / 4)


def test_what_is_owned_or_asked_for_is_no_negative() -> None:
    # Item 2 is owned by the second: only the first question is left, 1.0 against 0.1.
    loss = sampled_loss(ASKED, settings("bpr"), drawing(1))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-0.9)) / 4)
    # Item 1 is the first one's target: only the second is left, 1.2 against 0.0.
    assert sampled_loss(ASKED, settings("bpr"), drawing(0)).item() == pytest.approx(3 * math.log1p(math.exp(-1.2)) / 4)
    free = replace(ASKED, owned=None)
    assert sampled_loss(free, settings("bpr"), drawing(1)).item() > loss.item()


def test_gbce_over_drawn_items_literally() -> None:
    # Calibration 0: plain binary cross-entropy, over the target and the two draws of item 4.
    one = math.log1p(math.exp(-1.0)) + 2 * math.log1p(math.exp(0.8))
    two = math.log1p(math.exp(-1.2)) + 2 * math.log1p(math.exp(0.8))
    assert sampled_loss(ASKED, settings("gbce"), drawing(3)).item() == pytest.approx((one + 3 * two) / 12)


@pytest.mark.parametrize("chances", [torch.full((4,), 0.25), torch.tensor([0.1, 0.2, 0.3, 0.4])])
def test_sampled_softmax_tends_to_the_full_one_however_items_are_drawn(chances: torch.Tensor) -> None:
    torch.manual_seed(0)
    full = full_softmax(ASKED)
    drawn = sampled_loss(ASKED, settings("sampled_softmax", 100_000), Negatives(chances))
    assert drawn.item() == pytest.approx(full.item(), rel=0.01)


def test_chances_follow_the_number_of_buyers(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 3), (2, 2)], [(1, 1)], [(1, 1)]], 3)
    assert Negatives.of(histories, 0.0).chances.tolist() == pytest.approx([1 / 3] * 3)
    negatives = Negatives.of(histories, 1.0)
    assert negatives.chances.tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    torch.manual_seed(0)
    shares = torch.bincount(negatives.draw(100_000), minlength=3) / 100_000
    assert shares.tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=0.01)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    directory = tmp_path_factory.mktemp("market")
    _, following = planted_market(directory, customers=300)
    return directory, following


@pytest.mark.parametrize(
    ("kind", "loss", "epochs", "rate"),
    [
        ("transformer", "sampled_softmax", 12, 1e-2),
        ("transformer", "bpr", 12, 1e-2),
        ("transformer", "gbce", 60, 3e-2),  # slower: every item's score must first fall to where its sigmoid is rare
        ("gru4rec", "sampled_softmax", 12, 1e-2),
    ],
)
def test_every_loss_finds_the_planted_companion(
    kind: str, loss: str, epochs: int, rate: float, market: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    spec = ModelSpec(kind=kind, dim=32, blocks=1, max_length=10, dropout=0.0)  # type: ignore[arg-type]
    settings = TrainSettings(epochs=epochs, batch_size=64, base_lr=rate, recency_half_life_days=None, threads=1)
    fit(spec, replace(settings, loss=loss, negatives=20), market[0], tmp_path)  # type: ignore[arg-type]
    histories = Histories.open(market[0])

    def ndcg(model: Ranker) -> float:
        ranks, _ = rank_tables(model.score, histories, np.arange(300), market[1], max_length=10)
        place = ranks["rank"].to_numpy()
        return float(np.where(place <= 10, 1 / np.log2(place + 1), 0).mean())

    popularity = ndcg(computed_ranker(ModelSpec(kind="popularity"), histories))
    assert popularity < 0.4
    assert ndcg(load_ranker(tmp_path, market[0])) > 0.6
