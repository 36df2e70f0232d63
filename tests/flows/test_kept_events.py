"""Histories that go on from an earlier night's are those of a night that knows nothing, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data_contracts.errors import ContractBlocked
from data_contracts.parts import part_files
from flows import kept_events
from flows.histories import build_histories
from flows.sections.histories import HistoriesConfig

DAY = date(2021, 6, 28)
BACK = timedelta(days=2)


class Nights:
    """A snapshot whose trades grow by a file a day."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.draw, self.built = folder, np.random.default_rng(7), 0
        self.snapshot = folder / "snapshot"
        self.trades = self.snapshot / "transactions.parquet"
        self.trades.mkdir(parents=True)
        days = [DAY - timedelta(days=back) for back in range(40, 0, -1)]
        closes = pl.DataFrame({"asset_id": ["B"] * 40, "date": days, "close": np.linspace(9, 11, 40)})
        closes.write_parquet(self.snapshot / "prices.parquet")
        texts = dict.fromkeys(("customer_type", "risk_level", "investment_capacity"), pl.String)
        flags = {"risk_predicted": pl.Boolean, "capacity_predicted": pl.Boolean}
        self._described("customers", "customer_id", ["b", "q"], {**texts, **flags})
        named = dict.fromkeys(("asset_name", "asset_class", "asset_subclass", "sector", "market_id"), pl.String)
        self._described("assets", "asset_id", ["B", "Q"], {**named, "dividend_yield": pl.Float64, "risk_class": pl.Int8})

    def _described(self, table: str, key: str, keys: list[str], schema: dict[str, type[pl.DataType]]) -> None:
        empty = {name: pl.Series([None] * len(keys), dtype=kind) for name, kind in schema.items()}
        frame = pl.DataFrame({key: keys, "valid_from": [DAY - timedelta(days=90)] * len(keys), **empty})
        frame.write_parquet(self.snapshot / f"{table}.parquet")

    def add(self, day: date, customers: str, assets: str, windows: tuple[int, ...] = (), n: int = 40) -> None:
        frame = pl.DataFrame(
            {
                "customer_id": self.draw.choice(list(customers), n),
                "asset_id": self.draw.choice(list(assets), n),
                "side": self.draw.choice(["buy", "buy", "sell"], n),
                "date": [day] * n,
                "value": [None if number == 3 else float(number) for number in range(n)],
                "date_window_days": pl.Series([*windows, *([None] * (n - len(windows)))], dtype=pl.Int32),
            }
        )
        frame.write_parquet(self.trades / f"{day}.parquet")

    def histories(self, as_of: date, back: timedelta, kept: bool = True) -> dict[str, str]:
        self.built += 1
        out = self.folder / f"histories-{self.built}"
        build_histories(self.snapshot, as_of - back, HistoriesConfig(), as_of, out, self.folder / "kept" if kept else None)
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(out.iterdir())}

    def same(self, as_of: date) -> bool:
        """Whether both histories of a night come to the bytes of a night that knows nothing."""
        backs = (timedelta(0), BACK)
        return all(self.histories(as_of, back) == self.histories(as_of, back, kept=False) for back in backs)


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    nights = Nights(tmp_path)
    for back in range(4, -1, -1):
        nights.add(DAY - timedelta(days=back), "bcd", "BC")
    return nights


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many purchases were sorted by each build that went on from an earlier one."""
    counts: list[int] = []
    real = kept_events.events_of

    def spy(customer: np.ndarray, *rest: np.ndarray) -> object:  # type: ignore[type-arg]
        counts.append(len(customer))
        return real(customer, *rest)

    monkeypatch.setattr(kept_events, "events_of", spy)
    return counts


def test_a_day_more(nights: Nights, anew: list[int]) -> None:
    assert nights.same(DAY)
    assert anew == []
    # Customers and assets that sort before, between and behind; none of the old ones; all of them; nobody.
    changes: list[Callable[[date], object]] = [
        lambda day: nights.add(day, "abe", "ABD"),
        lambda day: nights.add(day, "z", "Z"),
        lambda day: nights.add(day, "abcdez", "ABCDZ"),
        lambda day: None,
    ]
    for number, change in enumerate(changes, start=1):
        day = DAY + timedelta(days=number)
        change(day)
        assert nights.same(day)
    assert len(anew) == 2 * len(changes), "both histories of every night went on"
    assert anew[2] < 60, "only the customers of the new day are sorted"


def test_a_window_that_ends_later_may_have_begun_before_what_was_sorted(nights: Nights, anew: list[int]) -> None:
    # Known by its window's end only, it is a purchase of an earlier day than others that were there before it.
    nights.add(DAY - timedelta(days=1), "bcd", "BC", windows=(4, 5, 4, 5, 4, 5))
    assert nights.same(DAY)
    nights.add(DAY + timedelta(days=3), "bc", "BC")
    assert nights.same(DAY + timedelta(days=3))
    assert len(anew) == 1, "only the histories that end two days before went on"


def test_a_changed_file_or_damage_begins_anew(nights: Nights, anew: list[int], tmp_path: Path) -> None:
    assert nights.same(DAY)
    nights.add(DAY - timedelta(days=3), "bcd", "BC")
    assert nights.same(DAY)
    for folder in (tmp_path / "kept" / "carried").glob("events-*"):
        damaged = pl.read_parquet(folder / "customers.parquet").with_columns(pl.col("customer_id") + "x")
        (folder / "customers.parquet").unlink()  # a link: the histories themselves stay as they are
        damaged.write_parquet(folder / "customers.parquet")
    nights.add(DAY + timedelta(days=1), "bcd", "BC")
    assert nights.same(DAY + timedelta(days=1))
    assert anew == []
    assert len(part_files(nights.trades)) == 6


@pytest.mark.parametrize("column", ["customer_id", "asset_id"])
def test_a_purchase_that_names_nobody_is_nobodys(tmp_path: Path, column: str) -> None:
    """No snapshot that the contracts made has one; in one that was altered it must not become somebody else's."""
    nights = Nights(tmp_path)
    nights.add(DAY, "bcd", "BC")
    (file,) = part_files(nights.trades)
    rows = pl.read_parquet(file)
    absent = pl.when(pl.int_range(pl.len()) == int(rows["side"].eq("buy").arg_max() or 0)).then(None).otherwise(column)
    rows.with_columns(absent.alias(column)).write_parquet(file)
    with pytest.raises(ContractBlocked, match=f"transactions: 1 accepted purchases have no {column}"):
        nights.histories(DAY, timedelta(0))
