"""A training set of some of the customers: what an audit with a budget learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from lightning_modules.histories import Histories
from lightning_modules.history_files import write_histories


def drawn_customers(histories: Histories, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows, rising, of ``count`` customers with a history, each as likely; all of them where there are no more."""
    known = np.flatnonzero(histories.lengths.numpy() > 0)
    if len(known) <= count:
        return known
    return np.sort(np.random.default_rng(seed).choice(known, count, replace=False))


def write_sample(histories: Histories, customers: npt.NDArray[np.int64], out: Path) -> Path:
    """Writes the histories of ``customers`` (rows, rising) as a training set: same catalogue, features, market and cut."""
    rows = torch.from_numpy(customers)
    lengths = histories.lengths[rows].numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    starts = histories.offsets[rows].numpy()
    event = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, lengths)
    events = {name: getattr(histories, column).numpy()[event] for name, column in _COLUMNS.items()}
    return write_histories(
        out,
        pa.table(events),
        offsets,
        pq.read_table(histories.directory / "items.parquet"),
        pq.read_table(histories.directory / "customers.parquet").take(pa.array(customers)),
        histories.item_features.numpy(),
        histories.item_feature_names,
        histories.customer_features[rows].numpy(),
        histories.customer_feature_names,
        histories.cut,
        histories.market,
    )


_COLUMNS = {"item": "items", "day": "days", "weight": "weights", "first": "first"}
