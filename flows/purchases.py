"""Purchases of the accepted trades as numbers, up to a cut: what events are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from data_contracts.coded import look_up
from data_contracts.coded_table import NONE, CodedColumn, CodedTable, Codes, codes_of, places
from data_contracts.errors import ContractBlocked
from data_contracts.parts import part_files
from data_contracts.transactions import last_possible_date
from flows.events import Events, events_of

Days = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Purchases:
    """Purchases [E] in the order of the table: customer and asset as places among texts, of which some may occur in none."""

    customer: CodedColumn
    asset: CodedColumn
    day: Days  # since 1970-01-01
    weight: npt.NDArray[np.float32]  # log(1 + EUR)

    @property
    def customers(self) -> pl.Series:
        """customer_id of all buyers, in order."""
        return self.customer.distinct

    @property
    def assets(self) -> pl.Series:
        """asset_id of everything bought, in order."""
        return self.asset.distinct

    def events(self, customer_ids: pl.Series, asset_ids: pl.Series) -> Events:
        """The events as places among sorted identifiers that hold all buyers and bought."""
        return events_of(*self.among(customer_ids, asset_ids), len(customer_ids))

    def among(self, customer_ids: pl.Series, asset_ids: pl.Series) -> tuple[Codes, Days, Days, npt.NDArray[np.float32]]:
        """customer (from 0), item (from 1), day, weight [E]: places among sorted identifiers that hold all of theirs."""
        customer, item = _places(self.customer, customer_ids), _places(self.asset, asset_ids).astype(np.int32) + 1
        return look_up(customer, self.customer.codes), look_up(item, self.asset.codes), self.day, self.weight


def _places(column: CodedColumn, ids: pl.Series) -> Codes:
    """[texts] the place in ``ids`` of each text that occurs in a row; of the others 0."""
    # Of a day's purchases those that occur are few, while there are many texts.
    place = np.zeros(len(column.texts), np.uint32)
    place[column.present] = places(column.distinct, ids)
    return place


def purchases(transactions: Path, cut: date) -> Purchases:
    """All that are known to lie at or before the cut."""
    coded = codes_of(transactions, ("customer_id", "asset_id"))
    rows = pl.scan_parquet(transactions).select(_bought_by(cut).alias("known"), *_COLUMNS).collect(engine="streaming")
    return _numbered(rows.filter("known"), rows["known"].arg_true().to_numpy(), coded)


def later_purchases(transactions: Path, seen: int, after: date, cut: date) -> Purchases:
    """Those that ``purchases`` of the first ``seen`` files up to the day ``after`` lack, in the order of the table."""
    coded = codes_of(transactions, ("customer_id", "asset_id"))
    files = part_files(transactions)
    place, found, rows = 0, [], []
    for part, new in ((files[:seen], _bought_by(cut) & (last_possible_date() > after)), (files[seen:], _bought_by(cut))):
        if part:
            known = pl.scan_parquet(part).select(new.alias("known")).collect(engine="streaming")["known"]
            at = known.arg_true()
            if len(at):
                rows.append(_rows(part, at))
            found.append(at.to_numpy() + place)
            place += len(known)
    return _numbered(pl.concat(rows) if rows else pl.DataFrame(schema=_SCHEMA), np.concatenate([np.empty(0, int), *found]), coded)


_SCHEMA = {"day": pl.Int32, "weight": pl.Float32}
_COLUMNS = (
    pl.col("date").to_physical().cast(pl.Int32).alias("day"),
    pl.col("value").fill_null(0.0).log1p().cast(pl.Float32).alias("weight"),
)


def _bought_by(cut: date) -> pl.Expr:
    return (pl.col("side") == "buy") & (last_possible_date() <= cut)


def _rows(files: Sequence[Path], at: pl.Series) -> pl.DataFrame:
    rows = pl.scan_parquet(list(files)).with_row_index("_row").filter(pl.col("_row").is_in(at.implode()))
    return rows.select(*_COLUMNS).collect(engine="streaming")


def _numbered(rows: pl.DataFrame, at: npt.NDArray[np.integer[Any]], coded: CodedTable) -> Purchases:
    customer, asset = (CodedColumn(coded[name].texts, coded[name].codes[at]) for name in ("customer_id", "asset_id"))
    for name, column in (("customer_id", customer), ("asset_id", asset)):
        if column.codes.max(initial=0) == NONE:
            raise ContractBlocked(
                f"transactions: {int((column.codes == NONE).sum()):,} accepted purchases have no {name}",
                remedy="the snapshot was not made by the contracts, or was altered since: nightfolio verify",
            )
    return Purchases(customer, asset, rows["day"].to_numpy(), rows["weight"].to_numpy())
