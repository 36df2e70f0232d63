"""Market states: point in time, kept in the training set, neutral where nothing is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from data_contracts.errors import TrainingError
from lightning_modules.histories import Histories
from lightning_modules.market_states import MarketStates, MarketView
from tests.lightning_modules.small_histories import CUT_DAY, write

STATES = MarketStates(
    days=torch.tensor([CUT_DAY - 14, CUT_DAY - 7, CUT_DAY], dtype=torch.int32),
    regimes=torch.tensor([0, 1, -1], dtype=torch.int32),
    standing=torch.tensor([[[9.0, 9.0], [9.0, 9.0]], [[2.0, -1.0], [-2.0, 1.0]], [[3.0, -0.5], [-3.0, 0.5]]]),
)


def test_a_question_sees_the_latest_day_that_is_not_after_it(tmp_path: Path) -> None:
    write(tmp_path, [[(1, 3)]], 2, market=STATES)
    view = MarketView(Histories.open(tmp_path).market)
    asked = torch.tensor([CUT_DAY - 15, CUT_DAY - 14, CUT_DAY - 7, CUT_DAY - 1, CUT_DAY])
    assert view.regime(asked).tolist() == [0, 0, 1, 1, -1]
    # Before the first day, and in a neutral market, nothing is favoured; in a bull momentum is, in a bear calm.
    nothing = [[0.0, 0.0], [0.0, 0.0]]
    bull = [[2.0, 0.0], [-2.0, 0.0]]
    assert view.affinity(asked).tolist() == [nothing, nothing, bull, bull, [[0.0, -0.5], [0.0, 0.5]]]
    some = view.affinity(asked[2:3], torch.tensor([[2, 0, 1]]))
    assert some.tolist() == [[[-2.0, 0.0], [0.0, 0.0], [2.0, 0.0]]]


def test_a_training_set_without_a_market_is_neutral(tmp_path: Path) -> None:
    view = MarketView(write(tmp_path, [[(1, 3)]], 2).market)
    assert view.regime(torch.tensor([CUT_DAY])).tolist() == [0]
    assert (view.affinity(torch.tensor([CUT_DAY])) == 0).all()


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (MarketStates(STATES.days + 1, STATES.regimes, STATES.standing), "not pass the cut"),
        (MarketStates(STATES.days.flip(0), STATES.regimes, STATES.standing), "days must rise"),
        (MarketStates(STATES.days, STATES.regimes + 5, STATES.standing), "a regime is none of"),
        (MarketStates(STATES.days, STATES.regimes, STATES.standing[:, :1]), r"standing \(3, 1, 2\)"),
        (MarketStates(STATES.days, STATES.regimes, STATES.standing * torch.nan), "NaN"),
    ],
)
def test_what_does_not_fit_or_looks_ahead_is_refused(states: MarketStates, said: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=said):
        write(tmp_path, [[(1, 3)]], 2, market=states)
