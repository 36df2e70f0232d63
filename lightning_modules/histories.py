"""Ragged purchase histories, memory-mapped into torch: what ``history_files`` writes, read by ``Histories.open``.

A tensor over a column costs nothing until it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from data_contracts.errors import TrainingError
from lightning_modules.days import days_since_epoch
from lightning_modules.history_files import FORMAT_VERSION
from lightning_modules.market_states import MarketStates

Integers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class HistoryBatch:
    """Right-padded histories of B customers and the day the question is asked on."""

    customers: Tensor  # [B] int64, row in customers.parquet
    items: Tensor  # [B, L] int64, 1..N, 0 where there is no event
    days: Tensor  # [B, L] int64, days since 1970-01-01
    weights: Tensor  # [B, L] float32
    lengths: Tensor  # [B] int64
    features: Tensor  # [B, G] float32, the customers' features
    now: Tensor  # [B] int64, day the recommendation is for: an event's age is now - day

    @property
    def mask(self) -> Tensor:
        """[B, L] bool, True at real events."""
        return self.items > 0

    def to(self, device: torch.device | str, *args: Any, **kwargs: Any) -> HistoryBatch:
        """The same batch on ``device`` (Lightning passes ``non_blocking`` along)."""
        moved = {f.name: getattr(self, f.name).to(device, *args, **kwargs) for f in fields(self)}
        return replace(self, **moved)


class Histories:
    """A training set, memory-mapped. Open with ``Histories.open``; every tensor is a read-only view of a file."""

    def __init__(self, directory: Path, meta: dict[str, Any]) -> None:
        self.directory = directory
        self.n_customers: int = meta["customers"]
        self.n_items: int = meta["items"]
        self.n_events: int = meta["events"]
        self.item_feature_names: tuple[str, ...] = tuple(meta["item_features"])
        self.customer_feature_names: tuple[str, ...] = tuple(meta["customer_features"])
        self.cut = date.fromisoformat(meta["cut"])
        self.cut_day = days_since_epoch(self.cut)
        events = _map_arrow(directory / "events.arrow")
        self.items: Tensor = events["item"]  # [E] int32
        self.days: Tensor = events["day"]  # [E] int32
        self.weights: Tensor = events["weight"]  # [E] float32
        self.first: Tensor = events["first"]  # [E] uint8
        self.offsets: Tensor = _map_arrow(directory / "offsets.arrow")["offset"]  # [C + 1] int64
        self.item_features: Tensor = _map_arrow(directory / "item_features.arrow")["value"].view(
            self.n_items, len(self.item_feature_names)
        )
        self.customer_features: Tensor = _map_arrow(directory / "customer_features.arrow")["value"].view(
            self.n_customers, len(self.customer_feature_names)
        )
        states = _map_arrow(directory / "market.arrow")
        standing = _map_arrow(directory / "standing.arrow")["value"].view(len(states["day"]), self.n_items, 2)
        self.market = MarketStates(states["day"], states["regime"], standing)
        self._asset_ids: list[str] | None = None
        self._customer_ids: list[str] | None = None

    @classmethod
    def open(cls, directory: Path) -> Histories:
        """Map the set in ``directory``.

        Raises:
            TrainingError: there is no complete training set there.
        """
        meta_path = directory / "meta.json"
        if not meta_path.is_file():
            raise TrainingError(
                f"no complete training set in {directory}: meta.json is missing",
                remedy="run the histories step again; it writes meta.json last",
            )
        meta = json.loads(meta_path.read_text(encoding="utf-8"))
        if meta.get("format_version") != FORMAT_VERSION:
            raise TrainingError(
                f"training set {directory} has format version {meta.get('format_version')}, expected {FORMAT_VERSION}",
                remedy="run the histories step again with this version",
            )
        return cls(directory, meta)

    @property
    def asset_ids(self) -> list[str]:
        """[N] asset_id of item 1, 2, .. N."""
        if self._asset_ids is None:
            self._asset_ids = _id_column(self.directory / "items.parquet", "asset_id")
        return self._asset_ids

    @property
    def customer_ids(self) -> list[str]:
        """[C] customer_id of customer 0, 1, .. C - 1."""
        if self._customer_ids is None:
            self._customer_ids = _id_column(self.directory / "customers.parquet", "customer_id")
        return self._customer_ids

    @property
    def vocabulary(self) -> str:
        """SHA-256 of the asset ids in order: a model belongs to exactly one vocabulary."""
        return hashlib.sha256("\n".join(self.asset_ids).encode()).hexdigest()

    @property
    def lengths(self) -> Tensor:
        """[C] int64, events per customer."""
        return self.offsets[1:] - self.offsets[:-1]

    def batch(self, customers: Tensor | Integers, max_length: int | None = None) -> HistoryBatch:
        """The most recent ``max_length`` events (None: all) of each customer, oldest first, asked on the cut day."""
        rows = torch.as_tensor(np.asarray(customers), dtype=torch.int64)
        ends = self.offsets[rows + 1]
        starts = self.offsets[rows]
        if max_length is not None:
            starts = torch.maximum(starts, ends - max_length)
        return self.window(rows, starts, ends, torch.full_like(rows, self.cut_day))

    def window(self, customers: Tensor, starts: Tensor, ends: Tensor, now: Tensor) -> HistoryBatch:
        """Events ``starts[b] .. ends[b] - 1`` of each row, right-padded, by one vectorised gather."""
        lengths = ends - starts
        width = max(int(lengths.max()) if len(lengths) else 0, 1)
        position = torch.arange(width)
        real = position < lengths[:, None]  # [B, L]
        index = torch.where(real, starts[:, None] + position, 0)
        if self.n_events == 0:
            index = index[:, :0]
        items = _pad(self.items, index, real).long()
        return HistoryBatch(
            customers=customers,
            items=items,
            days=_pad(self.days, index, real).long(),
            weights=_pad(self.weights, index, real),
            lengths=lengths,
            features=self.customer_features[customers],
            now=now,
        )

    def batches(
        self,
        customers: Tensor | Integers | None = None,
        *,
        batch_size: int = 512,
        max_length: int | None = None,
    ) -> Iterator[HistoryBatch]:
        """Batches over ``customers`` (None: all), of similar length so that little is padding.

        The order is by length, then by row: read ``batch.customers`` to know whose scores came out.
        """
        rows = torch.arange(self.n_customers) if customers is None else torch.as_tensor(np.asarray(customers))
        order = torch.argsort(self.lengths[rows.long()], stable=True)
        for start in range(0, len(rows), batch_size):
            yield self.batch(rows[order[start : start + batch_size]], max_length)


def _pad(values: Tensor, index: Tensor, real: Tensor) -> Tensor:
    """values[index] where real, 0 elsewhere. [E] gathered by [B, L]."""
    if index.shape != real.shape:  # no events at all
        return torch.zeros(real.shape, dtype=values.dtype)
    return torch.where(real, values[index], torch.zeros((), dtype=values.dtype))


def _map_arrow(path: Path) -> dict[str, Tensor]:
    with pa.memory_map(str(path), "r") as source:
        table = pa.ipc.open_file(source).read_all()
    columns: dict[str, Tensor] = {}
    for name in table.column_names:
        column = table[name]
        # DLPack shares the mapped buffer and, unlike from_numpy, takes it read-only without a warning.
        columns[name] = (
            torch.utils.dlpack.from_dlpack(column.chunk(0))
            if column.num_chunks and len(column)
            else torch.empty(0, dtype=_TORCH_TYPES[column.type])
        )
    return columns


_TORCH_TYPES = {
    pa.int32(): torch.int32,
    pa.int64(): torch.int64,
    pa.float32(): torch.float32,
    pa.uint8(): torch.uint8,
}


def _id_column(path: Path, name: str) -> list[str]:
    # Not read_table, which starts the threads and libraries of a data set of many files.
    values: list[str] = pq.ParquetFile(path).read([name], use_threads=False)[name].to_pylist()
    return values
