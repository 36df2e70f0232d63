"""How many epochs: chosen on days before the cut, kept across a kill, and written down."""

from __future__ import annotations

import json
from dataclasses import replace
from math import log2
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from data_contracts.errors import TrainingError
from lightning_modules import fit as fitting
from lightning_modules.early_stopping import Validation, best_epoch, is_over, sampled, slice_ndcg
from lightning_modules.fit import fit
from lightning_modules.settings import ModelSpec, TrainSettings
from lightning_modules.warmup import learning_rate
from tests.lightning_modules.small_histories import planted_market, write

SPEC = ModelSpec(kind="transformer", dim=8, max_length=6, blocks=1)
SETTINGS = TrainSettings(epochs=5, batch_size=64, seed=3, threads=1, recency_half_life_days=None, patience=2)


class Stopped(Exception):
    """Stands in for whatever ends a fit from outside."""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Validation]:
    """A training set, and an earlier one of other customers with what they bought next."""
    directory = tmp_path_factory.mktemp("market")
    planted_market(directory / "whole", customers=150)
    _, following = planted_market(directory / "earlier", customers=120, seed=6)
    return directory / "whole", Validation(directory / "earlier", np.arange(120), following)


def test_patience_literally() -> None:
    values = [0.1, 0.3, 0.3, 0.2]
    assert best_epoch(values) == 1
    assert [is_over(values[:n], 2) for n in range(5)] == [False, False, False, False, True]
    assert is_over(values, 3) is False


class Fixed(nn.Module):
    """Scores item 1 above 2 above 3 ..."""

    def __init__(self, n_items: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(-torch.arange(float(n_items)))

    def score(self, batch: object) -> torch.Tensor:
        return self.scores.expand(len(batch.customers), -1)  # type: ignore[attr-defined]


def test_ndcg_of_the_slice_literally(tmp_path: Path) -> None:
    histories = write(tmp_path, [[(1, 5)], [(2, 5)], [(3, 4)]], 14)
    # Customer 0 holds item 1, so 2 and 4 stand at ranks 1 and 3; customer 2 is asked for the 13th of his candidates.
    asked = Validation(tmp_path, np.array([0, 0, 2]), np.array([2, 4, 14]))
    model = Fixed(14).train()
    expected = ((1 + 1 / log2(4)) / (1 + 1 / log2(3)) + 0.0) / 2
    assert slice_ndcg(model, histories, asked, None) == pytest.approx(expected)  # type: ignore[arg-type]
    assert model.training


def test_a_large_slice_is_drawn_from_by_customer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_modules.early_stopping.MOST_CUSTOMERS", 3)
    whole = Validation(Path(), np.repeat(np.arange(9), 2), np.tile([1, 2], 9))
    drawn = sampled(whole, 1)
    assert len(np.unique(drawn.customers)) == 3
    assert len(drawn.items) == 6
    assert (sampled(whole, 1).customers == drawn.customers).all()
    few = Validation(Path(), np.arange(3), np.ones(3, np.int64))
    assert sampled(few, 1) is few
    with pytest.raises(TrainingError, match="nobody bought anything new in the validation slice"):
        sampled(Validation(Path(), np.zeros(0, np.int64), np.zeros(0, np.int64)), 1)


def test_the_final_fit_ends_after_the_best_epoch_on_the_same_schedule(
    market: tuple[Path, Validation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0.1, 0.4, 0.2, 0.3, 0.9])
    monkeypatch.setattr(fitting, "slice_ndcg", lambda *_: next(values))
    told: list[tuple[int, int, float]] = []
    report = fit(
        SPEC, SETTINGS, market[0], tmp_path, validation=market[1], on_validation=lambda *what: told.append(what)
    )  # fmt: skip
    # Two epochs brought nothing better than the second: the fifth is never run.
    assert told == [(0, 5, 0.1), (1, 5, 0.4), (2, 5, 0.2), (3, 5, 0.3)]
    assert (report.epochs, report.validation) == (2, (0.1, 0.4, 0.2, 0.3))
    log = pq.read_table(tmp_path / "training.parquet").to_pylist()
    validating = [row for row in log if row["fit"] == "validating"]
    final = [row for row in log if row["fit"] == "final"]
    assert [row["validation"] for row in validating if row["validation"] is not None] == [0.1, 0.4, 0.2, 0.3]
    assert [row["step"] for row in validating if row["validation"] is not None] == [1, 3, 5, 7]  # 2 steps an epoch
    assert [row["step"] for row in final] == list(range(6))  # 3 steps an epoch
    # The rates are those of five epochs, cut off after two.
    assert [row["learning_rate"] for row in final] == [learning_rate(step, 15) for step in range(6)]
    assert [row["validation"] for row in final] == [None] * 6
    assert json.loads((tmp_path / "model.json").read_text())["fit"]["validation"] == [0.1, 0.4, 0.2, 0.3]


def outputs(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in ("weights.safetensors", "model.json", "training.parquet")}


@pytest.mark.parametrize("killed_in", ["validating", "final"])
def test_a_validated_fit_resumes_to_the_same_bytes(killed_in: str, market: tuple[Path, Validation], tmp_path: Path) -> None:
    whole, validation = market

    def stop(epoch: int, epochs: int, value: float) -> None:
        if epoch == 0:
            raise Stopped

    fit(SPEC, SETTINGS, whole, tmp_path / "whole", validation=validation)
    with pytest.raises(Stopped):
        fit(
            SPEC, SETTINGS, whole, tmp_path / "parts", validation=validation,
            on_validation=stop if killed_in == "validating" else None,
            on_epoch=stop if killed_in == "final" else None,
        )  # fmt: skip
    fit(SPEC, SETTINGS, whole, tmp_path / "parts", validation=validation, resume=True)
    assert outputs(tmp_path / "whole") == outputs(tmp_path / "parts")
    fit(SPEC, SETTINGS, whole, tmp_path / "parts", validation=validation, resume=True)
    assert outputs(tmp_path / "whole") == outputs(tmp_path / "parts")


def test_a_checkpoint_chosen_on_another_slice_is_refused(market: tuple[Path, Validation], tmp_path: Path) -> None:
    short = replace(SETTINGS, epochs=1)
    fit(SPEC, short, market[0], tmp_path, validation=market[1])
    other = Validation(market[1].histories_dir, market[1].customers[:-1], market[1].items[:-1])
    with pytest.raises(TrainingError, match="other settings or other data"):
        fit(SPEC, short, market[0], tmp_path, validation=other, resume=True)
