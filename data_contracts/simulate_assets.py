"""The simulated market's assets: sectors, risk classes, listings, and the planted companions."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl

from data_contracts import columns as c
from data_contracts.simulate_draws import Bools, Floats, Ints
from data_contracts.simulate_names import draw_isins, draw_names
from data_contracts.simulate_sectors import (
    BOND,
    CLASS_NAMES,
    DIVERSIFIED,
    FUND,
    GOVERNMENT,
    MARKETS,
    SECTOR_DEFENSIVE,
    SECTOR_NAMES,
    STOCK,
)

#: Chance that a holding draws the customer to its first, second and third companion.
COMPANION_WEIGHTS = np.array([0.5, 0.3, 0.2])


@dataclass(frozen=True)
class Catalogue:
    """What can be bought. Every array has one entry per asset [N]; days count business days from the first.

    ``appeal`` is how often an asset is chosen among its like; ``listed_from`` and ``listed_to`` (inclusive) bound
    the days on which it has a price; ``companions`` [N, 3] are what holding this one makes a customer buy.
    """

    isin: list[str]
    name: list[str]
    short_name: list[str]
    asset_class: Ints
    subclass: list[str]
    sector: Ints
    industry: list[str]
    market: Ints
    risk_class: Ints
    dividend_yield: Floats
    appeal: Floats
    listed_from: Ints
    listed_to: Ints
    companions: Ints

    @property
    def size(self) -> int:
        return len(self.isin)


def draw_catalogue(assets: int, days: int, rng: np.random.Generator) -> Catalogue:
    """A catalogue of ``assets`` whose prices run over at most ``days`` business days."""
    asset_class, sector, risk_class = _classes(assets, rng)
    names, short_names, subclasses, industries = draw_names(asset_class, sector, risk_class, rng)
    market = np.where(asset_class == FUND, 3, rng.integers(0, 3, assets))
    base_yield = np.choose(asset_class, [0.02, 0.035, 0.015]) + 0.015 * SECTOR_DEFENSIVE[sector]
    dividend_yield = np.round(base_yield * rng.uniform(0.3, 1.6, assets), 4)
    dividend_yield[(asset_class == STOCK) & (rng.random(assets) < 0.3)] = np.nan  # it pays none
    listed_from, listed_to = _listings(assets, days, rng)
    return Catalogue(
        isin=draw_isins(market, rng),
        name=names,
        short_name=short_names,
        asset_class=asset_class,
        subclass=subclasses,
        sector=sector,
        industry=industries,
        market=market,
        risk_class=risk_class,
        dividend_yield=dividend_yield,
        appeal=np.exp(0.8 * rng.standard_normal(assets)),
        listed_from=listed_from,
        listed_to=listed_to,
        companions=_companions(risk_class, sector, rng),
    )


def assets_table(catalogue: Catalogue, calendar: list[dt.date], rng: np.random.Generator) -> pl.DataFrame:
    """The assets table; about a tenth of the dividend payers has a second, later row with a new yield."""
    first = pl.DataFrame(
        {
            c.ASSET_ID: catalogue.isin,
            c.ASSET_NAME: catalogue.name,
            c.ASSET_SHORT_NAME: catalogue.short_name,
            c.ASSET_CLASS: [CLASS_NAMES[index] for index in catalogue.asset_class],
            c.ASSET_SUBCLASS: catalogue.subclass,
            c.MARKET_ID: [MARKETS[index][0] for index in catalogue.market],
            c.SECTOR: [SECTOR_NAMES[index] for index in catalogue.sector],
            c.INDUSTRY: catalogue.industry,
            c.DIVIDEND_YIELD: pl.Series(catalogue.dividend_yield).fill_nan(None),
            c.RISK_CLASS: pl.Series(catalogue.risk_class, dtype=pl.Int8),
            c.VALID_FROM: [calendar[day] for day in catalogue.listed_from],
        }
    )
    changes = (rng.random(catalogue.size) < 0.1) & ~np.isnan(catalogue.dividend_yield)
    changes &= catalogue.listed_from == 0
    later = first.filter(pl.Series(changes)).with_columns(
        (pl.col(c.DIVIDEND_YIELD) * 0.8).round(4), pl.lit(calendar[len(calendar) // 2]).alias(c.VALID_FROM)
    )
    return pl.concat([first, later]).sort(c.ASSET_ID, c.VALID_FROM)


def markets_table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            c.MARKET_ID: [market for market, _, _, _ in MARKETS],
            c.NAME: [name for _, name, _, _ in MARKETS],
            c.COUNTRY: [country for _, _, country, _ in MARKETS],
            c.TRADING_DAYS: ["Mon,Tue,Wed,Thu,Fri"] * len(MARKETS),
        }
    )


def restricted_table(catalogue: Catalogue, calendar: list[dt.date]) -> pl.DataFrame:
    """Four much-bought assets: two restricted now (one until a date), one only watched, one restricted once."""
    listed = np.flatnonzero((catalogue.listed_from == 0) & (catalogue.listed_to == len(calendar) - 1))
    chosen = listed[np.argsort(-catalogue.appeal[listed], kind="stable")][2:6]
    last = len(calendar) - 1
    return pl.DataFrame(
        {
            c.ASSET_ID: [catalogue.isin[index] for index in chosen],
            c.LIST_KIND: ["restricted", "restricted", "watch", "restricted"],
            c.VALID_FROM: [calendar[last * share // 100] for share in (80, 93, 90, 40)],
            c.VALID_TO: [None, calendar[last] + dt.timedelta(days=60), None, calendar[last * 60 // 100]],
            c.REASON: [
                "advisory mandate",
                "quiet period before a placement",
                "under review by research",
                "pending merger, completed",
            ],
        },
        schema_overrides={c.VALID_TO: pl.Date},
    )


def companions_table(catalogue: Catalogue) -> pl.DataFrame:
    """Truth: the three companions of each asset, with the chance of each."""
    wide = len(COMPANION_WEIGHTS)
    names = pl.Series(catalogue.isin)
    return pl.DataFrame(
        {
            c.ASSET_ID: names.gather(np.repeat(np.arange(catalogue.size), wide)),
            "companion_id": names.gather(catalogue.companions.ravel()),
            "weight": np.tile(COMPANION_WEIGHTS, catalogue.size),
        }
    )


def appeal_table(catalogue: Catalogue) -> pl.DataFrame:
    """Truth: how often each asset is chosen among its like, relative to the others."""
    return pl.DataFrame({c.ASSET_ID: catalogue.isin, "appeal": catalogue.appeal})


def _classes(assets: int, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Class, sector and risk class. Shares are counted out, not drawn, so that a small market lacks no kind of asset."""
    order = np.arange(assets)
    asset_class = np.array([STOCK, BOND, FUND, STOCK, STOCK, FUND, BOND, STOCK, FUND])[order % 9]
    sector = np.zeros(assets, dtype=np.int64)
    risk_class = np.zeros(assets, dtype=np.int64)
    for kind in (STOCK, BOND, FUND):
        members = np.flatnonzero(asset_class == kind)
        turn = np.arange(len(members))
        equity = turn % GOVERNMENT
        if kind == STOCK:
            sector[members] = equity
            growth = np.array([3, 4, 4])[turn // GOVERNMENT % 3]
            defensive = np.array([2, 3, 3])[turn // GOVERNMENT % 3]
            risk_class[members] = np.where(SECTOR_DEFENSIVE[equity], defensive, growth)
        elif kind == BOND:
            state = turn % 5 < 2
            sector[members] = np.where(state, GOVERNMENT, (turn * 3 + turn // 5) % GOVERNMENT)
            risk_class[members] = np.where(state, 1, np.array([1, 2, 2])[turn % 3])
        else:
            broad = turn % 4 == 0
            sector[members] = np.where(broad, DIVERSIFIED, (turn * 7 + turn // 4) % GOVERNMENT)
            risk_class[members] = np.where(broad, np.array([1, 2, 2, 3])[turn // 4 % 4], np.array([2, 1, 3])[turn % 3])
    shuffled = rng.permutation(assets)
    return asset_class[shuffled].astype(np.int64), sector[shuffled], risk_class[shuffled]


def _listings(assets: int, days: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Most assets are priced throughout; some arrive on the way, and some leave 40 to 120 days before the end."""
    listed_from = np.zeros(assets, dtype=np.int64)
    listed_to = np.full(assets, days - 1, dtype=np.int64)
    chosen = rng.permutation(assets)
    arrivals = chosen[: max(2, assets // 16)]
    departures = chosen[len(arrivals) : len(arrivals) + max(2, assets // 60)]
    listed_from[arrivals] = rng.integers(days // 10, days * 8 // 10, len(arrivals))
    listed_to[departures] = days - 1 - rng.integers(40, 121, len(departures))
    return listed_from, listed_to


def _companions(risk_class: Ints, sector: Ints, rng: np.random.Generator) -> Ints:
    """Three companions per asset [N, 3]: mostly of the same risk class, never of a higher one, and where possible of
    another sector, so that the tie shows only in who buys what and not in the assets' features."""
    companions = np.zeros((len(risk_class), len(COMPANION_WEIGHTS)), dtype=np.int64)
    for asset, own in enumerate(risk_class):
        weight: Floats = np.where(risk_class == own, 1.0, np.where(risk_class == own - 1, 0.25, 0.0))
        weight[sector == sector[asset]] *= 0.05
        weight[asset] = 0.0
        companions[asset] = rng.choice(len(risk_class), size=3, replace=False, p=weight / weight.sum())
    return companions


def listed_on(catalogue: Catalogue, asset: Ints, day: Ints) -> Bools:
    """Whether ``asset`` [n] had a price on ``day`` [n]."""
    inside: Bools = (catalogue.listed_from[asset] <= day) & (day <= catalogue.listed_to[asset])
    return inside
