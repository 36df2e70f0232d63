"""The simulated market's customers: who they are, what they declare, and what they secretly like."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl

from data_contracts import columns as c
from data_contracts.simulate_draws import Bools, Floats, Ints, normals, uniforms
from data_contracts.simulate_sectors import SECTOR_APPEAL, SECTOR_NAMES

RISK_LEVELS = ("conservative", "income", "balanced", "aggressive")
NOT_AVAILABLE = "not_available"
_TYPES = ("mass", "premium", "professional", "legal_entity", "inactive")
_TYPE_SHARES = np.array([0.74, 0.17, 0.05, 0.02, 0.02])
_RISK_SHARES = np.array([0.15, 0.25, 0.37, 0.23])
_CAPACITIES = ("cap_lt_30k", "cap_30k_80k", "cap_80k_300k", "cap_gt_300k")
_CAPACITY_SHARES = np.array([0.50, 0.30, 0.15, 0.05])
#: What a customer of each capacity spends on a usual purchase, in EUR.
_CAPACITY_TICKET = np.array([900.0, 2200.0, 6000.0, 18000.0])

#: How much of a customer's liking goes to the first, second and third sector.
TASTE_WEIGHTS = np.array([0.6, 0.25, 0.15])
COLD_SHARE = 0.02
NOT_AVAILABLE_SHARE = 0.01
UPDATE_SHARE = 0.06

# Draw numbers: one per question about a customer. Trades use numbers from TRADE_STREAM on.
(
    _TYPE,
    _RISK,
    _CAPACITY,
    _LATE,
    _JOIN,
    _COLD,
    _COUNT,
    _COUNT_2,
    _UPDATE,
    _UPDATE_DAY,
    _UPDATE_WAY,
    _HIDDEN,
    _PREDICTED,
    _CAP_PREDICTED,
    _ASKED,
    _ASKED_AGAIN,
    _TASTE,
) = range(17)
TRADE_STREAM = 32


@dataclass(frozen=True)
class Customers:
    """A run of customers; every array has one entry each [n]. Risk is 0 (conservative) to 3 (aggressive).

    ``update_day`` is the business day from which ``later_risk`` and ``later_type`` hold (beyond the last day: never).
    ``tastes`` [n, 3] are sectors, the best-liked first.
    """

    number: Ints
    type: Ints
    later_type: Ints
    risk: Ints
    later_risk: Ints
    update_day: Ints
    hidden_risk: Bools
    capacity: Ints
    join_day: Ints
    trades: Ints
    ticket: Floats
    tastes: Ints


def draw_customers(seed: int, number: Ints, days: int, trades_per_customer: float) -> Customers:
    """The customers of these numbers [n], in a market of ``days`` business days."""

    def draw(stream: int) -> Floats:
        return uniforms(seed, stream, number)

    late = draw(_LATE) < 0.3
    join_day = np.where(late, (draw(_JOIN) * 0.85 * days).astype(np.int64), 0)
    kind = _chosen(_TYPE_SHARES, draw(_TYPE))
    risk = _chosen(_RISK_SHARES, draw(_RISK))
    capacity = _chosen(_CAPACITY_SHARES, draw(_CAPACITY))
    updates = draw(_UPDATE) < UPDATE_SHARE
    wait = 1 + (draw(_UPDATE_DAY) * 0.95 * (days - 1 - join_day)).astype(np.int64)
    way = draw(_UPDATE_WAY)
    later_risk = np.clip(risk + np.where(way < 0.35, -1, np.where(way < 0.7, 1, 0)), 0, 3)
    # A log-normal number of trades, its mean set so that late joiners and the cold leave the average where asked.
    spread = 0.75
    mean = (trades_per_customer - 0.5) / (1.0 - COLD_SHARE) / (1.0 - 0.3 * 0.425)
    wish = np.exp(np.log(mean) - spread**2 / 2 + spread * normals(seed, _COUNT, number))
    wish *= (days - join_day) / days
    trades = np.minimum(0.5 + wish, 8 * trades_per_customer + 1).astype(np.int64)
    trades = np.where(draw(_COLD) < COLD_SHARE, 0, np.maximum(trades, 1))
    return Customers(
        number=number,
        type=kind,
        later_type=np.where((kind == 0) & (way > 0.5), 1, kind),
        risk=risk,
        later_risk=later_risk,
        update_day=np.where(updates, join_day + wait, days),
        hidden_risk=draw(_HIDDEN) < NOT_AVAILABLE_SHARE,
        capacity=capacity,
        join_day=join_day,
        trades=trades,
        ticket=_CAPACITY_TICKET[capacity],
        tastes=_tastes(seed, number),
    )


def customer_ids(number: Ints) -> pl.Series:
    """``C0000001`` for customer 0, and so on."""
    return pl.select("C" + pl.Series(number + 1).cast(pl.String).str.zfill(7)).to_series()


def customers_table(customers: Customers, seed: int, calendar: list[dt.date]) -> pl.DataFrame:
    """One row per customer and a second for those who were asked again, in customer then date order."""
    days = pl.Series("day", calendar, dtype=pl.Date)
    number = customers.number
    predicted = uniforms(seed, _PREDICTED, number) < 0.18
    asked_ago = (uniforms(seed, _ASKED, number) * 700).astype(np.int64)
    asked_again_ago = (uniforms(seed, _ASKED_AGAIN, number) * 20).astype(np.int64)
    ids = customer_ids(number)
    capacity_predicted = uniforms(seed, _CAP_PREDICTED, number) < 0.4

    def rows(kind: Ints, risk: Ints, from_day: Ints, ago: Ints, guessed: Bools) -> pl.DataFrame:
        level = np.where(customers.hidden_risk, len(RISK_LEVELS), risk)
        asked = pl.Series(~guessed & ~customers.hidden_risk)
        valid_from = days.gather(from_day)
        frame = pl.DataFrame(
            {
                c.CUSTOMER_ID: ids,
                c.CUSTOMER_TYPE: pl.Series(_TYPES).gather(kind),
                c.RISK_LEVEL: pl.Series([*RISK_LEVELS, NOT_AVAILABLE]).gather(level),
                c.RISK_PREDICTED: guessed & ~customers.hidden_risk,
                c.INVESTMENT_CAPACITY: pl.Series(_CAPACITIES).gather(customers.capacity),
                c.CAPACITY_PREDICTED: capacity_predicted,
                c.LAST_QUESTIONNAIRE_DATE: valid_from - pl.Series(ago).cast(pl.Duration("ms")) * 86_400_000,
                c.VALID_FROM: valid_from,
            }
        )
        return frame.with_columns(pl.when(asked).then(pl.col(c.LAST_QUESTIONNAIRE_DATE)))

    opening = rows(customers.type, customers.risk, customers.join_day, asked_ago, predicted)
    updated = customers.update_day < len(calendar)
    update_day = np.where(updated, customers.update_day, 0)
    none = np.zeros(len(number), dtype=np.bool_)
    update = rows(customers.later_type, customers.later_risk, update_day, asked_again_ago, none)
    update = update.filter(pl.Series(updated))
    return pl.concat([opening, update]).sort(c.CUSTOMER_ID, c.VALID_FROM)


def tastes_table(customers: Customers) -> pl.DataFrame:
    """Truth: three rows per customer, the best-liked sector first."""
    wide = len(TASTE_WEIGHTS)
    return pl.DataFrame(
        {
            c.CUSTOMER_ID: customer_ids(np.repeat(customers.number, wide)),
            c.SECTOR: pl.Series(SECTOR_NAMES).gather(customers.tastes.ravel()),
            "weight": np.tile(TASTE_WEIGHTS, len(customers.number)),
        }
    )


def _chosen(shares: Floats, uniform: Floats) -> Ints:
    ladder = np.cumsum(shares / shares.sum())
    return np.minimum(np.searchsorted(ladder, uniform, side="right"), len(shares) - 1).astype(np.int64)


def _tastes(seed: int, number: Ints) -> Ints:
    """Three different sectors each, the appealing ones likelier: the top of log appeal + Gumbel noise."""
    keys = np.empty((len(number), len(SECTOR_APPEAL)))
    for sector, appeal in enumerate(SECTOR_APPEAL):
        uniform = np.maximum(uniforms(seed, _TASTE + sector, number), 1e-300)
        keys[:, sector] = np.log(appeal) - np.log(-np.log(uniform))
    return np.argsort(-keys, axis=1, kind="stable")[:, : len(TASTE_WEIGHTS)].astype(np.int64)
