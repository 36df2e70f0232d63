"""What an asset's past prices say of it on a day: point in time, from closes and from windows whose return is known.

A close is known on the days after it, a window's return on the days after its end. Whoever has no closes of an asset may
still know its returns over windows that ended; they stand in for closes where those are missing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.stats import rankdata

from lightning_modules.days import EPOCH, days_since_epoch

MOMENTA = (30, 90, 180, 365)
FEATURES = (*(f"momentum_{days}" for days in MOMENTA), "since_first", "volatility", "drawdown", "realised")
STALE = 25
"""A close older than this many days says nothing about a day; nor does a window that ended longer ago."""
YEAR = 365
WINDOW = 164
"""Days of a realised window that is made from closes, and ``STEP`` days between two."""
STEP = 12
REACH = 700
"""Days back from which on windows teach."""
FALL = 200
OWN_MOVES = 5
"""An asset's variance counts its class's as so many moves of its own (of 2, 5, 8, 15 the best on the validation splits)."""
OF_ALL = 2
"""A class's mean counts that of all assets as so many assets of its own."""
OWN_WINDOWS = WINDOW // STEP
"""An asset's realised return counts its class's as so many windows of its own: overlapping ones, worth one that stands alone."""
LONGEST_MOVE = 200
"""Days between two closes beyond which their distance says more of the drift than of the volatility."""
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def no_windows() -> pl.DataFrame:
    """An empty table of realised windows: asset_id, start, end (days), monthly_return (fraction a month of 30 days)."""
    return pl.DataFrame(schema={"asset_id": pl.String, "start": pl.Date, "end": pl.Date, "monthly_return": pl.Float64})


class PriceHistory:
    """Of ``assets`` [N], all that is dated before ``day``.

    Args:
        closes: asset_id, date, close.
        windows: realised windows as in :func:`no_windows`; without any they are made from the closes, one every ``STEP`` days.
        classes: [N] the class of each asset, "" where unknown.
    """

    def __init__(
        self, closes: pl.DataFrame, day: dt.date, assets: list[str], classes: list[str], windows: pl.DataFrame | None = None
    ) -> None:
        self.n = len(assets)
        self.day = days_since_epoch(day)
        self.origin = self.day - REACH - YEAR - 2 * STALE
        self.class_of = np.unique(np.array(classes, dtype=np.str_), return_inverse=True)[1]
        number = pl.DataFrame({"asset_id": assets, "asset": np.arange(self.n)}, schema_overrides={"asset_id": pl.String})
        known = closes.filter((pl.col("date") < day) & (pl.col("close") > 0)).join(number, on="asset_id").sort("asset", "date")
        asset, when = known["asset"].to_numpy(), known["date"].dt.epoch("d").to_numpy().astype(np.int64)
        price = np.log(known["close"].to_numpy().astype(np.float64))
        self._keep_closes(asset, when, price)
        squares, moves = self._moves(asset, when, price)
        self._keep_windows(windows if windows is not None else no_windows(), number, day)
        bare = ~(self._fresh(self.start + 1)[0] & self._fresh(self.end + 1)[0])
        span = (self.end - self.start)[bare]
        np.add.at(squares, (self.of[bare], self.end[bare] - self.origin), (self.monthly[bare] / 30) ** 2 * span)
        np.add.at(moves, (self.of[bare], self.end[bare] - self.origin), 1.0)
        # A leading zero, so that a difference of two columns is the sum of the days between them.
        self.squares = np.pad(squares.cumsum(1), ((0, 0), (1, 0)))
        self.moves = np.pad(moves.cumsum(1), ((0, 0), (1, 0)))

    def features(self, now: int) -> Floats:
        """[N, len(FEATURES)] of what is known before day ``now`` (days since 1970), NaN where unknown."""
        fresh, last = self._close(now)
        values = []
        for back in MOMENTA:
            then, earlier = self._close(now - back)
            values.append(np.where(fresh & then, (last - earlier) / back * 30, np.nan))
        held = now - 1 - self.first_day
        values.append(np.where(fresh & (held > FALL), (last - self.first_price) / np.maximum(held, 1) * 30, np.nan))
        values.append(self._volatility(now))
        window = self.level[:, max(now - FALL - self.origin, 0) : now - self.origin]
        highest = np.max(window, axis=1, initial=-np.inf, where=np.isfinite(window))
        values.append(np.where(fresh, last - highest, np.nan))
        values.append(self._realised(now))
        return np.stack(values, axis=1)

    def seen(self, now: int) -> Bools:
        """[N]: is there a fresh close before day ``now``, or a window that ended lately?"""
        lately = (self.end < now) & (self.end >= now - STALE)
        seen, _ = self._close(now)
        seen[self.of[lately]] = True
        return seen

    def monthly_returns(self, start: int, end: int) -> Floats:
        """[N] simple return a month from the newest close before ``start`` to the newest before ``end``; NaN where unknown."""
        first, price = self._close(start)
        last, later = self._close(end)
        since, until = self._day_of(start), self._day_of(end)
        known = first & last & (until > since)
        return np.where(known, np.expm1((later - price) * 30 / np.maximum(until - since, 1)), np.nan)

    def ended_windows(self) -> Iterator[tuple[int, Floats]]:
        """Each realised window's start and [N] simple return a month, NaN where unknown."""
        for start, end in np.unique(np.stack([self.start, self.end], 1), axis=0):
            if start > self.day - REACH - STALE:
                here = (self.start == start) & (self.end == end)
                returns = np.full(self.n, np.nan)
                returns[self.of[here]] = np.expm1(self.monthly[here])
                yield int(start), returns

    def _keep_closes(self, asset: Ints, when: Ints, price: Floats) -> None:
        """level [N, days from the origin]: log of the newest close on or before the day; dated [N, days]: the day of it."""
        length = self.day - self.origin
        place = np.full((self.n, length), -1, np.int64)
        lately = when >= self.origin
        place[asset[lately], when[lately] - self.origin] = when[lately] - self.origin
        place = np.maximum.accumulate(place, axis=1)
        exact = np.full((self.n, length), np.nan)
        exact[asset[lately], when[lately] - self.origin] = price[lately]
        self.level = np.where(place >= 0, np.take_along_axis(exact, np.maximum(place, 0), 1), np.nan)
        self.dated = np.where(place >= 0, place + self.origin, -(10**6))
        self.first_day = np.full(self.n, 10**6)
        self.first_price = np.full(self.n, np.nan)
        newest_first = np.arange(len(asset))[::-1]  # the last one written is the first close
        self.first_day[asset[newest_first]] = when[newest_first]
        self.first_price[asset[newest_first]] = price[newest_first]

    def _moves(self, asset: Ints, when: Ints, price: Floats) -> tuple[Floats, Floats]:
        """[N, days]: the squared log moves that ended on each day, per day of their length, and how many."""
        squares, moves = np.zeros((self.n, self.day - self.origin)), np.zeros((self.n, self.day - self.origin))
        gap, move = np.diff(when), np.diff(price)
        usable = (np.diff(asset) == 0) & (gap > 0) & (gap <= LONGEST_MOVE) & (when[1:] >= self.origin)
        where = (asset[1:][usable], when[1:][usable] - self.origin)
        np.add.at(squares, where, move[usable] ** 2 / gap[usable])
        np.add.at(moves, where, 1.0)
        return squares, moves

    def _keep_windows(self, windows: pl.DataFrame, number: pl.DataFrame, day: dt.date) -> None:
        """of, start, end, monthly (log): the realised windows that ended before ``day``."""
        if windows.height:
            seen = (pl.col("end") < day) & (pl.col("end") >= EPOCH + dt.timedelta(days=self.origin))
            rows = windows.filter(seen & (pl.col("monthly_return") > -1)).join(number, on="asset_id")
            rows = rows.sort("start", "end", "asset")
            self.of = rows["asset"].to_numpy().astype(np.int64)
            self.start = rows["start"].dt.epoch("d").to_numpy().astype(np.int64)
            self.end = rows["end"].dt.epoch("d").to_numpy().astype(np.int64)
            self.monthly = np.log1p(rows["monthly_return"].to_numpy().astype(np.float64))
        else:
            ends = np.arange(self.day - 1, self.origin + WINDOW + STALE, -STEP)[::-1]
            made = [(end, np.log1p(self.monthly_returns(end - WINDOW + 1, end + 1))) for end in ends.tolist()]
            known = [np.flatnonzero(np.isfinite(returns)) for _, returns in made]
            self.of = np.concatenate([*known, np.zeros(0, np.int64)])
            self.end = np.repeat(ends, [len(rows) for rows in known])
            self.start = self.end - WINDOW
            self.monthly = np.concatenate([*(returns[rows] for (_, returns), rows in zip(made, known, strict=True)), np.zeros(0)])

    def _close(self, before: int) -> tuple[Bools, Floats]:
        """[N]: is there a fresh close before day ``before``, and the log of it."""
        column = before - 1 - self.origin
        if column < 0:
            return np.zeros(self.n, bool), np.full(self.n, np.nan)
        return self.dated[:, column] >= before - STALE, self.level[:, column]

    def _day_of(self, before: int) -> Ints:
        column = before - 1 - self.origin
        return self.dated[:, column] if column >= 0 else np.full(self.n, -(10**6))

    def _fresh(self, before: Ints) -> tuple[Bools, Ints]:
        """Per window: has its asset a fresh close before day ``before``, and the day of it."""
        column = before - 1 - self.origin
        when = np.where(column >= 0, self.dated[self.of, np.maximum(column, 0)], -(10**6))
        return when >= before - STALE, when

    def _volatility(self, now: int) -> Floats:
        """[N] root of the variance a day over the last year, drawn to the class's; NaN where nothing moved in sight."""
        high, low = now - self.origin, max(now - YEAR - self.origin, 0)
        square = self.squares[:, high] - self.squares[:, low]
        count = np.rint(self.moves[:, high] - self.moves[:, low])
        return np.sqrt(np.maximum(self._drawn(square, count, OWN_MOVES), 0.0))

    def _realised(self, now: int) -> Floats:
        """[N] mean log return a month of the windows that ended in the last year, drawn to the class's."""
        lately = (self.end < now) & (self.end >= now - YEAR)
        total = np.bincount(self.of[lately], self.monthly[lately], self.n).astype(np.float64)
        return self._drawn(total, np.bincount(self.of[lately], minlength=self.n).astype(np.float64), OWN_WINDOWS)

    def _drawn(self, total: Floats, count: Floats, own: float) -> Floats:
        """[N] means, drawn to the mean of the class, and that to the mean of all; NaN where nothing is known of any asset."""
        known = count > 0
        if not known.any():
            return np.full(self.n, np.nan)
        means = total[known] / count[known]
        assets = np.bincount(self.class_of[known], minlength=self.class_of.max() + 1)
        sums = np.bincount(self.class_of[known], means, len(assets))
        of_class = ((sums + OF_ALL * means.mean()) / (assets + OF_ALL))[self.class_of]
        return np.asarray((total + own * of_class) / (count + own), np.float64)


def standardised(features: Floats) -> Floats:
    """Ranks within the day, -0.5 to 0.5, 0 where unknown: prices know outliers, and what counts is which asset is better."""
    ranks = np.zeros_like(features)
    for column, values in enumerate(features.T):
        known = np.flatnonzero(np.isfinite(values))
        if len(known) > 1:
            # Rounded, so that what differs by rounding alone is equal, and equal assets get an equal rank.
            place = rankdata(values[known].round(8)) - 1
            ranks[known, column] = place / (len(known) - 1) - 0.5
    return ranks
