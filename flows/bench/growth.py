"""``nightfolio bench growth``: how the time of a training epoch grows with customers, history length and catalogue.

One size is varied at a time on random training sets, the others stay. The exponent of an axis is the slope of log seconds
against log size by least squares: 1 is in proportion, 2 its square.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from flows.bench.device import device_line, found_gpu
from lightning_modules.days import days_since_epoch
from lightning_modules.fit import ModelSpec, TrainSettings, fit
from lightning_modules.history_files import write_histories
from reports.growth import write_growth_page

CUT = date(2000, 1, 1)
CUSTOMERS, LENGTH, ITEMS = 1024, 50, 2000  # where an axis is not varied
# Few customers and items, so that what grows with the length is what is seen; batches of 16.
LONG_CUSTOMERS, LONG_ITEMS, LONG_BATCH = 32, 200, 16
TOP_K = 32
AXES: dict[str, tuple[int, ...]] = {
    "customers": (512, 1024, 2048, 4096),
    "items": (1000, 2000, 4000, 8000),
    "length, softmax": (256, 512, 1024, 2048),
    f"length, top {TOP_K}": (256, 512, 1024, 2048),
    "length, linear": (256, 512, 1024, 2048),
}


def bench_growth(
    plot: Path, *, epochs: int = 4, threads: int = 2, axes: tuple[str, ...] = tuple(AXES), say: Callable[[str], None] = print
) -> pl.DataFrame:
    """Measure, print a table and write ``plot`` (one self-contained page).

    Returns:
        axis, size, seconds (of one epoch: the least of those after the first), exponent (of the axis).
    """
    say(
        f"protocol: the product's fit, transformer of width 64, 2 blocks, 2 heads, float32, dropout 0.2, full softmax; random "
        f"events; {CUSTOMERS} customers of {LENGTH} events, {ITEMS} items, batch 128, except on the axis itself; length: "
        f"{LONG_CUSTOMERS} customers, {LONG_ITEMS} items, batch {LONG_BATCH}; seconds: least of {epochs - 1} epochs after a "
        f"first one; {threads} threads\n{device_line(found_gpu())}"
    )
    rows: list[dict[str, object]] = []
    for axis in axes:
        seconds = [_epoch_seconds(axis, size, epochs, threads) for size in AXES[axis]]
        slope = exponent(AXES[axis], seconds)
        for size, one in zip(AXES[axis], seconds, strict=True):
            rows.append({"axis": axis, "size": size, "seconds": one, "exponent": slope})
        told = "  ".join(f"{size}: {one:.3f} s" for size, one in zip(AXES[axis], seconds, strict=True))
        say(f"{axis:18s} exponent {slope:5.2f}   {told}")
    frame = pl.DataFrame(rows, schema={"axis": pl.String, "size": pl.Int64, "seconds": pl.Float64, "exponent": pl.Float64})
    write_growth_page(frame, plot)
    say(f"plot: {plot}")
    return frame


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Least-squares slope of log seconds against log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _epoch_seconds(axis: str, size: int, epochs: int, threads: int) -> float:
    kind, _, kernel = axis.partition(", ")
    customers = size if kind == "customers" else LONG_CUSTOMERS if kind == "length" else CUSTOMERS
    items = size if kind == "items" else LONG_ITEMS if kind == "length" else ITEMS
    length = size if kind == "length" else LENGTH
    spec = ModelSpec(
        kind="transformer",
        max_length=length,
        positions="none",
        kernel="linear" if kernel == "linear" else "softmax",
        top_k=TOP_K if kernel.startswith("top") else 0,
        item_features=False,
        profile=False,
        exclude_owned=False,
    )
    batch = LONG_BATCH if kind == "length" else 128
    settings = TrainSettings(epochs=epochs, batch_size=batch, recency_half_life_days=None, threads=threads)
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        _random_histories(Path(folder) / "set", customers, length, items)
        fit(spec, settings, Path(folder) / "set", Path(folder) / "fit", on_epoch=lambda *_: ends.append(time.perf_counter()))
    return float(np.diff(ends).min())


def _random_histories(directory: Path, customers: int, length: int, items: int) -> None:
    """Every customer has ``length`` + 1 events of random items: the most that is read, and the last target."""
    count = customers * (length + 1)
    drawn = np.random.default_rng(0).integers(1, items + 1, count)
    events = pa.table(
        {
            "item": pa.array(drawn, pa.int32()),
            "day": pa.array(np.tile(np.arange(length + 1) - length + days_since_epoch(CUT), customers), pa.int32()),
            "weight": pa.array(np.ones(count), pa.float32()),
            "first": pa.array(np.ones(count), pa.uint8()),
        }
    )
    write_histories(
        directory,
        events,
        np.arange(0, count + 1, length + 1, dtype=np.int64),
        pa.table({"asset_id": [str(item) for item in range(items)]}),
        pa.table({"customer_id": [str(row) for row in range(customers)]}),
        np.zeros((items, 0), np.float32),
        (),
        np.zeros((customers, 0), np.float32),
        (),
        CUT,
    )
