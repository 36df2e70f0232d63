"""What the trades of each pair of customer and asset add up to (``pairs``), as a table that is handed on in parts.

The texts of a hundred million pairs are never in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.io.plugins import register_io_source

from data_contracts import columns as c
from data_contracts.coded_table import Codes, codes_of, places
from data_contracts.pairs import Pairs, Trades, of_one_size, summed
from data_contracts.parts import part_files, row_count
from data_contracts.shelf import Note, Shelf, part_hashes
from data_contracts.transactions import last_possible_date

PAIRS_AT_ONCE: Final = 2_000_000
KEPT_BEHIND: Final = 0.03  # of all trades: so many may lie behind the kept sums before those are written anew
SCHEMA: Final[dict[str, pl.DataType]] = {
    c.CUSTOMER_ID: pl.String(),
    c.ASSET_ID: pl.String(),
    "_unknown": pl.Boolean(),
    "_traded_since": pl.Boolean(),
    "_net": pl.Float64(),
    c.N_BUYS: pl.Int32(),
    c.N_SELLS: pl.Int32(),
    c.FIRST_DATE: pl.Date(),
    c.LAST_DATE: pl.Date(),
    "_last_close": pl.Float64(),
}


def pair_sums(
    transactions: Path, last_close: pl.LazyFrame, until: date, stated: pl.LazyFrame | None, kept: Path | None = None
) -> pl.LazyFrame:
    """One row per pair in the accepted ``transactions`` dated up to ``until``, in the order of customer and asset; see SCHEMA.

    ``last_close``: asset_id, _last_close (EUR), which is told of each pair's asset, null where there is none.
    ``stated``: customer_id, asset_id, _stated_day. A trade counts after that day only: ``_net`` is the sum of the units
    (shares, buys positive) of such trades, in the order of the table; ``_unknown`` says that one of them has none.
    ``kept``: the folder in which the pairs are kept for the next night; nothing is where there are statements.
    """

    def parts(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        left = n_rows
        for frame in _parts(transactions, last_close, until, stated, kept):
            part = frame if predicate is None else frame.filter(predicate)
            part = part if with_columns is None else part.select(with_columns)
            if left is not None:
                part = part.head(left)
                left -= part.height
            yield part
            if left == 0:
                return

    return register_io_source(io_source=parts, schema=SCHEMA, is_pure=True)


def _parts(
    transactions: Path, last_close: pl.LazyFrame, until: date, stated: pl.LazyFrame | None, kept: Path | None
) -> Iterator[pl.DataFrame]:
    coded = codes_of(transactions, (c.CUSTOMER_ID, c.ASSET_ID))
    customers, assets = coded[c.CUSTOMER_ID].texts, coded[c.ASSET_ID].texts
    codes = coded[c.CUSTOMER_ID].codes, coded[c.ASSET_ID].codes
    if stated is None and kept is not None and transactions.is_dir():
        parts = _carried_on(transactions, until, codes, customers, assets, Shelf(kept, "pairs", until))
    else:
        days = None if stated is None else _StatedDays(stated, customers, assets)
        parts = [summed(_trades(part_files(transactions), until, codes, last_days=stated is not None), days)]
    closes = assets.alias(c.ASSET_ID).to_frame().lazy().join(last_close, on=c.ASSET_ID, how="left", maintain_order="left")
    close = closes.collect()["_last_close"]  # of each asset
    for pairs in of_one_size(parts, PAIRS_AT_ONCE):  # a file written from them must not depend on what was kept
        yield pl.DataFrame(
            {
                c.CUSTOMER_ID: customers.gather(pairs.customer),
                c.ASSET_ID: assets.gather(pairs.asset),
                "_unknown": pairs.unknown,
                "_traded_since": np.ones(len(pairs), np.bool_) if pairs.since is None else pairs.since,
                "_net": pairs.net,
                c.N_BUYS: pairs.buys.astype(np.int32),
                c.N_SELLS: pairs.sells.astype(np.int32),
                c.FIRST_DATE: pl.Series(pairs.first.astype(np.int32)).cast(pl.Date),
                c.LAST_DATE: pl.Series(pairs.last.astype(np.int32)).cast(pl.Date),
                "_last_close": close.gather(pairs.asset),
            }
        )


def _carried_on(
    transactions: Path, until: date, codes: tuple[Codes, Codes], customers: pl.Series, assets: pl.Series, shelf: Shelf
) -> Iterable[Pairs]:
    """The pairs of all trades: those of a beginning of the files that an earlier night kept, and what lies behind.

    They are kept anew where that is much: a few days more are added to a beginning sooner than all are written.
    """
    files, hashes = part_files(transactions), part_hashes(transactions)

    def go_on(folder: Path, note: Note) -> tuple[Iterable[Pairs], int]:
        count = len(note["files"])
        rows = sum(row_count(file) for file in files[:count])
        behind = _trades(files[count:], until, (codes[0][rows:], codes[1][rows:]))
        before = Pairs.read(folder, customers, assets)
        return before.with_more(behind, PAIRS_AT_ONCE) if len(behind.day) else [before], len(codes[0]) - rows

    parts, behind = shelf.take(hashes, go_on) or (None, len(codes[0]))
    if parts is not None and behind <= KEPT_BEHIND * len(codes[0]):
        return parts
    pairs = summed(_trades(files, until, codes)) if parts is None else Pairs.joined(list(parts))
    # Where a trade dated after that day was not counted, there is nothing to go on from.
    if int(pairs.buys.sum(dtype=np.int64) + pairs.sells.sum(dtype=np.int64)) == len(codes[0]):
        shelf.keep(hashes, {}, lambda folder: pairs.write(folder, customers, assets))
    return [pairs]


def _trades(files: list[Path], until: date, codes: tuple[Codes, Codes], last_days: bool = False) -> Trades:
    """The trades of ``files`` dated up to ``until``; ``codes`` [n]: the customer and asset of each."""
    bought = pl.col(c.SIDE) == "buy"
    columns = [
        (pl.col(c.DATE) <= until).alias("known"),
        bought.alias("buy"),
        # NaN stands for unknown: a landed number is finite or null.
        pl.when(bought).then(c.UNITS).otherwise(-pl.col(c.UNITS)).fill_null(float("nan")).alias("signed"),
        pl.col(c.DATE).to_physical().alias("day"),
        *([last_possible_date().to_physical().alias("last_day")] if last_days else []),
    ]
    if not files:
        nothing = np.empty(0, np.int32)
        return Trades(*codes, np.empty(0), np.empty(0, np.bool_), nothing, nothing)
    frame = pl.scan_parquet(files).select(columns).collect(engine="streaming")
    customer, asset = codes
    if not frame["known"].all():
        known = frame["known"].to_numpy()
        frame, customer, asset = frame.filter("known"), customer[known], asset[known]
    signed, buy, day = (frame[name].to_numpy() for name in ("signed", "buy", "day"))
    return Trades(customer, asset, signed, buy, day, frame["last_day"].to_numpy() if last_days else None)


class _StatedDays:
    """The day of each pair's statement, days since 1970; the smallest number where there is none."""

    def __init__(self, stated: pl.LazyFrame, customers: pl.Series, assets: pl.Series) -> None:
        spoken = stated.select(c.CUSTOMER_ID, c.ASSET_ID, pl.col("_stated_day").to_physical().alias("day")).collect()
        self._coded = spoken.select(
            pl.Series("customer", places(spoken[c.CUSTOMER_ID], customers)),
            pl.Series("asset", places(spoken[c.ASSET_ID], assets)),
            "day",
        ).lazy()

    def __call__(self, customer: Codes, asset: Codes) -> npt.NDArray[np.int32]:
        pairs = pl.LazyFrame({"customer": customer, "asset": asset})
        joined = pairs.join(self._coded, on=["customer", "asset"], how="left", maintain_order="left")
        return joined.select(pl.col("day").fill_null(np.iinfo(np.int32).min)).collect().to_series().to_numpy()
