"""What the trades of each pair of customer and asset add up to, in arrays of numbers, for any number of trades.

Kept from night to night (``Pairs.write``), they are carried on with what a new day brings: a sum is added up one trade after
the other in the order of the table, so going on with it gives the digits of beginning anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from pyarrow import feather

from data_contracts.coded import Ints, Positions, halves, look_up, order_and_groups, spliced
from data_contracts.coded_table import NONE, ONE_BATCH, Codes, one_piece, places

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
    """Pairs [P] in the order of customer and asset, which are places among texts. Integers may be of any width.

    ``net``: shares; ``unknown``: of a trade they are not known; ``since``: a trade was made after the pair's statement.
    """

    customer: Ints
    asset: Ints
    net: npt.NDArray[np.float64]
    unknown: Bools
    buys: Ints
    sells: Ints
    first: Ints
    last: Ints
    since: Bools | None = None

    def __len__(self) -> int:
        return len(self.customer)

    def write(self, folder: Path, customers: pl.Series, assets: pl.Series) -> None:
        """Writes the pairs (those of a table without statements) and the texts of their places; numbers as narrow as can be."""
        columns = {name: _narrow(getattr(self, name)) for name in _KEPT} | {"unknown": self.unknown.view(np.uint8)}
        for name, texts in (("customer", customers), ("asset", assets)):
            # As wide as the places there are, not only those that occur: the next trade may be of any of them.
            columns[name] = getattr(self, name).astype(np.min_scalar_type(max(len(texts) - 1, 0)))
        feather.write_feather(pa.table(columns), folder / _FILE, "uncompressed", chunksize=ONE_BATCH)
        for name, texts in (("customers", customers), ("assets", assets)):
            feather.write_feather(pa.table({"text": texts.to_arrow()}), folder / f"{name}.arrow", "uncompressed")

    @classmethod
    def read(cls, folder: Path, customers: pl.Series, assets: pl.Series) -> Pairs:
        """What ``write`` wrote, as places among other texts; mapped, not copied. Raises ValueError where they lack a pair's."""
        table = feather.read_table(folder / _FILE, memory_map=True)
        columns = {name: one_piece(table[name]) for name in _KEPT}
        columns["unknown"] = columns["unknown"].view(np.bool_)
        for name, texts in (("customer", customers), ("asset", assets)):
            old = pl.Series(name, feather.read_table(folder / f"{name}s.arrow")["text"])
            if not old.equals(texts):
                columns[name] = look_up(places(old, texts), columns[name])
                if (columns[name] == NONE).any():
                    raise ValueError(f"a {name} of the kept pairs is not in the table any more")
        return cls(**columns)

    def part(self, some: slice) -> Pairs:
        """Some of the pairs; a view."""
        return Pairs(**{name: values[some] for name, values in vars(self).items() if values is not None})

    @classmethod
    def joined(cls, parts: Sequence[Pairs]) -> Pairs:
        """The pairs of all parts, of which there is one at the least."""
        names = _KEPT if parts[0].since is None else (*_KEPT, "since")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def with_more(self, trades: Trades, at_once: int) -> Iterator[Pairs]:
        """The pairs after ``trades``, which stand behind all of theirs; places among the same texts.

        In parts made of ``at_once`` pairs each: what is written again for the next part costs less than new memory for all.
        """
        more = summed(trades)
        at, known = self._find(more)
        order, starts = order_and_groups(trades.customer, trades.asset)
        signed = np.where(np.isnan(trades.signed), 0.0, trades.signed)[order]
        bounds = np.append(starts, len(order))  # of each pair's trades

        def parts() -> Iterator[Pairs]:
            for first in range(0, max(len(self), 1), at_once):
                here = slice(first, min(first + at_once, len(self)))
                # What belongs behind the last pair is the last part's.
                last = len(at) if here.stop == len(self) else int(np.searchsorted(at, here.stop))
                new = slice(int(np.searchsorted(at, first)), last)
                rows, counts = slice(bounds[new.start], bounds[new.stop]), np.diff(bounds[new.start : new.stop + 1])
                yield self.part(here)._grown(more.part(new), at[new] - first, known[new], signed[rows], counts)

        return parts()

    def _grown(
        self, more: Pairs, at: Ints, known: Bools, signed: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
    ) -> Pairs:
        """The pairs with those of ``more`` [M] at their places; ``signed``: its trades, so many of each pair."""
        new = ~known
        bounds = np.arange(int(new.sum()) + 1)
        where = at + np.cumsum(new) - new  # of all that traded, afterwards
        columns = {}
        for name in _KEPT:
            before, added = getattr(self, name), getattr(more, name)
            if name == "net":
                added = np.zeros_like(added)  # added up below
            again = added[known] if name not in _JOINED else _JOINED[name](before[at[known]].astype(added.dtype), added[known])
            kind = np.result_type(before, _narrow(added), _narrow(again))
            columns[name] = spliced(before, at[new], at[new], added[new].astype(kind), bounds)
            if name in _JOINED:
                columns[name][where[known]] = again
        # One trade after the other: their sum would be added at once, and its last digit differ.
        np.add.at(columns["net"], np.repeat(where, counts), signed)
        return Pairs(**columns)

    def _find(self, more: Pairs) -> tuple[npt.NDArray[np.int64], Bools]:
        """[M] where each pair of ``more`` stands or belongs, and whether it is there. Only its customers' pairs are looked at."""
        who, mine = np.unique(more.customer, return_inverse=True)
        who = who.astype(self.customer.dtype)  # which holds the place of every customer, also of one without a pair
        first, behind = np.searchsorted(self.customer, who, "left"), np.searchsorted(self.customer, who, "right")
        counts = behind - first
        skipped = np.cumsum(counts) - counts  # pairs near, of customers before
        near = np.arange(int(counts.sum())) + np.repeat(first - skipped, counts)
        bits = max(int(values.max(initial=0)) for values in (self.asset[near], more.asset)).bit_length()
        ours = np.repeat(np.arange(len(who)), counts) << bits | self.asset[near].astype(np.int64)
        theirs = mine << bits | more.asset.astype(np.int64)
        place = np.searchsorted(ours, theirs)
        known = np.zeros(len(theirs), np.bool_)
        inside = place < len(ours)
        known[inside] = ours[place[inside]] == theirs[inside]
        return place - skipped[mine] + first[mine], known


_KEPT: Final = tuple(field.name for field in fields(Pairs) if field.name != "since")
_JOINED: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "unknown": np.logical_or,
    "buys": np.add,
    "sells": np.add,
    "first": np.minimum,
    "last": np.maximum,
}


def of_one_size(parts: Iterable[Pairs], size: int) -> Iterator[Pairs]:
    """The same pairs in parts of ``size``, the last of which may be smaller."""
    left: Pairs | None = None
    for part in parts:
        whole = part if left is None else Pairs.joined((left, part))
        first = 0
        for first in range(size, len(whole) + 1, size):
            yield whole.part(slice(first - size, first))
        left = whole.part(slice(first, None))
    if left is not None and len(left):
        yield left


def _narrow(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype.kind not in "iu" or (len(values) and values.min() < 0):
        return values
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def summed(trades: Trades, stated_days: Callable[[Codes, Codes], Days] | None = None) -> Pairs:
    """The pairs of ``trades``. ``stated_days`` gives pairs' days of a statement: only later trades count for net and unknown."""
    with ThreadPoolExecutor(2) as pool:
        ordered = list(pool.map(lambda rows: order_and_groups(trades.customer, trades.asset, rows=rows), halves(trades.customer)))
        ends = np.cumsum([len(starts) for _, starts in ordered]).tolist()
        pairs = _empty(ends[-1], trades, stated_days is not None)
        parts = [slice(end - len(starts), end) for end, (_, starts) in zip(ends, ordered, strict=True)]
        list(pool.map(lambda part, found: _sum(trades, stated_days, found, pairs, part), parts, ordered))
    return pairs


def _empty(pairs: int, trades: Trades, stated: bool) -> Pairs:
    customer, asset = np.empty(pairs, trades.customer.dtype), np.empty(pairs, trades.asset.dtype)
    buys, sells, first, last = (np.empty(pairs, np.int32) for _ in range(4))
    since = np.empty(pairs, np.bool_) if stated else None
    return Pairs(customer, asset, np.empty(pairs), np.empty(pairs, np.bool_), buys, sells, first, last, since)


def _sum(
    trades: Trades,
    stated_days: Callable[[Codes, Codes], Days] | None,
    ordered: tuple[Positions, Positions],
    pairs: Pairs,
    part: slice,
) -> None:
    """Puts what some trades, in order and with the place where each pair begins, add up to into ``part`` of the pairs."""
    order, starts = ordered
    if len(starts) == 0:
        return
    customer, asset = trades.customer[order[starts]], trades.asset[order[starts]]
    pairs.customer[part], pairs.asset[part] = customer, asset
    counts = np.diff(starts, append=len(order))
    signed, day, buy = trades.signed[order], trades.day[order], trades.buy[order]
    unknown = np.isnan(signed)
    if stated_days is not None:
        assert trades.last_day is not None, "a statement is compared with the last day of a trade"
        assert pairs.since is not None, "there is room for what is compared"
        after = trades.last_day[order] > np.repeat(stated_days(customer, asset), counts)
        unknown &= after
        signed[~after] = 0.0
        np.logical_or.reduceat(after, starts, out=pairs.since[part])
    signed[np.isnan(signed)] = 0.0
    net = pairs.net[part]
    for first in range(0, len(starts), ROWS_AT_ONCE):
        some = slice(first, first + ROWS_AT_ONCE)
        rows = slice(starts[first], starts[some.stop] if some.stop < len(starts) else len(signed))
        pair = np.repeat(np.arange(len(starts[some])), counts[some])  # of each row
        # One after the other, in the order of the table: the last digit of a sum depends on it.
        net[some] = np.bincount(pair, weights=signed[rows], minlength=len(starts[some]))
    np.logical_or.reduceat(unknown, starts, out=pairs.unknown[part])
    np.add.reduceat(buy, starts, dtype=np.int32, out=pairs.buys[part])
    np.subtract(counts, pairs.buys[part], out=pairs.sells[part], casting="unsafe")
    np.minimum.reduceat(day, starts, out=pairs.first[part])
    np.maximum.reduceat(day, starts, out=pairs.last[part])
