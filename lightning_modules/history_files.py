"""Ragged purchase histories on disk, to be mapped into memory.

A directory holds one training set, written by ``write_histories`` and read by ``Histories.open``::

    events.arrow             one row per event, grouped by customer, oldest first
                             item int32 (1..N; 0 is padding) | day int32 (days since 1970-01-01)
                             weight float32 | first uint8 (1 = the customer's first purchase of that item)
    offsets.arrow            offset int64 [C + 1]: customer c owns events offset[c] .. offset[c + 1] - 1
    item_features.arrow      value float32 [N * F], row-major; row i describes item i + 1
    customer_features.arrow  value float32 [C * G], row-major
    market.arrow             day int32 [T], regime int32 [T]: weekly up to the cut (T may be 0)
    standing.arrow           value float32 [T * N * 2], row-major (lightning_modules.market_states)
    items.parquet            row i is item i + 1 (has asset_id)
    customers.parquet        row c is customer c (has customer_id)
    meta.json                counts, feature names, cut day; written last, so a half-written set cannot be opened

The Arrow files are uncompressed IPC with a single record batch: a column is one contiguous piece of the mapped
file, and a tensor over it costs nothing until it is read. ``first`` is a byte, because Arrow packs booleans.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.errors import TrainingError
from lightning_modules.days import days_since_epoch
from lightning_modules.market_states import MarketStates

FORMAT_VERSION = 2
ARROW_FILES = tuple(f"{name}.arrow" for name in ("events", "offsets", "item_features", "customer_features", "market", "standing"))
EVENT_SCHEMA = pa.schema([("item", pa.int32()), ("day", pa.int32()), ("weight", pa.float32()), ("first", pa.uint8())])

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer[Any]]


def write_histories(
    directory: Path,
    events: pa.Table,
    offsets: npt.NDArray[np.int64],
    items: pa.Table,
    customers: pa.Table,
    item_features: Floats,
    item_feature_names: list[str] | tuple[str, ...],
    customer_features: Floats,
    customer_feature_names: list[str] | tuple[str, ...],
    cut: date,
    market: MarketStates | None = None,
) -> Path:
    """Write one training set.

    Args:
        directory: created if absent; files of an older set in it are replaced.
        events: columns item, day, weight, first, grouped by customer and by day within a customer.
        offsets: [C + 1], from 0 to the number of events, never falling.
        items: N rows with ``asset_id``; customers: C rows with ``customer_id``.
        item_features: [N, F], finite; customer_features: [C, G], finite.
        cut: nothing in the events is later; scoring asks its question on this day.
        market: regimes and standings up to the cut; None: unknown, every day is neutral.

    Raises:
        TrainingError: the parts do not fit together, or an event lies after ``cut``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    table = _event_table(events)
    _validate(table, offsets, items, customers, cut)
    item_values = _features(item_features, items.num_rows, item_feature_names, "item")
    customer_values = _features(customer_features, customers.num_rows, customer_feature_names, "customer")
    market = market or MarketStates.unknown(items.num_rows)
    market.check(items.num_rows, days_since_epoch(cut))
    meta_path = directory / "meta.json"
    meta_path.unlink(missing_ok=True)
    _write_arrow(directory / "events.arrow", table)
    _write_arrow(directory / "offsets.arrow", pa.table({"offset": pa.array(offsets, pa.int64())}))
    _write_arrow(directory / "item_features.arrow", pa.table({"value": pa.array(item_values.ravel())}))
    _write_arrow(directory / "customer_features.arrow", pa.table({"value": pa.array(customer_values.ravel())}))
    states = {"day": pa.array(market.days.numpy()), "regime": pa.array(market.regimes.numpy())}
    _write_arrow(directory / "market.arrow", pa.table(states))
    _write_arrow(directory / "standing.arrow", pa.table({"value": pa.array(market.standing.numpy().ravel())}))
    pq.write_table(items, directory / "items.parquet")
    pq.write_table(customers, directory / "customers.parquet")
    meta = {
        "format_version": FORMAT_VERSION,
        "customers": customers.num_rows,
        "items": items.num_rows,
        "events": table.num_rows,
        "item_features": list(item_feature_names),
        "customer_features": list(customer_feature_names),
        "cut": cut.isoformat(),
    }
    meta_path.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    return directory


def _event_table(events: pa.Table) -> pa.Table:
    missing = [name for name in EVENT_SCHEMA.names if name not in events.column_names]
    if missing:
        raise TrainingError(
            f"events lack the column(s) {', '.join(missing)}; found {', '.join(events.column_names)}",
            remedy="give the columns item, day, weight and first",
        )
    return events.select(EVENT_SCHEMA.names).cast(EVENT_SCHEMA).combine_chunks()


def _validate(events: pa.Table, offsets: Integers, items: pa.Table, customers: pa.Table, cut: date) -> None:
    problems: list[str] = []
    if "asset_id" not in items.column_names or "customer_id" not in customers.column_names:
        problems.append("items need asset_id and customers need customer_id")
    if any(column.null_count for column in events.columns):
        problems.append("events hold nulls")
    if len(offsets) != customers.num_rows + 1:
        problems.append(f"{len(offsets)} offsets for {customers.num_rows} customers (one more is needed)")
    elif offsets[0] != 0 or offsets[-1] != events.num_rows or bool((np.diff(offsets) < 0).any()):
        problems.append(f"offsets do not climb from 0 to {events.num_rows}")
    if not problems and events.num_rows:
        item, day = events["item"].to_numpy(), events["day"].to_numpy()
        if item.min() < 1 or item.max() > items.num_rows:
            problems.append(f"items run from {item.min()} to {item.max()}, outside 1..{items.num_rows}")
        if day.max() > days_since_epoch(cut):
            problems.append(f"{int((day > days_since_epoch(cut)).sum())} event(s) lie after the cut {cut}")
        customer_starts = np.zeros(events.num_rows, dtype=bool)
        customer_starts[offsets[:-1][offsets[:-1] < events.num_rows]] = True
        if bool(((day[1:] < day[:-1]) & ~customer_starts[1:]).any()):
            problems.append("a customer's events are not in time order")
    if problems:
        raise TrainingError("histories do not fit together: " + "; ".join(problems), remedy="rebuild the events table")


def _features(values: Floats, rows: int, names: list[str] | tuple[str, ...], what: str) -> Floats:
    array = np.ascontiguousarray(values, dtype=np.float32)
    if array.shape != (rows, len(names)):
        raise TrainingError(
            f"{what} features have shape {array.shape}, expected ({rows}, {len(names)})",
            remedy=f"give one row per {what} and one name per column",
        )
    bad = ~np.isfinite(array).all(axis=0)
    if bad.any():
        raise TrainingError(
            f"{what} features hold NaN or infinity: {', '.join(names[column] for column in np.flatnonzero(bad))}",
            remedy="fill an unknown value with the column's middle and add a column that says it is unknown",
        )
    return array


def _write_arrow(path: Path, table: pa.Table) -> None:
    path.unlink(missing_ok=True)  # what is kept for the next night may be a link to it
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        # One record batch, so that every column is one contiguous buffer.
        writer.write_table(table.combine_chunks(), max_chunksize=max(table.num_rows, 1))
