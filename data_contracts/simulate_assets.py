"""The simulated market's assets: fictional firms, valid ISINs, sectors, risk classes, and planted companions.

Issuers are coined from syllables and meant to name no real firm. The ISINs are valid, but their country codes are
among those that ISO 3166 leaves to private use (QM to QZ), so that none can be the number of a real security.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl

from data_contracts.simulate_draws import Bools, Floats, Ints

#: Sector, whether it holds up when the market falls, its share of customers' tastes, its beta to the market.
SECTORS: tuple[tuple[str, bool, float, float], ...] = (
    ("Technology", False, 1.5, 1.30),
    ("Health Care", True, 1.1, 0.75),
    ("Financials", False, 1.1, 1.20),
    ("Energy", False, 0.9, 1.10),
    ("Utilities", True, 0.7, 0.55),
    ("Consumer Staples", True, 0.8, 0.60),
    ("Consumer Discretionary", False, 0.9, 1.15),
    ("Industrials", False, 0.8, 1.05),
    ("Materials", False, 0.6, 1.05),
    ("Communication Services", False, 0.7, 0.95),
    ("Government", True, 0.9, 0.30),
    ("Diversified", False, 1.3, 0.85),
)
GOVERNMENT, DIVERSIFIED = 10, 11
SECTOR_NAMES = tuple(name for name, _, _, _ in SECTORS)
SECTOR_DEFENSIVE = np.array([defensive for _, defensive, _, _ in SECTORS])
SECTOR_APPEAL = np.array([appeal for _, _, appeal, _ in SECTORS])
SECTOR_BETA = np.array([beta for _, _, _, beta in SECTORS])

STOCK, BOND, FUND = 0, 1, 2
CLASS_NAMES = ("stock", "bond", "fund")

#: Market, its name, its (fictional) country, the ISIN prefix of what is issued there.
MARKETS: tuple[tuple[str, str, str, str], ...] = (
    ("XNOR", "Norvale Exchange", "Norvale", "QN"),
    ("XQUI", "Quiraz Bourse", "Quiraz", "QR"),
    ("XSEL", "Selmark Market", "Selmark", "QS"),
    ("XTOV", "Tovania Funds Market", "Tovania", "QT"),
)

#: Chance that a holding draws the customer to its first, second and third companion.
COMPANION_WEIGHTS = np.array([0.5, 0.3, 0.2])

_STARTS = (
    "Vel Osma Tarq Quen Brel Zor Ithra Mond Kesl Ulri Fenv Galt Hest Jurr Larv Nemt Ovri Pelq Rhun Sarv "
    "Thal Umbr Wexl Yarr Dorv Elnu Corv Ambr"
).split()
_ENDS = ("adrin imar esne ovanta ostra uvel ario enthal ixen olde urna evik ambra onis aquel iscar erro ythe").split()
_TRADES = {
    "Technology": ("Software", "Semiconductors"),
    "Health Care": ("Therapeutics", "Medical Devices"),
    "Financials": ("Banking", "Insurance"),
    "Energy": ("Exploration", "Pipelines"),
    "Utilities": ("Power", "Water"),
    "Consumer Staples": ("Foods", "Household Goods"),
    "Consumer Discretionary": ("Apparel", "Leisure"),
    "Industrials": ("Engineering", "Logistics"),
    "Materials": ("Chemicals", "Metals"),
    "Communication Services": ("Networks", "Media"),
    "Government": ("Treasury", "Treasury"),
    "Diversified": ("Multi-Asset", "Multi-Asset"),
}


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
    names, short_names, subclasses, industries = _names(asset_class, sector, risk_class, rng)
    market = np.where(asset_class == FUND, 3, rng.integers(0, 3, assets))
    base_yield = np.choose(asset_class, [0.02, 0.035, 0.015]) + 0.015 * SECTOR_DEFENSIVE[sector]
    dividend_yield = np.round(base_yield * rng.uniform(0.3, 1.6, assets), 4)
    dividend_yield[(asset_class == STOCK) & (rng.random(assets) < 0.3)] = np.nan  # it pays none
    listed_from, listed_to = _listings(assets, days, rng)
    return Catalogue(
        isin=_isins(market, rng),
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


def isin_check_digit(bodies: list[str]) -> list[int]:
    """The check digit of each 11-character body: letters become numbers (A = 10), then Luhn. Source: ISO 6166."""
    digits = []
    for body in bodies:
        total = 0
        for place, digit in enumerate(reversed("".join(str(int(sign, 36)) for sign in body))):
            doubled = int(digit) * (2 if place % 2 == 0 else 1)
            total += doubled // 10 + doubled % 10
        digits.append(-total % 10)
    return digits


def assets_table(catalogue: Catalogue, calendar: list[dt.date], rng: np.random.Generator) -> pl.DataFrame:
    """The assets table; about a tenth of the dividend payers has a second, later row with a new yield."""
    first = pl.DataFrame(
        {
            "asset_id": catalogue.isin,
            "asset_name": catalogue.name,
            "asset_short_name": catalogue.short_name,
            "asset_class": [CLASS_NAMES[index] for index in catalogue.asset_class],
            "asset_subclass": catalogue.subclass,
            "market_id": [MARKETS[index][0] for index in catalogue.market],
            "sector": [SECTOR_NAMES[index] for index in catalogue.sector],
            "industry": catalogue.industry,
            "dividend_yield": pl.Series(catalogue.dividend_yield).fill_nan(None),
            "risk_class": pl.Series(catalogue.risk_class, dtype=pl.Int8),
            "valid_from": [calendar[day] for day in catalogue.listed_from],
        }
    )
    changes = (rng.random(catalogue.size) < 0.1) & ~np.isnan(catalogue.dividend_yield)
    changes &= catalogue.listed_from == 0
    later = first.filter(pl.Series(changes)).with_columns(
        (pl.col("dividend_yield") * 0.8).round(4), pl.lit(calendar[len(calendar) // 2]).alias("valid_from")
    )
    return pl.concat([first, later]).sort("asset_id", "valid_from")


def markets_table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "market_id": [market for market, _, _, _ in MARKETS],
            "name": [name for _, name, _, _ in MARKETS],
            "country": [country for _, _, country, _ in MARKETS],
            "trading_days": ["Mon,Tue,Wed,Thu,Fri"] * len(MARKETS),
        }
    )


def restricted_table(catalogue: Catalogue, calendar: list[dt.date]) -> pl.DataFrame:
    """Four much-bought assets: two restricted now (one until a date), one only watched, one restricted once."""
    listed = np.flatnonzero((catalogue.listed_from == 0) & (catalogue.listed_to == len(calendar) - 1))
    chosen = listed[np.argsort(-catalogue.appeal[listed], kind="stable")][2:6]
    last = len(calendar) - 1
    return pl.DataFrame(
        {
            "asset_id": [catalogue.isin[index] for index in chosen],
            "list_kind": ["restricted", "restricted", "watch", "restricted"],
            "valid_from": [calendar[last * share // 100] for share in (80, 93, 90, 40)],
            "valid_to": [None, calendar[last] + dt.timedelta(days=60), None, calendar[last * 60 // 100]],
            "reason": [
                "advisory mandate",
                "quiet period before a placement",
                "under review by research",
                "pending merger, completed",
            ],
        },
        schema_overrides={"valid_to": pl.Date},
    )


def companions_table(catalogue: Catalogue) -> pl.DataFrame:
    """Truth: the three companions of each asset, with the chance of each."""
    wide = len(COMPANION_WEIGHTS)
    names = pl.Series(catalogue.isin)
    return pl.DataFrame(
        {
            "asset_id": names.gather(np.repeat(np.arange(catalogue.size), wide)),
            "companion_id": names.gather(catalogue.companions.ravel()),
            "weight": np.tile(COMPANION_WEIGHTS, catalogue.size),
        }
    )


def appeal_table(catalogue: Catalogue) -> pl.DataFrame:
    """Truth: how often each asset is chosen among its like, relative to the others."""
    return pl.DataFrame({"asset_id": catalogue.isin, "appeal": catalogue.appeal})


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


def _names(
    asset_class: Ints, sector: Ints, risk_class: Ints, rng: np.random.Generator
) -> tuple[list[str], list[str], list[str], list[str]]:
    coined = [start + end for start in _STARTS for end in _ENDS]
    order = rng.permutation(len(coined))
    names, short_names, subclasses, industries = [], [], [], []
    for index, (kind, theme, risk) in enumerate(zip(asset_class, sector, risk_class, strict=True)):
        issuer = coined[order[index % len(coined)]]
        if index >= len(coined):  # more assets than coined words: two-word issuers, still one per asset
            second = coined[order[(index * 7 + index // len(coined)) % len(coined)]]
            issuer = f"{issuer}-{second}"
        trade = _TRADES[SECTOR_NAMES[theme]][index % 2]
        coupon, year = 1.0 + 0.25 * int(rng.integers(0, 14)), 2027 + int(rng.integers(0, 12))
        if kind == STOCK:
            names.append(f"{issuer} {trade}")
            subclasses.append("Common Stock")
        elif kind == BOND:
            names.append(f"{issuer} {trade} {coupon:.2f}% {year}")
            subclasses.append("Government Bond" if theme == GOVERNMENT else "Corporate Bond")
        else:
            names.append(f"{issuer} {SECTOR_NAMES[theme]} Fund")
            subclasses.append({1: "Money Market", 2: "Balanced", 3: "Equity"}[int(risk)])
        short_names.append(issuer[:3].upper() + f"{index:03d}")
        industries.append(trade)
    return names, short_names, subclasses, industries


def _isins(market: Ints, rng: np.random.Generator) -> list[str]:
    # Twice as many as needed, so that enough are left once doubles are gone.
    numbers = rng.permutation(np.unique(rng.integers(0, 10**9, size=2 * len(market))))[: len(market)]
    bodies = [f"{MARKETS[index][3]}{number:09d}" for index, number in zip(market, numbers, strict=True)]
    return [f"{body}{digit}" for body, digit in zip(bodies, isin_check_digit(bodies), strict=True)]


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
