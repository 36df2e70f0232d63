"""The embedded default source: a simulated market with a known truth, written in Nightfolio's own layout.

``truth/`` beside the tables says what a model ought to find: every purchase's reason, every customer's tastes,
which asset is whose companion, and the regime of every day. Nothing that learns or recommends reads it: tests do, and the
night, to measure its explanations when all is recommended.

The parts: simulate_draws (random numbers), simulate_assets (what can be bought), simulate_prices (regimes,
fashion, closes), simulate_customers (who buys), simulate_trades (what they buy and why), simulate_ledger (the tables
of trades), and this one (settings, and writing it all).
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from data_contracts.errors import ConfigError, StorageError
from data_contracts.simulate_assets import (
    appeal_table,
    assets_table,
    companions_table,
    draw_catalogue,
    markets_table,
    restricted_table,
)
from data_contracts.simulate_customers import customers_table, draw_customers, tastes_table
from data_contracts.simulate_ledger import holdings_table, purchases_table, transactions_table
from data_contracts.simulate_prices import (
    business_days,
    draw_prices,
    draw_weather,
    prices_table,
    weather_table,
)
from data_contracts.simulate_trades import REASON_NAMES, REASON_SHARES, Market, Tastebuds, draw_trades

#: Raised by hand whenever the same settings would give another market.
SIMULATOR_VERSION = 1
#: Customer x asset cells that are simulated together: 4 million keep a chunk's state near 40 MB.
_CELLS_PER_CHUNK = 4_000_000
_ASSETS_PER_CHUNK = 500


@dataclass(frozen=True)
class MarketSettings:
    """The size and the seed of a simulated market. Anything out of bounds is refused with the field's name.

    ``years`` of business days end on the last one on or before ``as_of``; ``trades_per_customer`` is the mean
    number of trades, about one in seven of them a sale.
    """

    customers: int = 3_000
    assets: int = 240
    years: float = 3.0
    as_of: dt.date = dt.date(2024, 6, 28)
    seed: int = 20240628
    trades_per_customer: float = 24.0

    def __post_init__(self) -> None:
        bounds: tuple[tuple[str, float, float], ...] = (
            ("customers", 200, 1_000_000),
            ("assets", 60, 5_000),
            ("years", 1.0, 20.0),
            ("seed", 0, 2**62),
            ("trades_per_customer", 2.0, 200.0),
        )
        for name, low, high in bounds:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"simulated market: {name} = {value} is out of bounds",
                    remedy=f"set {name} to a value from {low:g} to {high:g}",
                )
        if not dt.date(2000, 1, 1) <= self.as_of <= dt.date(2100, 1, 1):
            raise ConfigError(
                f"simulated market: as_of = {self.as_of} is out of bounds",
                remedy="set as_of to a date from 2000-01-01 to 2100-01-01",
            )

    def as_json(self) -> dict[str, Any]:
        return {"simulator_version": SIMULATOR_VERSION, **asdict(self), "as_of": self.as_of.isoformat()}


def simulate_market(into: Path, settings: MarketSettings, *, cells_per_chunk: int = _CELLS_PER_CHUNK) -> Path:
    """Writes the market to the folder ``into`` in one rename, and returns ``into``.

    A folder that already holds this very market is left as it is. ``cells_per_chunk`` bounds memory and does not
    change a row. Raises StorageError where ``into`` holds something else or cannot be written.
    """
    if into.exists() and not _is_empty_folder(into):
        return _existing(into, settings)
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{into.name}.", dir=into.parent))
    except OSError as error:
        raise _unwritable(into, error) from error
    try:
        _write(partial, settings, cells_per_chunk)
        partial.chmod(0o755)  # mkdtemp's folder is for its owner alone
        partial.rename(into)
    except OSError as error:
        raise _unwritable(into, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return into


def _write(root: Path, settings: MarketSettings, cells_per_chunk: int) -> None:
    truth = root / "truth"
    truth.mkdir()
    # Separate generators, so that a change in one part leaves the others as they were.
    streams = [np.random.default_rng([settings.seed, part]) for part in range(4)]
    calendar = business_days(settings.as_of, settings.years)
    catalogue = draw_catalogue(settings.assets, len(calendar), streams[0])
    weather = draw_weather(calendar, streams[1])
    close = draw_prices(catalogue, weather, streams[2])
    assets_table(catalogue, calendar, streams[3]).write_parquet(root / "assets.parquet")
    markets_table().write_parquet(root / "markets.parquet")
    restricted_table(catalogue, calendar).write_parquet(root / "restricted.parquet")
    weather_table(weather).write_parquet(truth / "regimes.parquet")
    companions_table(catalogue).write_parquet(truth / "companions.parquet")
    appeal_table(catalogue).write_parquet(truth / "assets.parquet")
    with _Table(root / "prices.parquet") as prices:
        for first in range(0, settings.assets, _ASSETS_PER_CHUNK):
            last = min(first + _ASSETS_PER_CHUNK, settings.assets)
            prices.append(prices_table(catalogue, calendar, close[first:last], first))
    market = Market(settings.seed, catalogue, weather, close)
    _write_customers(root, settings, market, max(1, cells_per_chunk // settings.assets))
    _write_json(root / "market.json", settings.as_json())
    _write_json(truth / "reasons.json", dict(zip(REASON_NAMES, REASON_SHARES.tolist(), strict=True)))


def _write_customers(root: Path, settings: MarketSettings, market: Market, per_chunk: int) -> None:
    calendar = market.weather.calendar
    tastebuds = Tastebuds(market.catalogue)
    written = 0
    with (
        _Table(root / "customers.parquet") as people,
        _Table(root / "transactions.parquet") as ledger,
        _Table(root / "holdings.parquet") as positions,
        _Table(root / "truth" / "purchases.parquet") as purchases,
        _Table(root / "truth" / "tastes.parquet") as tastes,
    ):
        for first in range(0, settings.customers, per_chunk):
            number = np.arange(first, min(first + per_chunk, settings.customers), dtype=np.int64)
            customers = draw_customers(settings.seed, number, len(calendar), settings.trades_per_customer)
            trades = draw_trades(market, tastebuds, customers)
            rows = transactions_table(market, customers, trades, written)
            people.append(customers_table(customers, settings.seed, calendar))
            ledger.append(rows)
            positions.append(holdings_table(market, customers, trades, calendar[-1]))
            purchases.append(purchases_table(market, trades, rows, written))
            tastes.append(tastes_table(customers))
            written += len(rows)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


class _Table:
    """A Parquet file written frame by frame."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def __enter__(self) -> _Table:
        return self

    def append(self, frame: pl.DataFrame) -> None:
        rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, rows.schema, compression="zstd")
        self._writer.write_table(rows)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _existing(into: Path, settings: MarketSettings) -> Path:
    try:
        found = json.loads((into / "market.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found != settings.as_json():
        raise StorageError(
            f"{into} exists and does not hold the simulated market that was asked for",
            remedy="name another folder, or remove this one if nothing in it is needed",
        )
    return into


def _unwritable(into: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write the simulated market to {into}: {error.strerror or error}",
        remedy="check that the disk has room and that the folder may be written",
    )
