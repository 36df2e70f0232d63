"""The events of an earlier night's histories, gone on with where only later purchases have come.

A customer's new purchases belong behind his old ones, so the events of all others are copied, not sorted again. What is
kept are the files of the night's own histories, linked: nothing is written twice.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from pyarrow import feather

from data_contracts.coded import look_up, spliced
from data_contracts.coded_table import NONE, CodedColumn, one_piece, places
from data_contracts.landing.partitions import code_hash
from data_contracts.parts import link
from data_contracts.shelf import Note, Shelf, part_hashes
from data_contracts.storage import file_sha256
from flows.events import Events, events_of
from flows.purchases import Purchases, later_purchases
from lightning_modules import history_files

_FILES: Final = ("events.arrow", "offsets.arrow", "items.parquet", "customers.parquet")


@dataclass(frozen=True)
class EventsBefore:
    """The events of an earlier night; ``item``s and customers are places among ``asset_ids`` (from 1) and ``customer_ids``.

    ``later``: the purchases that have come since, each of a later day than all of the events.
    """

    customer_ids: pl.Series
    asset_ids: pl.Series
    before: Events
    later: Purchases

    @property
    def customers(self) -> pl.Series:
        """customer_id of everyone who bought, then or since; some occur twice."""
        return pl.concat([self.customer_ids.filter(pl.Series(self.before.counts > 0)), self.later.customers])

    @property
    def assets(self) -> pl.Series:
        """asset_id of everything bought, then or since; some occur twice."""
        then = CodedColumn(self.asset_ids, (self.before.item - 1).view(np.uint32))
        return pl.concat([then.distinct, self.later.assets])

    def events(self, customer_ids: pl.Series, asset_ids: pl.Series) -> Events:
        """What ``events_of`` all purchases are, as places among sorted identifiers that hold all buyers and bought."""
        since = self.later.among(customer_ids, asset_ids)
        counts = self._counts(customer_ids)
        item = self._items(asset_ids)
        # Whoever bought since is sorted again, between the others, who stay in the same order.
        who = np.flatnonzero(np.bincount(since[0], minlength=len(customer_ids)))
        ends = np.cumsum(counts)[who]
        starts = ends - counts[who]
        theirs = np.repeat(starts - np.cumsum(counts[who]) + counts[who], counts[who]) + np.arange(int(counts[who].sum()))
        old = (np.repeat(who, counts[who]).astype(np.uint32), item[theirs], self.before.day[theirs], self.before.weight[theirs])
        customer, redone, day, weight = (np.concatenate(both) for both in zip(old, since, strict=True))
        anew = events_of(customer, redone, day, weight, len(customer_ids))
        bounds = np.concatenate([[0], np.cumsum(anew.counts[who])])
        pairs = (
            (item, anew.item),
            (self.before.day, anew.day),
            (self.before.weight, anew.weight),
            (self.before.first, anew.first),
        )
        with ThreadPoolExecutor(2) as pool:
            columns = pool.map(lambda pair: spliced(pair[0], starts, ends, pair[1], bounds), pairs)
        counts[who] = anew.counts[who]
        return Events(counts, *columns)

    def _counts(self, customer_ids: pl.Series) -> npt.NDArray[np.int64]:
        """[C] purchases then of each of the ``customer_ids``."""
        if self.customer_ids.equals(customer_ids):
            return self.before.counts.copy()
        place, counts = places(self.customer_ids, customer_ids), np.zeros(len(customer_ids), np.int64)
        counts[place[place != NONE]] = self.before.counts[place != NONE]
        return counts

    def _items(self, asset_ids: pl.Series) -> npt.NDArray[np.int32]:
        """[E] the items as places among the ``asset_ids``."""
        if self.asset_ids.equals(asset_ids):
            return self.before.item
        return look_up(np.append(np.int32(0), places(self.asset_ids, asset_ids).astype(np.int32) + 1), self.before.item)


class KeptEvents:
    """Events kept in the folder ``kept``, of histories that end on ``cut``, ``days`` before as_of: each a night later."""

    def __init__(self, kept: Path, transactions: Path, cut: date, days: int) -> None:
        # Besides the table: how far back they end, and the code that makes and writes them.
        depends = (str(days), _code(), file_sha256(Path(history_files.__file__)))
        self._shelf, self._transactions = Shelf(kept, "events", cut, depends), transactions
        self._hashes = part_hashes(transactions)

    def take(self) -> EventsBefore | None:
        """Those of an earlier cut, where the table begins with the files that it had then and all that has come is later."""
        return self._shelf.take(self._hashes, self._read)

    def keep(self, folder: Path, events: Events) -> None:
        """Links the files of the histories in ``folder``, just written."""
        said = {"newest": int(events.day.max(initial=0))}

        def write(into: Path) -> None:
            for name in _FILES:
                link(folder / name, into / name)

        self._shelf.keep(self._hashes, said, write)

    def _read(self, folder: Path, note: Note) -> EventsBefore | None:
        then = date.fromisoformat(note["until"])
        later = later_purchases(self._transactions, len(note["files"]), then, self._shelf.until)
        if len(later.day) and int(later.day.min()) <= note["newest"]:
            return None  # a window that ends late may have begun before: all of them are sorted again
        events = feather.read_table(folder / "events.arrow", memory_map=True)
        item, day, weight, first = (one_piece(events[name]) for name in ("item", "day", "weight", "first"))
        counts = np.diff(one_piece(feather.read_table(folder / "offsets.arrow")["offset"]))
        return EventsBefore(
            pl.read_parquet(folder / "customers.parquet", columns=["customer_id"])["customer_id"],
            pl.read_parquet(folder / "items.parquet", columns=["asset_id"])["asset_id"],
            Events(counts, item, day, weight, first.view(np.bool_)),
            later,
        )


@functools.cache
def _code() -> str:
    return code_hash(Path(__file__).parent)
