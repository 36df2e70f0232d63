"""What the trades of each pair of customer and asset add up to, in arrays of numbers, for any number of trades.

Kept from night to night (``Pairs.write``), they are carried on with what a new day brings: a sum is added up one trade after
the other in the order of the table, so going on with it gives the digits of beginning anew.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from pyarrow import feather

from data_contracts.coded import gather, order_and_groups
from data_contracts.coded_table import NONE, Codes, places

ROWS_AT_ONCE: Final = 1 << 22  # pairs whose trades are numbered together
_FILE: Final = "pairs.arrow"

Days = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Trades:
    """Trades [n] in the order of the table. ``signed``: shares, buys positive, NaN where unknown; ``day``: since 1970.

    ``last_day``: the latest on which it can have been made, where that is asked.
    """

    customer: Codes
    asset: Codes
    signed: npt.NDArray[np.float64]
    buy: Bools
    day: Days
    last_day: Days | None = None


@dataclass(frozen=True)
class Pairs:
    """Pairs [P] in the order of customer and asset, which are places among texts.

    ``net``: shares; ``unknown``: of a trade they are not known; ``since``: a trade was made after the pair's statement.
    """

    customer: Codes
    asset: Codes
    net: npt.NDArray[np.float64]
    unknown: Bools
    buys: npt.NDArray[np.int32]
    sells: npt.NDArray[np.int32]
    first: Days
    last: Days
    since: Bools | None = None

    def __len__(self) -> int:
        return len(self.customer)

    def write(self, folder: Path, customers: pl.Series, assets: pl.Series) -> None:
        """Writes the pairs (those of a table without statements) and the texts of their places; numbers as narrow as can be."""
        columns = {field.name: _narrow(getattr(self, field.name)) for field in fields(self) if field.name != "since"}
        feather.write_feather(pa.table(columns), folder / _FILE, "uncompressed", chunksize=max(len(self), 1))
        for name, texts in (("customers", customers), ("assets", assets)):
            feather.write_feather(pa.table({"text": texts.to_arrow()}), folder / f"{name}.arrow", "uncompressed")

    @classmethod
    def read(cls, folder: Path, customers: pl.Series, assets: pl.Series) -> Pairs:
        """What ``write`` wrote, as places among other texts. Raises ValueError where they lack a text of a pair."""
        table = feather.read_table(folder / _FILE, memory_map=True)
        columns = {
            field.name: table[field.name].combine_chunks().to_numpy(zero_copy_only=False)
            for field in fields(cls)
            if field.name != "since"
        }
        for name, texts in (("customers", customers), ("assets", assets)):
            old = pl.Series(name, feather.read_table(folder / f"{name}.arrow")["text"])
            codes = columns[name[:-1]]
            if not old.equals(texts):
                codes = places(old, texts)[codes]
                if (codes == NONE).any():
                    raise ValueError(f"{name} of the kept pairs are not in the table any more")
            columns[name[:-1]] = codes.astype(np.uint32)
        return cls(**{name: values.astype(_KINDS.get(name, values.dtype), copy=False) for name, values in columns.items()})

    def with_more(self, trades: Trades) -> Pairs:
        """The pairs after ``trades``, which stand behind all of theirs; places among the same texts."""
        more = summed(trades)
        bits = np.uint64(max(int(values.max(initial=0)) for values in (self.asset, more.asset)).bit_length())
        ours, theirs = _keys(self.customer, self.asset, bits), _keys(more.customer, more.asset, bits)
        at = np.searchsorted(ours, theirs)
        known = at < len(ours)
        known[known] = ours[at[known]] == theirs[known]
        new = ~known
        put = at[new] + np.arange(int(new.sum()))  # where the new ones stand afterwards
        kept = np.ones(len(ours) + len(put), np.bool_)
        kept[put] = False
        where = at + np.cumsum(new) - new  # of all that traded

        def grown(name: str) -> npt.NDArray[Any]:
            before, added = getattr(self, name), getattr(more, name)
            column = np.empty(len(kept), before.dtype)
            column[kept], column[put] = before, added[new]
            return column

        names = [field.name for field in fields(self) if field.name != "since"]
        with ThreadPoolExecutor(2) as pool:
            columns = dict(zip(names, pool.map(grown, names), strict=True))
        again = where[known]
        for name, both in _JOINED.items():
            columns[name][again] = both(columns[name][again], getattr(more, name)[known])
        # One trade after the other: their sum would be added at once, and its last digit differ.
        columns["net"][where[new]] = 0.0
        order, starts = order_and_groups(trades.customer, trades.asset)
        pair = np.repeat(where, np.diff(starts, append=len(order)))
        np.add.at(columns["net"], pair, np.where(np.isnan(trades.signed), 0.0, trades.signed)[order])
        return Pairs(**columns)


_KINDS: Final = {"buys": np.int32, "sells": np.int32, "first": np.int32, "last": np.int32}
_JOINED: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "unknown": np.logical_or,
    "buys": np.add,
    "sells": np.add,
    "first": np.minimum,
    "last": np.maximum,
}


def _narrow(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype.kind not in "iu" or (len(values) and values.min() < 0):
        return values
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def _keys(customer: Codes, asset: Codes, bits: np.uint64) -> npt.NDArray[np.uint64]:
    keys = customer.astype(np.uint64)
    keys <<= bits
    return np.bitwise_or(keys, asset, out=keys, dtype=np.uint64, casting="unsafe")


def summed(trades: Trades, stated_days: Callable[[Codes, Codes], Days] | None = None) -> Pairs:
    """The pairs of ``trades``. ``stated_days`` gives pairs' days of a statement: only later trades count for net and unknown."""
    order, starts = order_and_groups(trades.customer, trades.asset)
    customer, asset = trades.customer[order[starts]], trades.asset[order[starts]]
    counts = np.diff(starts, append=len(order))
    signed, day, buy = gather(order, trades.signed, trades.day, trades.buy)
    unknown = np.isnan(signed)
    since = None
    if stated_days is not None and len(starts):
        assert trades.last_day is not None, "a statement is compared with the last day of a trade"
        after = trades.last_day[order] > np.repeat(stated_days(customer, asset), counts)
        unknown &= after
        signed[~after] = 0.0
        since = np.logical_or.reduceat(after, starts)
    signed[np.isnan(signed)] = 0.0
    if len(starts) == 0:
        nothing = np.empty(0, np.int32)
        return Pairs(customer, asset, np.empty(0), np.empty(0, np.bool_), nothing, nothing, nothing, nothing, since)
    net = np.empty(len(starts))
    for first in range(0, len(starts), ROWS_AT_ONCE):
        pairs = slice(first, first + ROWS_AT_ONCE)
        rows = slice(starts[first], starts[pairs.stop] if pairs.stop < len(starts) else len(signed))
        pair = np.repeat(np.arange(len(starts[pairs])), counts[pairs])  # of each row
        # One after the other, in the order of the table: the last digit of a sum depends on it.
        net[pairs] = np.bincount(pair, weights=signed[rows], minlength=len(starts[pairs]))
    buys = np.add.reduceat(buy, starts, dtype=np.int32)
    return Pairs(
        customer,
        asset,
        net,
        np.logical_or.reduceat(unknown, starts),
        buys,
        counts.astype(np.int32) - buys,
        np.minimum.reduceat(day, starts),
        np.maximum.reduceat(day, starts),
        since,
    )
