"""Sales of what is not held: the one search that needs every trade of a pair of customer and asset in order.

In arrays of numbers: only trades of pairs with a sale are sorted, found by a table of marks that may take a few too many.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from data_contracts import columns as c
from data_contracts.carried import Continued
from data_contracts.check_context import CheckContext
from data_contracts.coded import gather, group_starts, look_up, order_and_groups, stretches
from data_contracts.coded_table import NONE, CodedColumn, CodedTable, code_columns, places
from data_contracts.contract import ROW, Carry, Rule, Search

ROWS_AT_ONCE: Final = 1 << 24  # rows whose pairs are numbered together: 128 MB
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: spreads neighbours (Knuth, vol. 3, 6.4)
_LONG: Final = 64  # trades of a run that are summed by themselves
_NO_DAY: Final = np.iinfo(np.int32).min

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]


def sold_beyond_holdings(residue: float) -> Search:
    """The first sale of each pair that exceeds what it can hold: the opening position plus what was bought before.

    What is held is told from the last delivered statement before the trade and the trades since. Before the first
    statement the opening position is that statement less the trades up to it; without any it is nothing. From the first
    trade whose units or whose day are not known, what is held is not known either, until the next statement. Of one day
    buys come first, then the smallest sale: the source does not say in which order a day's trades were made.
    """

    def search(rows: pl.LazyFrame, context: CheckContext) -> pl.Series:
        return _search(rows, context, context.coded or code_columns(rows, (c.CUSTOMER_ID, c.ASSET_ID)), None, residue)

    return search


def sold_by_those_who_traded(residue: float) -> Carry:
    """The carry of ``sold_beyond_holdings``: all trades of the customers who occur behind the rows before are walked again."""

    def carry(rule: Rule, continued: Continued) -> pl.Series | None:
        coded = continued.context.coded
        if coded is None or "delivered_holdings" not in continued.carried.same:
            return None
        customer, texts = coded[c.CUSTOMER_ID].codes, coded[c.CUSTOMER_ID].texts
        traded = np.zeros(len(texts) + 1, np.bool_)  # the last place is that of an absent customer
        traded[CodedColumn(texts, customer[continued.carried.rows :]).present] = True
        before = continued.carried.hits[rule.rule_id].to_numpy()
        rest = pl.Series(ROW, before[~traded[customer[before]]], pl.get_index_type())
        found = _search(continued.rows, continued.context, coded, look_up(traded, customer), residue)
        return pl.concat([rest, found]).sort()

    return carry


def _search(
    rows: pl.LazyFrame, context: CheckContext, coded: CodedTable, among: npt.NDArray[np.bool_] | None, residue: float
) -> pl.Series:
    """Of the rows ``among`` which is true (None: all): values of ROW of the first sale of each pair beyond its holding."""
    sale = pl.col(c.SIDE) == "sell"
    exact = (pl.col(c.UNITS) > 0) & (pl.col(c.DATE_WINDOW_DAYS).fill_null(0) == 0)
    sound = (pl.col(c.DATE) <= context.as_of) & pl.col(c.SIDE).is_in(c.SIDES)
    frame = rows.select(
        pl.when(sound).then(pl.col(c.DATE).to_physical()).fill_null(_NO_DAY).alias("day"),
        sale.fill_null(False).alias("sale"),
        # NaN: the units or the day are not known.
        pl.when(exact).then(pl.when(sale).then(-pl.col(c.UNITS)).otherwise(c.UNITS)).fill_null(float("nan")).alias("signed"),
    ).collect(engine="streaming")
    day, signed = frame["day"].to_numpy(), frame["signed"].to_numpy()
    at = _of_sellers(coded, day != _NO_DAY if among is None else among & (day != _NO_DAY), frame["sale"].to_numpy())
    pair, day, signed = _pairs(coded, at), day[at], signed[at]
    order = _in_order(pair, day, signed)
    pair, day, signed = gather(order, pair, day, signed)
    first = _first_below(pair, day, signed, _statements(coded, context), residue)
    return pl.Series(ROW, np.sort(at[order[first]]), pl.get_index_type())


def _pairs(coded: CodedTable, rows: Any) -> Keys:
    """[m] a number for the customer and asset of each of the ``rows`` (positions or a slice)."""
    return _pair(coded, coded[c.CUSTOMER_ID].codes[rows], coded[c.ASSET_ID].codes[rows])


def _pair(coded: CodedTable, customer: npt.NDArray[np.uint32], asset: npt.NDArray[np.uint32]) -> Keys:
    return customer.astype(np.uint64) * np.uint64(max(len(coded[c.ASSET_ID].texts), 1)) + asset


def _of_sellers(coded: CodedTable, sound: npt.NDArray[np.bool_], sale: npt.NDArray[np.bool_]) -> Ints:
    """[m] positions of the ``sound`` rows of pairs with a sale, and of a few others that share a mark with one of them."""
    bits = min(max(int(8 * sale.sum()).bit_length(), 16), 28)
    shift = np.uint64(64 - bits)
    marks = np.zeros(1 << bits, np.bool_)
    known = [
        np.flatnonzero(sound[part] & (coded[c.CUSTOMER_ID].codes[part] != NONE) & (coded[c.ASSET_ID].codes[part] != NONE))
        + part.start
        for part in stretches(len(sound), ROWS_AT_ONCE)
    ]
    for rows in known:
        marks[_pairs(coded, rows[sale[rows]]) * _MIX >> shift] = True
    found = [rows[marks[_pairs(coded, rows) * _MIX >> shift]] for rows in known]
    return np.concatenate([np.empty(0, np.int64), *found])


def _in_order(pair: Keys, day: npt.NDArray[np.int32], signed: Floats) -> Ints:
    """[m] positions by pair and day; of one day unknown units first, then buys, then sales, the smallest first."""
    if len(pair) == 0:
        return np.empty(0, np.int64)
    order, starts = order_and_groups(pair.view(np.int64), day - day.min())
    same = np.ones(len(order) - 1, np.bool_)
    same[starts[1:] - 1] = False
    # Few days have two trades of a pair: only they are sorted by units.
    tied = np.zeros(len(order), np.bool_)
    tied[1:] = same
    tied[:-1] |= same
    places_ = np.flatnonzero(tied)
    group = np.cumsum(~np.concatenate([[False], same]))[places_]
    units = np.nan_to_num(-signed[order[places_]], nan=-np.inf)
    order[places_] = order[places_[np.lexsort((units, group))]]
    return order


def _statements(coded: CodedTable, context: CheckContext) -> tuple[Keys, npt.NDArray[np.int32], Floats]:
    """[s] pair, day and units (NaN: none) of the delivered positions of customers and assets that trade, by pair and day."""
    path = context.references.get("delivered_holdings")
    if path is None:
        return np.empty(0, np.uint64), np.empty(0, np.int32), np.empty(0)
    stated = pl.scan_parquet(path).select(c.CUSTOMER_ID, c.ASSET_ID, c.AS_OF_DATE, c.UNITS).collect()
    customer = places(stated[c.CUSTOMER_ID], coded[c.CUSTOMER_ID].texts)
    asset = places(stated[c.ASSET_ID], coded[c.ASSET_ID].texts)
    known = (customer != NONE) & (asset != NONE)
    pair = _pair(coded, customer[known], asset[known])
    day = stated[c.AS_OF_DATE].to_physical().to_numpy()[known]
    units = stated[c.UNITS].fill_null(float("nan")).to_numpy()[known]
    order = np.lexsort((day, pair))
    return pair[order], day[order], units[order]


def _first_below(
    pair: Keys,
    day: npt.NDArray[np.int32],
    signed: Floats,
    statements: tuple[Keys, npt.NDArray[np.int32], Floats],
    residue: float,
) -> Ints:
    """Positions of the first sale of each pair below what it held then. All arrays [m] in order."""
    if len(pair) == 0:
        return np.empty(0, np.int64)
    last, opening_known, opening = np.full(len(pair), -1), np.zeros(len(pair), np.bool_), np.zeros(len(pair))
    stated_pair, stated_day, stated = statements
    if len(stated_pair):
        base = min(int(day.min()), int(stated_day.min()))
        moment = pair << np.uint64(20) | (day - base).astype(np.uint64)  # 2**20 days are 2,870 years
        last = np.searchsorted(stated_pair << np.uint64(20) | (stated_day - base).astype(np.uint64), moment) - 1
        last[(last >= 0) & (stated_pair[last] != pair)] = -1
        first = np.minimum(np.searchsorted(stated_pair, pair), len(stated_pair) - 1)
        opening_known = (stated_pair[first] == pair) & ~np.isnan(stated[first])
        opening = np.where(last >= 0, np.maximum(np.nan_to_num(stated[last]), 0.0), np.nan_to_num(stated[first]))
    # Rows lie pair by pair, and of a pair statement by statement: a change of either begins a run.
    starts = group_starts(pair, last)
    run = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(pair)))
    unknown = np.isnan(signed)
    held_back = np.cumsum(unknown)
    before = (held_back - unknown)[starts]
    net = running_sums(np.where(unknown, 0.0, signed), starts)
    ends = np.append(starts[1:], len(pair)) - 1
    doubtful = held_back > before[run]
    early = last < 0
    # Before its first statement a pair held what that says less all trades up to it.
    brought = np.where((held_back[ends] > before)[run], np.nan, np.maximum(opening - net[ends][run], 0.0))
    held = np.where(early, np.where(opening_known, brought, 0.0), opening)
    below = (signed < 0) & ~doubtful & (held + net < -np.maximum(residue, 1e-9 * np.abs(signed)))
    found = np.flatnonzero(below)
    return found[group_starts(pair[found])] if len(found) else found


def running_sums(values: Floats, starts: Ints) -> Floats:
    """[m] sums of ``values`` [m] from the start of each run on, one after the other, as a plain loop adds them."""
    sums, ends = values.copy(), np.append(starts[1:], len(values))
    lengths = ends - starts
    for start, end in zip(starts[lengths > _LONG], ends[lengths > _LONG], strict=True):
        sums[start:end] = np.cumsum(values[start:end])
    short, left = starts[lengths <= _LONG], lengths[lengths <= _LONG]
    for depth in range(1, _LONG):
        short, left = short[left > depth], left[left > depth]
        if len(short) == 0:
            break
        sums[short + depth] += sums[short + depth - 1]
    return sums
