"""The simulated market's weather: a Markov chain of regimes, waves of fashion, and the prices they drive."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl

from data_contracts import columns as c
from data_contracts.simulate_assets import Catalogue
from data_contracts.simulate_draws import Floats, Ints
from data_contracts.simulate_sectors import BOND, FUND, GOVERNMENT, SECTOR_BETA, SECTOR_DEFENSIVE, SECTOR_NAMES, STOCK

BULL, NEUTRAL, BEAR = 0, 1, 2
REGIME_NAMES = ("bull", "neutral", "bear")

#: Chance per business day of going from the row's regime to the column's (both: bull, neutral, bear).
REGIME_STEPS = np.array([[0.986, 0.010, 0.004], [0.014, 0.978, 0.008], [0.010, 0.015, 0.975]])
#: Daily mean and standard deviation of the market's log return in each regime.
REGIME_DRIFT = np.array([0.0011, 0.0002, -0.0020])
REGIME_NOISE = np.array([0.0060, 0.0055, 0.0130])
#: What a sector in fashion gains per day on top of the market.
FASHION_DRIFT = 0.0006
_CLASS_BETA = {STOCK: 1.0, BOND: 0.08, FUND: 0.8}
_CLASS_NOISE = {STOCK: 0.011, BOND: 0.0012, FUND: 0.004}


@dataclass(frozen=True)
class Weather:
    """Per business day [D]: the regime, the sector in fashion, and the market's log return."""

    calendar: list[dt.date]
    regime: Ints
    fashion: Ints
    market_return: Floats


def business_days(as_of: dt.date, years: float) -> list[dt.date]:
    """Mondays to Fridays, the last on or before ``as_of``, over ``years`` of 365.25 days."""
    first = as_of - dt.timedelta(days=round(365.25 * years))
    days = (first + dt.timedelta(days=step) for step in range((as_of - first).days + 1))
    return [day for day in days if day.weekday() < 5]


def draw_weather(calendar: list[dt.date], rng: np.random.Generator) -> Weather:
    days = len(calendar)
    ladder = np.cumsum(REGIME_STEPS, axis=1)
    regime = np.empty(days, dtype=np.int64)
    state = NEUTRAL
    for day, uniform in enumerate(rng.random(days)):
        regime[day] = state
        state = min(int(np.searchsorted(ladder[state], uniform, side="right")), BEAR)
    fashion = np.empty(days, dtype=np.int64)
    day, sector = 0, -1
    while day < days:  # a wave lasts two to six months, and the next is of another sector
        wave = int(rng.integers(40, 130))
        sector = int(rng.choice([other for other in range(GOVERNMENT) if other != sector]))
        fashion[day : day + wave] = sector
        day += wave
    market_return = REGIME_DRIFT[regime] + REGIME_NOISE[regime] * rng.standard_normal(days)
    return Weather(calendar, regime, fashion, market_return)


def draw_prices(catalogue: Catalogue, weather: Weather, rng: np.random.Generator) -> Floats:
    """Close prices [N, D] in EUR, four decimals, NaN on days on which the asset is not listed.

    log return = beta x market + sector noise + fashion + own noise; in a bear regime a defensive sector has half
    its beta.
    """
    assets, days = catalogue.size, len(weather.calendar)
    kind, sector = catalogue.asset_class, catalogue.sector
    class_beta = np.array([_CLASS_BETA[STOCK], _CLASS_BETA[BOND], _CLASS_BETA[FUND]])[kind]
    class_noise = np.array([_CLASS_NOISE[STOCK], _CLASS_NOISE[BOND], _CLASS_NOISE[FUND]])[kind]
    beta = class_beta * SECTOR_BETA[sector] * rng.uniform(0.8, 1.2, assets)
    beta[(kind == FUND) & (catalogue.risk_class == 1)] *= 0.1  # money market funds hardly move
    noise = class_noise * (0.6 + 0.2 * catalogue.risk_class)
    sector_return = 0.003 * rng.standard_normal((len(SECTOR_NAMES), days))
    sector_return[weather.fashion, np.arange(days)] += FASHION_DRIFT
    start = np.exp(
        np.choose(kind, [np.log(30.0), np.log(100.0), np.log(18.0)])
        + np.choose(kind, [0.9, 0.03, 0.5]) * rng.standard_normal(assets)
    )
    close = np.empty((assets, days))
    sheltered = SECTOR_DEFENSIVE[sector]
    for asset in range(assets):  # one row at a time: memory stays at one table of closes
        pull = np.where((weather.regime == BEAR) & sheltered[asset], 0.5, 1.0)
        steps = beta[asset] * pull * weather.market_return
        steps += min(class_beta[asset], 1.0) * sector_return[sector[asset]]
        steps += noise[asset] * rng.standard_normal(days)
        close[asset] = start[asset] * np.exp(np.cumsum(steps))
    close = np.maximum(np.round(close, 4), 0.01)
    day = np.arange(days)
    close[(day < catalogue.listed_from[:, None]) | (day > catalogue.listed_to[:, None])] = np.nan
    return close


def prices_table(catalogue: Catalogue, calendar: list[dt.date], close: Floats, first: int) -> pl.DataFrame:
    """The prices ``close`` [n, D] of the assets from ``first`` on, in that order, unlisted days left out."""
    days = pl.Series(c.DATE, calendar, dtype=pl.Date)
    index, day = np.nonzero(~np.isnan(close))
    return pl.DataFrame(
        {
            c.ASSET_ID: pl.Series(catalogue.isin[first : first + len(close)], dtype=pl.String).gather(index),
            c.DATE: days.gather(day),
            c.CLOSE: close[index, day],
        }
    )


def weather_table(weather: Weather) -> pl.DataFrame:
    return pl.DataFrame(
        {
            c.DATE: weather.calendar,
            "regime": [REGIME_NAMES[state] for state in weather.regime],
            "fashion_sector": [SECTOR_NAMES[sector] for sector in weather.fashion],
            "market_return": weather.market_return,
        }
    )
