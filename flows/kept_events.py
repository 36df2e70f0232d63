"""The events of an earlier night's histories, gone on with where only later purchases have come.

A customer's new purchases belong behind his old ones, so the events of all others are copied, not sorted again. What is
kept are the files of the night's own histories, linked: nothing is written twice.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from pyarrow import feather

from data_contracts.coded_table import NONE, Codes, places
from data_contracts.landing.partitions import code_hash
from data_contracts.parts import link, part_files
from data_contracts.shelf import Note, Shelf
from data_contracts.storage import file_sha256, known_sha256
from flows.events import Events, events_of
from flows.purchases import Purchases, later_purchases
from lightning_modules import histories

_FILES: Final = ("events.arrow", "offsets.arrow", "items.parquet", "customers.parquet")


@dataclass(frozen=True)
class EventsBefore:
    """Events [E] of an earlier night: ``customer_ids`` [C] had ``counts`` [C] each; ``item``: places among ``asset_ids``.

    ``later``: the purchases that have come since, each of a later day than all of the events.
    """

    customer_ids: pl.Series
    asset_ids: pl.Series
    counts: npt.NDArray[np.int64]
    item: Codes
    day: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    first: npt.NDArray[np.bool_]
    later: Purchases

    @property
    def customers(self) -> pl.Series:
        """customer_id of everyone who bought, then or since; some occur twice."""
        return pl.concat([self.customer_ids.filter(pl.Series(self.counts > 0)), self.later.customers])

    @property
    def assets(self) -> pl.Series:
        """asset_id of everything bought, then or since; some occur twice."""
        present = np.flatnonzero(np.bincount(self.item, minlength=len(self.asset_ids)))
        return pl.concat([self.asset_ids.gather(present), self.later.assets])

    def events(self, customer_ids: pl.Series, asset_ids: pl.Series) -> Events:
        """What ``events_of`` all purchases are, as places among sorted identifiers that hold all buyers and bought."""
        since = self.later.among(customer_ids, asset_ids)
        place = _places(self.customer_ids, customer_ids)
        customer, item = np.repeat(place, self.counts), _places(self.asset_ids, asset_ids)[self.item]
        traded = np.zeros(len(customer_ids), np.bool_)
        traded[since[0]] = True
        again = traded[customer]
        old = (customer, item, self.day, self.weight)
        anew = events_of(*(np.concatenate([before[again], more]) for before, more in zip(old, since, strict=True)))
        counts = np.bincount(since[0], minlength=len(customer_ids))
        counts[place[place != NONE]] += self.counts[place != NONE]
        theirs = np.repeat(traded, counts)
        rest = ~again

        def merged(before: npt.NDArray[Any], redone: npt.NDArray[Any]) -> npt.NDArray[Any]:
            column = np.empty(len(theirs), redone.dtype)
            column[~theirs], column[theirs] = before[rest], redone
            return column

        return Events(
            np.repeat(np.arange(len(customer_ids), dtype=np.uint32), counts),
            merged(item, anew.item),
            merged(self.day, anew.day),
            merged(self.weight, anew.weight),
            merged(self.first, anew.first),
        )


def _places(texts: pl.Series, among: pl.Series) -> Codes:
    return np.arange(len(texts), dtype=np.uint32) if texts.equals(among) else places(texts, among)


class KeptEvents:
    """Events kept in the folder ``kept``, of histories that end ``days`` before as_of: each ends a night later than the last."""

    def __init__(self, kept: Path, transactions: Path, days: int) -> None:
        # Besides the table: how far back they end, and the code that makes and writes them.
        depends = (str(days), _code(), file_sha256(Path(histories.__file__)))
        self._shelf, self._transactions = Shelf(kept / "carried", "events", depends), transactions
        self._hashes = [known_sha256(file) for file in part_files(transactions)]

    def take(self, cut: date) -> EventsBefore | None:
        """Those of an earlier cut, where the table begins with the files that it had then and all that has come is later."""
        return self._shelf.take(self._hashes, lambda note: _until(note, cut), lambda folder, note: self._read(folder, note, cut))

    def keep(self, folder: Path, cut: date, events: Events) -> None:
        """Links the files of the histories in ``folder``, just written."""
        said = {"cut": str(cut), "newest": int(events.day.max(initial=0))}

        def write(into: Path) -> None:
            for name in _FILES:
                link(folder / name, into / name)

        self._shelf.keep(self._hashes, said, write, lambda note: _until(note, cut))

    def _read(self, folder: Path, note: Note, cut: date) -> EventsBefore | None:
        later = later_purchases(self._transactions, len(note["files"]), date.fromisoformat(note["cut"]), cut)
        if len(later.day) and int(later.day.min()) <= note["newest"]:
            return None  # a window that ends late may have begun before: all of them are sorted again
        events = feather.read_table(folder / "events.arrow", memory_map=True).combine_chunks()
        offsets = feather.read_table(folder / "offsets.arrow")["offset"].to_numpy()
        return EventsBefore(
            pl.read_parquet(folder / "customers.parquet", columns=["customer_id"])["customer_id"],
            pl.read_parquet(folder / "items.parquet", columns=["asset_id"])["asset_id"],
            np.diff(offsets),
            (events["item"].to_numpy() - 1).astype(np.uint32),
            events["day"].to_numpy(),
            events["weight"].to_numpy(),
            events["first"].to_numpy().view(np.bool_),
            later,
        )


@functools.cache
def _code() -> str:
    return code_hash(Path(__file__).parent)


def _until(note: Note, cut: date) -> bool:
    return bool(note["cut"] <= str(cut))
