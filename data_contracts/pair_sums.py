"""What the trades of each pair of customer and asset add up to, for any number of trades.

Worked out in arrays of numbers (``coded``): about 50 bytes a trade at the peak, and handed on in parts, so that the
text of a hundred million pairs is never in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.io.plugins import register_io_source

from data_contracts import columns as c
from data_contracts.coded import gather, order_and_groups
from data_contracts.coded_table import codes_of, places
from data_contracts.transactions import last_possible_date

PAIRS_AT_ONCE: Final = 2_000_000
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
}


def pair_sums(transactions: Path, until: date, stated: pl.LazyFrame | None) -> pl.LazyFrame:
    """One row per pair in the accepted ``transactions`` dated up to ``until``, in the order of customer and asset; see SCHEMA.

    ``stated``: customer_id, asset_id, _stated_day. A trade counts after that day only: ``_net`` is the sum of the units
    (shares, buys positive) of such trades, in the order of the table; ``_unknown`` says that one of them has none.
    """

    def parts(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        left = n_rows
        for frame in _parts(transactions, until, stated):
            part = frame if predicate is None else frame.filter(predicate)
            part = part if with_columns is None else part.select(with_columns)
            if left is not None:
                part = part.head(left)
                left -= part.height
            yield part
            if left == 0:
                return

    return register_io_source(io_source=parts, schema=SCHEMA, is_pure=True)


def _parts(transactions: Path, until: date, stated: pl.LazyFrame | None) -> Iterator[pl.DataFrame]:
    coded = codes_of(transactions, (c.CUSTOMER_ID, c.ASSET_ID))
    customers, assets = coded[c.CUSTOMER_ID].texts, coded[c.ASSET_ID].texts
    bought = pl.col(c.SIDE) == "buy"
    frame = (
        pl.scan_parquet(transactions)
        .select(
            (pl.col(c.DATE) <= until).alias("known"),
            bought.alias("buy"),
            # NaN stands for unknown: a landed number is finite or null.
            pl.when(bought).then(c.UNITS).otherwise(-pl.col(c.UNITS)).fill_null(float("nan")).alias("signed"),
            pl.col(c.DATE).to_physical().alias("day"),
            *([] if stated is None else [last_possible_date().to_physical().alias("last_day")]),
        )
        .collect(engine="streaming")
    )
    customer, asset = coded[c.CUSTOMER_ID].codes, coded[c.ASSET_ID].codes
    if not frame["known"].all():
        known = frame["known"].to_numpy()
        frame, customer, asset = frame.filter("known"), customer[known], asset[known]
    order, starts = order_and_groups(customer, asset)
    pair_customer, pair_asset = customer[order[starts]], asset[order[starts]]
    counts = np.diff(starts, append=len(order))
    signed, day, buy = gather(order, *(frame[name].to_numpy() for name in ("signed", "day", "buy")))
    unknown = np.isnan(signed)
    traded_since = None
    if stated is not None and len(starts):
        days = _stated_days(pair_customer, pair_asset, customers, assets, stated)
        after = frame["last_day"].to_numpy()[order] > np.repeat(days, counts)
        unknown &= after
        signed[~after] = 0.0
        traded_since = np.logical_or.reduceat(after, starts)
    signed[np.isnan(signed)] = 0.0
    del frame, customer, asset, order
    for first in range(0, len(starts), PAIRS_AT_ONCE):
        pairs = slice(first, first + PAIRS_AT_ONCE)
        rows = slice(starts[first], starts[pairs.stop] if pairs.stop < len(starts) else len(signed))
        n_pairs = len(starts[pairs])
        at = starts[pairs] - rows.start
        pair = np.repeat(np.arange(n_pairs), counts[pairs])  # of each row
        buys = np.add.reduceat(buy[rows], at, dtype=np.int32)
        yield pl.DataFrame(
            {
                c.CUSTOMER_ID: customers.gather(pair_customer[pairs]),
                c.ASSET_ID: assets.gather(pair_asset[pairs]),
                "_unknown": np.logical_or.reduceat(unknown[rows], at),
                "_traded_since": np.ones(n_pairs, np.bool_) if traded_since is None else traded_since[pairs],
                # One after the other, in the order of the table: the last digit of a sum depends on it.
                "_net": np.bincount(pair, weights=signed[rows], minlength=n_pairs),
                c.N_BUYS: buys,
                c.N_SELLS: counts[pairs].astype(np.int32) - buys,
                c.FIRST_DATE: pl.Series(np.minimum.reduceat(day[rows], at)).cast(pl.Date),
                c.LAST_DATE: pl.Series(np.maximum.reduceat(day[rows], at)).cast(pl.Date),
            }
        )


def _stated_days(
    customer: npt.NDArray[np.uint32],
    asset: npt.NDArray[np.uint32],
    customers: pl.Series,
    assets: pl.Series,
    stated: pl.LazyFrame,
) -> npt.NDArray[np.int32]:
    """[P] the day of each pair's statement, days since 1970; the smallest number where there is none."""
    spoken = stated.select(c.CUSTOMER_ID, c.ASSET_ID, pl.col("_stated_day").to_physical().alias("day")).collect()
    coded = spoken.lazy().select(
        pl.Series("customer", places(spoken[c.CUSTOMER_ID], customers)),
        pl.Series("asset", places(spoken[c.ASSET_ID], assets)),
        "day",
    )
    pairs = pl.LazyFrame({"customer": customer, "asset": asset})
    joined = pairs.join(coded, on=["customer", "asset"], how="left", maintain_order="left")
    return joined.select(pl.col("day").fill_null(np.iinfo(np.int32).min)).collect().to_series().to_numpy()
