"""Attention of a few customers in detail, for pictures: by layer, by head, and by the market's regime.

The regime is supposed where the model has a factor for it: the same customers, the same day, once as if the market were a
bull and once as if it were a bear. A model without one cannot tell regimes apart on one day: it is asked as on the last bull
day and as on the last bear day before the cut, by the purchases made until then.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from lightning_modules.histories import Histories, HistoryBatch
from lightning_modules.importance import per_holding
from lightning_modules.market_states import BEAR, BULL, MarketView
from lightning_modules.ranker import HeadedRanker

Integers = npt.NDArray[np.integer[Any]]
Regime = Literal["as it is", "bull", "bear"]
AS_IT_IS: Regime = "as it is"
SCENES: tuple[tuple[Regime, int], ...] = (("bull", BULL), ("bear", BEAR))
DETAIL_SCHEMA = pa.schema(
    [
        ("customer", pa.int32()),
        ("item", pa.int32()),
        ("layer", pa.int32()),
        ("head", pa.string()),
        ("regime", pa.string()),
        ("weight", pa.float32()),
    ]
)


def attention_detail(
    model: HeadedRanker, histories: Histories, customers: Integers, candidates: Integers, max_length: int | None = None
) -> tuple[pa.Table, str]:
    """The weights of each customer's holdings by layer (from 1), head and regime, mean over his candidates.

    Args:
        customers: [n] rows; candidates: [n, K] items 1..N, 0 where a customer has fewer than K.

    Returns:
        the table (regime "as it is", "bull", "bear"; the latter two are missing where the market was never so), and in words
        how bull and bear came about.
    """
    rows = torch.as_tensor(np.asarray(customers, np.int64))
    asked = torch.as_tensor(np.asarray(candidates, np.int64))
    parts = [_table(model, histories.batch(rows, max_length), asked, AS_IT_IS)]
    market = getattr(model, "market", None)
    if isinstance(market, MarketView) and getattr(model, "turn", None) is not None:
        for name, regime in SCENES:
            with market.supposing(regime):
                parts.append(_table(model, histories.batch(rows, max_length), asked, name))
        return pa.concat_tables(
            parts
        ), "The same customers on the same day, scored as if in a bull market and as if in a bear market."
    said: list[str] = []
    for name, regime in SCENES:
        days = histories.market.days[histories.market.regimes == regime]
        if len(days):
            day = int(days[-1])
            parts.append(_table(model, known_on(histories, rows, day, max_length), asked, name))
            said.append(f"the last {name} day known, {np.datetime64(day, 'D')}")
    how = "The model has no regime factor, so the pictures show the same customers as asked on " + " and on ".join(said)
    return pa.concat_tables(parts), how + ", by their purchases until then." if said else "The market was never a bull or a bear."


def known_on(histories: Histories, customers: Tensor, day: int, max_length: int | None) -> HistoryBatch:
    """The histories [B, L] of ``customers`` [B] as they were on ``day`` (days since 1970-01-01), asked on that day."""
    starts, ends = histories.offsets[customers], histories.offsets[customers + 1]
    known = torch.tensor(
        [int((histories.days[start:end] <= day).sum()) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)],
        dtype=torch.int64,
    )
    ends = starts + known
    if max_length is not None:
        starts = torch.maximum(starts, ends - max_length)
    return histories.window(customers, starts, ends, torch.full_like(customers, day))


def _table(model: HeadedRanker, batch: HistoryBatch, asked: Tensor, regime: Regime) -> pa.Table:
    with torch.no_grad():
        weights = model.head_attention(batch, asked.clamp_min(1)).float()  # [B, K, layers, H, L]
    real = (asked > 0).to(weights.dtype)[:, :, None, None, None]
    mean = (weights * real).sum(1) / real.sum(1).clamp_min(1)  # [B, layers, H, L]
    summed = per_holding(batch.items, mean.flatten(1, 2)).view_as(mean)
    row, layer, head, place = torch.nonzero(summed >= 0, as_tuple=True)
    names = pa.array(model.head_names)
    columns = [
        pa.array(batch.customers[row].numpy()),
        pa.array(batch.items[row, place].numpy()),
        pa.array((layer + 1).numpy()),
        names.take(pa.array(head.numpy())),
        pa.array([regime] * len(row), pa.string()),
        pa.array(summed[row, layer, head, place].numpy()),
    ]
    return pa.table([column.cast(field.type) for column, field in zip(columns, DETAIL_SCHEMA, strict=True)], schema=DETAIL_SCHEMA)
